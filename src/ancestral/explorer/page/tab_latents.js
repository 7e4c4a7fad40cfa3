// Latents: the code of the image on the board, latent by latent; drag one and see the image change.

import { choiceOf, classNames } from "./choices.js";
import { classMeans, codesOf } from "./codes.js";
import { button, element, number, picture } from "./dom.js";
import { fromSpace, paint, toSpace } from "./pixels.js";

const SHOWN = 24; // sliders at most, those that differ most from the prior first
const REACH = 4; // a slider goes from -REACH to REACH

export class LatentsTab {
  constructor(app) {
    this.app = app;
    this.threads = app.threads.filter((thread) => thread.can("encode") && thread.facts.latents);
    this.body = element("div");
    this.root = element("div", {}, this.choice(), this.body);
    if (this.threads.length) this.use(this.threads[0]);
    else this.body.append(element("p", { class: "note" }, "None of these models has an encoder with real latents."));
  }

  choice() {
    if (this.threads.length < 2) return null;
    const select = element("select", { onchange: () => this.use(this.threads[select.selectedIndex]) }, ...this.threads.map((t) => element("option", {}, t.title)));
    return element("label", {}, "Model ", select);
  }

  use(thread) {
    this.thread = thread;
    this.image = picture("Image decoded from the latents", "image large");
    this.sliders = element("div", { class: "sliders" });
    this.label = thread.facts.classes ? choiceOf(classNames(thread), () => this.choose(this.label.selectedIndex)) : null;
    this.body.replaceChildren(
      element("p", { class: "lead" }, noteOf(thread)),
      element("div", { class: "beside" }, element("figure", {}, this.image, element("figcaption", {}, thread.facts.posterior ? "mean image E[x | z]" : "decoded code")), this.sliders),
      element("div", { class: "tools" }, this.label && element("label", {}, "Class ", this.label), button("Back to the board's image", () => this.encode()), button("A sample of the prior", () => this.draw())),
      this.classes = element("div", { class: "tools" }),
    );
    this.showClasses(thread);
    this.encode();
  }

  update() {
    if (this.thread) this.encode();
  }

  // one button a class: the mean of the codes of its test images in the page
  async showClasses(thread) {
    const { images } = this.app.content;
    const codes = images?.labels ? await codesOf(thread, images) : null;
    if (!codes || thread !== this.thread) return;
    const names = thread.description.classes;
    const buttons = classMeans(codes, images.labels).map(([label, code]) => button(names[label] ?? String(label), () => this.hold(code, undefined)));
    this.classes.replaceChildren(element("span", { class: "note" }, "Mean code of a class:"), ...buttons);
  }

  async encode() {
    const { thread, app } = this;
    const found = await thread.askLatest("encode", "encode", [toSpace(app.board.x, thread.description)]);
    if (found && thread === this.thread) this.hold(found.mean, found.deviation);
  }

  async draw() {
    const drawn = await this.thread.ask("sample", ["random"], this.app.reseed(false));
    this.hold(drawn.z, undefined);
  }

  hold(mean, deviation) {
    const z = Float32Array.from(mean);
    const { latents } = this.thread.facts;
    this.z = z;
    if (this.label) this.label.selectedIndex = z.subarray(latents).indexOf(Math.max(...z.subarray(latents)));
    const told = (m) => (deviation ? z[m] ** 2 + deviation[m] ** 2 - 1 - 2 * Math.log(deviation[m]) : Math.abs(z[m]));
    const order = Array.from({ length: latents }, (_, m) => m).sort((a, b) => told(b) - told(a)).slice(0, SHOWN);
    this.sliders.replaceChildren(...order.map((m) => this.slider(z, m, deviation)));
    this.decode(z);
  }

  // another class for the same latents
  choose(label) {
    this.z.fill(0, this.thread.facts.latents);
    this.z[this.thread.facts.latents + label] = 1;
    this.decode(this.z);
  }

  slider(z, m, deviation) {
    const value = element("output", {}, number(z[m], 2));
    const input = element("input", {
      type: "range", min: -REACH, max: REACH, step: 0.05, value: z[m], "aria-label": `Latent ${m + 1}`,
      oninput: () => {
        z[m] = Number(input.value);
        value.textContent = number(z[m], 2);
        this.decode(z);
      },
    });
    const band = element("span", { class: "band" });
    if (deviation) {
      const share = (v) => (100 * (Math.min(REACH, Math.max(-REACH, v)) + REACH)) / (2 * REACH);
      band.style.left = `${share(z[m] - deviation[m])}%`;
      band.style.width = `${Math.max(1, share(z[m] + deviation[m]) - share(z[m] - deviation[m]))}%`;
    } else band.hidden = true;
    return element("div", { class: "latent" }, element("span", {}, `z${m + 1}`), element("span", { class: "track" }, band, input), value);
  }

  async decode(z) {
    const { thread } = this;
    const mean = await thread.askLatest("decode", "decode", [z.slice()]);
    if (mean && thread === this.thread) paint(this.image, fromSpace(mean, thread.description), thread.description.event);
  }
}

function noteOf({ facts, description }) {
  const of = facts.classes ? " for the most probable class" : "";
  if (facts.posterior) {
    const q = facts.classes ? "q(z | x, class)" : "q(z | x)";
    return `The latents are the means of the posterior ${q}${of}; the bar behind each slider is mean \u00b1 standard deviation. Drag one: the image is E[x | z].`;
  }
  const what = description.likelihood === "none" ? "the code of an autoencoder" : `z = f(x) of a flow, at the middles of the pixels\u2019 cells${of}`;
  return `The latents are ${what}. Drag one: the image is the decoded code.`;
}
