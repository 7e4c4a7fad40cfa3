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
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const size = height * width;
  for (let p = 0; p < size; p++) {
    for (let c = 0; c < 3; c++) {
      const v = x[(channels === 3 ? c : 0) * size + p];
      picture.data[4 * p + c] = 255 * Math.min(1, Math.max(0, v));
    }
    picture.data[4 * p + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

// A map of nats per pixel, summed over colours; the darkest colour is `most` nats.
export function paintMap(canvas, nats, [channels, height, width], most) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const size = height * width;
  for (let p = 0; p < size; p++) {
    let total = 0;
    for (let c = 0; c < channels; c++) total += nats[c * size + p];
    const place = Math.min(1, Math.max(0, total / most)) * (MAP_COLOURS.length - 1);
    const low = Math.min(MAP_COLOURS.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c++) {
      picture.data[4 * p + c] = MAP_COLOURS[low][c] + (place - low) * (MAP_COLOURS[low + 1][c] - MAP_COLOURS[low][c]);
    }
    picture.data[4 * p + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
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
export function paintCompleted(canvas, x, known, event) {
  paint(canvas, x, event);
  const context = canvas.getContext("2d");
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let p = 0; p < known.length; p++) {
    if (known[p] !== 0) continue;
    picture.data[4 * p] = 0.55 * picture.data[4 * p];
    picture.data[4 * p + 1] = 20 + 0.7 * picture.data[4 * p + 1];
    picture.data[4 * p + 2] = 60 + 0.76 * picture.data[4 * p + 2];
  }
  context.putImageData(picture, 0, 0);
}
