// Stored tensors: gzip-compressed base64 of float16 and float32 values; see packing.py.

const HALVES = new Float32Array(65536);
for (let bits = 0; bits < 65536; bits++) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) HALVES[bits] = sign * fraction * 2 ** -24;
  else if (exponent === 31) HALVES[bits] = fraction ? NaN : sign * Infinity;
  else HALVES[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// text: base64; returns a function from a stored tensor {at, size, shape, type} to {data, shape}
export async function openStore(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  return ({ at, size, shape, type }) => {
    if (type === "float32") return { data: new Float32Array(buffer.slice(at, at + 4 * size)), shape };
    if (type === "int32") return { data: new Int32Array(buffer.slice(at, at + 4 * size)), shape };
    return { data: Float32Array.from(new Uint16Array(buffer, at, size), (bits) => HALVES[bits]), shape };
  };
}
