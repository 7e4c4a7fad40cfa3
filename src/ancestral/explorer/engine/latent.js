// Models with real latents, an encoder and a decoder: p(z) p(x | z), q(z | x). Autoencoders have no p(z).

import { Network } from "./layers.js";
import { PIXELS, bounded, logSumExp } from "./pixels.js";
import { PRIORS, logNormal } from "./priors.js";
import { meanAndError } from "./statistics.js";

const WARMING = 20;
const SWEEPS = 60;
const PROPOSALS = 4;

const drawGaussian = (mean, logVariance, random) => mean.map((m, i) => m + Math.exp(0.5 * logVariance[i]) * random.normal());

export class LatentModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.latents = spec.latents;
    this.encoder = spec.encoder ? new Network(spec.encoder, tensors) : null;
    this.decoder = new Network(spec.decoder, tensors);
    this.pixels = new PIXELS[spec.pixels.type](spec.pixels, tensors);
    this.prior = spec.prior ? new PRIORS[spec.prior.type](spec.prior, tensors) : null;
  }

  facts() {
    return {
      map: "-log p(pixel | z) at the posterior mean: terms of the reconstruction",
      completion: this.prior ? "approximate: a Markov chain over latents and hidden pixels" : "approximate: coding and decoding in turn",
      latents: this.latents,
      posterior: this.prior !== null,
      reconstruction: this.prior ? "mean image given the posterior mean of z" : "decoded code",
    };
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

  logPosterior(x, z) {
    const { mean, logVariance } = this.posterior(x);
    return logNormal(z, mean, logVariance);
  }

  // the ELBO from K draws with its Monte-Carlo error, and the importance-weighted bound of the same draws
  score(x, random, draws = 8) {
    const { mean, logVariance } = this.posterior(x);
    const weights = Array.from({ length: draws }, () => {
      const z = drawGaussian(mean, logVariance, random);
      return this.logJoint(x, z) - logNormal(z, mean, logVariance);
    });
    return { kind: "bound", ...meanAndError(weights), tighter: logSumExp(weights) - Math.log(draws) };
  }

  // -log p(x_d | z) at the posterior mean, nats per pixel: reconstruction terms, not conditionals
  map(x) {
    return this.pixels.logProb(this.output(this.posterior(x).mean), x).map((v) => -v);
  }

  reconstruct(x) {
    return this.decode(this.posterior(x).mean);
  }

  // Hidden values by a chain, as `metropolis_within_gibbs` in models/completion.py: a sweep draws the latents among the
  // present ones and new proposals of the encoder by their weights, then the hidden values from p(x | z).
  complete(x, known, random) {
    const filled = (drawn) => Float32Array.from(drawn, (v, d) => (known[d] !== 0 ? x[d] : v));
    const drawFrom = (z) => filled(this.pixels.sample(this.output(z), random));
    let z = this.sample(random).z;
    let now = drawFrom(z);
    for (let sweep = 0; sweep < WARMING; sweep++) {
      z = this.proposal(now, random).z;
      now = drawFrom(z);
    }
    for (let sweep = 0; this.prior && sweep < SWEEPS; sweep++) {
      const { mean, logVariance } = this.posterior(now);
      const tried = [z];
      for (let k = 0; k < PROPOSALS; k++) tried.push(drawGaussian(mean, logVariance, random));
      const weights = tried.map((one) => this.logJoint(now, one) - logNormal(one, mean, logVariance));
      z = tried[random.category(weights)];
      now = drawFrom(z);
    }
    return { x: now, exact: false, logProb: null };
  }

  proposal(x, random) {
    const { mean, logVariance } = this.posterior(x);
    return { z: this.prior ? drawGaussian(mean, logVariance, random) : mean };
  }

  logJoint(x, z) {
    return this.pixels.logProb(this.output(z), x).reduce((a, b) => a + b, 0) + this.prior.logProb(z);
  }

  // of an autoencoder: decoded draws of N(0, I), for which nothing was trained
  sample(random, temperature = 1) {
    const z = this.prior ? this.prior.sample(random, temperature) : random.normals(this.latents).map((v) => v * temperature);
    return { x: this.pixels.sample(this.output(z), random), mean: this.decode(z), z };
  }
}
