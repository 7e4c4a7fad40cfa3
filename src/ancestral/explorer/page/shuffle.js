// Whole numbers at random for the page itself: mulberry32 (T. Ettinger), which the models do not use.

export class Shuffle {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  // 0 to n - 1
  below(n) {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }
}
