// Belief net with one layer of M binary causes, exact by a sum over the 2^M states:
// log p(x) = x.c + log sum_z exp(log p(z) - A(z) + z.(w x)),  A(z) = sum_d softplus(c_d + z.w_d).

import { FiniteLatentModel } from "./exact.js";
import { sigmoid, softplus } from "./layers.js";
import { logSumExp } from "./pixels.js";

const SHARED = 8; // pixels whose factors 1 + exp(logit) share one logarithm; float64 holds their product

export class BeliefNetModel extends FiniteLatentModel {
  constructor(spec, tensors) {
    super();
    this.b = tensors(spec.b).data;
    this.c = tensors(spec.c).data;
    this.w = tensors(spec.w).data; // (M, D)
    this.causes = this.b.length;
    this.values = this.c.length;
    this.states = 2 ** this.causes;
    this.logPrior = this.sums(this.b);
    const off = this.b.reduce((a, v) => a + softplus(v), 0);
    for (let z = 0; z < this.states; z++) this.logPrior[z] -= off;
    this.whole = null;
  }

  facts() {
    return {
      map: "-log p(pixel | z) at the posterior mean of the causes: terms of the reconstruction",
      completion: "exact: p(hidden | seen)",
      causes: this.causes,
      reconstruction: "mean image given the posterior means of the causes",
    };
  }

  // z.v for every state z; the first cause is the highest bit
  sums(v) {
    const result = new Float64Array(this.states);
    for (let m = 0; m < this.causes; m++) {
      const bit = 2 ** (this.causes - 1 - m);
      for (let z = 0; z < this.states; z++) if (z & bit) result[z] += v[m];
    }
    return result;
  }

  // log p(z) - A(z), A summed over the known pixels
  table(known) {
    if (known === null && this.whole) return this.whole;
    const table = this.logPrior.slice();
    const product = new Float64Array(this.states).fill(1);
    const logits = new Float64Array(this.states);
    let factors = 0;
    for (let d = 0; d < this.values; d++) {
      if (known !== null && known[d] === 0) continue;
      // exp(c_d + z.w_d) of all states by doubling
      logits[0] = Math.exp(this.c[d]);
      for (let m = this.causes - 1, size = 1; m >= 0; m--, size *= 2) {
        const factor = Math.exp(this.w[m * this.values + d]);
        for (let z = 0; z < size; z++) logits[size + z] = logits[z] * factor;
      }
      for (let z = 0; z < this.states; z++) product[z] *= 1 + logits[z];
      if (++factors === SHARED) {
        for (let z = 0; z < this.states; z++) table[z] -= Math.log(product[z]);
        product.fill(1);
        factors = 0;
      }
    }
    if (factors) for (let z = 0; z < this.states; z++) table[z] -= Math.log(product[z]);
    if (known === null) this.whole = table;
    return table;
  }

  // log p(known part of x, z) of every state
  joint(x, known = null) {
    const { values } = this;
    const effects = new Float64Array(this.causes);
    let constant = 0;
    for (let d = 0; d < values; d++) {
      if (x[d] === 0 || (known !== null && known[d] === 0)) continue;
      constant += x[d] * this.c[d];
      for (let m = 0; m < this.causes; m++) effects[m] += x[d] * this.w[m * values + d];
    }
    const joint = this.sums(effects);
    const table = this.table(known);
    for (let z = 0; z < this.states; z++) joint[z] += table[z] + constant;
    return joint;
  }

  // E[z_m | x] of every cause, exact
  marginals(x, known = null) {
    const joint = this.joint(x, known);
    const total = logSumExp(joint);
    const result = new Float32Array(this.causes);
    for (let z = 0; z < this.states; z++) {
      const p = Math.exp(joint[z] - total);
      for (let m = 0; m < this.causes; m++) if (z & (2 ** (this.causes - 1 - m))) result[m] += p;
    }
    return result;
  }

  // E[x | z] for causes z, zeros and ones or probabilities
  decode(z) {
    return Float32Array.from(this.c, (c, d) => {
      let logit = c;
      for (let m = 0; m < this.causes; m++) logit += z[m] * this.w[m * this.values + d];
      return sigmoid(logit);
    });
  }

  reconstruct(x) {
    return this.decode(this.marginals(x));
  }

  // -log p(x_d | z) at the posterior means of the causes, nats: reconstruction terms, not conditionals
  map(x) {
    const mean = this.reconstruct(x);
    return x.map((v, d) => -Math.log(v ? mean[d] : 1 - mean[d]));
  }

  meanOfDrawn(joint, random) {
    const state = random.category(joint);
    return this.decode(Float32Array.from({ length: this.causes }, (_, m) => (state & (2 ** (this.causes - 1 - m)) ? 1 : 0)));
  }

  sample(random, temperature = 1) {
    const z = this.b.map((logit) => (random.uniform() < sigmoid(logit / temperature) ? 1 : 0));
    const mean = this.decode(z);
    return { x: mean.map((p) => (random.uniform() < p ? 1 : 0)), mean, z };
  }
}
