"""Health checks of adversarial trainings, from their samples and from the outputs of the critic.

The losses of generator and critic are noisy and are not bounds, so no rule uses them. The rules use quantities of two
splits. Split `samples`, at each validation, compares 512 samples with 512 held-out images: `diversity` (mean distance
between samples divided by that between images), `coverage` (share of images with a sample within the distance of their
5th nearest neighbour), `dimension` (effective dimensions of the samples divided by those of the images), `brightness`
(mean pixel of samples minus that of images, in standard deviations of the images), and for labelled images `modes`
(number of classes among the samples). Split `train` has means over minibatches.

A GAN keeps its last weights, not the best ones, so the last reading of the samples is decisive. It is a mean over 512
samples, and its noise is much smaller than the thresholds.

Reference: Goodfellow et al., 2014, arXiv 1406.2661; Arjovsky and Bottou, 2017, arXiv 1701.04862 (vanishing
gradients); Naeem et al., 2020, arXiv 2002.09797 (coverage).
"""

from __future__ import annotations

from typing import NamedTuple

from ancestral.health.advice import advice, phrases
from ancestral.health.curves import MIN_READINGS, MIN_STEPS, MIN_SWINGS, WINDOW, Case, LogCurve, Rule, Verdict

ONE_IMAGE, ALIKE, SIMILAR = 0.05, 0.25, 0.5
"""collapse: diversity below which there is a failure at any time, a failure, a warning. Samples from the data have 1,
one repeated image has 0, images of one MNIST class have about 0.8. A healthy GAN of MNIST has 0.19 after 352 updates,
0.5 after 700, 0.7 after 1,000."""
THIN = 0.06
"""collapse: effective dimensions of the samples divided by those of the data. Copies of one image with different
contrast, whose distances are large, have 1/28 = 0.04 for MNIST; a healthy GAN of MNIST has 0.07 after 352 updates and
0.12 after 1,000"""
WILD = 1.2
"""collapse: diversity above which samples with a coverage below `UNCOVERED` are noise; in a healthy training, diversity
approaches 1 from below"""
ALIKE_STEPS, COVERED_STEPS = 1000, 2000
"""collapse: updates before `ALIKE` is checked, and before the other criteria except `ONE_IMAGE` are: the coverage of a
healthy GAN of MNIST was 0.008 at 1,400 updates and 0.25 at 2,500"""
UNCOVERED, LITTLE_COVERED = 0.02, 0.05
"""collapse: coverage below which there is a failure, a warning. Samples from the data have 0.97; a healthy GAN of MNIST
had 0.07 after 2,800 updates and reached 0.8 later"""
MODES_LOST = 0.5
"""collapse: share of missing classes above which there is a failure; one missing class is a warning"""
OFF_BRIGHTNESS = 0.5
"""collapse: difference of the mean pixel in standard deviations, for images that are much too bright or too dark; black
images of MNIST have -0.42 (and no diversity)"""
HAD_DIVERSITY = 0.5
"""collapse: once this diversity was reached, `ALIKE` is checked without waiting"""
SURE = 0.98
"""saturation: mean D(x) above this value and mean D(G(z)) below 1 minus this value"""
STARVED = 0.01
"""vanishing gradient: gradient norm of the generator divided by its largest value so far"""
RECENT = 10
"""number of minibatch readings per median"""
LOST_WARNING, LOST_FAILURE = 0.5, 0.75
"""divergence: share of the best coverage that is lost"""
HAD_COVERAGE = 0.2
"""divergence: smallest best coverage for which a loss is checked"""
SWING = 0.1
"""oscillation: noise of diversity or coverage between validations; both are about 1 for good samples"""


def collapse(case: Case) -> Verdict | None:
    """GAN collapse: the samples are all similar, or miss most of the data, or are noise.

        failure:  diversity < ONE_IMAGE, or < ALIKE from ALIKE_STEPS updates on (an untrained generator also has a low
                  diversity) or after HAD_DIVERSITY was reached;
                  dimension < THIN from ALIKE_STEPS updates on;
                  diversity > WILD  and  coverage < UNCOVERED;
                  from COVERED_STEPS on  coverage < UNCOVERED,  or more than MODES_LOST of the classes missing
        warning:  from COVERED_STEPS on  diversity < SIMILAR,  coverage < LITTLE_COVERED,  a class missing,  or
                  |brightness| > OFF_BRIGHTNESS

    in the last reading.
    """
    diversity = case.curve("samples", "diversity")
    assert diversity is not None
    against = advice(case.facts, _STEADIER)
    if not len(diversity) or (diversity.first_infinite or 0) > diversity.steps[-1]:
        return Verdict("GAN collapse", "failure", "the samples are not finite", against, case.step)
    last = LastSamples.of(case, diversity)
    failed = _all_similar(case, diversity) or _thin(case, last) or _noise(last) or _misses_most(case, last)
    if not (failed or _poor(case, last)):
        return None
    healthy = "real images have diversity and dimension 1 and coverage about 0.9"
    evidence = f"at {case.at(last.step)}: {last.in_words()}; {healthy}"
    return Verdict("GAN collapse", "failure" if failed else "warning", evidence, against, last.step)


