// Stored tensors: gzip-compressed base64 of float16 and float32 values; see packing.py.

const HALF_TO_SINGLE = 2 ** 112; // ratio of the powers of two that the same exponent bits mean

// text: base64; returns a function from a stored tensor {at, size, shape, type} to {data, shape}; equal ones share data
export async function openStore(text) {
  const binary = atob(text);
  const packed = new Uint8Array(binary.length); // loops: `from` with a function takes ten times as long
  for (let i = 0; i < packed.length; i++) packed[i] = binary.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const read = (at, size, type) => {
    if (type === "float32") return new Float32Array(buffer.slice(at, at + 4 * size));
    if (type === "int32") return new Int32Array(buffer.slice(at, at + 4 * size));
    const halves = new Uint16Array(buffer, at, size); // finite, see packing.py
    const data = new Float32Array(size);
    const bits = new Uint32Array(data.buffer);
    for (let i = 0; i < size; i++) bits[i] = ((halves[i] & 0x8000) << 16) | ((halves[i] & 0x7fff) << 13);
    for (let i = 0; i < size; i++) data[i] *= HALF_TO_SINGLE;
    return data;
  };
  const shared = new Map();
  return ({ at, size, shape, type }) => {
    const key = `${type} ${size} ${at}`;
    if (!shared.has(key)) shared.set(key, read(at, size, type));
    return { data: shared.get(key), shape };
  };
}
