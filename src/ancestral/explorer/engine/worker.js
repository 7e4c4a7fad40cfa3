// The thread of one model: opens its weights, repeats test calculations, and answers what the page asks.

import { answer, makeModel, selfTest } from "./models.js";
import { openStore } from "./store.js";

let model = null;

// names of what a model can be asked, by its class and those above it
function callsOf(model) {
  const names = new Set();
  for (let at = Object.getPrototypeOf(model); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  names.delete("constructor");
  return [...names];
}

self.onmessage = async ({ data: { id, open, test, ask } }) => {
  try {
    if (open) {
      const tensors = await openStore(open.weights);
      model = makeModel(open.spec, tensors);
      self.postMessage({ id, result: { calls: callsOf(model), facts: model.facts() } });
    } else if (test) {
      model.progress = undefined;
      self.postMessage({ id, result: selfTest(model, test) });
    } else {
      model.progress = (share) => self.postMessage({ id, progress: share });
      self.postMessage({ id, result: answer(model, ask) });
    }
  } catch (error) {
    self.postMessage({ id, error: String(error.message ?? error) });
  }
};
