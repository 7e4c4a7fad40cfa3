// Autoregressive models: log p(x) = sum_d log p(x_d | x_<d), exact; sampling and completion pixel by pixel.

import { byClass } from "./byclass.js";
import { CausalNetwork } from "./causal.js";
import { MaskedNetwork } from "./masked.js";
import { logSumExp } from "./pixels.js";
import { VALUES } from "./values.js";

const NETWORKS = { masked: MaskedNetwork, causal: CausalNetwork };
const ROW = 28; // values between two reports of progress
const PARTICLES = 20; // tries at an image whose known pixels do not come first

export class AutoregressiveModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.network = new NETWORKS[spec.network.type](spec.network, tensors);
    this.value = new VALUES[spec.pixels.type](spec.pixels);
  }

  facts() {
    return {
      map: "-log p(pixel | pixels before it)",
      completion: "exact where the seen pixels come first in the order, else approximate: weighted tries",
      orderings: this.network.orderings,
      orders: Array.from({ length: this.network.orderings }, (_, j) => Array.from(this.network.order(j))),
    };
  }

  // log p(x_d | x_<d) of every value in one ordering; kept, because a page asks for the score of an image and for its map
  conditionals(x, ordering = 0) {
    const { last } = this;
    if (last?.ordering === ordering && last.x.every((v, d) => v === x[d])) return last.terms;
    this.last = { x: x.slice(), ordering, terms: this.terms(x, ordering) };
    return this.last.terms;
  }

  terms(x, ordering) {
    const { size } = this.value;
    const terms = new Float32Array(x.length);
    if (this.network.all) {
      const parameters = this.network.all(x);
      x.forEach((v, d) => (terms[d] = this.value.logProb(parameters.subarray(d * size, (d + 1) * size), v)));
      return terms;
    }
    const state = this.network.start(ordering);
    for (let p = 0; p < x.length; p++) {
      const d = state.pixel;
      terms[d] = this.value.logProb(state.parameters(), x[d]);
      state.put(x[d]);
    }
    return terms;
  }

  // exact, the orderings averaged as probabilities
  logProb(x) {
    const each = Array.from({ length: this.network.orderings }, (_, j) => sum(this.conditionals(x, j)));
    return logSumExp(each) - Math.log(each.length);
  }

  score(x) {
    return { kind: "exact", nats: this.logProb(x), error: 0 };
  }

  // -log p(x_d | x_<d), nats per pixel, in the first ordering
  map(x) {
    return this.conditionals(x).map((v) => -v);
  }

  sample(random, temperature = 1, ordering = 0) {
    return this.complete(null, null, random, temperature, ordering);
  }

  // Values that are not known, drawn in one ordering. known: one number a value, 0 where it is drawn.
  // exact: all known values come first; then logProb is log p(drawn | known). Else one of PARTICLES tries, by its weight.
  complete(x, known, random, temperature = 1, ordering = 0) {
    const order = this.network.order(ordering);
    const { prefix, exact } = split(order, known);
    const first = this.begin(x, order.subarray(0, prefix), ordering);
    if (!exact) return { x: this.weighed([first], [0], order, prefix, known, random, temperature), exact, logProb: null };
    for (let p = prefix; p < order.length; p++) {
      this.drawNext(first, random, temperature);
      if (p % ROW === 0) this.progress?.((p - prefix) / (order.length - prefix));
    }
    return { x: first.x, exact, logProb: first.logProb };
  }

  // an image whose first values are known; indices: of these values
  begin(x, indices, ordering) {
    const state = this.network.start(ordering);
    for (const d of indices) state.put(x[d]);
    return { state, x: x === null ? new Float32Array(this.network.values) : Float32Array.from(x), logProb: 0 };
  }

  // log p(hidden | seen), the orderings averaged as probabilities; null unless the seen values come first in each
  logProbMissing(x, known) {
    const [whole, seen] = [[], []];
    for (let j = 0; j < this.network.orderings; j++) {
      if (!split(this.network.order(j), known).exact) return null;
      const terms = this.conditionals(x, j);
      whole.push(sum(terms));
      seen.push(sum(terms.filter((_, d) => known[d] !== 0)));
    }
    return logSumExp(whole) - logSumExp(seen);
  }

  drawNext(one, random, temperature) {
    const d = one.state.pixel;
    const parameters = one.state.parameters();
    const value = this.value.sample(parameters, random, temperature);
    one.logProb += this.value.logProb(parameters, value);
    one.x[d] = value;
    one.state.put(value);
  }

  // A particle filter: tries that give the known values more probability are kept more often. starts: images that begin
  // with the known values up to `prefix`, which the tries copy in turn, with the logs of their weights.
  weighed(starts, logWeights, order, prefix, known, random, temperature) {
    const kept = ({ state, x }) => ({ state: state.copy(), x: x.slice(), logProb: 0 });
    const count = Math.max(PARTICLES, starts.length);
    let tries = Array.from({ length: count }, (_, k) => kept(starts[k % starts.length]));
    let weights = Float64Array.from(tries, (_, k) => logWeights[k % starts.length]);
    for (let p = prefix; p < order.length; p++) {
      tries.forEach((one, k) => {
        if (known[order[p]] === 0) {
          this.drawNext(one, random, temperature);
          return;
        }
        const d = one.state.pixel;
        weights[k] += this.value.logProb(one.state.parameters(), one.x[d]);
        one.state.put(one.x[d]);
      });
      if (p % ROW === 0) this.progress?.((p - prefix) / (order.length - prefix));
      if (effective(weights) < count / 2) {
        tries = tries.map(() => kept(tries[random.category(weights)]));
        weights = new Float64Array(count);
      }
    }
    return tries[random.category(weights)].x;
  }
}

