// The models of the page, each in a thread of its own.

export class ModelThread {
  constructor(description, source) {
    this.description = description;
    this.pending = new Map();
    this.next = 0;
    this.latest = new Map();
    this.title = `${description.title} \u201c${description.name}\u201d`;
    if (!description.spec) return;
    this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    this.worker.onmessage = ({ data: { id, result, error, progress } }) => {
      const { resolve, reject } = this.pending.get(id);
      if (progress !== undefined) return this.onprogress?.(progress);
      this.pending.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.pending.values()) reject(new Error(event.message));
      this.pending.clear();
    };
  }

  send(message) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message });
    });
  }

  // opens the weights
  async open() {
    const { spec, weights } = this.description;
    const { calls, facts } = await this.send({ open: { spec, weights } });
    this.calls = new Set(calls);
    this.facts = facts;
  }

  // Results of the test vectors. Each is a message of its own, so that answers to the page come between them.
  async test() {
    const results = await Promise.all(this.description.vectors.map((vector) => this.send({ test: [vector] })));
    this.tests = results.flat();
    return this.tests;
  }

  // Whether the model answers a call; an autoencoder has no p(z), and therefore no score.
  can(call) {
    if (call === "criticise" && !this.description.spec?.critic?.layers) return false;
    if (call === "score" && this.description.likelihood === "none") return false;
    return this.calls !== undefined && this.calls.has(call);
  }

  ask(call, args = [], seed = undefined) {
    return this.send({ ask: { call, args, seed } });
  }

  // As `ask`, for a purpose that only wants its newest answer: while one is computed, later requests wait, and only
  // the last of them is computed. Those in between resolve to null.
  askLatest(purpose, call, args, seed) {
    const waiting = this.latest.get(purpose);
    if (waiting) {
      waiting.replaced?.(null);
      return new Promise((resolve, reject) => {
        waiting.request = [call, args, seed, resolve, reject];
        waiting.replaced = resolve;
      });
    }
    const entry = {};
    this.latest.set(purpose, entry);
    return this.ask(call, args, seed).finally(() => {
      this.latest.delete(purpose);
      if (!entry.request) return;
      const [nextCall, nextArgs, nextSeed, resolve, reject] = entry.request;
      this.askLatest(purpose, nextCall, nextArgs, nextSeed).then(resolve, reject);
    });
  }
}
