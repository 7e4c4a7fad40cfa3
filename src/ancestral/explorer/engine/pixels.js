// Distributions of pixels given the output of a network: log-probability of each value, mean, sample.
// The output of a network has shape (parameters, values) or (values, parameters), as each class says.

import { sigmoid, softplus } from "./layers.js";

const LOG_TWO_PI = Math.log(2 * Math.PI);

class Bernoulli {
  logProb(output, x) {
    return x.map((v, d) => -softplus((1 - 2 * v) * output[d]));
  }
  mean(output) {
    return output.map(sigmoid);
  }
  sample(output, random, temperature = 1) {
    return output.map((logit) => (random.uniform() < sigmoid(logit / temperature) ? 1 : 0));
  }
}

class Gaussian {
  constructor(spec) {
    this.logVariance = spec.log_variance;
  }
  logProb(output, x) {
    const precision = Math.exp(-this.logVariance);
    return x.map((v, d) => -0.5 * (LOG_TWO_PI + this.logVariance + (v - output[d]) ** 2 * precision));
  }
  mean(output) {
    return output.slice();
  }
  sample(output, random, temperature = 1) {
    const deviation = Math.exp(0.5 * this.logVariance) * temperature;
    return output.map((mean) => mean + deviation * random.normal());
  }
}

// free probabilities: logits of shape (channels, levels, pixels of a channel)
class Categorical {
  constructor(spec) {
    this.levels = spec.levels;
    this.channels = spec.channels;
  }
  each(output, use) {
    const pixels = output.length / (this.levels * this.channels);
    const result = new Float32Array(this.channels * pixels);
    const logits = new Float64Array(this.levels);
    for (let c = 0; c < this.channels; c++) {
      for (let p = 0; p < pixels; p++) {
        for (let l = 0; l < this.levels; l++) logits[l] = output[(c * this.levels + l) * pixels + p];
        result[c * pixels + p] = use(logits, c * pixels + p);
      }
    }
    return result;
  }
  logProb(output, x) {
    return this.each(output, (logits, d) => logits[Math.round(x[d])] - logSumExp(logits));
  }
  mean(output) {
    return this.each(output, (logits) => {
      const total = logSumExp(logits);
      return logits.reduce((sum, logit, level) => sum + level * Math.exp(logit - total), 0);
    });
  }
  sample(output, random, temperature = 1) {
    return this.each(output, (logits) => random.category(logits, temperature));
  }
}

// a logistic density integrated over unit bins, the outer ones to infinity; output: means, then raw log-scales
class DiscretisedLogistic {
  constructor(spec) {
    this.levels = spec.levels;
    this.half = (spec.levels - 1) / 2;
  }
  parameters(output, d) {
    const values = output.length / 2;
    // the soft bounds of the log-variance are those of core.maths.bounded_log_variance, see `bounded`
    const logScale = 0.5 * bounded(2 * (output[values + d] - 1)) + Math.log(this.half);
    return [this.half * (output[d] + 1), logScale];
  }
  logProb(output, x) {
    return x.map((v, d) => {
      const [mean, logScale] = this.parameters(output, d);
      return logLogisticBin(v, mean, logScale, this.levels);
    });
  }
  // the mean of the logistic, within the range of the pixels, as PyTorch shows it
  mean(output) {
    const held = (v) => Math.min(this.levels - 1, Math.max(0, this.half * (v + 1)));
    return output.slice(0, output.length / 2).map(held);
  }
  sample(output, random, temperature = 1) {
    return Float32Array.from({ length: output.length / 2 }, (_, d) => {
      const [mean, logScale] = this.parameters(output, d);
      const u = random.uniform();
      const drawn = mean + Math.exp(logScale) * temperature * (Math.log(u) - Math.log1p(-u));
      return Math.min(this.levels - 1, Math.max(0, Math.round(drawn)));
    });
  }
}

export function logLogisticBin(value, mean, logScale, levels) {
  const inverse = Math.exp(-logScale);
  const above = (value - mean + 0.5) * inverse;
  const below = (value - mean - 0.5) * inverse;
  if (value <= 0) return -softplus(-above);
  if (value >= levels - 1) return -softplus(below);
  // log [sigmoid(above) - sigmoid(below)] = -softplus(-above) - softplus(below) + log(1 - exp(-(above - below)))
  return -softplus(-above) - softplus(below) + Math.log(-Math.expm1(-inverse));
}

export function logSumExp(values) {
  let largest = -Infinity;
  for (const value of values) if (value > largest) largest = value;
  if (largest === -Infinity) return -Infinity;
  let total = 0;
  for (const value of values) total += Math.exp(value - largest);
  return largest + Math.log(total);
}

export const PIXELS = {
  bernoulli: Bernoulli,
  categorical: Categorical,
  "discretised-logistic": DiscretisedLogistic,
  gaussian: Gaussian,
};

const LIMIT = 14;
export const bounded = (raw) => LIMIT * Math.tanh(raw / LIMIT);
