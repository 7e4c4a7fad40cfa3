// Models that can only be sampled: x = G(z), or G(z, y) for a class y. No formula gives log p(x).

import { Network } from "./layers.js";

const POOL = 200;
const STEPS = 200;
const FIRST_STEP = 0.3; // standard deviation of a step

export class GeneratorModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.latents = spec.latents;
    this.classes = spec.classes;
    this.generator = new Network(spec.generator, tensors);
    this.critic = spec.critic?.layers ? new Network(spec.critic.layers, tensors) : null;
  }

  facts() {
    return {
      latents: this.latents,
      classes: this.classes,
      completion: "approximate: an image of the generator near the seen pixels, found by a search",
    };
  }

  // z: latents, with the class as one-hot behind them where there are classes
  decode(z) {
    const { data } = this.generator.run(z, [z.length]);
    return this.spec.images ? data.map((v) => (1 + Math.tanh(v)) / 2) : data;
  }

  // the critic's score of an image, or one score for each class
  criticise(x) {
    return this.critic.run(x, this.spec.event).data;
  }

  // Hidden pixels of a drawn image that is near the seen ones: the nearest of many, then random steps that come nearer,
  // shorter and shorter. No distribution is drawn from. In PyTorch the search follows the gradient.
  complete(x, known, random, temperature = 1, ordering = 0, label = null) {
    const distance = (image) => image.reduce((total, v, d) => total + (known[d] !== 0 ? (v - x[d]) ** 2 : 0), 0);
    let best = { distance: Infinity };
    const consider = (z) => {
      const image = this.decode(z);
      const found = { z, image, distance: distance(image) };
      if (found.distance < best.distance) best = found;
    };
    for (let n = 0; n < POOL; n++) consider(this.code(random, temperature, label));
    for (let n = 0; n < STEPS; n++) {
      if (n % 20 === 0) this.progress?.((n + POOL) / (STEPS + POOL));
      const length = FIRST_STEP * (1 - n / STEPS);
      consider(best.z.map((v, m) => (m < this.latents ? v + length * random.normal() : v)));
    }
    return { x: Float32Array.from(best.image, (v, d) => (known[d] !== 0 ? x[d] : v)), exact: false, logProb: null };
  }

  // label: a class, or null for a random one
  code(random, temperature, label) {
    const z = random.normals(this.latents + this.classes).map((v) => v * temperature);
    if (this.classes) {
      const chosen = label === null ? Math.floor(random.uniform() * this.classes) : label;
      z.fill(0, this.latents);
      z[this.latents + chosen] = 1;
    }
    return z;
  }

  sample(random, temperature = 1, label = null) {
    const z = this.code(random, temperature, label);
    const x = this.decode(z);
    return { x, mean: x, z };
  }
}
