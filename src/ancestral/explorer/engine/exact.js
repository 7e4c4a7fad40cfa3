// What models share whose latent has finitely many states: with joint(x, known), log p(known part of x, state) of every
// state, and meanOfDrawn(joint, random), the means of the pixels given a state drawn from it, all of this is exact.

import { logSumExp } from "./pixels.js";

export class FiniteLatentModel {
  logProb(x) {
    return logSumExp(this.joint(x));
  }

  score(x) {
    return { kind: "exact", nats: this.logProb(x), error: 0 };
  }

  // from p(hidden | known), with log p(drawn | known)
  complete(x, known, random) {
    const joint = this.joint(x, known);
    const mean = this.meanOfDrawn(joint, random);
    const drawn = Float32Array.from(mean, (p, d) => (known[d] !== 0 ? x[d] : random.uniform() < p ? 1 : 0));
    return { x: drawn, exact: true, logProb: this.logProb(drawn) - logSumExp(joint) };
  }

  // log p(hidden part of x | known part)
  logProbMissing(x, known) {
    return this.logProb(x) - logSumExp(this.joint(x, known));
  }
}
