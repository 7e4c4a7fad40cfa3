// The state of the page in its address, and what is drawn as a file.

import { paint } from "./pixels.js";

// Values in [0, 1] as levels 0 to 255. A half is rounded down, so that a threshold at one half sees the same pixels.
const bytesOf = (x) => Uint8Array.from(x, (v) => Math.ceil(255 * v - 0.5));

// {x, known, seed, tab} as the fragment of an address: pixels as bytes, the mask as bits
export function toFragment({ x, known, seed, tab }) {
  const bytes = bytesOf(x);
  const bits = new Uint8Array(Math.ceil(known.length / 8));
  known.forEach((one, p) => {
    if (one === 0) bits[p >> 3] |= 1 << (p & 7);
  });
  const code = (array) => btoa(Array.from(array, (byte) => String.fromCharCode(byte)).join("")).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `t=${tab}&s=${seed}&x=${code(shortened(bytes))}&m=${code(bits)}`;
}

// The state in a fragment, or null where there is none for boards of this size.
export function fromFragment(text, values, pixels) {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  try {
    const decode = (code) => Uint8Array.from(atob((code ?? "").replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const bytes = lengthened(decode(parts.get("x")));
    const bits = decode(parts.get("m"));
    if (bytes.length !== values || bits.length !== Math.ceil(pixels / 8)) return null;
    const known = Uint8Array.from({ length: pixels }, (_, p) => ((bits[p >> 3] >> (p & 7)) & 1 ? 0 : 1));
    return { x: Float32Array.from(bytes, (v) => v / 255), known, seed: Number(parts.get("s")) >>> 0, tab: parts.get("t") };
  } catch {
    return null;
  }
}

// runs of equal bytes as (byte, length): drawings are mostly empty
function shortened(bytes) {
  const pairs = [];
  for (let i = 0; i < bytes.length; ) {
    let length = 1;
    while (length < 255 && i + length < bytes.length && bytes[i + length] === bytes[i]) length++;
    pairs.push(bytes[i], length);
    i += length;
  }
  return Uint8Array.from(pairs);
}

function lengthened(pairs) {
  const bytes = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) for (let k = 0; k < pairs[i + 1]; k++) bytes.push(pairs[i]);
  return Uint8Array.from(bytes);
}

export function savePng(x, event, name) {
  const canvas = document.createElement("canvas");
  paint(canvas, x, event);
  canvas.toBlob((blob) => save(blob, name));
}

// A NumPy array of shape (1, C, H, W), uint8 grey levels (format 1.0, see NumPy's documentation of numpy.lib.format).
export function saveNpy(x, event, name) {
  const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (1, ${event.join(", ")}), }`;
  const padded = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const start = new Uint8Array(10);
  start.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(start.buffer).setUint16(8, padded.length, true);
  save(new Blob([start, padded, bytesOf(x)]), name);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
