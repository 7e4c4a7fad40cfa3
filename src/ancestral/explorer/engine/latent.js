// Models with real latents, an encoder and a decoder: p(z) p(x | z), q(z | x). Autoencoders have no p(z).

import { byClass, largest } from "./byclass.js";
import { bound, chainInWords, completeByChain } from "./chains.js";
import { Network } from "./layers.js";
import { PIXELS, bounded, logSumExp } from "./pixels.js";
import { PRIORS, logNormal } from "./priors.js";

// work while someone draws or waits: draws of a bound; sweeps of a chain before and after proposals are weighed
const DENSE = { draws: 8, warming: 20, sweeps: 60, proposals: 4 };
const CONVOLUTIONS = { draws: 3, warming: 10, sweeps: 10, proposals: 2 };

export class LatentModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.latents = spec.latents;
    this.encoder = spec.encoder ? new Network(spec.encoder, tensors) : null;
    this.decoder = new Network(spec.decoder, tensors);
    const slow = spec.decoder.some(({ op }) => op === "conv" || op === "upconv");
    this.work = slow ? CONVOLUTIONS : DENSE;
    this.pixels = new PIXELS[spec.pixels.type](spec.pixels, tensors);
    this.prior = spec.prior ? new PRIORS[spec.prior.type](spec.prior, tensors) : null;
  }

  facts() {
    return {
      map: "-log p(pixel | z) at the posterior mean: terms of the reconstruction",
      completion: this.prior ? chainInWords(this.work) : "approximate: coding and decoding in turn",
      latents: this.latents,
      posterior: this.prior !== null,
      reconstruction: this.prior ? "mean image given the posterior mean of z" : "decoded code",
    };
  }

  // q(z | x), a Gaussian, or the one code of an autoencoder; the network sees pixels in [0, 1]
  posterior(x) {
    const unit = this.spec.unit === 1 ? x : x.map((v) => v * this.spec.unit);
    const { data } = this.encoder.run(unit, this.spec.event);
    const mean = data.slice(0, this.latents);
    if (!this.prior) return { mean, sample: () => mean };
    const logVariance = data.slice(this.latents, 2 * this.latents).map(bounded);
    return {
      mean,
      logVariance,
      sample: (random) => mean.map((m, i) => m + Math.exp(0.5 * logVariance[i]) * random.normal()),
      logProb: (z) => logNormal(z, mean, logVariance),
    };
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
    return this.posterior(x).logProb(z);
  }

  score(x, random, draws = this.work.draws) {
    return bound(this, x, random, draws);
  }

  // -log p(x_d | z) at the posterior mean, nats per pixel: reconstruction terms, not conditionals
  map(x) {
    return this.pixels.logProb(this.output(this.posterior(x).mean), x).map((v) => -v);
  }

  reconstruct(x) {
    return this.decode(this.posterior(x).mean);
  }

  drawPixels(output, random) {
    return this.pixels.sample(output, random);
  }

  complete(x, known, random) {
    const work = this.prior ? this.work : { ...this.work, sweeps: 0 };
    return completeByChain(this, this.sample(random).z, x, known, random, work);
  }

  logJoint(x, z, output = this.output(z)) {
    return this.pixels.logProb(output, x).reduce((a, b) => a + b, 0) + this.prior.logProb(z);
  }

  // log p(x | z) - KL(q(z | x) || p(z)) at the mean z of a posterior q, the divergence in closed form where there is one
  boundAtMean(x, q) {
    const divergence = this.prior.divergence?.(q) ?? q.logProb(q.mean) - this.prior.logProb(q.mean);
    return this.pixels.logProb(this.output(q.mean), x).reduce((a, b) => a + b, 0) - divergence;
  }

  // of an autoencoder: decoded draws of N(0, I), for which nothing was trained
  sample(random, temperature = 1) {
    const z = this.prior ? this.prior.sample(random, temperature) : random.normals(this.latents).map((v) => v * temperature);
    const output = this.output(z);
    return { x: this.drawPixels(output, random), mean: this.pixels.mean(output), z };
  }
}

// Of codes, as `VAE` in PyTorch: q(y | x) is proportional to p(y) exp(log p(x | z, y) - KL(q(z | x, y) || p(z))) at the
// mean z of q(z | x, y).
export class LatentByClass extends byClass(LatentModel, "approximate: from one latent of each class") {
  posterior(x) {
    if (this.last?.x.every((v, d) => v === x[d])) return this.last;
    const parts = this.given.map((one) => one.posterior(x));
    const joint = this.logShares.map((share, y) => share + this.given[y].boundAtMean(x, parts[y]));
    const [best, total] = [largest(joint), logSumExp(joint)];
    return (this.last = {
      x: x.slice(),
      joint,
      mean: this.code(parts[best].mean, best),
      logVariance: this.code(parts[best].logVariance, best).fill(-Infinity, this.latents),
      sample: (random) => {
        const y = random.category(joint);
        return this.code(parts[y].sample(random), y);
      },
      logProb: (code) => {
        const [z, y] = this.split(code);
        return joint[y] - total + parts[y].logProb(z);
      },
    });
  }

  joint(x) {
    return this.posterior(x).joint;
  }

  output(code) {
    const [z, y] = this.split(code);
    return this.given[y].output(z);
  }

  logJoint(x, code, output = this.output(code)) {
    const [z, y] = this.split(code);
    return this.logShares[y] + this.given[y].logJoint(x, z, output);
  }

  complete(x, known, random, temperature = 1, ordering = 0, label = null) {
    return label === null ? super.complete(x, known, random) : this.given[label].complete(x, known, random);
  }
}