// how many values are known before the first that is drawn, and whether all known ones are among them
function split(order, known) {
  const drawn = order.findIndex((d) => known === null || known[d] === 0);
  const prefix = drawn < 0 ? order.length : drawn;
  return { prefix, exact: known === null || !order.subarray(prefix).some((d) => known[d] !== 0) };
}

// effective number of equally weighted tries
function effective(logWeights) {
  const total = logSumExp(logWeights);
  let squares = 0;
  for (const weight of logWeights) squares += Math.exp(2 * (weight - total));
  return 1 / squares;
}

export function sum(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export class AutoregressiveByClass extends byClass(AutoregressiveModel) {
  logProb(x, label = null) {
    return label === null ? super.logProb(x) : this.given[label].logProb(x);
  }

  logProbMissing(x, known, label = null) {
    return label === null ? super.logProbMissing(x, known) : this.given[label].logProbMissing(x, known);
  }

  // each class has the weight p(y | x_<d)
  terms(x, ordering) {
    const each = this.given.map((one) => one.conditionals(x, ordering));
    const joint = this.logShares.slice();
    const terms = new Float32Array(x.length);
    let before = 0;
    for (const d of this.network.order(ordering)) {
      each.forEach((of, y) => (joint[y] += of[d]));
      const after = logSumExp(joint);
      terms[d] = after - before;
      before = after;
    }
    return terms;
  }

  // of all classes: a class from p(y | known values) first; its log p(drawn | known) would take as long as K scores
  complete(x, known, random, temperature = 1, ordering = 0, label = null) {
    if (label !== null) return this.given[label].complete(x, known, random, temperature, ordering);
    const order = this.network.order(ordering);
    const { prefix, exact } = split(order, known);
    const seen = order.subarray(0, prefix);
    const joint = this.logShares.map((share, y) => {
      const terms = prefix > 0 ? this.given[y].conditionals(x, ordering) : null;
      return seen.reduce((total, d) => total + terms[d], share);
    });
    if (exact) return { ...this.given[random.category(joint)].complete(x, known, random, temperature, ordering), logProb: null };
    const starts = this.given.map((one) => one.begin(x, seen, ordering));
    return { x: this.weighed(starts, joint, order, prefix, known, random, temperature), exact, logProb: null };
  }
}
