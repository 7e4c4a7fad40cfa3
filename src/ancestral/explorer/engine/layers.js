// Networks as lists of layers, see `layers_of` in networks/layers.py. One input at a time; values are float32.

const ROOT_HALF = Math.SQRT1_2;

export const sigmoid = (v) => 1 / (1 + Math.exp(-v));
export const softplus = (v) => (v > 0 ? v + Math.log1p(Math.exp(-v)) : Math.log1p(Math.exp(v)));

const SERIES = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

// The error function, to 1.2e-7 (Numerical Recipes, 2nd ed., section 6.2, a Chebyshev fit).
function erf(x) {
  const z = Math.abs(x);
  const t = 1 / (1 + 0.5 * z);
  let sum = 0;
  for (let k = 0; k < SERIES.length; k++) sum = sum * t + SERIES[k];
  const rest = t * Math.exp(-z * z + sum);
  return x >= 0 ? 1 - rest : rest - 1;
}

export const POINTWISE = {
  relu: () => (v) => (v > 0 ? v : 0),
  "leaky-relu": (layer) => (v) => (v > 0 ? v : layer.slope * v),
  gelu: () => (v) => 0.5 * v * (1 + erf(v * ROOT_HALF)),
  silu: () => (v) => v * sigmoid(v),
  tanh: () => Math.tanh,
  sigmoid: () => sigmoid,
};
// halves (a, b) of the channels to a sigmoid(b), or tanh(a) sigmoid(b)
const GATED = { glu: (a, b) => a * sigmoid(b), "tanh-glu": (a, b) => Math.tanh(a) * sigmoid(b) };

const DERIVED = new WeakMap();

// What is computed from stored weights, once for all the classes that share them. name: of the result, by layer and use.
export function derived(weights, name, compute) {
  if (!DERIVED.has(weights)) DERIVED.set(weights, {});
  return (DERIVED.get(weights)[name] ??= compute());
}

export class Network {
  // layers: as described; tensors: a function from a stored tensor to {data, shape}
  constructor(layers, tensors) {
    this.steps = layers.map((layer) => {
      const make = MAKERS[layer.op];
      if (!make) throw new Error(`unknown layer: ${layer.op}`);
      return make(layer, tensors);
    });
  }

  // data: Float32Array, shape: array; returns {data, shape}
  run(data, shape = [data.length]) {
    let value = { data, shape };
    for (const step of this.steps) value = step(value);
    return value;
  }
}

const MAKERS = {
  dense: makeDense,
  conv: makeConv,
  upconv: makeUpconv,
  affine: makeAffine,
  add(layer, tensors) {
    const { data: added } = tensors(layer.value);
    return ({ data, shape }) => ({ data: data.map((v, i) => v + added[i]), shape });
  },
  // numbers behind the input, each of them at all places
  append(layer, tensors) {
    const { data: added } = tensors(layer.values);
    return ({ data, shape: [first, ...sides] }) => {
      const size = data.length / first;
      const result = new Float32Array(data.length + added.length * size);
      result.set(data);
      added.forEach((v, k) => result.fill(v, data.length + k * size, data.length + (k + 1) * size));
      return { data: result, shape: [first + added.length, ...sides] };
    };
  },
  activation(layer) {
    if (GATED[layer.name]) return makeGate(GATED[layer.name]);
    const f = POINTWISE[layer.name](layer);
    return ({ data, shape }) => ({ data: data.map(f), shape });
  },
  reshape(layer) {
    return ({ data, shape: _ }) => {
      const known = layer.shape.filter((side) => side >= 0).reduce((a, b) => a * b, 1);
      return { data, shape: layer.shape.map((side) => (side < 0 ? data.length / known : side)) };
    };
  },
  crop({ sides: [rows, columns] }) {
    return ({ data, shape: [channels, height, width] }) => {
      if (rows === height && columns === width) return { data, shape: [channels, height, width] };
      const result = new Float32Array(channels * rows * columns);
      for (let r = 0; r < channels * rows; r++) {
        const from = (Math.trunc(r / rows) * height + (r % rows)) * width;
        result.set(data.subarray(from, from + columns), r * columns);
      }
      return { data: result, shape: [channels, rows, columns] };
    };
  },
  residual(layer, tensors) {
    const inner = new Network(layer.layers, tensors);
    return ({ data, shape }) => {
      const { data: added } = inner.run(data, shape);
      return { data: data.map((v, i) => v + added[i]), shape };
    };
  },
};

