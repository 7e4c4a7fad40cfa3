// Probabilistic circuit: a mixture of trees with hidden states. A sum over all states of a tree takes one pass from the
// leaves to the root, so log p of any set of pixels is exact. See families/circuit/messages.py.

import { FiniteLatentModel } from "./exact.js";
import { sigmoid } from "./layers.js";
import { logLogisticBin, logSumExp } from "./pixels.js";

const TINY = 1.2e-38; // smallest transition probability, as in PyTorch

// p(x | state) of the nodes of one tree; tensors of leaves hold all trees one after the other
const LEAVES = {
  bernoulli({ logits }, tree, nodes, states) {
    const at = tree * nodes * states;
    return (i, v, k) => sigmoid(v > 0.5 ? logits[at + i * states + k] : -logits[at + i * states + k]);
  },
  categorical({ logits }, tree, nodes, states, levels) {
    const at = tree * nodes * levels * states;
    const place = (i, v, k) => at + (i * levels + v) * states + k;
    const totals = new Float64Array(nodes * states);
    const column = new Float64Array(levels);
    totals.forEach((_, n) => {
      for (let v = 0; v < levels; v++) column[v] = logits[place(Math.trunc(n / states), v, n % states)];
      totals[n] = logSumExp(column);
    });
    return (i, v, k) => Math.exp(logits[place(i, v, k)] - totals[i * states + k]);
  },
  logistic({ means, log_scales: logScales }, tree, nodes, states, levels) {
    const at = tree * nodes * states;
    const half = (levels - 1) / 2;
    return (i, v, k) => {
      const n = at + i * states + k;
      return Math.exp(logLogisticBin(v, half * (means[n] + 1), logScales[n] + Math.log(half) - 1, levels));
    };
  },
  pixel: () => (i, v, k) => (v === k ? 1 : 0), // the state is the pixel
};

class Tree {
  constructor(spec, parts, leaves, c) {
    const { nodes, states } = spec;
    Object.assign(this, { nodes, states, levels: spec.levels });
    this.pixels = parts.pixels.subarray(c * nodes, (c + 1) * nodes);
    this.parents = parts.parents.subarray(c * nodes, (c + 1) * nodes);
    this.root = parts.roots.slice(c * states, (c + 1) * states);
    const size = (nodes - 1) * states * states;
    this.transitions = parts.transitions.slice(c * size, (c + 1) * size); // rows for the state of the parent
    softmaxRows(this.root, states);
    softmaxRows(this.transitions, states);
    this.leaf = LEAVES[spec.leaves.type](leaves, c, nodes, states, spec.levels);
  }

  // Messages to the root, each up to a factor. below: p(pixels below a node | its state); inside: with its own pixel;
  // passed: inside for the state of the parent. known: one number a pixel, 0 where it is summed out; null: all known.
  upward(x, known) {
    const { nodes, states: K, parents, pixels, transitions } = this;
    const inside = new Float64Array(nodes * K).fill(1);
    const [below, passed] = [new Float64Array(nodes * K), new Float64Array(nodes * K)];
    let logProb = 0;
    for (let i = nodes - 1; i >= 0; i--) {
      const at = i * K;
      const here = inside.subarray(at, at + K);
      below.set(here, at);
      const d = pixels[i];
      if (known === null || known[d] !== 0) for (let k = 0; k < K; k++) here[k] *= this.leaf(i, x[d], k);
      logProb += rescale(here);
      if (i === 0) break;
      const message = passed.subarray(at, at + K);
      for (let a = 0, row = (i - 1) * K * K; a < K; a++, row += K) {
        let total = 0;
        for (let b = 0; b < K; b++) total += transitions[row + b] * here[b];
        message[a] = total;
      }
      logProb += rescale(message);
      const above = inside.subarray(parents[i] * K, (parents[i] + 1) * K);
      for (let a = 0; a < K; a++) above[a] *= message[a];
      logProb += rescale(above);
    }
    const top = this.root.map((p, k) => p * inside[k]);
    const value = top.reduce((a, b) => a + b, 0);
    return { logProb: logProb + Math.log(value), below, inside, passed, top };
  }

  // p(state of a node | known pixels outside the part of the tree below it), each up to a factor
  outside({ inside, passed }) {
    const K = this.states;
    const result = new Float64Array(this.nodes * K);
    result.set(this.root);
    for (let i = 1; i < this.nodes; i++) {
      const here = result.subarray(i * K, (i + 1) * K);
      const from = this.parents[i] * K;
      for (let a = 0; a < K; a++) this.pass(i, a, (result[from + a] * inside[from + a]) / passed[i * K + a], here);
      rescale(here);
    }
    return result;
  }

