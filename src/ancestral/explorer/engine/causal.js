// PixelCNN: whole images by causal convolutions, or one pixel at a time with the inputs of every convolution kept.

import { Network, derived, sigmoid, transposed } from "./layers.js";

export class CausalNetwork {
  // spec: event, size, first {weight, bias}, blocks [{reduce, conv, expand}], head {before, out, beside}
  constructor(spec, tensors) {
    [this.colours, this.height, this.width] = spec.event;
    this.spec = spec;
    this.size = spec.size;
    this.values = this.colours * this.height * this.width;
    this.features = new Network(spec.features, tensors);
    this.first = window(spec.first, tensors);
    this.blocks = spec.blocks.map(({ reduce, conv, expand }) => ({
      reduce: pointwise(reduce, tensors),
      conv: window(conv, tensors),
      expand: pointwise(expand, tensors),
    }));
    this.before = pointwise(spec.head.before, tensors);
    this.out = pointwise(spec.head.out, tensors);
    this.beside = spec.head.beside ? tensors(spec.head.beside).data : null;
    this.orderings = 1;
  }

  order() {
    const pixels = this.height * this.width;
    return Int32Array.from({ length: this.values }, (_, p) => (p % this.colours) * pixels + Math.floor(p / this.colours));
  }

  start() {
    return new CausalState(this);
  }

  // parameters of all values from a whole image, shape (values, size): as fast as 784 steps, without their overhead
  all(x) {
    const centred = x.map((v) => (2 * v) / (this.spec.levels - 1) - 1);
    const { data, shape: [channels] } = this.features.run(centred, [this.colours, this.height, this.width]);
    const pixels = this.height * this.width;
    const result = new Float32Array(this.values * this.size);
    const column = new Float32Array(channels);
    const before = new Float32Array(this.colours);
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < channels; c++) column[c] = data[c * pixels + p];
      for (let c = 0; c < this.colours; c++) before[c] = centred[c * pixels + p];
      for (let c = 0; c < this.colours; c++) result.set(this.head(column, before, c), (c * pixels + p) * this.size);
    }
    return result;
  }

  // parameters of one colour of a pixel; before: centred values of the pixel, those of earlier colours are read
  head(features, before, colour) {
    const width = this.before.outputs / this.colours;
    const hidden = this.before.run(features.map(relu), colour * width, width);
    if (this.beside) {
      for (let j = 0; j < width; j++) {
        const at = (colour * width + j) * this.colours;
        for (let other = 0; other < colour; other++) hidden[j] += this.beside[at + other] * before[other];
      }
    }
    return this.out.run(hidden.map(relu), colour * this.size, this.size);
  }
}

const relu = (v) => (v > 0 ? v : 0);

// a 1x1 convolution: rows of a matrix
function pointwise({ weight, bias }, tensors) {
  const { data, shape: [outputs, inputs] } = tensors(weight);
  const shift = tensors(bias).data;
  return {
    outputs,
    run(x, first = 0, count = outputs) {
      const y = shift.slice(first, first + count);
      for (let o = 0; o < count; o++) {
        const at = (first + o) * inputs;
        let total = y[o];
        for (let i = 0; i < inputs; i++) total += data[at + i] * x[i];
        y[o] = total;
      }
      return y;
    },
  };
}

// a causal convolution as a matrix from the window (rows, columns, channels) to the outputs
function window({ weight, bias }, tensors) {
  const { data, shape: [outputs, inputs, kh, kw] } = tensors(weight);
  const matrix = derived(data, `window ${outputs} ${inputs} ${kh}`, () => {
    const rows = new Float32Array(data.length);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let k = 0; k < kh * kw; k++) rows[(o * kh * kw + k) * inputs + i] = data[(o * inputs + i) * kh * kw + k];
      }
    }
    return transposed(rows, outputs, kh * kw * inputs);
  });
  return { matrix, bias: tensors(bias).data, outputs, inputs, kh, kw };
}

// the inputs of one causal convolution, with its border of zeros
class Cache {
  constructor(conv, height, width) {
    this.conv = conv;
    this.reach = conv.kh - 1;
    this.columns = width + 2 * this.reach;
    this.data = new Float32Array((height + this.reach) * this.columns * conv.inputs);
  }
  copy() {
    const other = Object.create(Cache.prototype);
    Object.assign(other, this);
    other.data = this.data.slice();
    return other;
  }
  put(i, j, values) {
    this.data.set(values, ((i + this.reach) * this.columns + j + this.reach) * this.conv.inputs);
  }
  run(i, j) {
    const { matrix, bias, outputs, inputs, kh, kw } = this.conv;
    const y = bias.slice();
    const length = kw * inputs;
    for (let r = 0; r < kh; r++) {
      const from = ((i + r) * this.columns + j) * inputs;
      for (let k = 0; k < length; k++) {
        const v = this.data[from + k];
        if (v === 0) continue;
        const at = (r * length + k) * outputs;
        for (let o = 0; o < outputs; o++) y[o] += v * matrix[at + o];
      }
    }
    return y;
  }
}

class CausalState {
  constructor(network) {
    this.network = network;
    this.position = 0;
    this.image = new Cache(network.first, network.height, network.width);
    this.caches = network.blocks.map(({ conv }) => new Cache(conv, network.height, network.width));
    this.current = new Float32Array(network.colours); // centred colours of the pixel so far
    this.features = null;
  }

  copy() {
    const other = Object.create(CausalState.prototype);
    Object.assign(other, this);
    other.image = this.image.copy();
    other.caches = this.caches.map((cache) => cache.copy());
    other.current = this.current.slice();
    return other;
  }

  get place() {
    const { colours, width } = this.network;
    const pixel = Math.floor(this.position / colours);
    return [Math.floor(pixel / width), pixel % width, this.position % colours];
  }

  get pixel() {
    const { height, width } = this.network;
    const [i, j, colour] = this.place;
    return colour * height * width + i * width + j;
  }

  parameters() {
    this.advance();
    return this.network.head(this.features, this.current, this.place[2]);
  }

  // features of the pixel, once for all its colours
  advance() {
    if (this.features) return;
    const [i, j] = this.place;
    let x = this.image.run(i, j);
    this.network.blocks.forEach(({ reduce, expand }, b) => {
      const cache = this.caches[b];
      cache.put(i, j, reduce.run(x.map(relu)));
      const both = cache.run(i, j);
      const half = both.length / 2;
      const gated = new Float32Array(half);
      for (let k = 0; k < half; k++) gated[k] = Math.tanh(both[k]) * sigmoid(both[half + k]);
      const added = expand.run(gated);
      x = x.map((v, k) => v + added[k]);
    });
    this.features = x;
  }

  put(value) {
    this.advance(); // the caches need every pixel
    const { colours, spec } = this.network;
    const [i, j, colour] = this.place;
    this.current[colour] = (2 * value) / (spec.levels - 1) - 1;
    this.position += 1;
    if (colour === colours - 1) {
      this.image.put(i, j, this.current);
      this.features = null;
    }
  }
}
