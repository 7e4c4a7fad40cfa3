"""The public functions, one for each command of the command line.

Each takes a run or its folder; many also take a model. In a script that torchrun or SLURM has started, each process
must call `evaluate`, `quality` and `sample`, because they divide their work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ancestral.api.run import run_of, source_of
from ancestral.core.arguments import plain_arguments, refuse_other_type
from ancestral.core.errors import InputError
from ancestral.models.base import Model
from ancestral.runs.run import Run as StoredRun
from ancestral.settings.data import DataSettings

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.evaluation.annealing import Annealing
    from ancestral.evaluation.contract import Check
    from ancestral.evaluation.quality import Quality
    from ancestral.evaluation.score import Score
    from ancestral.runs.bracket import Bracket
    from ancestral.runs.complete import Completion
    from ancestral.runs.detect import Detection
    from ancestral.runs.explain import Explanation
    from ancestral.runs.infer import Inference
    from ancestral.runs.unusual import Ranking

Split = Literal["train", "valid", "test"]
Stored = StoredRun | Path | str
DATA = tuple(field.name for field in fields(DataSettings))
UNGIVEN = {"sizes": (), "alpha": 0.05, "trials": 1000, "calibrate": "valid", "seed": 0}
Of = StoredRun | Path | str | Model
__all__ = [
    "bracket",
    "complete",
    "detect",
    "evaluate",
    "explain",
    "infer",
    "quality",
    "sample",
    "verify",
]


@plain_arguments(DATA)
def evaluate(
    of: Of,
    *,
    split: Split = "test",
    samples: int = 0,
    from_prior: bool = False,
    count: int | None = None,
    order: str | None = None,
    steps: int | None = None,
    data: Any = None,
    **data_settings: Any,
) -> Score:
    """Score a run or a model on held-out data: exact if possible, else a bound. The score is stored with the run.

    Args:      of: a run, its folder, or a model with `data`. split: of the data. samples: latent samples per image for
               the importance-weighted bound; 0 gives the ELBO. from_prior: sample the latents from the prior instead of
               the posterior. count: use only the first `count` images. order: for an any-order model, the exact score
               in this order of the pixels: raster, columns, random:SEED or confidence. steps: for an any-order model,
               the bound for samples in so many parallel steps. data, data_settings: for a model, its data, `pixels`
               and so on; for a run, other data, whose scores are not stored.
    Returns:   a `Score` in nats with kind (exact, bound or estimate), side, space, split, count and standard error.
    Raises:    NotComputable: the model has no likelihood. InputError: the split is empty.
    """
    from ancestral.runs.evaluate import score_run
    from ancestral.training.processes import dividing_work

    used, part = run_of(of, data, split, **data_settings)
    with dividing_work():
        return score_run(used, part, samples, from_prior, count, order=order, steps=steps)


@plain_arguments()
def sample(
    of: Of,
    n: int = 64,
    *,
    seed: int = 0,
    label: int | str | Sequence[int | str] | None = None,
    condition: Any = None,
    steps: int | None = None,
) -> Tensor:
    """Sample from a run or a model.

    Args:      of: a run, its folder, or a model. n: number of samples. seed: random seed. label: for a conditional
               model, sample images of this class only, or of several classes in equal numbers: numbers, or names in
               the run. condition: for a model of p(x | c), the vector c of all samples, shape (K,), or of each sample,
               (n, K), in the units of the data; None: vectors of test examples of the run, drawn at random. steps: for
               an any-order model, number of parallel steps; with fewer than there are pixels, the samples are not
               exact.
    Returns:   shape (n, *event_shape), in the model's pixel space.
    Raises:    InputError: n < 1, no such class, or a vector of another length. NotComputable: a class is given and the
               model is not conditional.
    """
    from ancestral.runs.sample import class_number, sample_model
    from ancestral.runs.vectors import given_each, sampler_of
    from ancestral.training.processes import dividing_work

    wanted = [] if label is None else [label] if isinstance(label, int | str) else list(label)
    if isinstance(of, Model):
        for one in wanted:
            if isinstance(one, str):
                raise InputError(f"label {one!r}: a model without a run has no class names: give a number")
        model = of if condition is None else given_each(of, condition, n)
        labels = [int(one) for one in wanted]
    else:
        run, _ = run_of(of, None)
        model = sampler_of(run) if condition is None else given_each(run.load(), condition, n)
        labels = [class_number(run, one) for one in wanted]
    with dividing_work():
        return sample_model(model, n, seed, labels or None, steps=steps)


@plain_arguments(DATA)
def complete(
    of: Of,
    hide: str = "bottom",
    *,
    count: int = 8,
    draws: int = 4,
    label: int | str | None = None,
    condition: Any = None,
    seed: int = 0,
    split: Split = "test",
    data: Any = None,
    **data_settings: Any,
) -> Completion:
    """Hide part of some images and sample it from a model.

    Args:      of: a run, its folder, or a model with `data`. hide: left, right, top, bottom, random, or halves for all
               four in turn. count: number of images. draws: completions of each image. label: of a conditional model,
               complete all images as this class. condition: for a model of p(x | c), complete all images with this
               vector, shape (K,); None: the vector of each image. seed: random seed. split: of the data. data,
               data_settings: as in `evaluate`.
    Returns:   the images, masks and draws, whether the draws are exact, and log p(hidden | seen) in nats if it can be
               computed.
    Raises:    NotComputable: the model cannot complete images. InputError: an unknown part.
    """
    from ancestral.runs.complete import complete_run

    used, part = run_of(of, data, split, **data_settings)
    return complete_run(used, hide, count, draws, seed, part, label=label, condition=condition)


@plain_arguments(DATA)
def infer(
    of: Of,
    *,
    split: Split = "test",
    count: int | None = None,
    data: Any = None,
    **data_settings: Any,
) -> Inference:
    """Infer the latents of images: posterior means, responsibilities or codes.

    Args:      of: a run, its folder, or a model with `data`. split: of the data. count: use only the first `count`
               images. data, data_settings: as in `evaluate`.
    Returns:   z, shape (N, M), with labels, standard deviations, and p(class | x) if there are any.
    Raises:    NotComputable: the model has no latents. InputError: the split is empty.
    """
    from ancestral.runs.infer import infer_run

    used, part = run_of(of, data, split, **data_settings)
    return infer_run(used, part, count)


@plain_arguments(DATA)
def quality(
    of: Of,
    *,
    count: int | None = None,
    means: bool = False,
    threshold: bool = False,
    seed: int = 0,
    features: Literal["auto", "pixels", "recogniser"] = "auto",
    steps: int | None = None,
    split: Split = "test",
    data: Any = None,
    **data_settings: Any,
) -> Quality:
    """Compare samples with real images in fixed features: FID, KID, precision, recall, and class proportions.

    Args:      of: a run, its folder, or a model with `data`. count: number of samples; default: 10,000, or the number
               of test images if that is smaller. means: use E[x | z] instead of samples. threshold: set grey values of
               samples and real images to 0 or 1, split at one half. seed: random seed. features: those of a classifier
               ("recogniser", needs labels) or principal components ("pixels"). steps: parallel steps of each sample of
               an any-order model; default: 64; the number of pixels: exact samples. split: of `data`. data,
               data_settings: as in `evaluate`.
    Returns:   the record, which is stored with the run.
    Raises:    InputError: too few images, or no labels for the classifier. NotComputable: a model without steps.
    """
    from ancestral.runs.quality import measure_run
    from ancestral.training.processes import dividing_work

    used, _ = run_of(of, data, split, **data_settings)
    with dividing_work():
        return measure_run(used, count, means=means, threshold=threshold, seed=seed, features=features, steps=steps)


@plain_arguments(DATA)
def explain(
    of: Of,
    *,
    split: Split = "test",
    count: int | None = None,
    seed: int = 0,
    data: Any = None,
    **data_settings: Any,
) -> Explanation:
    """Split the score of images into its terms, for test images and for images with exchanged halves.

    Args:      of: a run, its folder, or a model with `data`. split: of the data. count: use only the first `count`
               images. seed: random seed. data, data_settings: as in `evaluate`.
    Raises:    NotComputable: the model has no likelihood, or no definition of terms.
    """
    from ancestral.runs.explain import explain_run

    used, part = run_of(of, data, split, **data_settings)
    return explain_run(used, count, part, seed)


@overload
def detect(
    run: Stored,
    against: Any = None,
    *,
    samples: int = 0,
    sizes: Sequence[int] = (),
    alpha: float = 0.05,
    trials: int = 1000,
    calibrate: Literal["valid", "test"] = "valid",
    count: int | None = None,
    seed: int = 0,
) -> Detection: ...
@overload
def detect(
    run: Stored, *, data: Any, split: Split = "test", samples: int = 0, count: int | None = None, **data_settings: Any
) -> Ranking: ...
@plain_arguments(DATA)
def detect(
    run: Stored,
    against: Any = None,
    *,
    data: Any = None,
    split: Split = "test",
    samples: int = 0,
    sizes: Sequence[int] = (),
    alpha: float = 0.05,
    trials: int = 1000,
    calibrate: Literal["valid", "test"] = "valid",
    count: int | None = None,
    seed: int = 0,
    **data_settings: Any,
) -> Detection | Ranking:
    """Find out-of-distribution images: test how well a run finds a kind of them, or rank new data.

    `detect(run, against)` tests how well anomalies are separated from test images, per image and per batch; the record
    is stored with the run. `detect(run, data=new)` computes a p-value for each new image, compared with the validation
    images.

    Args:      run: a run or its folder. against: frankenstein (default), noise, shuffled, constant, rotated,
               upside-down, another data set, a file or a folder, or images in the forms that `fit` accepts. data,
               data_settings: new data, as in `evaluate`. split: of `data`. samples: latent samples per image for the
               importance-weighted bound; 0 gives the ELBO. sizes: batch sizes; default: those for which there are
               enough images. alpha: false-positive rate of the batch test. trials: batches of each size. calibrate: on
               validation images, or on half of the test images. count: largest number of images of each kind. seed:
               random seed.
    Returns:   a `Detection`, or with `data` a `Ranking`: `order` has the rows, the most unusual first; `p_value` and
               `log_prob` (nats) have a number for each row.
    Raises:    NotComputable: the model has no likelihood. InputError: images of another shape, or arguments of both
               uses.
    """
    from ancestral.runs.detect import detect_run
    from ancestral.runs.unusual import rank_run

    if data is not None:
        others = {"sizes": tuple(sizes), "alpha": alpha, "trials": trials, "calibrate": calibrate, "seed": seed}
        given = [name for name, value in others.items() if value != UNGIVEN[name]]
        if against is not None or given:
            raise InputError(
                f"detect: {[*given, 'against'][0]} cannot be combined with data, which are ranked: leave out one"
            )
        return rank_run(*run_of(run, data, split, **data_settings), samples=samples, count=count)
    if data_settings or split != "test":
        raise InputError(f"detect: {next(iter(data_settings), 'split')} applies to data only: give data too")
    return detect_run(
        run_of(run, None)[0],
        "frankenstein" if against is None else source_of(against),
        samples=samples,
        sizes=sizes,
        alpha=alpha,
        trials=trials,
        calibrate=calibrate,
        count=count,
        seed=seed,
    )


@plain_arguments()
def bracket(
    run: Stored, images: int = 100, *, plan: Annealing | None = None, samples: int = 5000, seed: int = 0
) -> Bracket:
    """Compute upper and lower bounds on log p(x) of a VAE by annealed importance sampling; stored with the run.

    Args:      run: a run or its folder. images: number of simulated images and of test images. plan: settings of
               annealed importance sampling. samples: K of the importance-weighted bound. seed: random seed.
    Raises:    NotComputable: the model is exact, has discrete latents or no likelihood.
    """
    from ancestral.evaluation.annealing import Annealing
    from ancestral.runs.bracket import bracket_run

    refuse_other_type("bracket: plan", plan, Annealing | None)
    return bracket_run(run_of(run, None)[0], images, plan, samples, seed)


@plain_arguments()
def verify(run: Stored) -> Iterator[Check]:
    """Check a run folder, or the tiny models of a family file, one `Check` at a time.

    Args:      run: a folder, or a file FILE.py that defines `FAMILY`.
    Raises:    InputError: not a run folder, or a file that cannot be loaded.
    """
    from ancestral.families.catalogue import load_file
    from ancestral.runs.verify import verify_family, verify_run

    if isinstance(run, StoredRun) or not str(run).endswith(".py"):
        return verify_run(run)
    return verify_family(load_file(run))
