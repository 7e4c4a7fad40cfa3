// Walk: a plane of two latents, and straight lines between the codes of two images.

import { choiceOf, classNames } from "./choices.js";
import { codesOf, principalAxes } from "./codes.js";
import { button, element, number, picture } from "./dom.js";
import { fromSpace, paint, toSpace } from "./pixels.js";

const REACH = 3;
const GRID = 9; // images a side of the plane
const FRAMES = 9;

export class WalkTab {
  constructor(app) {
    this.app = app;
    this.threads = app.threads.filter((thread) => thread.can("decode") && thread.facts.latents > 1);
    this.threads.sort((a, b) => a.facts.latents - b.facts.latents); // a plane of two latents shows all of a model
    this.body = element("div");
    const select = element("select", { onchange: () => this.use(this.threads[select.selectedIndex]) }, ...this.threads.map((t) => element("option", {}, t.title)));
    this.root = element("div", {}, this.threads.length > 1 ? element("label", {}, "Model ", select) : null, this.body);
    if (this.threads.length) this.use(this.threads[0]);
    else this.body.append(element("p", { class: "note" }, "None of these models decodes two or more latents."));
  }

  use(thread) {
    this.thread = thread;
    const { latents, classes } = thread.facts;
    const origin = new Float32Array(latents);
    this.base = origin;
    const unit = (m) => origin.map((_, i) => (i === m ? 1 : 0));
    this.choices = Array.from({ length: latents }, (_, m) => ({ name: `z${m + 1}`, axis: unit(m), base: origin }));
    this.axes = [this.choices[0], this.choices[1]];
    this.picks = [0, 1].map((which) => {
      const input = element("select", { "aria-label": which ? "Vertical axis" : "Horizontal axis", onchange: () => this.pick(which, input.selectedIndex) });
      return input;
    });
    this.label = classes ? choiceOf(classNames(thread), () => this.plane()) : null;
    this.fill();
    this.addPrincipal(thread);
    this.pad = element("canvas", { class: "plane", tabIndex: 0, role: "slider", "aria-label": "Plane of two latents; arrow keys move the point", "aria-valuetext": "0, 0" });
    this.pad.addEventListener("pointerdown", (event) => { this.pad.setPointerCapture(event.pointerId); this.dragging = true; this.drag(event); event.preventDefault(); });
    this.pad.addEventListener("pointermove", (event) => this.dragging && this.drag(event));
    this.pad.addEventListener("pointerup", () => (this.dragging = false));
    this.pad.addEventListener("keydown", (event) => this.key(event));
    this.image = picture("Image at the point", "image large");
    this.where = element("figcaption");
    this.strip = element("div", { class: "strip" });
    this.point = [0, 0];
    this.body.replaceChildren(
      element("p", { class: "lead" }, "Drag the point over the plane. Each small image is decoded at its own place; all other latents keep their values."),
      element("div", { class: "tools" }, element("label", {}, "Horizontal ", this.picks[0]), element("label", {}, "Vertical ", this.picks[1]), this.label && element("label", {}, "Class ", this.label), button("Move on its own", () => this.animate())),
      element("div", { class: "beside" }, this.pad, element("figure", {}, this.image, this.where)),
      thread.can("encode")
        ? element("div", {}, element("h3", {}, "From one image to another"), element("div", { class: "tools" }, button("Start: the board's image", () => this.end(0)), button("End: the board's image", () => this.end(1))), this.strip)
        : null,
    );
    this.ends = [null, null];
    this.plane();
    if (thread.can("encode")) this.firstEnds();
  }

  update() {}

  fill() {
    this.picks.forEach((input, which) => {
      const chosen = this.choices.indexOf(this.axes[which]);
      input.replaceChildren(...this.choices.map(({ name }) => element("option", {}, name)));
      input.selectedIndex = chosen;
    });
  }

  pick(which, at) {
    this.axes[which] = this.choices[at];
    this.base = this.axes[0].base;
    this.plane();
  }

  // of many latents, the two directions in which the codes of the test images vary most
  async addPrincipal(thread) {
    const codes = await codesOf(thread, this.app.content.images);
    const { latents } = thread.facts;
    if (!codes || thread !== this.thread || latents < 3) return;
    const { mean, axes } = principalAxes(codes.map((code) => code.slice(0, latents)), 2);
    this.choices.push(...axes.map((axis, k) => ({ name: `principal axis ${k + 1} of test images`, axis, base: mean })));
    this.axes = this.choices.slice(-2);
    this.base = mean;
    this.fill();
    this.plane();
  }

