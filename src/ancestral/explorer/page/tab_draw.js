// Draw: what each model says of the image on the board, while it changes.

import { element, number, picture } from "./dom.js";
import { fromSpace, paint, paintMap, toSpace } from "./pixels.js";
import { Histogram, criticLine, scoreLine } from "./scores.js";

const MAP_NATS = 4; // the darkest colour of a map, per pixel

export class DrawTab {
  constructor(app) {
    this.app = app;
    this.cards = app.threads.map((thread) => new DrawCard(thread, app));
    this.root = element(
      "div",
      {},
      element("p", { class: "lead" }, "Draw in the square. Each card shows how probable the drawing is under one model."),
      element("div", { class: "cards drawn" }, ...this.cards.map((card) => card.root)),
    );
  }

  update() {
    for (const card of this.cards) card.update();
  }
}

class DrawCard {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    const { description, facts = {} } = thread;
    this.score = element("div", { "aria-live": "off" });
    this.histogram = description.reference ? new Histogram(description.reference, thread.can("criticise") ? "a higher score" : "more probable") : null;
    this.map = thread.can("map") && thread.can("score") ? picture(`${facts.map}, by pixel`) : null;
    this.image = thread.can("reconstruct") ? picture(facts.reconstruction) : null;
    const figure = (canvas, caption) => canvas && element("figure", {}, canvas, element("figcaption", {}, caption));
    this.classes = thread.can("classProbs") && facts.classes ? new ClassBars(description, facts) : null;
    this.root = app.card(
      thread,
      this.score,
      this.histogram?.root,
      this.classes?.root,
      element("div", { class: "figures" }, figure(this.map, facts.map), figure(this.image, facts.reconstruction)),
      this.map ? element("p", { class: "note scale" }, `white 0, dark ${MAP_NATS} nats or more`) : null,
    );
    this.verdict = element("div");
    if (description.spec && !thread.can("score")) {
      const critic = description.spec.critic?.reason;
      this.score.append(element("p", { class: "note" }, "No likelihood: this model can be sampled, but no formula gives p(x)."), this.verdict);
      if (critic) this.verdict.append(element("p", { class: "note" }, `No critic in this page: ${critic}.`));
    }
  }

  async update() {
    const { thread, app } = this;
    if (!thread.calls) return;
    const x = toSpace(app.board.x, thread.description);
    const event = thread.description.event;
    if (thread.can("score")) {
      const score = await thread.askLatest("score", "score", [x, "random"], app.seed);
      if (score) {
        this.score.replaceChildren(scoreLine(score, x.length));
        this.histogram?.show(score.nats);
      }
    }
    if (thread.can("criticise")) {
      const scores = await thread.askLatest("criticise", "criticise", [x]);
      if (scores) {
        this.verdict.replaceChildren(criticLine(scores, thread.description.spec.critic, thread.description.classes));
        this.histogram?.show(Math.max(...scores));
      }
    }
    if (this.classes) {
      const shares = await thread.askLatest("classProbs", "classProbs", [x]);
      if (shares) this.classes.show(shares);
    }
    if (this.map) {
      const nats = await thread.askLatest("map", "map", [x]);
      if (nats) paintMap(this.map, nats, event, MAP_NATS);
    }
    if (this.image) {
      const mean = await thread.askLatest("reconstruct", "reconstruct", [x]);
      if (mean) paint(this.image, fromSpace(mean, thread.description), event);
    }
  }
}

// p(class | drawing) of a conditional model, by Bayes, a bar for each class; exact, unless the facts of the model name a way
class ClassBars {
  constructor({ classes }, { classes: count, classProbs: how = "exact" }) {
    this.rows = Array.from({ length: count }, (_, y) => {
      const bar = element("span", { class: "bar" });
      const text = element("span", { class: "share" });
      const row = element("div", { class: "class-bar" }, element("span", {}, classes[y] ?? String(y)), element("span", { class: "rail" }, bar), text);
      return { row, bar, text };
    });
    this.root = element("div", { class: "class-bars" }, element("p", { class: "note" }, `p(class | drawing), ${how}`), ...this.rows.map(({ row }) => row));
  }

  show(shares) {
    this.rows.forEach(({ bar, text }, y) => {
      bar.style.width = `${100 * shares[y]}%`;
      text.textContent = `${number(100 * shares[y], 1)} %`;
    });
  }
}
