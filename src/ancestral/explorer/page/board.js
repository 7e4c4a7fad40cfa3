// The drawing board: the image that all models are asked about, in their pixels, and the mask of hidden pixels.

import { button, element } from "./dom.js";
import { paint, paintWithMask } from "./pixels.js";

const UNDO_STEPS = 50;

export class Board {
  // event: (C, H, W); onchange: called after each change
  constructor(event, onchange) {
    this.event = event;
    [this.channels, this.height, this.width] = event;
    this.size = this.height * this.width;
    this.onchange = onchange;
    this.x = new Float32Array(this.channels * this.size);
    this.known = new Uint8Array(this.size).fill(1);
    this.tool = "pen";
    this.radius = Math.max(0.7, this.height / 28);
    this.undone = [];
    this.touched = false; // whether anybody has changed the image
    this.cursor = null;
    this.build();
    this.show();
  }

  build() {
    this.canvas = element("canvas", {
      class: "board",
      tabIndex: 0,
      role: "application",
      "aria-label":
        "Drawing board. Arrow keys move the cursor, space draws, E erases, H hides, Control and Z undo the last stroke.",
    });
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => (this.last = null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => {
      this.cursor = null;
      this.show();
    });
    document.addEventListener("paste", (event) => this.paste(event));
    const tools = { pen: "Pen", eraser: "Eraser", hide: "Hide", reveal: "Show" };
    this.toolButtons = Object.entries(tools).map(([name, text]) => {
      const made = button(text, () => this.choose(name));
      made.dataset.tool = name;
      return made;
    });
    const radius = element("input", {
      type: "range", min: 0.5, max: this.height / 8, step: 0.1, value: this.radius, "aria-label": "Brush size",
      oninput: () => (this.radius = Number(radius.value)),
    });
    this.label = element("p", { class: "note" });
    this.actions = element(
      "div",
      { class: "tools" },
      button("Undo", () => this.undo(), "Control and Z"),
      button("Clear", () => this.clear()),
    );
    this.whole = button("Show all", () => this.reveal());
    this.actions.append(this.whole);
    this.root = element(
      "div",
      { class: "board-frame" },
      element("div", { class: "paper" }, this.canvas, this.label),
      element("div", { class: "tools", role: "toolbar", "aria-label": "Drawing tools" }, ...this.toolButtons),
      element("label", { class: "brush" }, "Brush", radius),
      this.actions,
    );
    this.choose("pen");
  }

  choose(name) {
    this.tool = name;
    for (const one of this.toolButtons) one.setAttribute("aria-pressed", String(one.dataset.tool === name));
  }

  // The mask, and the tools that change it, are there where pixels can be completed; the first of the tools is chosen.
  masking(able) {
    this.masked = able;
    this.show();
    for (const one of this.toolButtons.slice(2)) one.hidden = !able;
    this.whole.hidden = !able;
    if (able === ["pen", "eraser"].includes(this.tool)) this.choose(able ? "hide" : "pen");
  }

  get hidden() {
    return this.known.includes(0);
  }

  // one number for each value, colours included
  knownValues() {
    return Float32Array.from(this.x, (_, d) => this.known[d % this.size]);
  }

  remember() {
    this.touched = true;
    this.label.textContent = "";
    this.undone.push({ x: this.x.slice(), known: this.known.slice() });
    if (this.undone.length > UNDO_STEPS) this.undone.shift();
  }

  undo() {
    const before = this.undone.pop();
    if (!before) return;
    this.x = before.x;
    this.known = before.known;
    this.changed();
  }

  // name: what the image is, shown under it until it is changed
  set(x, known = null, name = "") {
    this.remember();
    this.label.textContent = name;
    this.x = Float32Array.from(x);
    this.known = known ? Uint8Array.from(known) : new Uint8Array(this.size).fill(1);
    this.changed();
  }

  clear() {
    this.set(new Float32Array(this.x.length));
  }

  reveal() {
    this.remember();
    this.known.fill(1);
    this.changed();
  }

  // hides the pixels for which `inside(row, column)` is true
  hideWhere(inside) {
    this.remember();
    for (let p = 0; p < this.size; p++) this.known[p] = inside(Math.floor(p / this.width), p % this.width) ? 0 : 1;
    this.changed();
  }

  changed() {
    this.show();
    this.onchange();
  }

