// Monotonic rational-quadratic splines, see distributions/splines.py (Durkan et al., 2019, arXiv 1906.04032).

import { softplus } from "./layers.js";

const MIN_BIN = 1e-3;
const MIN_SLOPE = 1e-3;
const ONE = Math.log(Math.expm1(1 - MIN_SLOPE));

// raw(k): the k-th of 3 K - 1 free numbers; knots {x, y, slope} of K bins over [-bound, bound], slope(k) at knot k
export function knotsFrom(raw, count, bound) {
  const bins = (count + 1) / 3;
  const slope = (k) => MIN_SLOPE + softplus((k === 0 || k === bins ? 0 : raw(2 * bins + k - 1)) + ONE);
  return { x: positions(raw, 0, bins, bound), y: positions(raw, bins, bins, bound), slope };
}

// in one array: a flow of images needs thousands of them for each image
function positions(raw, first, bins, bound) {
  const result = new Float64Array(bins + 1);
  let largest = -Infinity;
  for (let k = 1; k <= bins; k++) {
    result[k] = raw(first + k - 1);
    if (result[k] > largest) largest = result[k];
  }
  let total = 0;
  for (let k = 1; k <= bins; k++) total += result[k] = Math.exp(result[k] - largest);
  let sum = 0;
  for (let k = 1; k < bins; k++) {
    sum += MIN_BIN + (1 - MIN_BIN * bins) * (result[k] / total);
    result[k] = 2 * bound * sum - bound;
  }
  result[0] = -bound;
  result[bins] = bound;
  return result;
}

function binOf(value, ends) {
  let k = 0;
  while (k < ends.length - 2 && value >= ends[k + 1]) k++;
  return k;
}

const logSlope = (left, right, slope, t, denominator) =>
  2 * Math.log(slope / denominator) + Math.log(right * t * t + 2 * slope * t * (1 - t) + left * (1 - t) * (1 - t));

// [g(x), log g'(x)]; the identity outside the knots
export function spline(x, { x: xs, y: ys, slope: slopeAt }) {
  if (x < xs[0] || x > xs[xs.length - 1]) return [x, 0];
  const k = binOf(x, xs);
  const [width, height] = [xs[k + 1] - xs[k], ys[k + 1] - ys[k]];
  const [left, right, slope] = [slopeAt(k), slopeAt(k + 1), height / width];
  const t = (x - xs[k]) / width;
  const denominator = slope + (left + right - 2 * slope) * t * (1 - t);
  const y = ys[k] + (height * (slope * t * t + left * t * (1 - t))) / denominator;
  return [y, logSlope(left, right, slope, t, denominator)];
}

// [g^-1(y), the log of its slope]
export function inverseSpline(y, { x: xs, y: ys, slope: slopeAt }) {
  if (y < ys[0] || y > ys[ys.length - 1]) return [y, 0];
  const k = binOf(y, ys);
  const [width, height] = [xs[k + 1] - xs[k], ys[k + 1] - ys[k]];
  const [left, right, slope] = [slopeAt(k), slopeAt(k + 1), height / width];
  const rise = y - ys[k];
  const bend = left + right - 2 * slope;
  const a = height * (slope - left) + rise * bend;
  const b = height * left - rise * bend;
  const c = -slope * rise;
  const t = (2 * c) / (-b - Math.sqrt(Math.max(0, b * b - 4 * a * c)));
  const denominator = slope + bend * t * (1 - t);
  return [xs[k] + t * width, -logSlope(left, right, slope, t, denominator)];
}
