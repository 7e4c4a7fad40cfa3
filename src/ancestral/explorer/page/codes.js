// Codes of the page's test images: means by class, and their principal axes.

import { toSpace } from "./pixels.js";

// codes of all test images of the page, once a model; null where there are no images or no encoder
export async function codesOf(thread, images) {
  if (!images || !thread.can("encode")) return null;
  return (thread.codes ??= encoded(thread, images));
}

// one after the other, so that other answers of the model come between them
async function encoded(thread, images) {
  const codes = [];
  for (const pixels of images.pixels) {
    const x = toSpace(Float32Array.from(pixels, (v) => v / 255), thread.description);
    codes.push((await thread.ask("encode", [x])).mean);
  }
  return codes;
}

export function meanOf(codes) {
  const mean = new Float32Array(codes[0].length);
  for (const code of codes) for (let m = 0; m < mean.length; m++) mean[m] += code[m] / codes.length;
  return mean;
}

// The mean code of each class that occurs among the images: [[class, code], ...].
export function classMeans(codes, labels) {
  const found = new Map();
  labels.forEach((label, i) => label >= 0 && found.set(label, [...(found.get(label) ?? []), codes[i]]));
  return [...found].sort(([a], [b]) => a - b).map(([label, some]) => [label, meanOf(some)]);
}

// The first principal axes of the codes, scaled by their standard deviations, by power iteration.
export function principalAxes(codes, count, steps = 60) {
  const mean = meanOf(codes);
  let rows = codes.map((code) => Float64Array.from(code, (v, m) => v - mean[m]));
  const axes = [];
  for (let k = 0; k < count; k++) {
    let axis = Float64Array.from(mean, (_, m) => Math.cos(1 + m * (k + 1)));
    let variance = 0;
    for (let step = 0; step < steps; step++) {
      const next = new Float64Array(axis.length);
      for (const row of rows) {
        const along = row.reduce((a, v, m) => a + v * axis[m], 0);
        row.forEach((v, m) => (next[m] += (along * v) / rows.length));
      }
      const length = Math.hypot(...next);
      if (length === 0) break;
      axis = next.map((v) => v / length);
      variance = length;
    }
    axes.push(Float32Array.from(axis, (v) => v * Math.sqrt(variance)));
    rows = rows.map((row) => {
      const along = row.reduce((a, v, m) => a + v * axis[m], 0);
      return row.map((v, m) => v - along * axis[m]);
    });
  }
  return { mean, axes };
}