_WEAKER = ("raise --critic-dropout", "raise --r1", "give --spectral-norm", "use fewer --critic-steps")
_STEADIER = ("lower --learning-rate", "lower --beta1", "give --r1", "give --spectral-norm", "raise --critic-steps")


class LastSamples(NamedTuple):
    """The last readings of the samples; None for a quantity that is not logged.

    Args:      step: of the readings. diversity, coverage, dimension, brightness, modes: see the module.
               classes: number of classes of labelled images.
    """

    step: int
    diversity: float
    coverage: float | None
    dimension: float | None
    brightness: float | None
    modes: float | None
    classes: int | None

    @classmethod
    def of(cls, case: Case, diversity: LogCurve) -> LastSamples:
        return cls(
            step=int(diversity.steps[-1]),
            diversity=float(diversity.values[-1]),
            coverage=_last(case, "coverage"),
            dimension=_last(case, "dimension"),
            brightness=_last(case, "brightness"),
            modes=_last(case, "modes"),
            classes=case.facts.classes,
        )

    @property
    def covered(self) -> float:
        """The coverage; 1 if it is unknown."""
        return 1.0 if self.coverage is None else self.coverage

    @property
    def missing(self) -> float:
        """The share of classes without a sample; 0 if it is unknown."""
        return 0.0 if self.modes is None or not self.classes else 1 - self.modes / self.classes

    def in_words(self) -> str:
        """The known readings, in one line."""
        words = [
            f"diversity {self.diversity:.2g}"
            + (" (all samples are the same image)" if self.diversity < ONE_IMAGE else "")
        ]
        if self.coverage is not None:
            words.append(f"coverage {self.coverage:.2g}")
        if self.dimension is not None:
            words.append(f"dimension {self.dimension:.2g}")
        if self.modes is not None:
            words.append(f"{self.modes:.0f} of {self.classes or 'the'} classes generated")
        if self.brightness is not None:
            words.append(f"brightness {self.brightness:+.2f} standard deviations" + _shade(self.brightness))
        return ", ".join(words)


def _all_similar(case: Case, diversity: LogCurve) -> bool:
    """Whether the samples are all similar, at a time when a healthy generator has some diversity."""
    learned = case.step >= ALIKE_STEPS or float(diversity.values.max()) >= HAD_DIVERSITY
    return bool(diversity.values[-1] < (ALIKE if learned else ONE_IMAGE))


def _thin(case: Case, last: LastSamples) -> bool:
    """Whether the samples vary in too few dimensions."""
    return case.step >= ALIKE_STEPS and last.dimension is not None and last.dimension < THIN


def _noise(last: LastSamples) -> bool:
    """Whether the samples vary more than the data and are far from it."""
    return last.diversity > WILD and last.covered < UNCOVERED


def _misses_most(case: Case, last: LastSamples) -> bool:
    """Whether the samples miss most of the data or of its classes after enough updates."""
    return case.step >= COVERED_STEPS and (last.covered < UNCOVERED or last.missing > MODES_LOST)


def _poor(case: Case, last: LastSamples) -> bool:
    """Whether the samples justify a warning after enough updates."""
    narrow = last.diversity < SIMILAR or last.covered < LITTLE_COVERED or last.missing > 0
    return case.step >= COVERED_STEPS and (narrow or abs(last.brightness or 0) > OFF_BRIGHTNESS)


def _last(case: Case, name: str) -> float | None:
    curve = case.curve("samples", name)
    return None if curve is None or not len(curve) else float(curve.values[-1])


def _shade(shift: float) -> str:
    """The direction of a difference of mean pixels, in words; "" for a small difference."""
    if abs(shift) < OFF_BRIGHTNESS / 2:
        return ""
    return " (darker than the data)" if shift < 0 else " (brighter than the data)"


