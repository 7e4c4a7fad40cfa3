// Random numbers: sfc32 (C. Doty-Humphrey, PractRand), seeded by splitmix32, so that a seed repeats its numbers anywhere.

export class Random {
  constructor(seed) {
    let state = seed >>> 0;
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let t = state ^ (state >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return t ^ (t >>> 15);
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = 1;
    this.spare = null;
    for (let i = 0; i < 12; i++) this.bits();
  }

  // 32 random bits
  bits() {
    const t = (this.a + this.b + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }

  // in the open interval (0, 1)
  uniform() {
    return (this.bits() + 0.5) / 4294967296;
  }

  // standard normal (Box and Muller, 1958)
  normal() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  normals(n) {
    return Float32Array.from({ length: n }, () => this.normal());
  }

  // an index with the probabilities softmax(logits / temperature)
  category(logits, temperature = 1) {
    let largest = -Infinity;
    for (const value of logits) if (value > largest) largest = value;
    let total = 0;
    const weights = Array.from(logits, (value) => Math.exp((value - largest) / temperature));
    for (const weight of weights) total += weight;
    let left = this.uniform() * total;
    for (let k = 0; k < weights.length; k++) {
      left -= weights[k];
      if (left < 0) return k;
    }
    return weights.length - 1;
  }
}