  // adds weight p(state of node i | state a of its parent) to the result
  pass(i, a, weight, result) {
    const row = ((i - 1) * this.states + a) * this.states;
    if (weight !== 0) for (let b = 0; b < this.states; b++) result[b] += weight * this.transitions[row + b];
  }

  // a state of each node from p(states | known pixels)
  drawStates({ inside, top }, random, temperature) {
    const K = this.states;
    const states = new Int32Array(this.nodes);
    states[0] = pick(top, random, temperature);
    for (let i = 1; i < this.nodes; i++) {
      const row = ((i - 1) * K + states[this.parents[i]]) * K;
      const weights = inside.slice(i * K, (i + 1) * K).map((v, b) => v * this.transitions[row + b]);
      states[i] = pick(weights, random, temperature);
    }
    return states;
  }

  drawPixel(i, k, random, temperature) {
    return pick(Float64Array.from({ length: this.levels }, (_, v) => this.leaf(i, v, k)), random, temperature);
  }

  // E[x | state] of each node
  get means() {
    return (this.known ??= Float64Array.from({ length: this.nodes * this.states }, (_, n) => {
      let mean = 0;
      for (let v = 1; v < this.levels; v++) mean += v * this.leaf(Math.trunc(n / this.states), v, n % this.states);
      return mean;
    }));
  }

  // adds E[x], times the sum of the weights, for weights of the states of the root
  addMeans(weights, result) {
    const K = this.states;
    const shares = new Float64Array(this.nodes * K);
    shares.set(weights);
    for (let i = 0; i < this.nodes; i++) {
      const here = shares.subarray(i * K, (i + 1) * K);
      const from = this.parents[i] * K;
      if (i > 0) for (let a = 0; a < K; a++) this.pass(i, a, shares[from + a], here);
      for (let k = 0; k < K; k++) result[this.pixels[i]] += here[k] * this.means[i * K + k];
    }
  }
}

export class CircuitModel extends FiniteLatentModel {
  constructor(spec, tensors) {
    super();
    const read = (names) => Object.fromEntries(names.map((name) => [name, tensors(spec[name]).data]));
    const parts = read(["pixels", "parents", "roots", "transitions"]);
    const { type: _, ...stored } = spec.leaves;
    const leaves = Object.fromEntries(Object.entries(stored).map(([name, tensor]) => [name, tensors(tensor).data]));
    const weights = tensors(spec.log_weights).data;
    const total = logSumExp(weights);
    this.logWeights = Float64Array.from(weights, (v) => v - total);
    this.classes = spec.classes;
    this.states = spec.states;
    this.trees = Array.from(weights, (_, c) => new Tree(spec, parts, leaves, c));
  }

  facts() {
    return {
      map: "-log p(pixel | all other pixels)",
      completion: "exact: p(hidden | seen)",
      components: this.trees.length > 1 ? this.trees.length : this.states,
      parts: this.trees.length > 1 ? "trees" : "states of the root",
      classes: this.classes,
      reconstruction: "mean image, weighted by p(tree, state of the root | image)",
    };
  }

  upward(x, known) {
    return this.trees.map((tree) => tree.upward(x, known));
  }

  // log p(known part of x, tree); of a class: log p(known part of x, tree | class)
  joint(x, known = null, label = null) {
    return this.ofClass(Float64Array.from(this.upward(x, known), ({ logProb }, c) => logProb + this.logWeights[c]), label);
  }

  // -log p(x_d | all other pixels), nats
  map(x) {
    const found = this.upward(x, null);
    const joint = found.map(({ logProb }, c) => logProb + this.logWeights[c]);
    const total = logSumExp(joint);
    const each = this.trees.map((tree, c) => {
      const outside = tree.outside(found[c]);
      const result = new Float64Array(x.length);
      for (let i = 0; i < tree.nodes; i++) {
        const d = tree.pixels[i];
        let [both, others] = [0, 0];
        for (let n = i * tree.states, k = 0; k < tree.states; k++, n++) {
          const weight = outside[n] * found[c].below[n];
          others += weight;
          both += weight * tree.leaf(i, x[d], k);
        }
        result[d] = joint[c] - Math.log(both / others);
      }
      return result;
    });
    return Float32Array.from(x, (_, d) => logSumExp(each.map((terms) => terms[d])) - total);
  }

