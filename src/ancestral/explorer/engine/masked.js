// MADE pixel by pixel. Each weight is used once for an image: a hidden unit is computed when the last pixel that it sees
// is known, and the parameters of a pixel are the sum over the units that are ready by then.

import { POINTWISE, derived } from "./layers.js";

export class MaskedNetwork {
  // spec: positions (J, D), layers [{weight, bias, degrees (J, width)}], last, direct, inputs, size, activation
  constructor(spec, tensors) {
    this.spec = spec;
    const read = ({ weight, bias, degrees }) => ({
      weight: tensors(weight).data,
      bias: bias ? tensors(bias).data : null,
      degrees: degrees ? tensors(degrees) : null,
    });
    const { data, shape: [orderings, values] } = tensors(spec.positions);
    this.positions = Array.from({ length: orderings }, (_, j) => data.subarray(j * values, (j + 1) * values));
    this.values = values;
    this.size = spec.size;
    this.layers = spec.layers.map(read);
    this.last = spec.last ? read(spec.last) : null;
    this.direct = spec.direct ? read(spec.direct) : null;
    this.activation = POINTWISE[spec.activation.name](spec.activation);
    this.prepared = new Map();
  }

  get orderings() {
    return this.positions.length;
  }

  // pixels in the order in which they are drawn
  order(ordering) {
    const order = new Int32Array(this.values);
    this.positions[ordering].forEach((position, d) => (order[position - 1] = d));
    return order;
  }

  // weights of one ordering, units sorted by degree, so that those that are ready are the first ones
  prepare(ordering) {
    if (!this.prepared.has(ordering)) this.prepared.set(ordering, this.sorted(ordering));
    return this.prepared.get(ordering);
  }

  sorted(ordering) {
    const order = this.order(ordering);
    const inputs = this.spec.inputs;
    // of the first layer's inputs, in the order of drawing
    let before = Int32Array.from({ length: this.values * inputs }, (_, i) => order[Math.floor(i / inputs)] * inputs + (i % inputs));
    const layers = this.layers.map(({ weight, bias, degrees }, l) => {
      const width = bias.length;
      const of = degrees.data.subarray(ordering * width, (ordering + 1) * width);
      const units = Int32Array.from({ length: width }, (_, j) => j).sort((a, b) => of[a] - of[b]);
      const columns = weight.length / width;
      // (in, out): the effect of one input on all units
      const moved = derived(weight, `hidden ${l} ${ordering}`, () => {
        const result = new Float32Array(weight.length);
        before.forEach((from, i) => units.forEach((unit, j) => (result[i * width + j] = weight[unit * columns + from])));
        return result;
      });
      const layer = { weight: moved, bias: Float32Array.from(units, (unit) => bias[unit]), degrees: Int32Array.from(units, (unit) => of[unit]), width };
      before = units;
      return layer;
    });
    return { order, layers, last: this.last && this.outputs(this.last, order, before, ordering) };
  }

  // rows of the last layer in the order of drawing, columns as the units are sorted
  outputs({ weight, bias }, order, units, ordering) {
    const columns = units.length;
    const { size } = this;
    const from = (row) => order[Math.trunc(row / size)] * size + (row % size);
    const rows = derived(weight, `last ${ordering}`, () =>
      weight.map((_, n) => weight[from(Math.trunc(n / columns)) * columns + units[n % columns]]),
    );
    return { rows, bias: bias.map((_, row) => bias[from(row)]), columns };
  }

  start(ordering = 0) {
    return new MaskedState(this, this.prepare(ordering));
  }
}

class MaskedState {
  constructor(network, prepared) {
    this.network = network;
    this.prepared = prepared;
    this.position = 0;
    this.sums = prepared.layers.map(({ bias }) => bias.slice());
    this.units = prepared.layers.map(({ width }) => new Float32Array(width));
    this.ready = prepared.layers.map(() => 0);
    this.seen = [];
  }

  copy() {
    const other = Object.create(MaskedState.prototype);
    Object.assign(other, this);
    other.sums = this.sums.map((values) => values.slice());
    other.units = this.units.map((values) => values.slice());
    other.ready = this.ready.slice();
    other.seen = this.seen.slice();
    return other;
  }

  // index of the pixel that is next
  get pixel() {
    return this.prepared.order[this.position];
  }

  // parameters of the next pixel given those before it
  parameters() {
    const { size, direct, values, spec } = this.network;
    const { last, order } = this.prepared;
    const result = new Float32Array(size);
    for (let s = 0; s < size; s++) {
      let total = 0;
      if (last) {
        const row = this.position * size + s;
        const at = row * last.columns;
        const units = this.units[this.units.length - 1];
        const ready = this.ready[this.ready.length - 1];
        total = last.bias[row];
        for (let j = 0; j < ready; j++) total += last.rows[at + j] * units[j];
      }
      if (direct) {
        const at = (this.pixel * size + s) * values * spec.inputs;
        if (direct.bias) total += direct.bias[this.pixel * size + s];
        for (let p = 0; p < this.position; p++) {
          const from = at + order[p] * spec.inputs;
          if (spec.inputs === 1) total += direct.weight[from] * this.seen[p];
          else total += direct.weight[from + this.seen[p]];
        }
      }
      result[s] = total;
    }
    return result;
  }

  // the next pixel has this value
  put(value) {
    const { spec, activation } = this.network;
    const { inputs } = spec;
    const first = this.prepared.layers[0];
    const level = Math.round(value);
    const seen = inputs === 1 ? (2 * value) / (spec.levels - 1) - 1 : level;
    this.seen.push(seen);
    if (first) {
      const row = inputs === 1 ? this.position : this.position * inputs + level;
      this.spread(0, row, inputs === 1 ? seen : 1, this.ready[0]);
    }
    this.position += 1;
    this.prepared.layers.forEach((layer, l) => {
      while (this.ready[l] < layer.width && layer.degrees[this.ready[l]] <= this.position) {
        const unit = this.ready[l]++;
        this.units[l][unit] = activation(this.sums[l][unit]);
        if (l + 1 < this.units.length) this.spread(l + 1, unit, this.units[l][unit], this.ready[l + 1]);
      }
    });
  }

  // what one input adds to the units of a layer that are not computed yet
  spread(l, row, value, from) {
    const { weight, width } = this.prepared.layers[l];
    const sums = this.sums[l];
    const at = row * width;
    if (value !== 0) for (let j = from; j < width; j++) sums[j] += value * weight[at + j];
  }
}
