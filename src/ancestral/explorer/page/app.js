// The page: the drawing board, the tabs, and what they share.

import { Board } from "./board.js";
import { button, element } from "./dom.js";
import { fromFragment, saveNpy, savePng, toFragment } from "./share.js";
import { CompleteTab } from "./tab_complete.js";
import { DrawTab } from "./tab_draw.js";
import { GameTab } from "./tab_game.js";
import { HelpTab } from "./tab_help.js";
import { InsideTab } from "./tab_inside.js";
import { LatentsTab } from "./tab_latents.js";
import { SampleTab } from "./tab_sample.js";
import { WalkTab } from "./tab_walk.js";
import { SelfTestNotice } from "./selftest.js";

const TABS = {
  draw: ["Draw", DrawTab],
  complete: ["Complete", CompleteTab],
  sample: ["Sample", SampleTab],
  walk: ["Walk", WalkTab],
  latents: ["Latents", LatentsTab],
  inside: ["Inside", InsideTab],
  game: ["Which is real?", GameTab],
  help: ["Help", HelpTab],
};
const FIRST_ROWS = 1200; // milliseconds in which the first test image appears, row by row
const SAVE_AFTER = 400; // milliseconds without a change, before the address changes

export class App {
  constructor(root, content, threads) {
    this.content = content;
    this.threads = threads;
    this.seed = 1;
    this.event = threads[0].description.event;
    this.tabs = {};
    this.board = new Board(this.event, () => this.changed());
    this.build(root);
    this.start();
  }

  build(root) {
    this.selfTest = new SelfTestNotice();
    this.panel = element("section", { class: "panel", role: "tabpanel", id: "panel", tabIndex: -1 });
    this.tabButtons = Object.entries(TABS).map(([name, [text]]) => {
      const made = element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => this.open(name) }, text);
      made.dataset.tab = name;
      return made;
    });
    const list = element("div", { class: "tabs", role: "tablist", "aria-label": "What to do", onkeydown: (event) => this.tabKey(event) }, ...this.tabButtons);
    this.side = element("section", { class: "side", "aria-label": "Drawing board" }, this.board.root, this.files());
    this.samples();
    root.replaceChildren(
      element("header", {}, element("h1", {}, this.content.title), this.selfTest.root),
      list,
      element("div", { class: "columns" }, this.side, this.panel),
    );
  }

  // a card of one model; a model that is not in the page says why
  card(thread, ...children) {
    const { description } = thread;
    return element(
      "article",
      { class: "card" },
      element("h2", {}, thread.title),
      element("p", { class: "note pixels" }, description.space.words),
      ...(description.reason ? [element("p", { class: "note" }, `Not in this page: ${description.reason}.`)] : children),
    );
  }

  samples() {
    const images = this.content.images;
    if (!images) return;
    let next = 0;
    this.load = () => {
      const at = next++ % images.pixels.length;
      const { classes } = this.threads[0].description;
      const name = images.labels ? `test image ${at}, class ${classes[images.labels[at]] ?? images.labels[at]}` : `test image ${at}`;
      this.board.set(Float32Array.from(images.pixels[at], (v) => v / 255), this.board.known, name);
    };
    this.board.actions.append(button("Test image", () => this.load(), "load the next test image"));
  }

  files() {
    return element(
      "details",
      {},
      element("summary", {}, "Save the drawing"),
      button("Save as PNG", () => savePng(this.board.x, this.event, "drawing.png")),
      button("Save as .npy", () => saveNpy(this.board.x, this.event, "drawing.npy")),
    );
  }

  start() {
    const state = fromFragment(location.hash, this.board.x.length, this.board.size);
    if (state) {
      this.seed = state.seed;
      this.board.set(state.x, state.known);
    } else if (this.load) this.appear();
    this.open(TABS[state?.tab] ? state.tab : "draw");
  }

  // the first test image row by row, so that scores are seen to change; a touch ends it
  appear() {
    this.load();
    this.board.touched = false;
    const whole = this.board.x.slice();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const { width, height } = this.board;
    const begun = performance.now();
    const step = (now) => {
      if (this.board.touched) return;
      const rows = Math.min(height, Math.ceil(((now - begun) / FIRST_ROWS) * height));
      this.board.x = whole.map((v, d) => (Math.floor(d / width) % height < rows ? v : 0));
      this.board.changed();
      if (rows < height) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  open(name) {
    this.tab = name;
    const tab = (this.tabs[name] ??= new TABS[name][1](this));
    for (const one of this.tabButtons) {
      const chosen = one.dataset.tab === name;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${name}`);
    this.panel.replaceChildren(tab.root);
    this.side.hidden = ["walk", "sample", "game", "help"].includes(name);
    this.board.masking(name === "complete");
    tab.shown?.();
    this.changed();
  }

  tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.tabButtons.findIndex((one) => one.dataset.tab === this.tab);
    const next = this.tabButtons[(at + step + this.tabButtons.length) % this.tabButtons.length];
    this.open(next.dataset.tab);
    next.focus();
    event.preventDefault();
  }

  // the next seed; unless told otherwise, what is shown is drawn again
  reseed(update = true) {
    this.seed = (this.seed + 1) >>> 0;
    if (update) this.changed();
    return this.seed;
  }

  changed() {
    if (!this.tab) return;
    this.tabs[this.tab].update();
    clearTimeout(this.saving);
    if (location.protocol === "about:") return; // a frame in a notebook has no address
    this.saving = setTimeout(() => {
      const { x, known } = this.board;
      history.replaceState(null, "", `#${toFragment({ x, known, seed: this.seed, tab: this.tab })}`);
    }, SAVE_AFTER);
  }
}
