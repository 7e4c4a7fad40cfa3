// Which is real? Test images and samples of the models in a random order; the player says which is which.

import { button, element, number, picture } from "./dom.js";
import { Shuffle } from "./shuffle.js";
import { fromSpace, paint, toSpace } from "./pixels.js";

const REAL = "a real test image";

export class GameTab {
  constructor(app) {
    this.app = app;
    this.threads = app.threads.filter((thread) => thread.can("sample"));
    this.root = element("div", {});
    if (!app.content.images) {
      this.root.append(element("p", { class: "note" }, "This page has no test images, which the game needs."));
      return;
    }
    this.random = new Shuffle(app.seed);
    this.counts = new Map(); // [truth, answer] to a number
    this.image = picture("Is this image real?", "image large");
    this.verdict = element("p", { class: "lead", role: "status" });
    const answers = [REAL, ...this.threads.map((thread) => thread.title)];
    this.table = element("table", { class: "confusion" });
    this.root.append(
      element("p", { class: "lead" }, "Is it a real test image, or which model sampled it? Real images are shown in the pixels of one of the models."),
      element("div", { class: "beside" }, element("figure", {}, this.image), element("div", { class: "answers" }, ...answers.map((answer) => button(answer, () => this.answer(answer))), this.verdict)),
      element("div", { class: "scroll", tabIndex: 0 }, this.table),
    );
    this.next();
  }

  update() {}

  async next() {
    const { threads, random } = this;
    const thread = threads[random.below(threads.length)];
    const real = random.below(2) === 0;
    const { event } = thread.description;
    this.truth = null;
    let x;
    if (real) {
      const { pixels } = this.app.content.images;
      x = toSpace(Float32Array.from(pixels[random.below(pixels.length)], (v) => v / 255), thread.description);
    } else x = (await thread.ask("sample", ["random", 1], random.below(2 ** 31))).x;
    paint(this.image, fromSpace(x, thread.description), event);
    this.truth = real ? REAL : thread.title;
  }

  answer(answer) {
    if (this.truth === null) return;
    const key = JSON.stringify([this.truth, answer]);
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    this.verdict.textContent = answer === this.truth ? `Right: it was ${this.truth}.` : `No: it was ${this.truth}.`;
    this.show();
    this.next();
  }

  // rows: what it was; columns: what the player said
  show() {
    const names = [REAL, ...this.threads.map((thread) => thread.title)];
    const count = (truth, answer) => this.counts.get(JSON.stringify([truth, answer])) ?? 0;
    const total = [...this.counts.values()].reduce((a, b) => a + b, 0);
    const right = names.reduce((a, name) => a + count(name, name), 0);
    const told = names.reduce((a, truth) => a + names.reduce((b, answer) => b + ((truth === REAL) === (answer === REAL) ? count(truth, answer) : 0), 0), 0);
    this.table.replaceChildren(
      element("caption", {}, `${right} of ${total} right; real or sampled told apart in ${number((100 * told) / total, 0)} % (by chance 50 %)`),
      element("tr", {}, element("th", {}, "it was \\ you said"), ...names.map((name) => element("th", { scope: "col" }, name))),
      ...names.map((truth) => element("tr", {}, element("th", { scope: "row" }, truth), ...names.map((answer) => element("td", {}, count(truth, answer) || "")))),
    );
  }
}
