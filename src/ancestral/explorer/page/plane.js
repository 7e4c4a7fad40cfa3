// The page of models of points in the plane: density under the cursor, samples, and a flow layer by layer.

import { ClassChoice } from "./choices.js";
import { button, element, number } from "./dom.js";
import { paintShares } from "./pixels.js";
import { SelfTestNotice } from "./selftest.js";

const SIDE = 96; // cells a side of a picture of a density
const CLOUD = 600; // samples shown
const PLAY = 3000; // milliseconds for all layers
const READ = "log p(x): point at the picture";
const BLUES = [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];

export class PlaneApp {
  constructor(root, content, threads) {
    this.seed = 1;
    this.selfTest = new SelfTestNotice();
    this.cards = threads.map((thread) => new PlaneCard(thread, this));
    root.replaceChildren(
      element("header", {}, element("h1", {}, content.title), this.selfTest.root),
      element("p", { class: "lead" }, "Point at a density to read it. Move the layers of a flow to see how samples of the base become samples of the model; drag the orange point."),
      element("div", { class: "tools" }, button("Sample again", () => this.again())),
      element("div", { class: "cards planes" }, ...this.cards.map((card) => card.root)),
    );
    this.again();
  }

  async again() {
    this.seed += 1;
    await Promise.all(this.cards.map((card) => card.draw(this.seed)));
  }
}

class PlaneCard {
  constructor(thread, app) {
    this.thread = thread;
    this.app = app;
    const { description } = thread;
    this.root = element("article", { class: "card" }, element("h2", {}, thread.title), element("p", { class: "note" }, description.space.words));
    if (description.reason || description.event[0] !== 2) {
      this.root.append(element("p", { class: "note" }, description.reason ? `Not in this page: ${description.reason}.` : "Only points with two coordinates can be drawn."));
      return;
    }
    this.density = thread.can("density") ? this.plane("Density of the model") : null;
    this.reading = element("figcaption", {}, READ);
    this.cloud = this.plane("Samples of the model");
    this.stage = element("figcaption");
    this.layer = thread.can("layers") ? element("input", { type: "range", min: 0, max: thread.facts.layers, value: thread.facts.layers, "aria-label": "Layers applied", oninput: () => this.showCloud() }) : null;
    this.label = new ClassChoice(thread, "all", () => this.choose());
    this.root.append(
      ...(this.label.root ? [this.label.root] : []),
      element(
        "div",
        { class: "figures" },
        this.density && element("figure", {}, this.density, this.reading),
        element("figure", {}, this.cloud, this.stage),
      ),
      ...(this.layer ? [element("label", {}, "Layers applied", this.layer)] : []),
    );
    this.density?.addEventListener("pointermove", (event) => this.read(event));
    this.cloud.addEventListener("pointerdown", (event) => this.drag(event));
    this.cloud.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    this.cloud.addEventListener("keydown", (event) => this.key(event));
  }

  plane(label) {
    return element("canvas", { class: "plane", width: 480, height: 480, tabIndex: 0, role: "img", "aria-label": label });
  }

  // another class: another density, other samples, and a point of this class
  async choose() {
    this.reading.textContent = READ;
    await this.draw(this.app.seed); // before the density, which takes longer
    this.showDensity();
  }

  // further arguments of a conditional model: the chosen class, null for all
  get given() {
    return this.label.root ? [this.label.label] : [];
  }

  async draw(seed) {
    const { thread } = this;
    if (!this.cloud) return;
    const { classes } = thread.facts;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const samples = [];
    for (let k = 0; k < CLOUD; k++) samples.push(thread.ask("sample", ["random", 1, ...this.given], seed * CLOUD + k));
    const drawn = await Promise.all(samples);
    const base = drawn.flatMap(({ z }) => Array.from(z.slice(0, 2)));
    const ends = drawn.flatMap(({ x }) => Array.from(x));
    const labels = drawn.map(({ z }) => z.slice(2).indexOf(1));
    const stages = this.layer ? await thread.ask("layers", [Float64Array.from(base), labels]) : [Float64Array.from(ends)];
    if (turn !== this.turn) return;
    [this.stages, this.labels] = [stages, labels];
    const byClass = this.given[0] === null; // colours of classes, else of places in the base
    if (!this.point || (!byClass && this.point.label !== labels[0])) this.point = { z: [base[0], base[1]], label: labels[0] };
    const hue = ({ z }, n) => (byClass ? labels[n] / classes : (Math.atan2(z[1], z[0]) / Math.PI + 1) / 2);
    this.colours = drawn.map((one, n) => `hsl(${(360 * hue(one, n)).toFixed(0)} 70% 50%)`);
    if (!this.box) {
      const xs = Array.from(ends, (v, i) => (i % 2 ? null : v)).filter((v) => v !== null).sort((a, b) => a - b);
      const ys = Array.from(ends, (v, i) => (i % 2 ? v : null)).filter((v) => v !== null).sort((a, b) => a - b);
      const reach = (values) => {
        const [low, high] = [values[Math.floor(0.01 * values.length)], values[Math.floor(0.99 * values.length)]];
        return [low - 0.15 * (high - low), high + 0.15 * (high - low)];
      };
      this.box = [...reach(xs), ...reach(ys)];
      if (this.layer) this.play();
      if (this.density) this.showDensity();
    }
    await this.showCloud();
  }

