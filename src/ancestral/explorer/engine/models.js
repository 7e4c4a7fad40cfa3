// A model from its description, and the calls that a page may make of it.

import { AnyOrderByClass, AnyOrderModel } from "./anyorder.js";
import { AutoregressiveByClass, AutoregressiveModel } from "./autoregressive.js";
import { BeliefNetModel } from "./beliefnet.js";
import { CircuitModel } from "./circuit.js";
import { DeepBeliefNetModel } from "./deepnet.js";
import { ImageFlowByClass, ImageFlowModel, PointFlowByClass, PointFlowModel } from "./flow.js";
import { GeneratorModel } from "./generator.js";
import { LatentByClass, LatentModel } from "./latent.js";
import { MixtureModel } from "./mixture.js";
import { Random } from "./random.js";

export const KINDS = {
  "any-order": AnyOrderModel,
  autoregressive: AutoregressiveModel,
  "belief-net": BeliefNetModel,
  circuit: CircuitModel,
  "deep-belief-net": DeepBeliefNetModel,
  generator: GeneratorModel,
  "image-flow": ImageFlowModel,
  latent: LatentModel,
  mixture: MixtureModel,
  "point-flow": PointFlowModel,
};
// of descriptions with one part for each class, see byclass.js; a mixture, a circuit and a generator have classes themselves
const BY_CLASS = {
  "any-order": AnyOrderByClass,
  autoregressive: AutoregressiveByClass,
  "image-flow": ImageFlowByClass,
  latent: LatentByClass,
  "point-flow": PointFlowByClass,
};

export function makeModel(spec, tensors) {
  const kind = (spec.given ? BY_CLASS : KINDS)[spec.kind];
  if (!kind) throw new Error(`this page has no models of the kind ${spec.kind}`);
  return new kind(spec, tensors);
}

// Largest difference of each test vector from what PyTorch computed, with its tolerance.
export function selfTest(model, vectors) {
  return vectors.map(({ call, args, expect, relative, absolute }) => {
    const found = flat(model[call](...args.map(typed)));
    const wanted = flat(expect);
    const scale = wanted.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    const limit = absolute ?? relative * Math.max(scale, 1e-6);
    const same = found.length === wanted.length;
    const difference = same ? found.reduce((a, v, i) => Math.max(a, Math.abs(v - wanted[i])), 0) : Infinity;
    return { call, difference, limit, passed: difference <= limit };
  });
}

function typed(value) {
  if (!Array.isArray(value)) return value;
  return Array.isArray(value[0]) ? value.map(typed) : Float32Array.from(value);
}

function flat(value) {
  if (typeof value === "number") return [value];
  if (ArrayBuffer.isView(value)) return Array.from(value);
  return (Array.isArray(value) ? value : Object.values(value)).flatMap(flat);
}

// What a page asks of a model: {call, args, seed}. With a seed, a generator of random numbers takes the place of "random"
// among the arguments.
export function answer(model, { call, args = [], seed }) {
  if (typeof model[call] !== "function") throw new Error(`this model has no ${call}`);
  return model[call](...args.map((value) => (value === "random" ? new Random(seed) : value)));
}
