// Models of p(x) = sum_y p(y) p(x | y): a plain model for each class y, and the plain kind with what depends on the class
// replaced. A label of null means all classes. A code is the latents, then the class as a one-hot vector.

import { logSumExp } from "./pixels.js";

// how: of p(y | x) where it is not exact, in words
export const byClass = (Kind, how) =>
  class extends Kind {
    // spec: given, a plain description of each class; log_class_probs
    constructor(spec, tensors) {
      const parts = spec.given.map((one) => ({ ...one, event: spec.event }));
      super(parts[0], tensors);
      this.given = parts.map((one) => Object.assign(new Kind(one, tensors), { progress: (share) => this.progress?.(share) }));
      this.classes = parts.length;
      this.logShares = Float64Array.from(tensors(spec.log_class_probs).data);
    }

    facts() {
      return { ...super.facts(), classes: this.classes, classProbs: how };
    }

    // log p(x, y) of each class; where it is not exact, up to a constant
    joint(x) {
      return this.logShares.map((share, y) => share + this.given[y].logProb(x));
    }

    // p(y | x)
    classProbs(x) {
      const joint = this.joint(x);
      const total = logSumExp(joint);
      return Float32Array.from(joint, (v) => Math.exp(v - total));
    }

    sample(random, temperature = 1, label = null) {
      const y = label ?? random.category(this.logShares);
      const drawn = this.given[y].sample(random, temperature);
      return drawn.z ? { ...drawn, z: this.code(drawn.z, y) } : drawn;
    }

    code(z, y) {
      const code = new Float32Array(this.latents + this.classes);
      code.set(z);
      code[this.latents + y] = 1;
      return code;
    }

    // latents and class of a code
    split(code) {
      return [code.slice(0, this.latents), largest(code.slice(this.latents))];
    }
  };

export function largest(values) {
  return values.indexOf(Math.max(...values));
}
