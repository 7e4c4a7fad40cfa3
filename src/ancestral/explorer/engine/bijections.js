// Bijections with their log-determinants, see distributions/bijections.py. A value is {data, shape}: (C) or (C, H, W).
// `forward` goes from data to latents; both directions return {value, logDet}.

import { Network } from "./layers.js";
import { inverseSpline, knotsFrom, spline } from "./splines.js";

const size = (shape) => shape.reduce((a, b) => a * b, 1);
const valueOf = (data, shape) => ({ data, shape });

class Chain {
  constructor({ steps }, tensors) {
    this.steps = steps.map((step) => makeBijection(step, tensors));
  }
  forward(value, context) {
    return this.through(this.steps, "forward", value, context);
  }
  inverse(value, context) {
    return this.through(this.steps.toReversed(), "inverse", value, context);
  }
  through(steps, direction, value, context) {
    let logDet = 0;
    for (const step of steps) {
      const done = step[direction](value, context);
      value = done.value;
      logDet += done.logDet;
    }
    return { value, logDet };
  }
}

// numbers of each channel
class Standardise {
  constructor(spec, tensors) {
    this.mean = tensors(spec.mean).data;
    this.scale = tensors(spec.scale).data;
    this.total = this.scale.reduce((a, b) => a + Math.log(b), 0);
  }
  map({ data, shape }, f) {
    const inner = size(shape.slice(1));
    return valueOf(Float64Array.from(data, (v, i) => f(v, Math.floor(i / inner))), shape);
  }
  forward(value) {
    return { value: this.map(value, (v, c) => (v - this.mean[c]) / this.scale[c]), logDet: -this.total * size(value.shape.slice(1)) };
  }
  inverse(value) {
    return { value: this.map(value, (v, c) => v * this.scale[c] + this.mean[c]), logDet: this.total * size(value.shape.slice(1)) };
  }
}

class Linear {
  constructor(spec, tensors) {
    this.weight = tensors(spec.weight).data;
    this.back = tensors(spec.inverse).data;
    this.logDet = spec.log_det;
  }
  mix({ data, shape }, matrix) {
    const channels = shape[0];
    const inner = size(shape.slice(1));
    const result = new Float64Array(data.length);
    for (let o = 0; o < channels; o++) {
      for (let i = 0; i < channels; i++) {
        const w = matrix[o * channels + i];
        for (let p = 0; p < inner; p++) result[o * inner + p] += w * data[i * inner + p];
      }
    }
    return valueOf(result, shape);
  }
  forward(value) {
    return { value: this.mix(value, this.weight), logDet: this.logDet * size(value.shape.slice(1)) };
  }
  inverse(value) {
    return { value: this.mix(value, this.back), logDet: -this.logDet * size(value.shape.slice(1)) };
  }
}

class Logit {
  constructor({ alpha }) {
    this.alpha = alpha;
  }
  slope(z) {
    const a = Math.abs(z);
    return a + 2 * Math.log1p(Math.exp(-a)) + Math.log1p(-this.alpha);
  }
  forward({ data, shape }) {
    const z = Float64Array.from(data, (v) => {
      const p = 0.5 * this.alpha + (1 - this.alpha) * v;
      return Math.log(p) - Math.log1p(-p);
    });
    return { value: valueOf(z, shape), logDet: z.reduce((a, v) => a + this.slope(v), 0) };
  }
  inverse({ data, shape }) {
    const x = Float64Array.from(data, (z) => (1 / (1 + Math.exp(-z)) - 0.5 * this.alpha) / (1 - this.alpha));
    return { value: valueOf(x, shape), logDet: -data.reduce((a, v) => a + this.slope(v), 0) };
  }
}

class Coupling {
  constructor(spec, tensors) {
    this.spec = spec;
    this.network = new Network(spec.network, tensors);
  }
  forward(value, context) {
    return this.apply(value, context, true);
  }
  inverse(value, context) {
    return this.apply(value, context, false);
  }
  apply({ data, shape }, context, forward) {
    const { sizes: [first], flip } = this.spec;
    const inner = size(shape.slice(1));
    const cut = first * inner;
    const [kept, changed] = flip ? [data.subarray(cut), data.subarray(0, cut)] : [data.subarray(0, cut), data.subarray(cut)];
    const seen = new Float32Array(kept.length + (context ? context.data.length : 0));
    seen.set(kept);
    if (context) seen.set(context.data, kept.length);
    const { data: raw } = this.network.run(seen, [seen.length / inner, ...shape.slice(1)]);
    const result = Float64Array.from(data);
    const start = flip ? 0 : cut;
    let logDet = 0;
    for (let i = 0; i < changed.length; i++) {
      const [moved, logSlope] = this.element(changed[i], (k) => raw[k * changed.length + i], forward);
      result[start + i] = moved;
      logDet += logSlope;
    }
    return { value: valueOf(result, shape), logDet };
  }
}