  // once through the layers, so that they are seen to move; whoever moves them ends it
  async play() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const { layers } = this.thread.facts;
    for (let k = 0; k <= layers; k++) {
      if (k > 0 && Number(this.layer.value) !== k - 1) return;
      this.layer.value = k;
      await this.showCloud();
      await new Promise((resolve) => setTimeout(resolve, PLAY / layers));
    }
  }

  async showDensity() {
    const [left, right, bottom, top] = this.box;
    const values = await this.thread.ask("density", [left, right, bottom, top, SIDE, ...this.given]);
    const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const small = element("canvas");
    paintShares(small, values.map((v) => Math.exp(v - largest)), SIDE, SIDE, BLUES);
    this.density.getContext("2d").drawImage(small, 0, 0, this.density.width, this.density.height);
  }

  // where the picture of the samples reaches: half-way layers are between base and data
  get view() {
    const share = this.layer ? Number(this.layer.value) / this.thread.facts.layers : 1;
    return [-3.5, 3.5, -3.5, 3.5].map((v, k) => v + share * (this.box[k] - v));
  }

  async showCloud() {
    const stage = this.layer ? Number(this.layer.value) : 0;
    const [left, right, bottom, top] = this.view;
    const context = this.cloud.getContext("2d");
    const { width, height } = this.cloud;
    const place = (x, y) => [((x - left) / (right - left)) * width, ((top - y) / (top - bottom)) * height];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    const points = this.stages[stage];
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = place(points[i], points[i + 1]);
      context.fillStyle = this.colours[i / 2];
      context.fillRect(x - 2, y - 2, 4, 4);
    }
    if (!this.layer) {
      this.stage.textContent = "samples";
      return;
    }
    const path = await this.thread.askLatest("path", "layers", [Float64Array.from(this.point.z), [this.point.label]]);
    if (!path) return;
    const [px, py] = path[stage];
    const [x, y] = place(px, py);
    context.strokeStyle = "#e67800";
    context.lineWidth = 4;
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
    const name = stage === 0 ? "samples of the base N(0, I)" : `after ${stage} of ${this.thread.facts.layers} layers`;
    const coloured = this.given[0] === null ? ", a colour for each class" : "";
    this.stage.textContent = `${name}${coloured}; the point is at (${number(px, 2)}, ${number(py, 2)})`;
  }

  at(event, canvas, [left, right, bottom, top]) {
    const box = canvas.getBoundingClientRect();
    return [left + ((event.clientX - box.left) / box.width) * (right - left), top - ((event.clientY - box.top) / box.height) * (top - bottom)];
  }

  async read(event) {
    if (!this.box) return;
    const x = this.at(event, this.density, this.box);
    const nats = await this.thread.askLatest("read", "logProb", [Float64Array.from(x), ...this.given]);
    const given = this.label.label === null ? "" : ` | class ${this.label.select.value}`;
    if (nats !== null) this.reading.textContent = `log p(${number(x[0], 2)}, ${number(x[1], 2)}${given}) = ${number(nats, 2)} nats, a density`;
  }

  // the base point whose image after the shown layers is nearest the cursor, among those of the samples and itself
  drag(event) {
    if (!this.layer) return;
    const [x, y] = this.at(event, this.cloud, this.view);
    if (Number(this.layer.value) === 0) this.point.z = [x, y];
    else {
      const points = this.stages[Number(this.layer.value)];
      let best = 0;
      for (let i = 0; i < points.length; i += 2) if (Math.hypot(points[i] - x, points[i + 1] - y) < Math.hypot(points[best] - x, points[best + 1] - y)) best = i;
      this.point = { z: [this.stages[0][best], this.stages[0][best + 1]], label: this.labels[best / 2] };
    }
    this.showCloud();
    event.preventDefault();
  }

  key(event) {
    const moves = { ArrowUp: [0, 0.1], ArrowDown: [0, -0.1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0] };
    if (!moves[event.key] || !this.layer) return;
    this.point.z = this.point.z.map((v, k) => v + moves[event.key][k]);
    this.showCloud();
    event.preventDefault();
  }
}