def saturation(case: Case) -> Verdict | None:
    """Discriminator saturation: median D(x) > SURE and median D(G(z)) < 1 - SURE over the last readings.

    A warning, because with a loss that does not saturate the generator can still improve. A failure if the gradient of
    the generator has vanished too, or if the samples cover less than UNCOVERED of the data.
    """
    real, fake = case.curve("train", "real_prob"), case.curve("train", "fake_prob")
    assert real is not None and fake is not None
    if real.recent(RECENT) <= SURE or fake.recent(RECENT) >= 1 - SURE:
        return None
    value, covered = case.curve("train", "value"), _last(case, "coverage")
    vanished = case.curve("train", "generator_gradient") is not None and vanishing_gradient(case) is not None
    lost = vanished or (covered is not None and covered < UNCOVERED)
    note = "" if value is None else f", value {value.recent(RECENT):.3g} nats (equilibrium: -1.386, maximum: 0)"
    return Verdict(
        "discriminator saturation",
        "failure" if lost else "warning",
        f"D is {real.recent(RECENT):.4f} on real images and {fake.recent(RECENT):.2g} on samples{note}",
        f"Weaken the critic: {phrases(case.facts, _WEAKER)}",
        int(real.steps[-1]),
    )


def vanishing_gradient(case: Case) -> Verdict | None:
    """Vanishing generator gradient: its norm is close to zero while the critic separates real and generated images.

        median of the last norms < STARVED max(first norm, largest median of three)  and  mean D(G(z)) < 1 - SURE

    At the equilibrium the gradient is small too, but D(G(z)) = 1/2. For losses without probabilities, only the norm is
    checked.
    """
    norm, fake = case.curve("train", "generator_gradient"), case.curve("train", "fake_prob")
    assert norm is not None
    if fake is not None and len(fake) and fake.recent(RECENT) >= 1 - SURE:
        return None
    largest = max(case.first("train", "generator_gradient"), float(norm.smooth.max()))
    if norm.recent(RECENT) >= STARVED * largest:
        return None
    return Verdict(
        "vanishing generator gradient",
        "failure",
        f"its norm fell from {largest:.2g} to {norm.recent(RECENT):.2g}"
        + ("" if fake is None else f"; D(G(z)) {fake.recent(RECENT):.2g}"),
        f"Use --loss non-saturating, or weaken the critic: {phrases(case.facts, _WEAKER)}",
        int(norm.steps[-1]),
    )


def divergence(case: Case) -> Verdict | None:
    """Divergence: the samples were better before. With medians c of three readings of the coverage,

        max c >= HAD_COVERAGE  and  end c < (1 - LOST) max c,

    with LOST = LOST_FAILURE for a failure and LOST_WARNING for a warning.
    """
    curve = case.curve("samples", "coverage")
    assert curve is not None
    best = float(curve.smooth[WINDOW - 1 :].max())
    if best < HAD_COVERAGE or curve.end >= (1 - LOST_WARNING) * best:
        return None
    when = int(curve.steps[WINDOW - 1 + int(curve.smooth[WINDOW - 1 :].argmax())])
    severity = "failure" if curve.end < (1 - LOST_FAILURE) * best else "warning"
    evidence = f"coverage fell from {best:.2g} at {case.at(when)} to {curve.end:.2g}"
    return Verdict("divergence", severity, evidence, advice(case.facts, _STEADIER), when)


def oscillation(case: Case) -> Verdict | None:
    """Oscillation: the noise of diversity or coverage between validations exceeds SWING."""
    curves = [(name, case.curve("samples", name)) for name in ("diversity", "coverage")]
    swings = [(curve.noise, name) for name, curve in curves if curve is not None and len(curve) >= MIN_SWINGS]
    worst, name = max(swings)
    if worst <= SWING:
        return None
    evidence = f"the {name} of the samples changes by ± {worst:.2g} from one validation to the next"
    return Verdict("oscillation", "warning", evidence, advice(case.facts, _STEADIER), case.step)


def _begun(case: Case) -> bool:
    """Whether there were enough updates for a first check."""
    return case.step >= MIN_STEPS


RULES = (
    Rule("GAN collapse", lambda case: case.curve("samples", "diversity") is not None, _begun, collapse),
    Rule(
        "discriminator saturation",
        lambda case: case.curve("train", "real_prob") is not None,
        lambda case: case.step >= MIN_STEPS and case.length("train", "real_prob", "fake_prob") >= RECENT,
        saturation,
    ),
    Rule(
        "vanishing generator gradient",
        lambda case: case.curve("train", "generator_gradient") is not None,
        lambda case: case.step >= MIN_STEPS and case.length("train", "generator_gradient") >= RECENT,
        vanishing_gradient,
    ),
    Rule(
        "divergence",
        lambda case: case.adversarial and case.curve("samples", "coverage") is not None,
        lambda case: case.length("samples", "coverage") >= MIN_READINGS,
        divergence,
    ),
    Rule(
        "oscillation",
        lambda case: case.adversarial and case.curve("samples", "diversity") is not None,
        lambda case: case.length("samples", "diversity") >= MIN_SWINGS,
        oscillation,
    ),
)
