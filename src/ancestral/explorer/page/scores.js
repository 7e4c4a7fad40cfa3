// Where a drawing stands: nats, bits per pixel, and its place among the scores of test images.

import { element, number, svg } from "./dom.js";

const BINS = 30;

// share of test images with a lower score
export function rank(nats, scores) {
  let low = 0;
  let high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] < nats) low = middle + 1;
    else high = middle;
  }
  return low / scores.length;
}

export function scoreLine({ kind, nats, error }, values) {
  const about = error ? ` \u00b1 ${number(error)}` : "";
  const label = kind === "exact" ? "log p(x), exact" : "log p(x) \u2265 ELBO, lower bound";
  const bits = number(-nats / Math.log(2) / values, 3);
  return element(
    "p",
    { class: "score" },
    element("span", { class: "nats" }, `${number(nats)}${about} nats`),
    element("span", { class: "kind" }, `${label}; ${bits} bits per pixel`),
  );
}

// A critic's scores of the drawing, one or one for each class: the highest counts.
export function criticLine(scores, { has_probabilities: probabilities }, classes) {
  const best = scores.indexOf(Math.max(...scores));
  const shown = probabilities ? `${number(100 / (1 + Math.exp(-scores[best])), 1)} %` : number(scores[best], 2);
  const label = probabilities ? "real, by the critic\u2019s probability" : "score of the critic, higher for real images";
  const of = scores.length > 1 ? ` (as class ${classes[best] ?? best}, the highest of ${scores.length})` : "";
  return element("p", { class: "score" }, element("span", { class: "nats" }, shown), element("span", { class: "kind" }, label + of));
}

// a histogram of the scores of test images, with a line where the drawing stands
export class Histogram {
  // words: what a higher score is
  constructor(reference, words = "more probable") {
    this.words = words;
    this.scores = reference.scores;
    const at = (share) => this.scores[Math.floor(share * (this.scores.length - 1))];
    const spread = at(0.98) - at(0.02);
    this.low = at(0.02) - 0.6 * spread;
    this.high = at(0.98) + 0.2 * spread;
    const counts = new Array(BINS).fill(0);
    for (const score of this.scores) counts[Math.min(BINS - 1, Math.max(0, Math.floor(this.place(score) * BINS)))] += 1;
    const most = Math.max(...counts);
    const bars = counts.map((count, i) =>
      svg("rect", { x: i * (100 / BINS), y: 24 * (1 - count / most), width: 100 / BINS - 0.4, height: (24 * count) / most }),
    );
    this.line = svg("line", { y1: 0, y2: 24, class: "here" });
    this.picture = svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", class: "histogram", "aria-hidden": "true" }, ...bars, this.line);
    this.text = element("p", { class: "note" });
    this.root = element("div", {}, this.picture, this.text);
  }

  place(score) {
    return (score - this.low) / (this.high - this.low);
  }

  show(nats) {
    const x = 100 * Math.min(1, Math.max(0, this.place(nats)));
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    const share = rank(nats, this.scores);
    const count = this.scores.length.toLocaleString("en-US");
    this.text.textContent = `${this.words} than ${share === 0 ? "none" : `${number(100 * share, 0)} %`} of ${count} test images`;
  }
}
