// Sample: draws of a model in a grid; of autoregressive models also pixel by pixel.

import { ClassChoice, StepChoice } from "./choices.js";
import { button, element, number, picture } from "./dom.js";
import { fromSpace, paint, paintWithMask } from "./pixels.js";

const COUNT = 16;
const FILM_SECONDS = 6;

export class SampleTab {
  constructor(app) {
    this.app = app;
    this.cards = app.threads.filter((thread) => thread.can("sample")).map((thread) => new SampleCard(thread, app));
    this.temperature = element("input", { type: "range", min: 0.2, max: 1.5, step: 0.05, value: 1, oninput: () => this.warm() });
    this.warning = element("p", { class: "note", role: "status" });
    this.root = element(
      "div",
      {},
      element("p", { class: "lead" }, "Samples of each model. The same seed gives the same samples on every computer."),
      element("div", { class: "tools" }, button("Sample again", () => app.reseed()), element("label", {}, "Temperature ", this.temperature)),
      this.warning,
      element("div", { class: "cards" }, ...this.cards.map((card) => card.root)),
    );
  }

  warm() {
    const value = Number(this.temperature.value);
    this.warning.textContent = value === 1 ? "" : `Temperature ${number(value, 2)}: these are samples of another distribution than the model's.`;
    this.update();
  }

  shown() {
    this.update();
  }

  // the board does not change samples; a seed does
  update() {
    if (this.root.isConnected) for (const card of this.cards) card.update(Number(this.temperature.value));
  }
}

class SampleCard {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    this.canvases = Array.from({ length: COUNT }, (_, k) => picture(`Sample ${k + 1}`));
    this.mean = element("input", { type: "checkbox", onchange: () => this.update(this.temperature) });
    const hasMean = thread.facts?.latents && thread.can("score") && thread.can("reconstruct");
    this.label = new ClassChoice(thread, "any", () => this.update(this.temperature));
    this.steps = new StepChoice(thread, () => this.update(this.temperature));
    this.caption = element("p", { class: "note" });
    this.film = picture("An image, pixel by pixel", "image large");
    this.film.hidden = true;
    this.root = app.card(
      thread,
      element("div", { class: "figures four" }, ...this.canvases),
      hasMean ? element("label", {}, this.mean, " mean images E[x | z] instead of samples") : null,
      this.label.root,
      this.steps.root,
      this.caption,
      thread.facts?.orders ? button("Show one pixel by pixel", () => this.play()) : null,
      this.film,
    );
  }

  async update(temperature = 1) {
    this.temperature = temperature;
    const { thread, app } = this;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const how = [...(this.steps.root ? [this.steps.how] : []), ...(this.label.root ? [this.label.label] : [])];
    const what = this.mean.checked ? "mean images E[x | z]" : "samples";
    const few = this.steps.root && this.steps.how.steps < thread.facts.steps.at(-1);
    this.caption.textContent = `${what}${this.label.words}, seed ${app.seed}${few ? "; approximate: the pixels of one step are independent given the earlier steps" : ""}`;
    for (let k = 0; k < COUNT; k++) {
      const found = await thread.askLatest(`sample ${k}`, "sample", ["random", temperature, ...how], app.seed * COUNT + k);
      if (!found || turn !== this.turn) return;
      paint(this.canvases[k], fromSpace(this.mean.checked ? found.mean : found.x, thread.description), thread.description.event);
    }
  }

  async play() {
    const { thread, app } = this;
    const { event } = thread.description;
    const { x } = await thread.ask("sample", ["random", this.temperature, ...(this.label.root ? [this.label.label] : [])], app.seed);
    const image = fromSpace(x, thread.description);
    const order = thread.facts.orders[0];
    const size = event[1] * event[2];
    const known = new Uint8Array(size);
    this.film.hidden = false;
    let done = 0;
    const begun = performance.now();
    const step = (now) => {
      const upTo = Math.min(order.length, Math.ceil(((now - begun) / 1000 / FILM_SECONDS) * order.length));
      for (; done < upTo; done++) known[order[done] % size] = 1;
      paintWithMask(this.film, image, known, event);
      if (done < order.length && this.film.isConnected) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
}
