// What models share whose latent has finitely many states: with joint(x, known, label), log p(known part of x, state) of
// every state, and meanOfDrawn(joint, random), the means of the pixels given a state drawn from it, all of this is exact.
// With classes, neighbouring states belong to one class; a label of null sums all classes out.

import { logSumExp } from "./pixels.js";

export class FiniteLatentModel {
  logProb(x, label = null) {
    return logSumExp(this.joint(x, null, label));
  }

  score(x, random, label = null) {
    return { kind: "exact", nats: this.logProb(x, label), error: 0 };
  }

  // from p(hidden | known), with log p(drawn | known)
  complete(x, known, random, temperature = 1, ordering = 0, label = null) {
    const joint = this.joint(x, known, label);
    const mean = this.meanOfDrawn(joint, random);
    const drawn = Float32Array.from(mean, (p, d) => (known[d] !== 0 ? x[d] : random.uniform() < p ? 1 : 0));
    return { x: drawn, exact: true, logProb: this.logProb(drawn, label) - logSumExp(joint) };
  }

  // log p(hidden part of x | known part)
  logProbMissing(x, known, label = null) {
    return this.logProb(x, label) - logSumExp(this.joint(x, known, label));
  }

  // the states of one class, with log p(x, state | class); the others have probability zero
  ofClass(joint, label) {
    if (label === null) return joint;
    const each = joint.length / this.classes;
    const inside = (_, k) => Math.trunc(k / each) === label;
    const prior = logSumExp(this.logWeights.filter(inside));
    return joint.map((v, k) => (inside(v, k) ? v - prior : -Infinity));
  }

  // p(class | x)
  classProbs(x) {
    const joint = this.joint(x);
    const total = logSumExp(joint);
    const each = joint.length / this.classes;
    return Float32Array.from({ length: this.classes }, (_, y) => Math.exp(logSumExp(joint.slice(y * each, (y + 1) * each)) - total));
  }
}
