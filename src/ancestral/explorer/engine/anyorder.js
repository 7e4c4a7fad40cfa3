// Any-order models: one network gives p(x_d | seen pixels) of every hidden pixel, for any set of seen ones. Pixels are
// generated in steps: all pixels of a step at once, independently given the earlier steps.

import { Network } from "./layers.js";
import { logSumExp } from "./pixels.js";
import { Random } from "./random.js";
import { meanAndError } from "./statistics.js";
import { VALUES } from "./values.js";

// work while someone draws or waits: masks of a bound, steps of a generation
const DENSE = { masks: 8, steps: 32 };
const CONVOLUTIONS = { masks: 4, steps: 8 };
const ORDER_SEED = 1; // of the fixed random order in which log p(hidden | seen) is computed
const WHOLE = 64; // images up to this size are generated pixel by pixel

export class AnyOrderModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.network = new Network(spec.layers, tensors);
    this.value = new VALUES[spec.pixels.type](spec.pixels);
    this.bias = tensors(spec.bias).data;
    this.pixels = this.bias.length / this.value.size;
    this.work = spec.convolutions ? CONVOLUTIONS : DENSE;
  }

  facts() {
    const steps = [1, 2, 4, 8, 16, 32, 64, 128, 256].filter((count) => count < this.pixels).concat(this.pixels);
    return {
      map: "-log p(pixel | every second pixel, as on a chessboard)",
      completion: "approximate: the pixels of one step are independent given the earlier steps",
      steps,
      usualSteps: this.pixels <= WHOLE ? this.pixels : this.work.steps,
    };
  }

  // what a network makes of the known pixels: of their values and the mask
  seenBy(network, x, known) {
    const { spec, value, pixels } = this;
    const levels = spec.pixels.type === "categorical" ? value.levels : 1;
    const [channels, height, width] = spec.event;
    const size = height * width;
    const input = new Float32Array(pixels * (levels + 1));
    for (let d = 0; d < pixels; d++) {
      if (known[d] === 0) continue;
      const [c, p] = [Math.trunc(d / size), d % size];
      if (levels > 1) input[(c * levels + Math.round(x[d])) * size + p] = 1;
      else input[d] = (2 * x[d]) / (value.levels - 1) - 1;
      input[pixels * levels + d] = 1;
    }
    return network.run(input, [channels * (levels + 1), height, width]).data;
  }

  // a function from a pixel to the parameters of p(pixel | known pixels)
  predict(x, known) {
    const { spec, value, bias } = this;
    const data = this.seenBy(this.network, x, known);
    const size = spec.event[1] * spec.event[2];
    return (d) => {
      const at = Math.trunc(d / size) * value.size * size + (d % size);
      return Float32Array.from({ length: value.size }, (_, s) => data[at + s * size] + bias[d * value.size + s]);
    };
  }

  // log p(x_d | known pixels) of each hidden pixel, 0 for known ones
  hiddenTerms(x, known) {
    const parameters = this.predict(x, known);
    return Float32Array.from(x, (v, d) => (known[d] !== 0 ? 0 : this.value.logProb(parameters(d), v)));
  }

  // The ELBO: random masks whose sizes are spread evenly, and D times the mean log p of a hidden pixel.
  score(x, random, masks = this.work.masks) {
    const shift = random.uniform();
    const estimates = Array.from({ length: masks }, (_, m) => {
      const shown = Math.min(this.pixels - 1, Math.trunc(((m + shift) / masks) * this.pixels));
      const known = new Uint8Array(this.pixels);
      for (const d of shuffled(this.pixels, random).subarray(0, shown)) known[d] = 1;
      return (this.pixels * this.hiddenTerms(x, known).reduce((a, b) => a + b, 0)) / (this.pixels - shown);
    });
    return { kind: "bound", ...meanAndError(estimates) };
  }

  map(x) {
    const [, height, width] = this.spec.event;
    const colour = (d) => (Math.trunc((d % (height * width)) / width) + (d % width)) % 2;
    const halves = [0, 1].map((seen) => this.hiddenTerms(x, x.map((_, d) => (colour(d) === seen ? 1 : 0))));
    return x.map((_, d) => -halves[1 - colour(d)][d]);
  }

  // Generates the hidden pixels in steps, or takes their values from `values`. turns: pixels in their order, or null for
  // the confidence order, in which each step takes the pixels with the lowest entropy.
  generate(x, known, turns, steps, choose) {
    const [made, seen] = [Float32Array.from(x), Uint8Array.from(known)];
    let left = turns ?? Int32Array.from(seen.keys());
    left = left.filter((d) => seen[d] === 0);
    const count = left.length;
    const total = Math.min(steps, count);
    let [logProb, done] = [0, 0];
    for (let step = 1; step <= total; step++) {
      const parameters = this.predict(made, seen);
      const entropies = turns === null ? new Map(Array.from(left, (d) => [d, this.entropy(parameters(d))])) : null;
      if (entropies) left = left.slice().sort((a, b) => entropies.get(a) - entropies.get(b) || a - b);
      const end = Math.trunc((step * count) / total);
      for (const d of left.subarray(0, end - done)) {
        made[d] = choose(d, parameters(d));
        logProb += this.value.logProb(parameters(d), made[d]);
        seen[d] = 1;
      }
      left = left.subarray(end - done);
      done = end;
      this.progress?.(step / total);
    }
    return { x: made, logProb, steps: total, exact: total === count };
  }

  entropy(parameters) {
    let total = 0;
    for (let v = 0; v < this.value.levels; v++) {
      const logP = this.value.logProb(parameters, v);
      if (logP > -Infinity) total -= Math.exp(logP) * logP;
    }
    return total;
  }

  // of hidden pixels, with log p(drawn | known) in these steps; exact: one pixel in each step
  complete(x, known, random, temperature = 1, { steps = this.facts().usualSteps, confidence = false } = {}) {
    const turns = confidence ? null : shuffled(this.pixels, random);
    return this.generate(x, known, turns, steps, (d, p) => this.value.sample(p, random, temperature));
  }

  // log p(hidden | known) of the generation in these steps, in the confidence order or a fixed random one
  logProbInSteps(x, known, { steps, confidence = false }, order = null) {
    const turns = confidence ? null : Int32Array.from(order ?? shuffled(this.pixels, new Random(ORDER_SEED)));
    return this.generate(x, known, turns, steps, (d) => x[d]).logProb;
  }

  sample(random, temperature = 1, how = {}) {
    return this.complete(new Float32Array(this.pixels), new Uint8Array(this.pixels), random, temperature, how);
  }
}

