// Help: what the page shows, the keys, and how to get a result out of it.

import { element } from "./dom.js";

const SECTIONS = [
  ["What this page is", "It runs the trained models in your browser. Nothing is sent anywhere and nothing is loaded: the page is one file, and works without a network."],
  ["Draw", "Each model computes log p(x) of the drawing, exactly, or a lower bound on it (the ELBO, with its Monte-Carlo error), and the share of test images with a lower score. Scores of models with different pixels cannot be compared: each card names its pixels. The map shows -log p of each pixel."],
  ["Complete", "Hidden pixels are sampled given the others. Exact means samples of p(hidden | seen) under the model; approximate methods are named. An any-order model generates the pixels in steps: those of one step are independent given the earlier ones, so more steps are slower and closer to the model. A conditional model has a choice of class; \u201call\u201d sums the classes out."],
  ["Latents and Walk", "Latents are the numbers that a decoder turns into an image. Drag them to see what each does."],
  ["Sample", "Samples of p(x). With a temperature other than 1, samples do not have the model's distribution."],
  ["Keys on the drawing board", "Arrow keys move the cursor, space uses the chosen tool, E erases, H hides a pixel, Control and Z undo. An image from the clipboard can be pasted."],
  ["Numbers", "The weights are rounded to 16 bits, and the page computes in 32 bits. When it opens, it repeats calculations of PyTorch on the same rounded weights; the result is at the top right."],
  ["Share and save", "The address of the page holds the drawing, the mask and the seed. The drawing can be saved as a PNG picture or as a NumPy file (.npy), which the command line reads: ancestral evaluate RUN --data drawing.npy"],
];

export class HelpTab {
  constructor(app) {
    const rows = app.threads.map(({ description, tests }) => {
      const worst = (tests ?? []).reduce((a, test) => Math.max(a, test.difference / test.limit), 0);
      const state = description.reason ? `not in this page: ${description.reason}` : `largest difference from PyTorch ${(100 * worst).toFixed(2)} % of what is allowed`;
      return element("li", {}, `${description.name} (${description.title}, ${description.space.words}): ${state}`);
    });
    this.root = element("div", { class: "help" }, ...SECTIONS.flatMap(([title, text]) => [element("h2", {}, title), element("p", {}, text)]), element("h2", {}, "Models"), element("ul", {}, ...rows));
  }

  update() {}
}
