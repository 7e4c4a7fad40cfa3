// Mixture of Bernoullis: log p(x) = log sum_k p(k) prod_d Bernoulli(x_d; sigmoid(l_kd)), exact for any mask.

import { FiniteLatentModel } from "./exact.js";
import { sigmoid, softplus } from "./layers.js";
import { logSumExp } from "./pixels.js";

export class MixtureModel extends FiniteLatentModel {
  constructor(spec, tensors) {
    super();
    const { data, shape: [components, values] } = tensors(spec.logits);
    this.components = components;
    this.classes = spec.classes;
    this.values = values;
    this.logits = data;
    const weights = tensors(spec.log_weights).data;
    const total = logSumExp(weights);
    this.logWeights = weights.map((v) => v - total);
    this.off = data.map(softplus);
  }

  facts() {
    return {
      map: "-log p(pixel | all other pixels)",
      completion: "exact: p(hidden | seen)",
      components: this.components,
      parts: "components",
      classes: this.classes,
      reconstruction: "mean of the components, weighted by p(component | image)",
    };
  }

  // log p(known part of x, k) of every component; known: one number a value, null for all
  joint(x, known = null, label = null) {
    const result = new Float64Array(this.components);
    for (let k = 0; k < this.components; k++) {
      let total = this.logWeights[k];
      const at = k * this.values;
      for (let d = 0; d < this.values; d++) {
        if (known === null || known[d] !== 0) total += x[d] * this.logits[at + d] - this.off[at + d];
      }
      result[k] = total;
    }
    return this.ofClass(result, label);
  }

  // -log p(x_d | all other pixels), nats
  map(x) {
    const joint = this.joint(x);
    const total = logSumExp(joint);
    const others = new Float64Array(this.components);
    return Float32Array.from(x, (v, d) => {
      for (let k = 0; k < this.components; k++) {
        const at = k * this.values + d;
        others[k] = joint[k] - (v * this.logits[at] - this.off[at]);
      }
      return logSumExp(others) - total;
    });
  }

  // p(k | x)
  responsibilities(x, known = null) {
    const joint = this.joint(x, known);
    const total = logSumExp(joint);
    return Float32Array.from(joint, (v) => Math.exp(v - total));
  }

  component(k) {
    return this.logits.slice(k * this.values, (k + 1) * this.values).map(sigmoid);
  }

  // E[x | p(k)] for probabilities of the components
  decode(z) {
    const result = new Float32Array(this.values);
    for (let k = 0; k < this.components; k++) {
      for (let d = 0; d < this.values; d++) result[d] += z[k] * sigmoid(this.logits[k * this.values + d]);
    }
    return result;
  }

  reconstruct(x) {
    return this.decode(this.responsibilities(x));
  }

  sample(random, temperature = 1, label = null) {
    const k = random.category(this.ofClass(this.logWeights, label), temperature);
    const mean = this.component(k);
    return { x: mean.map((p) => (random.uniform() < p ? 1 : 0)), mean, k };
  }

  meanOfDrawn(joint, random) {
    return this.component(random.category(joint));
  }
}
