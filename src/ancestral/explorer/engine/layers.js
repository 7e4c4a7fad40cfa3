// Networks as lists of layers, see `layers_of` in networks/layers.py. One input at a time; values are float32.

const ROOT_HALF = Math.SQRT1_2;

export const sigmoid = (v) => 1 / (1 + Math.exp(-v));
export const softplus = (v) => (v > 0 ? v + Math.log1p(Math.exp(-v)) : Math.log1p(Math.exp(v)));

// The error function, to 1.2e-7 (Numerical Recipes, 2nd ed., section 6.2, a Chebyshev fit).
function erf(x) {
  const z = Math.abs(x);
  const t = 1 / (1 + 0.5 * z);
  const series = [
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
    -1.26551223,
  ];
  let sum = 0;
  for (const c of series) sum = sum * t + c;
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
  const weight = transposed(stored, outputs, inputs);
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

function makeConv(layer, tensors) {
  const { data: weight, shape: [outputs, inputs, kh, kw] } = tensors(layer.weight);
  const bias = layer.bias ? tensors(layer.bias).data : new Float32Array(outputs);
  const [top, left, bottom, right] = layer.padding;
  const [sy, sx] = layer.stride;
  const perGroup = outputs / layer.groups;
  return ({ data, shape: [, height, width] }) => {
    const rows = Math.floor((height + top + bottom - kh) / sy) + 1;
    const columns = Math.floor((width + left + right - kw) / sx) + 1;
    const result = new Float32Array(outputs * rows * columns);
    for (let o = 0; o < outputs; o++) {
      const place = o * rows * columns;
      result.fill(bias[o], place, place + rows * columns);
      const first = Math.floor(o / perGroup) * inputs;
      for (let i = 0; i < inputs; i++) {
        const from = (first + i) * height * width;
        for (let dy = 0; dy < kh; dy++) {
          for (let dx = 0; dx < kw; dx++) {
            const w = weight[((o * inputs + i) * kh + dy) * kw + dx];
            if (w === 0) continue;
            // columns whose input lies inside the image
            const low = Math.max(0, Math.ceil((left - dx) / sx));
            const high = Math.min(columns - 1, Math.floor((width - 1 + left - dx) / sx));
            for (let y = 0; y < rows; y++) {
              const row = y * sy + dy - top;
              if (row < 0 || row >= height) continue;
              let source = from + row * width + low * sx + dx - left;
              const end = place + y * columns + high;
              for (let target = place + y * columns + low; target <= end; target++, source += sx) {
                result[target] += w * data[source];
              }
            }
          }
        }
      }
    }
    return { data: result, shape: [outputs, rows, columns] };
  };
}

function makeUpconv(layer, tensors) {
  const { data: weight, shape: [inputs, outputs, kh, kw] } = tensors(layer.weight);
  const bias = layer.bias ? tensors(layer.bias).data : new Float32Array(outputs);
  const [sy, sx] = layer.stride;
  const [py, px] = layer.padding;
  const [ey, ex] = layer.extra;
  return ({ data, shape: [, height, width] }) => {
    const rows = (height - 1) * sy - 2 * py + kh + ey;
    const columns = (width - 1) * sx - 2 * px + kw + ex;
    const result = new Float32Array(outputs * rows * columns);
    for (let o = 0; o < outputs; o++) {
      const place = o * rows * columns;
      result.fill(bias[o], place, place + rows * columns);
      for (let i = 0; i < inputs; i++) {
        for (let dy = 0; dy < kh; dy++) {
          for (let dx = 0; dx < kw; dx++) {
            const w = weight[((i * outputs + o) * kh + dy) * kw + dx];
            const low = Math.max(0, Math.ceil((px - dx) / sx));
            const high = Math.min(width - 1, Math.floor((columns - 1 + px - dx) / sx));
            for (let y = 0; y < height; y++) {
              const row = y * sy + dy - py;
              if (row < 0 || row >= rows) continue;
              let target = place + row * columns + low * sx + dx - px;
              const from = (i * height + y) * width;
              for (let x = low; x <= high; x++, target += sx) result[target] += w * data[from + x];
            }
          }
        }
      }
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
