// Images as the page holds them: grey or colour values in [0, 1], shape (C, H, W) flattened; and as each model reads them.

// values of the page to those of a model's pixel space
export function toSpace(x, description) {
  const { name, levels } = description.space;
  if (name === "unit" || name === "points") return Float32Array.from(x);
  if (name === "levels") return x.map((v) => Math.round(v * (levels - 1)));
  return x.map((v) => (v > 0.5 ? 1 : 0));
}

// and back
export function fromSpace(x, description) {
  const { name, levels } = description.space;
  return name === "levels" ? x.map((v) => v / (levels - 1)) : x;
}

const MAP_COLOURS = [[255, 255, 255], [254, 217, 118], [253, 141, 60], [189, 0, 38], [64, 0, 20]];

// Draws an image (C, H, W) on a canvas, one canvas pixel each; the style sheet enlarges it without smoothing.
export function paint(canvas, x, [channels, height, width]) {
  const size = height * width;
  paintPixels(canvas, height, width, (p, c) => 255 * Math.min(1, Math.max(0, x[(channels === 3 ? c : 0) * size + p])));
}

// one canvas pixel each; colour(p, c): 0 to 255, of pixel p in row order and c = red, green, blue
function paintPixels(canvas, height, width, colour) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    for (let c = 0; c < 3; c++) picture.data[4 * p + c] = colour(p, c);
    picture.data[4 * p + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

// Shares in [0, 1], in row order, as colours between those of a list.
export function paintShares(canvas, shares, height, width, colours) {
  paintPixels(canvas, height, width, (p, c) => {
    const place = Math.min(1, Math.max(0, shares[p])) * (colours.length - 1);
    const low = Math.min(colours.length - 2, Math.floor(place));
    return colours[low][c] + (place - low) * (colours[low + 1][c] - colours[low][c]);
  });
}

// A map of nats per pixel, summed over colours; the darkest colour is `most` nats.
export function paintMap(canvas, nats, [channels, height, width], most) {
  const size = height * width;
  const shares = new Float64Array(size);
  for (let c = 0; c < channels; c++) for (let p = 0; p < size; p++) shares[p] += nats[c * size + p] / most;
  paintShares(canvas, shares, height, width, MAP_COLOURS);
}

// A copy in which hidden pixels are shown by a pattern: a checkerboard of two greys.
export function paintWithMask(canvas, x, known, event) {
  const [, , width] = event;
  paint(canvas, x, event);
  const context = canvas.getContext("2d");
  const size = event[1] * event[2];
  for (let p = 0; p < size; p++) {
    if (known[p] !== 0) continue;
    const row = Math.floor(p / width);
    context.fillStyle = (row + (p % width)) % 2 ? "#7a8fb8" : "#93a5c9";
    context.fillRect(p % width, row, 1, 1);
  }
}

// An image whose sampled pixels are in shades of blue, so that they differ from those that were given.
export function paintCompleted(canvas, x, known, [channels, height, width]) {
  const size = height * width;
  const tint = [(v) => 0.55 * v, (v) => 20 + 0.7 * v, (v) => 60 + 0.76 * v];
  paintPixels(canvas, height, width, (p, c) => {
    const value = 255 * Math.min(1, Math.max(0, x[(channels === 3 ? c : 0) * size + p]));
    return known[p] !== 0 ? value : tint[c](value);
  });
}
