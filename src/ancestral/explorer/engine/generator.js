// Models that can only be sampled: x = G(z), or G(z, y) for a class y. No formula gives log p(x).

import { Network } from "./layers.js";

export class GeneratorModel {
  constructor(spec, tensors) {
    this.spec = spec;
    this.latents = spec.latents;
    this.classes = spec.classes;
    this.generator = new Network(spec.generator, tensors);
  }

  facts() {
    return { latents: this.latents, classes: this.classes };
  }

  // z: latents, with the class as one-hot behind them where there are classes
  decode(z) {
    const { data } = this.generator.run(z, [z.length]);
    return this.spec.images ? data.map((v) => (1 + Math.tanh(v)) / 2) : data;
  }

  // label: a class, or null for a random one
  sample(random, temperature = 1, label = null) {
    const z = random.normals(this.latents + this.classes).map((v) => v * temperature);
    if (this.classes) {
      const chosen = label === null ? Math.floor(random.uniform() * this.classes) : label;
      z.fill(0, this.latents);
      z[this.latents + chosen] = 1;
    }
    const x = this.decode(z);
    return { x, mean: x, z };
  }
}