// (out, in) to (in, out), so that inputs that are zero, most of a binary image, cost nothing
export function transposed(data, rows, columns) {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j];
  return result;
}

function makeDense(layer, tensors) {
  const { data: stored, shape: [outputs, inputs] } = tensors(layer.weight);
  const weight = derived(stored, `dense ${outputs} ${inputs}`, () => transposed(stored, outputs, inputs));
  const bias = layer.bias ? tensors(layer.bias).data : new Float32Array(outputs);
  return ({ data, shape }) => {
    if (shape[shape.length - 1] !== inputs) throw new Error(`a layer of ${inputs} inputs was given ${shape}`);
    const rows = data.length / inputs;
    const result = new Float32Array(rows * outputs);
    for (let r = 0; r < rows; r++) {
      const y = result.subarray(r * outputs, (r + 1) * outputs);
      y.set(bias);
      for (let i = 0; i < inputs; i++) {
        const v = data[r * inputs + i];
        if (v === 0) continue;
        const at = i * outputs;
        for (let j = 0; j < outputs; j++) y[j] += v * weight[at + j];
      }
    }
    return { data: result, shape: [...shape.slice(0, -1), outputs] };
  };
}

// planes (channels, height, width) in a border of zeros
function padded(data, [channels, height, width], top, left, bottom, right) {
  const [high, wide] = [height + top + bottom, width + left + right];
  const result = new Float32Array(channels * high * wide);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const from = (c * height + y) * width;
      result.set(data.subarray(from, from + width), (c * high + y + top) * wide + left);
    }
  }
  return { data: result, high, wide };
}

const TAPS = 9; // products in one pass over the result, which reads and writes it once for all of them

// adds sum_k weights[first + k] x[from + offsets[k] + y fromRow + x fromStep] to result[to + y toRow + x toStep]
function correlate(result, to, x, from, offsets, weights, first, { rows, columns, fromRow, fromStep, toRow, toStep }) {
  const count = offsets.length;
  for (let k = 0; k < count; k += TAPS) {
    const w = (n) => (k + n < count ? weights[first + k + n] : 0);
    const o = (n) => from + (k + n < count ? offsets[k + n] : 0);
    const [w0, w1, w2, w3, w4, w5, w6, w7, w8] = [w(0), w(1), w(2), w(3), w(4), w(5), w(6), w(7), w(8)];
    const [o0, o1, o2, o3, o4, o5, o6, o7, o8] = [o(0), o(1), o(2), o(3), o(4), o(5), o(6), o(7), o(8)];
    for (let y = 0; y < rows; y++) {
      let p = y * fromRow;
      let target = to + y * toRow;
      for (let c = 0; c < columns; c++, p += fromStep, target += toStep) {
        result[target] +=
          w0 * x[p + o0] + w1 * x[p + o1] + w2 * x[p + o2] + w3 * x[p + o3] + w4 * x[p + o4] +
          w5 * x[p + o5] + w6 * x[p + o6] + w7 * x[p + o7] + w8 * x[p + o8];
      }
    }
  }
}

