// One pixel value of an autoregressive model: parameters (size numbers) to log-probability and draws.

import { sigmoid, softplus } from "./layers.js";
import { bounded, logLogisticBin, logSumExp } from "./pixels.js";

class Bernoulli {
  constructor() {
    this.size = 1;
    this.levels = 2;
  }
  logProb(parameters, value) {
    return -softplus((1 - 2 * value) * parameters[0]);
  }
  sample(parameters, random, temperature) {
    return random.uniform() < sigmoid(parameters[0] / temperature) ? 1 : 0;
  }
}

class Categorical {
  constructor({ levels }) {
    this.size = levels;
    this.levels = levels;
  }
  logProb(parameters, value) {
    return parameters[Math.round(value)] - logSumExp(parameters);
  }
  sample(parameters, random, temperature) {
    return random.category(parameters, temperature);
  }
}

class LogisticMixture {
  constructor({ levels, components }) {
    this.levels = levels;
    this.components = components;
    this.size = 3 * components;
  }
  // log P of every level
  table(parameters) {
    const { components: K, levels } = this;
    const half = (levels - 1) / 2;
    const weights = parameters.slice(0, K);
    const total = logSumExp(weights);
    return Float64Array.from({ length: levels }, (_, level) => this.at(parameters, level, half, total));
  }
  at(parameters, value, half, total) {
    const K = this.components;
    const terms = new Float64Array(K);
    for (let k = 0; k < K; k++) {
      const mean = half * (parameters[K + k] + 1);
      const logScale = 0.5 * bounded(2 * (parameters[2 * K + k] - 1)) + Math.log(half);
      terms[k] = parameters[k] - total + logLogisticBin(value, mean, logScale, this.levels);
    }
    return logSumExp(terms);
  }
  logProb(parameters, value) {
    const half = (this.levels - 1) / 2;
    return this.at(parameters, value, half, logSumExp(parameters.slice(0, this.components)));
  }
  sample(parameters, random, temperature) {
    return random.category(this.table(parameters), temperature);
  }
}

export const VALUES = { bernoulli: Bernoulli, categorical: Categorical, "logistic-mixture": LogisticMixture };