  show() {
    if (this.masked) paintWithMask(this.canvas, this.x, this.known, this.event);
    else paint(this.canvas, this.x, this.event);
    if (this.cursor) {
      const context = this.canvas.getContext("2d");
      context.fillStyle = "rgba(230, 120, 0, 0.7)";
      context.fillRect(this.cursor[1], this.cursor[0], 1, 1);
    }
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * this.height, ((event.clientX - box.left) / box.width) * this.width];
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.cursor = null;
    this.remember();
    this.last = this.place(event);
    this.stroke(this.last, this.last);
    event.preventDefault();
  }

  move(event) {
    if (!this.last) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const here = this.place(part);
      this.stroke(this.last, here);
      this.last = here;
    }
  }

  // a line of the brush between two points in pixels; its edge is soft by one pixel
  stroke([y0, x0], [y1, x1]) {
    const reach = this.radius + 1;
    const [top, bottom] = [Math.floor(Math.min(y0, y1) - reach), Math.ceil(Math.max(y0, y1) + reach)];
    const [left, right] = [Math.floor(Math.min(x0, x1) - reach), Math.ceil(Math.max(x0, x1) + reach)];
    const length = (y1 - y0) ** 2 + (x1 - x0) ** 2;
    for (let i = Math.max(0, top); i < Math.min(this.height, bottom); i++) {
      for (let j = Math.max(0, left); j < Math.min(this.width, right); j++) {
        const t = length ? Math.min(1, Math.max(0, ((i + 0.5 - y0) * (y1 - y0) + (j + 0.5 - x0) * (x1 - x0)) / length)) : 0;
        const distance = Math.hypot(i + 0.5 - y0 - t * (y1 - y0), j + 0.5 - x0 - t * (x1 - x0));
        const cover = Math.min(1, Math.max(0, this.radius + 0.5 - distance));
        if (cover > 0) this.touch(i * this.width + j, cover);
      }
    }
    this.changed();
  }

  touch(p, cover) {
    if (this.tool === "hide") {
      if (cover >= 0.5) this.known[p] = 0;
    } else if (this.tool === "reveal") {
      if (cover >= 0.5) this.known[p] = 1;
    } else {
      for (let c = 0; c < this.channels; c++) {
        const at = c * this.size + p;
        this.x[at] = this.tool === "pen" ? Math.max(this.x[at], cover) : Math.min(this.x[at], 1 - cover);
      }
    }
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const [i, j] = this.cursor ?? [Math.floor(this.height / 2), Math.floor(this.width / 2)];
    if (moves[event.key]) {
      const [di, dj] = moves[event.key];
      this.cursor = [(i + di + this.height) % this.height, (j + dj + this.width) % this.width];
      this.show();
    } else if (event.key === " ") {
      this.keyStroke(i, j, this.tool);
    } else if (event.key.toLowerCase() === "e") {
      this.keyStroke(i, j, "eraser");
    } else if (event.key.toLowerCase() === "h") {
      this.keyStroke(i, j, "hide");
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
  }

  keyStroke(i, j, tool) {
    const chosen = this.tool;
    this.tool = tool;
    this.cursor = [i, j];
    this.remember();
    this.stroke([i + 0.5, j + 0.5], [i + 0.5, j + 0.5]);
    this.tool = chosen;
  }

  // an image from the clipboard, fitted into the board; bright paper becomes dark ground
  async paste(event) {
    const file = Array.from(event.clipboardData?.items ?? []).find((item) => item.type.startsWith("image/"))?.getAsFile();
    if (!file) return;
    const bitmap = await createImageBitmap(file);
    const canvas = new OffscreenCanvas(this.width, this.height);
    const context = canvas.getContext("2d");
    const scale = Math.min(this.width / bitmap.width, this.height / bitmap.height);
    const [w, h] = [bitmap.width * scale, bitmap.height * scale];
    context.drawImage(bitmap, (this.width - w) / 2, (this.height - h) / 2, w, h);
    const { data } = context.getImageData(0, 0, this.width, this.height);
    const x = new Float32Array(this.x.length);
    for (let p = 0; p < this.size; p++) {
      const grey = (0.299 * data[4 * p] + 0.587 * data[4 * p + 1] + 0.114 * data[4 * p + 2]) / 255;
      for (let c = 0; c < this.channels; c++) x[c * this.size + p] = this.channels === 3 ? data[4 * p + c] / 255 : grey;
    }
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    this.set(this.channels === 1 && mean > 0.5 ? x.map((v) => 1 - v) : x);
  }
}