function makeConv(layer, tensors) {
  const { data: weight, shape: [outputs, inputs, kh, kw] } = tensors(layer.weight);
  const bias = layer.bias ? tensors(layer.bias).data : new Float32Array(outputs);
  const [top, left, bottom, right] = layer.padding;
  const [sy, sx] = layer.stride;
  const perGroup = outputs / layer.groups;
  return ({ data, shape }) => {
    const { data: x, high, wide } = padded(data, shape, top, left, bottom, right);
    const rows = Math.floor((high - kh) / sy) + 1;
    const columns = Math.floor((wide - kw) / sx) + 1;
    const offsets = [];
    for (let i = 0; i < inputs; i++) {
      for (let dy = 0; dy < kh; dy++) for (let dx = 0; dx < kw; dx++) offsets.push((i * high + dy) * wide + dx);
    }
    const steps = { rows, columns, fromRow: sy * wide, fromStep: sx, toRow: columns, toStep: 1 };
    const result = new Float32Array(outputs * rows * columns);
    for (let o = 0; o < outputs; o++) {
      const place = o * rows * columns;
      result.fill(bias[o], place, place + rows * columns);
      const group = Math.floor(o / perGroup) * inputs * high * wide;
      correlate(result, place, x, group, offsets, weight, o * offsets.length, steps);
    }
    return { data: result, shape: [outputs, rows, columns] };
  };
}

// Outputs whose places leave the same rest when divided by the stride are a convolution with a part of the kernel.
function makeUpconv(layer, tensors) {
  const { data: weight, shape: [inputs, outputs, kh, kw] } = tensors(layer.weight);
  const bias = layer.bias ? tensors(layer.bias).data : new Float32Array(outputs);
  const [sy, sx] = layer.stride;
  const [py, px] = layer.padding;
  const [ey, ex] = layer.extra;
  // places in the padded input, and the weights of each output one after the other
  function part(ry, rx, high, wide) {
    const [offsets, taps] = [[], []];
    for (let i = 0; i < inputs; i++) {
      for (let dy = (ry + py) % sy; dy < kh; dy += sy) {
        for (let dx = (rx + px) % sx; dx < kw; dx += sx) {
          offsets.push((i * high + kh + (ry + py - dy) / sy) * wide + kw + (rx + px - dx) / sx);
          taps.push((i * outputs * kh + dy) * kw + dx);
        }
      }
    }
    const count = taps.length;
    const weights = Float32Array.from({ length: outputs * count }, (_, k) => weight[taps[k % count] + Math.trunc(k / count) * kh * kw]);
    return { ry, rx, offsets, weights };
  }
  let parts = null; // inputs of a layer have one shape
  return ({ data, shape }) => {
    const rows = (shape[1] - 1) * sy - 2 * py + kh + ey;
    const columns = (shape[2] - 1) * sx - 2 * px + kw + ex;
    const { data: x, high, wide } = padded(data, shape, kh, kw, kh + ey, kw + ex);
    parts ??= Array.from({ length: sy * sx }, (_, r) => part(Math.trunc(r / sx), r % sx, high, wide));
    const result = new Float32Array(outputs * rows * columns);
    for (let o = 0; o < outputs; o++) result.fill(bias[o], o * rows * columns, (o + 1) * rows * columns);
    for (const { ry, rx, offsets, weights } of parts) {
      const [down, across] = [Math.ceil((rows - ry) / sy), Math.ceil((columns - rx) / sx)];
      const steps = { rows: down, columns: across, fromRow: wide, fromStep: 1, toRow: sy * columns, toStep: sx };
      for (let o = 0; o < outputs; o++) correlate(result, (o * rows + ry) * columns + rx, x, 0, offsets, weights, o * offsets.length, steps);
    }
    return { data: result, shape: [outputs, rows, columns] };
  };
}

function makeAffine(layer, tensors) {
  const read = (part) => (typeof part === "number" ? null : tensors(part).data);
  const scales = read(layer.scale);
  const shifts = read(layer.shift);
  return ({ data, shape }) => {
    const size = data.length / shape[0];
    const result = data.map((v, i) => {
      const channel = Math.floor(i / size);
      return v * (scales ? scales[channel] : layer.scale) + (shifts ? shifts[channel] : layer.shift);
    });
    return { data: result, shape };
  };
}

function makeGate(gate) {
  return ({ data, shape }) => {
    const half = data.length / 2;
    const result = new Float32Array(half);
    for (let i = 0; i < half; i++) result[i] = gate(data[i], data[half + i]);
    return { data: result, shape: [shape[0] / 2, ...shape.slice(1)] };
  };
}
