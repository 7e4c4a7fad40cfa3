// Deep sigmoid belief net with a recognition network: p(z_L) ... p(z_1 | z_2) p(x | z_1), q(z_1 | x) ... q(z_L | z_(L-1)).
// Latents z are all layers in one vector, the layer nearest the image first.

import { bound, chainInWords, completeByChain } from "./chains.js";
import { Network, sigmoid, softplus } from "./layers.js";

const WORK = { warming: 20, sweeps: 60, proposals: 4 }; // of a completion

export class DeepBeliefNetModel {
  constructor(spec, tensors) {
    this.event = spec.event;
    this.widths = spec.widths; // M_1, ..., M_L
    this.top = tensors(spec.prior_logits).data;
    const networks = (list) => list.map((layers) => new Network(layers, tensors));
    this.generative = networks(spec.generative); // from z_L to z_(L-1), ..., from z_2 to z_1
    this.recognition = networks(spec.recognition); // from x to z_1, from z_1 to z_2, ...
    this.likelihood = new Network(spec.likelihood, tensors);
  }

  facts() {
    return {
      map: "-log p(pixel | z_1) at the marginals q(z_1 | x): terms of the reconstruction",
      completion: chainInWords(WORK),
      causes: this.widths[0],
      reconstruction: "mean image given the marginals q(z_1 | x)",
    };
  }

  // layers of z, nearest the image first
  split(z) {
    let at = 0;
    return this.widths.map((width) => z.slice(at, (at += width)));
  }

  posterior(x) {
    const [first, ...further] = this.recognition;
    const logits = first.run(x, this.event).data;
    return {
      sample: (random) => {
        const layers = [bernoulli(logits, random)];
        for (const network of further) layers.push(bernoulli(run(network, layers.at(-1)), random));
        return joined(layers);
      },
      logProb: (z) => {
        const layers = this.split(z);
        return further.reduce((a, network, l) => a + logBernoulli(run(network, layers[l]), layers[l + 1]), logBernoulli(logits, layers[0]));
      },
    };
  }

  logPosterior(x, z) {
    return this.posterior(x).logProb(z);
  }

  logJoint(x, z, output = this.output(z)) {
    const layers = this.split(z).reverse();
    const prior = this.generative.reduce((a, network, l) => a + logBernoulli(run(network, layers[l]), layers[l + 1]), logBernoulli(this.top, layers[0]));
    return prior + logBernoulli(output, x);
  }

  // logits of the pixels; only z_1 matters
  output(z) {
    return run(this.likelihood, z.slice(0, this.widths[0]));
  }

  decode(z) {
    return this.output(z).map(sigmoid);
  }

  drawPixels(output, random) {
    return bernoulli(output, random);
  }

  // q(z_m = 1 | x) of the layer nearest the image
  marginals(x) {
    return this.recognition[0].run(x, this.event).data.map(sigmoid);
  }

  score(x, random, draws = 8) {
    return bound(this, x, random, draws);
  }

  reconstruct(x) {
    return this.decode(this.marginals(x));
  }

  // -log p(x_d | z_1) at the marginals of z_1, nats: reconstruction terms, not conditionals
  map(x) {
    const logits = this.output(this.marginals(x));
    return x.map((v, d) => softplus((1 - 2 * v) * logits[d]));
  }

  sample(random, temperature = 1) {
    const layers = [bernoulli(this.top, random, temperature)];
    for (const network of this.generative) layers.unshift(bernoulli(run(network, layers[0]), random, temperature));
    const z = joined(layers);
    const mean = this.decode(z);
    return { x: mean.map((p) => (random.uniform() < p ? 1 : 0)), mean, z };
  }

  complete(x, known, random) {
    return completeByChain(this, this.sample(random).z, x, known, random, WORK);
  }
}

const run = (network, h) => network.run(h, [h.length]).data;

const bernoulli = (logits, random, temperature = 1) => logits.map((v) => (random.uniform() < sigmoid(v / temperature) ? 1 : 0));

const logBernoulli = (logits, h) => logits.reduce((a, v, m) => a - softplus((1 - 2 * h[m]) * v), 0);

function joined(layers) {
  const result = new Float32Array(layers.reduce((a, layer) => a + layer.length, 0));
  let at = 0;
  for (const layer of layers) {
    result.set(layer, at);
    at += layer.length;
  }
  return result;
}