// With classes: a model of a hidden class, one given each class, and a network of p(class | known pixels). A label of null
// hides the class.
export class AnyOrderByClass extends AnyOrderModel {
  constructor(spec, tensors) {
    super({ ...spec.hidden, event: spec.event }, tensors);
    const given = (one) => Object.assign(new AnyOrderModel({ ...one, event: spec.event }, tensors), { progress: (share) => this.progress?.(share) });
    this.given = spec.given.map(given);
    this.judge = new Network(spec.class_layers, tensors);
    this.logShares = Float64Array.from(tensors(spec.log_class_probs).data);
  }

  facts() {
    return { ...super.facts(), classes: this.given.length, classProbs: "exact if the class comes last, by a network", classOfSeen: true };
  }

  // p(class | known pixels); without a mask, all are known
  classProbs(x, known = new Uint8Array(this.pixels).fill(1)) {
    const logits = this.seenBy(this.judge, x, known).map((v, y) => v + this.logShares[y]);
    const total = logSumExp(logits);
    return logits.map((v) => Math.exp(v - total));
  }

  hiddenTerms(x, known, label = null) {
    return label === null ? super.hiddenTerms(x, known) : this.given[label].hiddenTerms(x, known);
  }

  complete(x, known, random, temperature = 1, how = {}, label = null) {
    return label === null ? super.complete(x, known, random, temperature, how) : this.given[label].complete(x, known, random, temperature, how);
  }

  logProbInSteps(x, known, how, order = null, label = null) {
    return label === null ? super.logProbInSteps(x, known, how, order) : this.given[label].logProbInSteps(x, known, how, order);
  }

  sample(random, temperature = 1, how = {}, label = null) {
    return label === null ? super.sample(random, temperature, how) : this.given[label].sample(random, temperature, how);
  }
}

// the numbers 0 to count - 1 in random order (Fisher and Yates)
function shuffled(count, random) {
  const order = Int32Array.from({ length: count }, (_, d) => d);
  for (let n = count - 1; n > 0; n--) {
    const other = Math.min(n, Math.trunc(random.uniform() * (n + 1)));
    [order[n], order[other]] = [order[other], order[n]];
  }
  return order;
}
