// Inside: the parts of a model, and which of them explain the image on the board.

import { button, element, number, picture } from "./dom.js";
import { fromSpace, paint, toSpace } from "./pixels.js";

const MOST = 24; // components shown, the most responsible first

export class InsideTab {
  constructor(app) {
    this.parts = [];
    for (const thread of app.threads) {
      if (thread.facts?.components) this.parts.push(new Components(thread, app));
      if (thread.facts?.causes) this.parts.push(new Causes(thread, app));
    }
    this.root = element("div", {}, ...this.parts.map((part) => part.root));
    if (!this.parts.length) this.root.append(element("p", { class: "note" }, "None of these models has components or binary causes to show."));
  }

  update() {
    for (const part of this.parts) part.update();
  }
}

class Components {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    this.grid = element("div", { class: "components" });
    this.root = app.card(thread, element("p", { class: "note" }, `The ${thread.facts.parts} and the probability of each given the image on the board, largest first. The pictures are mean images.`), this.grid);
    this.root.classList.add("wide");
    this.cells = new Map();
  }

  async cell(k) {
    if (!this.cells.has(k)) {
      const canvas = picture(`Component ${k + 1}`);
      const bar = element("span", { class: "bar" });
      const text = element("span", { class: "share" });
      this.cells.set(k, { root: element("div", { class: "component" }, canvas, element("span", { class: "rail" }, bar), text), bar, text });
      paint(canvas, fromSpace(await this.thread.ask("component", [k]), this.thread.description), this.thread.description.event);
    }
    return this.cells.get(k);
  }

  async update() {
    const shares = await this.thread.askLatest("responsibilities", "responsibilities", [toSpace(this.app.board.x, this.thread.description)]);
    if (!shares) return;
    const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]).slice(0, MOST);
    const cells = await Promise.all(order.map((k) => this.cell(k)));
    cells.forEach((cell, i) => {
      cell.bar.style.width = `${100 * shares[order[i]]}%`;
      cell.text.textContent = `${number(100 * shares[order[i]], shares[order[i]] < 0.1 ? 1 : 0)} %`;
    });
    this.grid.replaceChildren(...cells.map((cell) => cell.root));
  }
}

class Causes {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    this.image = picture("Mean image given the causes", "image large");
    this.switches = element("div", { class: "causes" });
    this.root = app.card(
      thread,
      element("p", { class: "note" }, "Binary causes with their posterior probabilities given the board. Switch them and see the mean image E[x | z]."),
      element("div", { class: "beside" }, element("figure", {}, this.image, element("figcaption", {}, "mean image E[x | z]")), this.switches),
      button("Back to the posterior", () => this.update()),
    );
    this.root.classList.add("wide");
  }

  async update() {
    const marginals = await this.thread.askLatest("marginals", "marginals", [toSpace(this.app.board.x, this.thread.description)]);
    if (!marginals) return;
    this.z = Array.from(marginals, (p) => (p >= 0.5 ? 1 : 0));
    this.switches.replaceChildren(
      ...this.z.map((on, m) => {
        const input = element("input", { type: "checkbox", checked: on === 1, onchange: () => {
          this.z[m] = input.checked ? 1 : 0;
          this.decode();
        } });
        return element("label", { class: "cause" }, input, ` z${m + 1} `, element("span", { class: "note" }, `p = ${number(marginals[m], 2)}`));
      }),
    );
    this.decode();
  }

  async decode() {
    const mean = await this.thread.askLatest("causes", "decode", [Float32Array.from(this.z)]);
    if (mean) paint(this.image, fromSpace(mean, this.thread.description), this.thread.description.event);
  }
}
