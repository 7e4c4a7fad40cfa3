// Models with real latents, an encoder and a decoder: p(z) p(x | z), q(z | x). Autoencoders have no p(z).

import { Network } from "./layers.js";
import { PIXELS, bounded, logSumExp } from "./pixels.js";
import { PRIORS, logNormal } from "./priors.js";

export class LatentModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.latents = spec.latents;
    this.encoder = spec.encoder ? new Network(spec.encoder, tensors) : null;
    this.decoder = new Network(spec.decoder, tensors);
    this.pixels = new PIXELS[spec.pixels.type](spec.pixels, tensors);
    this.prior = spec.prior ? new PRIORS[spec.prior.type](spec.prior, tensors) : null;
  }

  // q(z | x): {mean, logVariance}; the network sees pixels in [0, 1]
  posterior(x) {
    const unit = this.spec.unit === 1 ? x : x.map((v) => v * this.spec.unit);
    const { data } = this.encoder.run(unit, this.spec.event);
    const mean = data.slice(0, this.latents);
    return { mean, logVariance: data.slice(this.latents, 2 * this.latents).map(bounded) };
  }

  // posterior mean and standard deviation; the code of an autoencoder has none
  encode(x) {
    const { mean, logVariance } = this.posterior(x);
    return this.prior ? { mean, deviation: logVariance.map((v) => Math.exp(0.5 * v)) } : { mean };
  }

  output(z) {
    return this.decoder.run(z, [this.latents]).data;
  }

  // E[x | z] in the values of the pixels
  decode(z) {
    return this.pixels.mean(this.output(z));
  }

  // log p(x, z) - log q(z | x) for z = mean + deviation * noise
  logWeights(x, noises) {
    const { mean, logVariance } = this.posterior(x);
    return noises.map((noise) => {
      const z = mean.map((m, i) => m + Math.exp(0.5 * logVariance[i]) * noise[i]);
      const terms = this.pixels.logProb(this.output(z), x);
      return terms.reduce((a, b) => a + b, 0) + this.prior.logProb(z) - logNormal(z, mean, logVariance);
    });
  }

  // the ELBO from K draws with its Monte-Carlo error, and the importance-weighted bound of the same draws
  score(x, random, draws = 8) {
    const noises = Array.from({ length: draws }, () => random.normals(this.latents));
    const weights = this.logWeights(x, noises);
    const elbo = weights.reduce((a, b) => a + b, 0) / draws;
    const variance = weights.reduce((a, b) => a + (b - elbo) ** 2, 0) / Math.max(draws - 1, 1);
    return { kind: "bound", nats: elbo, error: Math.sqrt(variance / draws), tighter: logSumExp(weights) - Math.log(draws) };
  }

  // -log p(x_d | z) at the posterior mean, nats per pixel: reconstruction terms, not conditionals
  map(x) {
    return this.pixels.logProb(this.output(this.posterior(x).mean), x).map((v) => -v);
  }

  reconstruct(x) {
    return this.decode(this.posterior(x).mean);
  }

  // of an autoencoder: decoded draws of N(0, I), for which nothing was trained
  sample(random, temperature = 1) {
    const z = this.prior ? this.prior.sample(random, temperature) : random.normals(this.latents).map((v) => v * temperature);
    return { x: this.pixels.sample(this.output(z), random), mean: this.decode(z), z };
  }
}