class AffineCoupling extends Coupling {
  element(v, raw, forward) {
    const { limit } = this.spec;
    const logScale = limit * Math.tanh(raw(0) / limit);
    return forward ? [(v + raw(1)) * Math.exp(logScale), logScale] : [v * Math.exp(-logScale) - raw(1), -logScale];
  }
}

class SplineCoupling extends Coupling {
  element(v, raw, forward) {
    const knots = knotsFrom(raw, this.spec.parameters, this.spec.bound);
    return forward ? spline(v, knots) : inverseSpline(v, knots);
  }
}

class MaskedAutoregressive {
  constructor(spec, tensors) {
    this.limit = spec.limit;
    this.network = new Network(spec.network, tensors);
  }
  numbers(x) {
    const { data } = this.network.run(Float32Array.from(x), [x.length]);
    return { mean: data.subarray(0, x.length), logScale: data.slice(x.length).map((v) => this.limit * Math.tanh(v / this.limit)) };
  }
  forward({ data, shape }) {
    const { mean, logScale } = this.numbers(data);
    return { value: valueOf(Float64Array.from(data, (v, d) => (v - mean[d]) * Math.exp(-logScale[d])), shape), logDet: -logScale.reduce((a, b) => a + b, 0) };
  }
  inverse({ data, shape }) {
    const x = new Float64Array(data.length);
    for (let d = 0; d < data.length; d++) {
      const { mean, logScale } = this.numbers(x);
      x[d] = data[d] * Math.exp(logScale[d]) + mean[d];
    }
    return { value: valueOf(x, shape), logDet: this.numbers(x).logScale.reduce((a, b) => a + b, 0) };
  }
}

const DIAGONALS = [[0, 0], [1, 1], [0, 1], [1, 0]];

// (C, H, W) to (4 C, H/2, W/2): the corners of 2x2 blocks become channels, diagonal by diagonal
export class Squeeze {
  forward({ data, shape: [channels, height, width] }) {
    const [rows, columns] = [height / 2, width / 2];
    const result = new Float64Array(data.length);
    this.each(channels, rows, columns, (to, from) => (result[to] = data[from]));
    return { value: valueOf(result, [4 * channels, rows, columns]), logDet: 0 };
  }
  inverse({ data, shape: [channels, rows, columns] }) {
    const result = new Float64Array(data.length);
    this.each(channels / 4, rows, columns, (from, to) => (result[to] = data[from]));
    return { value: valueOf(result, [channels / 4, 2 * rows, 2 * columns]), logDet: 0 };
  }
  each(channels, rows, columns, use) {
    DIAGONALS.forEach(([di, dj], corner) => {
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            use(((corner * channels + c) * rows + i) * columns + j, (c * 2 * rows + 2 * i + di) * 2 * columns + 2 * j + dj);
          }
        }
      }
    });
  }
}

class MultiScale {
  constructor({ scales, shapes }, tensors) {
    this.scales = scales.map((scale) => makeBijection(scale, tensors));
    this.shapes = shapes;
  }
  forward(value, context) {
    const parts = [];
    let logDet = 0;
    this.scales.forEach((scale, i) => {
      const done = scale.forward(value, context);
      logDet += done.logDet;
      value = done.value;
      if (i < this.scales.length - 1) {
        const [channels, ...sides] = value.shape;
        const half = value.data.length / 2;
        parts.push(value.data.slice(0, half));
        value = valueOf(value.data.slice(half), [channels / 2, ...sides]);
      }
    });
    parts.push(value.data);
    return { value: valueOf(Float64Array.from(parts.flatMap((part) => Array.from(part))), [size(this.shapes.at(-1)) + parts.slice(0, -1).reduce((a, p) => a + p.length, 0)]), logDet };
  }
  inverse({ data }, context) {
    const halves = this.shapes.slice(0, -1).map((shape) => size(shape) / 2);
    const starts = halves.reduce((list, length) => [...list, list.at(-1) + length], [0]);
    let value = valueOf(data.slice(starts.at(-1)), this.shapes.at(-1));
    let logDet = 0;
    for (let i = this.scales.length - 1; i >= 0; i--) {
      if (i < this.scales.length - 1) {
        const joined = new Float64Array(2 * halves[i]);
        joined.set(data.subarray(starts[i], starts[i] + halves[i]));
        joined.set(value.data, halves[i]);
        value = valueOf(joined, this.shapes[i]);
      }
      const done = this.scales[i].inverse(value, context);
      value = done.value;
      logDet += done.logDet;
    }
    return { value, logDet };
  }
}

const TYPES = {
  "affine-coupling": AffineCoupling,
  chain: Chain,
  linear: Linear,
  logit: Logit,
  "masked-autoregressive": MaskedAutoregressive,
  "multi-scale": MultiScale,
  "spline-coupling": SplineCoupling,
  squeeze: Squeeze,
  standardise: Standardise,
};

export function makeBijection(spec, tensors) {
  const type = TYPES[spec.type];
  if (!type) throw new Error(`unknown bijection: ${spec.type}`);
  return new type(spec, tensors);
}