  // the code at a point; that of a conditional model has the chosen class as a one-hot vector behind the latents
  at(point) {
    const [{ axis: h }, { axis: v }] = this.axes;
    const { latents, classes = 0 } = this.thread.facts;
    const code = new Float32Array(latents + classes);
    code.set(this.base.map((b, m) => b + point[0] * h[m] + point[1] * v[m]));
    if (this.label) code[latents + this.label.selectedIndex] = 1;
    return code;
  }

  async plane() {
    const { thread } = this;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const [, height, width] = thread.description.event;
    this.pad.width = GRID * width;
    this.pad.height = GRID * height;
    const small = element("canvas");
    this.move(this.point);
    for (let i = 0; i < GRID; i++) {
      for (let j = 0; j < GRID; j++) {
        const place = [(2 * (j + 0.5) / GRID - 1) * REACH, (1 - 2 * (i + 0.5) / GRID) * REACH];
        const mean = await thread.ask("decode", [this.at(place)]);
        if (turn !== this.turn) return;
        paint(small, fromSpace(mean, thread.description), thread.description.event);
        this.pad.getContext("2d").drawImage(small, j * width, i * height);
      }
    }
    this.background = this.pad.getContext("2d").getImageData(0, 0, this.pad.width, this.pad.height);
    this.move(this.point);
  }

  drag(event) {
    const box = this.pad.getBoundingClientRect();
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (event.clientY - box.top)) / box.height;
    this.move([x, y].map((v) => REACH * Math.min(1, Math.max(-1, v))));
  }

  key(event) {
    const moves = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    if (!moves[event.key]) return;
    this.move(this.point.map((v, k) => Math.min(REACH, Math.max(-REACH, v + 0.1 * moves[event.key][k]))));
    event.preventDefault();
  }

  async move(point) {
    const { thread } = this;
    this.point = point;
    const [h, v] = this.axes;
    const text = `${h.name} ${number(point[0], 2)}, ${v.name} ${number(point[1], 2)}`;
    this.where.textContent = text;
    this.pad.setAttribute("aria-valuetext", text);
    if (this.background) {
      const context = this.pad.getContext("2d");
      context.putImageData(this.background, 0, 0);
      const [x, y] = [((point[0] / REACH + 1) / 2) * this.pad.width, ((1 - point[1] / REACH) / 2) * this.pad.height];
      context.strokeStyle = "#e67800";
      context.lineWidth = this.pad.width / 80;
      context.beginPath();
      context.arc(x, y, this.pad.width / 40, 0, 2 * Math.PI);
      context.stroke();
    }
    const mean = await thread.askLatest("walk", "decode", [this.at(point)]);
    if (mean && thread === this.thread) paint(this.image, fromSpace(mean, thread.description), thread.description.event);
  }

  // once round a circle; a second click stops it
  animate() {
    if (this.running) {
      cancelAnimationFrame(this.running);
      this.running = null;
      return;
    }
    const begun = performance.now();
    const step = (now) => {
      const angle = ((now - begun) / 8000) * 2 * Math.PI;
      if (angle > 2 * Math.PI || !this.pad.isConnected) {
        this.running = null;
        return;
      }
      this.move([2 * Math.cos(angle), 2 * Math.sin(angle)]);
      this.running = requestAnimationFrame(step);
    };
    this.running = requestAnimationFrame(step);
  }

  async firstEnds() {
    const images = this.app.content.images?.pixels;
    if (!images || images.length < 2) return;
    for (const k of [0, 1]) await this.setEnd(k, Float32Array.from(images[k === 0 ? 0 : images.length - 1], (v) => v / 255));
  }

  end(which) {
    return this.setEnd(which, this.app.board.x);
  }

  async setEnd(which, x) {
    const { thread } = this;
    const { mean } = await thread.ask("encode", [toSpace(x, thread.description)]);
    this.ends[which] = mean;
    const [from, to] = this.ends;
    if (!from || !to || thread !== this.thread) return;
    const canvases = Array.from({ length: FRAMES }, (_, k) => picture(`Step ${k} of ${FRAMES - 1}`));
    this.strip.replaceChildren(...canvases);
    for (let k = 0; k < FRAMES; k++) {
      const z = from.map((v, m) => v + (k / (FRAMES - 1)) * (to[m] - v));
      paint(canvases[k], fromSpace(await thread.ask("decode", [z]), thread.description), thread.description.event);
    }
  }
}
