// Flows of points, p(x) = N(f(x); 0, s^2 I) |det df/dx|, and of images of whole levels, whose dequantisation noise is latent.

import { makeBijection, Squeeze } from "./bijections.js";
import { byClass, largest } from "./byclass.js";
import { bound } from "./chains.js";
import { Network } from "./layers.js";
import { logSumExp } from "./pixels.js";

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

export class PointFlowModel {
  constructor(spec, tensors) {
    this.event = spec.event;
    this.latents = spec.event[0];
    this.scale = Math.exp(0.5 * spec.log_variance);
    this.bijection = makeBijection(spec.bijection, tensors);
  }

  facts() {
    return { points: true, latents: this.latents, layers: this.bijection.steps.length };
  }

  logProb(x) {
    const { value, logDet } = this.bijection.forward({ data: x, shape: this.event });
    const scale = this.scale;
    return value.data.reduce((a, z) => a - HALF_LOG_TWO_PI - Math.log(scale) - 0.5 * (z / scale) ** 2, logDet);
  }

  score(x) {
    return { kind: "exact", nats: this.logProb(x), error: 0 };
  }

  encode(x) {
    return { mean: this.bijection.forward({ data: x, shape: this.event }).value.data };
  }

  decode(z) {
    return this.bijection.inverse({ data: z, shape: this.event }).value.data;
  }

  sample(random, temperature = 1) {
    const z = random.normals(this.latents).map((v) => v * this.scale * temperature);
    return { x: this.decode(z), z };
  }

  // points after each layer from the latent to the data, flattened pairs: one array for each layer, the base first
  layers(points) {
    const steps = this.bijection.steps.toReversed();
    const stages = [Float64Array.from(points)];
    for (const step of steps) {
      const next = new Float64Array(points.length);
      for (let i = 0; i < points.length; i += this.latents) {
        const data = stages.at(-1).slice(i, i + this.latents);
        next.set(step.inverse({ data, shape: this.event }).value.data, i);
      }
      stages.push(next);
    }
    return stages;
  }

  // log p, or log p given a class, on a grid of the plane, row by row from the top
  density(left, right, bottom, top, side, label = null) {
    const values = new Float32Array(side * side);
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        const x = left + ((j + 0.5) / side) * (right - left);
        const y = top - ((i + 0.5) / side) * (top - bottom);
        values[i * side + j] = this.logProb(Float64Array.of(x, y), label);
      }
    }
    return values;
  }
}

export class ImageFlowModel {
  constructor(spec, tensors) {
    this.event = spec.event;
    this.levels = spec.levels;
    this.latents = spec.event.reduce((a, b) => a * b, 1);
    this.bijection = makeBijection(spec.bijection, tensors);
    this.noise = spec.dequantisation ? new Dequantisation(spec.dequantisation, tensors, this) : null;
  }

  facts() {
    const incomplete = "the Markov chain of a flow needs gradients, which the page does not compute; ancestral complete does";
    return { latents: this.latents, incomplete };
  }

  // the latents of the middles of the pixels' cells
  encode(x) {
    const y = Float64Array.from(x, (v) => (v + 0.5) / this.levels);
    return { mean: this.bijection.forward({ data: y, shape: this.event }).value.data };
  }

  decode(z) {
    const { data } = this.bijection.inverse({ data: Float64Array.from(z), shape: [this.latents] }).value;
    return Float32Array.from(data, (y) => Math.min(this.levels - 1, Math.max(0, Math.floor(this.levels * y))));
  }

  // log p_Y((x + u) / L) - D log L
  logJoint(x, u) {
    const y = Float64Array.from(x, (v, d) => (v + u[d]) / this.levels);
    const { value, logDet } = this.bijection.forward({ data: y, shape: this.event });
    const base = value.data.reduce((a, z) => a - HALF_LOG_TWO_PI - 0.5 * z * z, logDet);
    return base - this.latents * Math.log(this.levels);
  }

  // q(u | x): learned, or uniform on [0, 1)
  posterior(x) {
    if (this.noise) return this.noise.given(x);
    return { sample: (random) => Float64Array.from(x, () => random.uniform()), logProb: () => 0 };
  }

  logPosterior(x, u) {
    return this.posterior(x).logProb(u);
  }

  score(x, random, draws = 2) {
    return bound(this, x, random, draws);
  }

  sample(random, temperature = 1) {
    const z = random.normals(this.latents).map((v) => v * temperature);
    return { x: this.decode(z), z };
  }
}

// q(u | x): a flow from u to a logistic base, its layers given what a network makes of x
class Dequantisation {
  constructor(spec, tensors, flow) {
    this.flow = flow;
    this.base = spec.base_shape;
    this.network = new Network(spec.network, tensors);
    this.bijection = makeBijection(spec.bijection, tensors);
    this.squeeze = new Squeeze();
  }

  context(x) {
    const centred = Float64Array.from(x, (v) => (2 * v) / (this.flow.levels - 1) - 1);
    const { value } = this.squeeze.forward({ data: centred, shape: this.flow.event });
    return this.network.run(Float32Array.from(value.data), value.shape);
  }

  // the distribution for one image, whose context is computed once
  given(x) {
    const context = this.context(x);
    return { sample: (random) => this.sample(context, random), logProb: (u) => this.logProb(context, u) };
  }

  logProb(context, u) {
    const { value, logDet } = this.bijection.forward({ data: Float64Array.from(u), shape: this.flow.event }, context);
    return value.data.reduce((a, z) => a - Math.abs(z) - 2 * Math.log1p(Math.exp(-Math.abs(z))), logDet);
  }

  sample(context, random) {
    const count = this.base.reduce((a, b) => a * b, 1);
    const z = Float64Array.from({ length: count }, () => {
      const u = random.uniform();
      return Math.log(u) - Math.log1p(-u);
    });
    return this.bijection.inverse({ data: z, shape: this.base }, context).value.data;
  }
}

const codedByClass = (Kind, how) =>
  class extends byClass(Kind, how) {
    // of the most probable class
    encode(x) {
      const y = largest(this.joint(x));
      return { mean: this.code(this.given[y].encode(x).mean, y) };
    }

    decode(code) {
      const [z, y] = this.split(code);
      return this.given[y].decode(z);
    }
  };

export class PointFlowByClass extends codedByClass(PointFlowModel) {
  logProb(x, label = null) {
    return label === null ? logSumExp(this.joint(x)) : this.given[label].logProb(x);
  }

  // labels: the class of each point
  layers(points, labels) {
    const each = labels.map((y, n) => this.given[y].layers(points.subarray(n * this.latents, (n + 1) * this.latents)));
    return each[0].map((_, stage) => Float64Array.from(each.flatMap((stages) => Array.from(stages[stage]))));
  }
}

export class ImageFlowByClass extends codedByClass(ImageFlowModel, "approximate: at the middles of the pixels' cells") {
  joint(x, u = new Float64Array(x.length).fill(0.5)) {
    return this.logShares.map((share, y) => share + this.given[y].logJoint(x, u));
  }

  logJoint(x, u, label = null) {
    return label === null ? logSumExp(this.joint(x, u)) : this.given[label].logJoint(x, u);
  }
}
