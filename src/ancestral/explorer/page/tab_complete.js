// Complete: samples of the hidden pixels given the others, of each model beside the others.

import { ClassChoice, classNames, StepChoice } from "./choices.js";
import { button, element, number, picture } from "./dom.js";
import { fromSpace, paint, paintCompleted, toSpace } from "./pixels.js";

const DRAWS = 4;
const LIKELY = 3; // classes that are named with their probabilities
const UNSCORED = "log p(hidden | seen) has no exact value here: ";
const WHY = {
  autoregressive: "a seen pixel comes after a hidden one in the model\u2019s order",
  "deep-belief-net": "it is a sum over too many states of the latents",
  generator: "this model has no likelihood",
  "image-flow": "it is an integral over the hidden pixels",
  latent: "it is an integral over the latents",
};

export class CompleteTab {
  constructor(app) {
    this.app = app;
    const { height, width } = app.board;
    const halves = {
      "Hide bottom": (i) => i >= height / 2,
      "Hide top": (i) => i < height / 2,
      "Hide left": (i, j) => j < width / 2,
      "Hide right": (i, j) => j >= width / 2,
      "Hide centre": (i, j) => Math.abs(i + 0.5 - height / 2) < height / 4 && Math.abs(j + 0.5 - width / 2) < width / 4,
    };
    this.cards = app.threads.map((thread) => new CompleteCard(thread, app));
    this.root = element(
      "div",
      {},
      element("p", { class: "lead" }, "Paint over pixels to hide them, or hide a part. Each model samples what may be there, in blue."),
      element(
        "div",
        { class: "tools" },
        ...Object.entries(halves).map(([text, inside]) => button(text, () => app.board.hideWhere(inside))),
        button("Sample again", () => app.reseed()),
      ),
      element("div", { class: "cards" }, ...this.cards.map((card) => card.root)),
    );
  }

  // with nothing hidden there is nothing to see: the first visit hides the bottom half
  shown() {
    const { board } = this.app;
    if (!board.hidden) board.hideWhere((i) => i >= board.height / 2);
  }

  update() {
    for (const card of this.cards) card.update();
  }
}

class CompleteCard {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    this.canvases = Array.from({ length: DRAWS }, (_, k) => picture(`Completion ${k + 1}`));
    this.note = element("p", { class: "note" });
    this.classes = element("p", { class: "note" });
    this.truth = element("p", { class: "note" });
    this.ordering = null;
    const { facts = {} } = thread;
    if (facts.orderings > 1) {
      this.ordering = element("input", { type: "range", min: 0, max: facts.orderings - 1, value: 0, oninput: () => this.update() });
    }
    this.label = new ClassChoice(thread, "all", () => this.update());
    this.steps = new StepChoice(thread, () => this.update());
    this.mean = thread.can("pixelMeans") ? picture("Mean of each hidden pixel given the seen ones") : null;
    const able = thread.can("complete");
    this.root = app.card(
      thread,
      able ? element("div", { class: "figures four" }, ...this.canvases) : element("p", { class: "note" }, `No completion in this page: ${facts.incomplete}.`),
      this.ordering && element("label", {}, "Order", this.ordering),
      this.label.root,
      this.steps.root,
      this.mean && element("div", { class: "figures" }, element("figure", {}, this.mean, element("figcaption", {}, "mean of each hidden pixel given the seen ones, exact"))),
      this.note,
      this.classes,
      this.truth,
    );
  }

  async update() {
    const { thread, app } = this;
    if (!thread.can("complete")) return;
    const { board } = app;
    const { event } = thread.description;
    const x = toSpace(board.x, thread.description);
    const known = board.knownValues();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (!board.hidden) {
      this.note.textContent = "No pixel is hidden.";
      this.classes.textContent = this.truth.textContent = "";
      for (const canvas of this.canvases) paint(canvas, fromSpace(x, thread.description), event);
      return;
    }
    const { label } = this.label;
    const order = this.steps.root ? this.steps.how : this.ordering ? Number(this.ordering.value) : 0;
    for (let k = 0; k < DRAWS; k++) {
      thread.onprogress = (share) => this.wait((k + share) / DRAWS);
      const found = await thread.askLatest(`complete ${k}`, "complete", [x, known, "random", 1, order, ...(this.label.root ? [label] : [])], app.seed + k);
      if (!found || turn !== this.turn) return;
      paintCompleted(this.canvases[k], fromSpace(found.x, thread.description), board.known, event);
      this.note.textContent = found.exact ? "exact samples of p(hidden | seen)" : `approximate: ${thread.facts.completion.replace(/^.*approximate: /, "")}`;
    }
    thread.onprogress = null; // the samples are there; what follows has no progress to show
    if (this.mean) {
      const means = await thread.askLatest("means", "pixelMeans", [x, known, label]);
      if (means) paintCompleted(this.mean, fromSpace(means, thread.description), board.known, event);
    }
    if (thread.facts.classOfSeen) await this.showClasses(x, known, turn);
    if (this.steps.root) return this.scoreSteps(x, known, turn);
    const able = thread.can("logProbMissing");
    const nats = able ? await thread.askLatest("missing", "logProbMissing", [x, known, ...(this.label.root ? [label] : [])]) : null;
    if (turn !== this.turn) return;
    const kind = thread.description.likelihood === "none" ? "generator" : thread.description.spec.kind;
    this.truth.textContent = nats === null ? UNSCORED + WHY[kind] : `log p(what was hidden | the rest${label === null ? "" : `, class ${this.label.select.value}`}) = ${number(nats)} nats, exact`;
  }

  // the most probable classes given the seen pixels
  async showClasses(x, known, turn) {
    const probs = await this.thread.askLatest("classes", "classProbs", [x, known]);
    if (!probs || turn !== this.turn) return;
    const likely = classNames(this.thread).map((name, y) => [probs[y], name]).sort(([a], [b]) => b - a).slice(0, LIKELY);
    this.classes.textContent = `p(class | seen): ${likely.map(([p, name]) => `${name} ${number(p, 2)}`).join(", ")}`;
  }

  // of an any-order model: another order and another number of steps are other distributions
  async scoreSteps(x, known, turn) {
    const { how } = this.steps;
    const given = this.label.root ? [null, this.label.label] : [];
    const nats = await this.thread.askLatest("missing", "logProbInSteps", [x, known, how, ...given]);
    if (nats === null || turn !== this.turn) return;
    const hidden = known.reduce((count, seen) => count + (seen === 0 ? 1 : 0), 0);
    const steps = Math.min(how.steps, hidden);
    const order = how.confidence ? "the confidence order" : "one random order";
    const kind = steps === hidden ? `exact in ${order}` : `exact for ${steps.toLocaleString("en-US")} parallel step${steps === 1 ? "" : "s"} in ${order}`;
    this.truth.textContent = `log p(what was hidden | the rest) = ${number(nats)} nats, ${kind}`;
  }

  // shown only by models that take long enough to report a share of the work
  wait(share) {
    this.note.textContent = `sampling: ${number(100 * share, 0)} %`;
  }
}