  // E[x_d | known pixels], exact: for binary pixels the probability of 1; known pixels keep their value
  pixelMeans(x, known, label = null) {
    const found = this.upward(x, known);
    const joint = this.ofClass(Float64Array.from(found, ({ logProb }, c) => logProb + this.logWeights[c]), label);
    const total = logSumExp(joint);
    const result = new Float64Array(x.length);
    this.trees.forEach((tree, c) => {
      const share = Math.exp(joint[c] - total);
      if (share < 1e-7) return;
      const outside = tree.outside(found[c]);
      for (let i = 0; i < tree.nodes; i++) {
        let [mean, sum] = [0, 0];
        for (let n = i * tree.states, end = n + tree.states; n < end; n++) {
          const weight = outside[n] * found[c].inside[n];
          sum += weight;
          mean += weight * tree.means[n];
        }
        result[tree.pixels[i]] += (share * mean) / sum;
      }
    });
    return Float32Array.from(result, (mean, d) => (known[d] !== 0 ? x[d] : mean));
  }

  // p(tree, state of the root | x)
  encode(x) {
    const joint = this.joint(x);
    const total = logSumExp(joint);
    return Float32Array.from(
      this.trees.flatMap((tree, c) => {
        const { top } = tree.upward(x, null);
        const sum = top.reduce((a, b) => a + b, 0);
        return Array.from(top, (v) => (v / sum) * Math.exp(joint[c] - total));
      }),
    );
  }

  responsibilities(x) {
    const code = this.encode(x);
    if (this.trees.length === 1) return code;
    const share = (c) => code.subarray(c * this.states, (c + 1) * this.states).reduce((a, b) => a + b, 0);
    return Float32Array.from(this.trees, (_, c) => share(c));
  }

  component(k) {
    const z = new Float64Array(this.trees.length * this.states);
    if (this.trees.length === 1) z[k] = 1;
    else z.set(this.trees[k].root, k * this.states);
    return this.decode(z);
  }

  // E[x | p(tree, state of the root)]
  decode(z) {
    const result = new Float64Array(this.trees[0].nodes);
    this.trees.forEach((tree, c) => {
      const weights = z.slice(c * this.states, (c + 1) * this.states);
      if (weights.some((v) => v > 1e-7)) tree.addMeans(weights, result);
    });
    return Float32Array.from(result);
  }

  reconstruct(x) {
    return this.decode(this.encode(x));
  }

  sample(random, temperature = 1, label = null) {
    const known = new Uint8Array(this.trees[0].nodes);
    return this.draw(new Float32Array(known.length), known, random, temperature, label);
  }

  draw(x, known, random, temperature, label) {
    const joint = this.joint(x, known, label);
    const c = random.category(joint, temperature);
    const tree = this.trees[c];
    const states = tree.drawStates(tree.upward(x, known), random, temperature);
    const [drawn, mean] = [Float32Array.from(x), Float32Array.from(x)];
    states.forEach((k, i) => {
      const d = tree.pixels[i];
      if (known[d] !== 0) return;
      drawn[d] = tree.drawPixel(i, k, random, temperature);
      mean[d] = tree.means[i * this.states + k];
    });
    return { x: drawn, mean, joint };
  }

  // from p(hidden | known), with log p(drawn | known)
  complete(x, known, random, temperature = 1, ordering = 0, label = null) {
    const { x: drawn, joint } = this.draw(x, known, random, temperature, label);
    return { x: drawn, exact: true, logProb: this.logProb(drawn, label) - logSumExp(joint) };
  }
}

// divides by the largest value; returns its log
function rescale(values) {
  let largest = 0;
  for (const value of values) if (value > largest) largest = value;
  for (let k = 0; k < values.length; k++) values[k] /= largest;
  return Math.log(largest);
}

function softmaxRows(values, width) {
  for (let at = 0; at < values.length; at += width) {
    const row = values.subarray(at, at + width);
    const total = logSumExp(row);
    for (let k = 0; k < width; k++) row[k] = Math.max(TINY, Math.exp(row[k] - total));
  }
}

// an index with probabilities in proportion to weights, to the power 1 / temperature
function pick(weights, random, temperature) {
  return random.category(weights.map(Math.log), temperature);
}
