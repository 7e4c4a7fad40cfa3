// What models with a posterior q(z | x) share: the bound, and completion by a Markov chain.
// Such a model has posterior(x), which returns {sample(random), logProb(z)}; output(z), what its networks make of latents;
// logJoint(x, z, output); and drawPixels(output, random).

import { logSumExp } from "./pixels.js";
import { meanAndError } from "./statistics.js";


// the ELBO from draws of the posterior with its Monte-Carlo error, and the importance-weighted bound of the same draws
export function bound(model, x, random, draws) {
  const q = model.posterior(x);
  const weights = Array.from({ length: draws }, () => {
    const z = q.sample(random);
    return model.logJoint(x, z) - q.logProb(z);
  });
  return { kind: "bound", ...meanAndError(weights), tighter: logSumExp(weights) - Math.log(draws) };
}

export const chainInWords = ({ warming, sweeps }) =>
  `approximate: a Markov chain over latents and hidden pixels, ${warming} + ${sweeps} sweeps`;

// Hidden values, as `metropolis_within_gibbs` in models/completion.py: a sweep draws the latents among the present ones
// and new proposals of the posterior by their weights, then the hidden values from p(x | z). Without sweeps, coding and
// decoding in turn. start: latents.
export function completeByChain(model, start, x, known, random, { warming, sweeps, proposals }) {
  const withOutput = (z) => ({ z, output: model.output(z) });
  const drawFrom = ({ output }) => Float32Array.from(model.drawPixels(output, random), (v, d) => (known[d] !== 0 ? x[d] : v));
  let latents = withOutput(start);
  let now = drawFrom(latents);
  for (let sweep = 0; sweep < warming; sweep++) {
    model.progress?.(sweep / (warming + sweeps));
    latents = withOutput(model.posterior(now).sample(random));
    now = drawFrom(latents);
  }
  for (let sweep = 0; sweep < sweeps; sweep++) {
    model.progress?.((warming + sweep) / (warming + sweeps));
    const q = model.posterior(now);
    const tried = [latents];
    for (let k = 0; k < proposals; k++) tried.push(withOutput(q.sample(random)));
    latents = tried[random.category(tried.map(({ z, output }) => model.logJoint(now, z, output) - q.logProb(z)))];
    now = drawFrom(latents);
  }
  return { x: now, exact: false, logProb: null };
}
