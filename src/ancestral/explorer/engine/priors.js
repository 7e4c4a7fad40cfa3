// Distributions of latents, and Gaussian posteriors: log-probability of a vector, samples.

import { makeBijection } from "./bijections.js";
import { logSumExp } from "./pixels.js";

const LOG_ROOT_TWO_PI = 0.5 * Math.log(2 * Math.PI);

export function logNormal(z, mean, logVariance) {
  let total = 0;
  for (let m = 0; m < z.length; m++) {
    const v = logVariance[m];
    total -= LOG_ROOT_TWO_PI + 0.5 * (v + (z[m] - mean[m]) ** 2 * Math.exp(-v));
  }
  return total;
}

class StandardNormal {
  constructor(spec) {
    this.latents = spec.latents;
  }
  logProb(z) {
    let total = 0;
    for (const v of z) total -= LOG_ROOT_TWO_PI + 0.5 * v * v;
    return total;
  }
  // KL(q || p) of a Gaussian q
  divergence({ mean, logVariance }) {
    return logVariance.reduce((total, v, m) => total + 0.5 * (Math.exp(v) + mean[m] ** 2 - 1 - v), 0);
  }
  sample(random, temperature = 1) {
    return random.normals(this.latents).map((v) => v * temperature);
  }
}

class GaussianMixture {
  constructor(spec, tensors) {
    this.logits = tensors(spec.log_weights).data;
    const { data, shape: [components, latents] } = tensors(spec.means);
    const variances = tensors(spec.log_variances).data;
    this.latents = latents;
    const rows = (values) => Array.from({ length: components }, (_, k) => values.subarray(k * latents, (k + 1) * latents));
    this.means = rows(data);
    this.logVariances = rows(variances);
    this.total = logSumExp(this.logits);
  }
  logProb(z) {
    const terms = this.means.map((mean, k) => this.logits[k] - this.total + logNormal(z, mean, this.logVariances[k]));
    return logSumExp(terms);
  }
  sample(random, temperature = 1) {
    const k = random.category(this.logits);
    return this.means[k].map((mean, m) => mean + Math.exp(0.5 * this.logVariances[k][m]) * temperature * random.normal());
  }
}

// p(z) = N(f(z); 0, I) |det df/dz|
class Flow {
  constructor(spec, tensors) {
    this.base = new StandardNormal(spec);
    this.bijection = makeBijection(spec.bijection, tensors);
  }
  logProb(z) {
    const { value, logDet } = this.bijection.forward({ data: z, shape: [z.length] });
    return this.base.logProb(value.data) + logDet;
  }
  sample(random, temperature = 1) {
    const z = this.base.sample(random, temperature);
    return Float32Array.from(this.bijection.inverse({ data: z, shape: [z.length] }).value.data);
  }
}

export const PRIORS = { flow: Flow, mixture: GaussianMixture, normal: StandardNormal };
