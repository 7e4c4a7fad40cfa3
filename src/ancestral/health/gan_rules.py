"""Troubles of generative adversarial trainings, seen in their samples and in the game's own quantities.

The losses of the two networks are noisy by nature and bound nothing: no rule looks at their course. What is read:
on split `samples` at each validation, from 512 draws against as many held-out images, `diversity` (mean distance
between draws over that between images), `coverage` (share of images with a draw among their 5 nearest
neighbours' ball), `dimension` (effective dimensions of the draws over those of the images), `brightness` (mean
pixel of draws minus that of images, in the images' standard deviations), and where the images have labels `modes`
(classes that the draws reach); on split `train`, means over minibatches.

The weights in use are the last ones, not the best: so it is the last reading of the samples that counts. It is a
mean over 512 draws, whose own noise is far below the thresholds.

Reference: Goodfellow et al., 2014, arXiv 1406.2661; Arjovsky and Bottou, 2017, arXiv 1701.04862 (vanishing
gradients); Naeem et al., 2020, arXiv 2002.09797 (coverage).
"""

from __future__ import annotations

from typing import NamedTuple

from ancestral.health.curves import MIN_READINGS, MIN_STEPS, MIN_SWINGS, WINDOW, Case, LogCurve, Rule, Verdict

ONE_IMAGE, ALIKE, SIMILAR = 0.05, 0.25, 0.5
"""collapse: diversity of a failure at any time, of a failure, of a warning; draws from the data have 1, one image
again and again has 0, and the images of one MNIST class have still about 0.8. A healthy GAN of MNIST has 0.19 after
352 updates, 0.5 after 700, 0.7 after 1,000."""
THIN = 0.06
"""collapse: effective dimensions of the draws over those of the data: faint and bold copies of one image, whose
distances are wide and some of which lie near much of the data, have 1/28 = 0.04 of MNIST's; a healthy GAN of MNIST has
0.07 after 352 updates and 0.12 after 1,000"""
WILD = 1.2
"""collapse: diversity of draws wilder than the data, which with a coverage below `UNCOVERED` are noise; a healthy
generator comes to 1 from below"""
ALIKE_STEPS, COVERED_STEPS = 1000, 2000
"""collapse: updates before a diversity below `ALIKE`, before anything else but `ONE_IMAGE` is judged: the coverage
of a healthy GAN of MNIST still fell to 0.008 at 1,400 updates, and was 0.25 at 2,500"""
UNCOVERED, LITTLE_COVERED = 0.02, 0.05
"""collapse: coverage of a failure, of a warning; as many draws from the data cover 0.97, and a healthy GAN of MNIST
has passed through 0.07 as late as after 2,800 updates on its way to 0.8"""
MODES_LOST = 0.5
"""collapse: share of the classes not reached that makes it a failure; one missing is a warning"""
OFF_BRIGHTNESS = 0.5
"""collapse: standard deviations of a pixel; black images of MNIST are at -0.42 (and have no diversity), so this
is for images far too bright or too dark all over"""
HAD_DIVERSITY = 0.5
"""collapse: diversity that, once reached, need not be waited for again"""
SURE = 0.98
"""saturation: mean D(x) above this and mean D(G(z)) below 1 minus it: the critic errs on no image in fifty"""
STARVED = 0.01
"""vanishing gradient: the generator's gradient as a share of the largest it had"""
RECENT = 10
"""minibatch readings whose median is judged"""
LOST_WARNING, LOST_FAILURE = 0.5, 0.75
"""divergence: share of the best coverage that is lost"""
HAD_COVERAGE = 0.2
"""divergence: coverage that must have been there to be lost"""
SWING = 0.1
"""oscillation: noise of diversity or of coverage from one validation to the next; both are about 1 at best"""


def collapse(case: Case) -> Verdict | None:
    """GAN collapse: the draws are all alike, or miss most of the data, or are noise.

        failure:  diversity < ONE_IMAGE, or < ALIKE from ALIKE_STEPS updates on (an untrained generator has none, and
                  that is no collapse) or once HAD_DIVERSITY was seen;
                  dimension < THIN from ALIKE_STEPS updates on;
                  diversity > WILD  and  coverage < UNCOVERED;
                  from COVERED_STEPS on  coverage < UNCOVERED,  or more than MODES_LOST of the classes missing
        warning:  from COVERED_STEPS on  diversity < SIMILAR,  coverage < LITTLE_COVERED,  a class missing,  or
                  |brightness| > OFF_BRIGHTNESS

    in the last reading.
    """
    diversity = case.curve("samples", "diversity")
    assert diversity is not None
    if not len(diversity) or (diversity.first_infinite or 0) > diversity.steps[-1]:
        return Verdict("GAN collapse", "failure", "the draws are not finite", _STEADIER, case.step)
    last = LastSamples.of(case, diversity)
    failed = _alike(case, diversity) or _thin(case, last) or _noise(last) or _misses_most(case, last)
    if not (failed or _poor(case, last)):
        return None
    healthy = "draws from the data have diversity and dimension 1, coverage about 0.9"
    evidence = f"at {case.at(last.step)}: {last.in_words()}; {healthy}"
    return Verdict("GAN collapse", "failure" if failed else "warning", evidence, _STEADIER, last.step)


_WEAKER = "a larger --critic-dropout or --r1, --spectral-norm, or fewer --critic-steps"
_STEADIER = "Lower --learning-rate or --beta1, give --r1 or --spectral-norm, or raise --critic-steps"


class LastSamples(NamedTuple):
    """The last readings of the samples; None for a quantity that the training does not log.

    Args:      step: of the readings. diversity, coverage, dimension, brightness, modes: see the module.
               classes: of the images, where they are labelled.
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
        """The coverage; all of the data where it is unknown."""
        return 1.0 if self.coverage is None else self.coverage

    @property
    def missing(self) -> float:
        """Share of the classes that no draw reaches; none where it is unknown."""
        return 0.0 if self.modes is None or not self.classes else 1 - self.modes / self.classes

    def in_words(self) -> str:
        """The readings that there are, in one line."""
        words = [
            f"diversity {self.diversity:.2g}" + (" (the draws are one image)" if self.diversity < ONE_IMAGE else "")
        ]
        if self.coverage is not None:
            words.append(f"coverage {self.coverage:.2g}")
        if self.dimension is not None:
            words.append(f"dimension {self.dimension:.2g}")
        if self.modes is not None:
            words.append(f"{self.modes:.0f} of {self.classes or 'the'} classes reached")
        if self.brightness is not None:
            words.append(f"brightness {self.brightness:+.2f} standard deviations" + _shade(self.brightness))
        return ", ".join(words)


def _alike(case: Case, diversity: LogCurve) -> bool:
    """Whether the draws are all alike, and not only because the generator has not learned yet."""
    begun = case.step >= ALIKE_STEPS or float(diversity.values.max()) >= HAD_DIVERSITY
    return bool(diversity.values[-1] < (ALIKE if begun else ONE_IMAGE))


def _thin(case: Case, last: LastSamples) -> bool:
    """Whether the draws vary along too few dimensions."""
    return case.step >= ALIKE_STEPS and last.dimension is not None and last.dimension < THIN


def _noise(last: LastSamples) -> bool:
    """Whether the draws vary more than the data and lie far from it."""
    return last.diversity > WILD and last.covered < UNCOVERED


def _misses_most(case: Case, last: LastSamples) -> bool:
    """Whether the draws miss most of the data or of its classes after enough updates."""
    return case.step >= COVERED_STEPS and (last.covered < UNCOVERED or last.missing > MODES_LOST)


def _poor(case: Case, last: LastSamples) -> bool:
    """Whether the draws deserve a warning after enough updates."""
    narrow = last.diversity < SIMILAR or last.covered < LITTLE_COVERED or last.missing > 0
    return case.step >= COVERED_STEPS and (narrow or abs(last.brightness or 0) > OFF_BRIGHTNESS)


def _last(case: Case, name: str) -> float | None:
    curve = case.curve("samples", name)
    return None if curve is None or not len(curve) else float(curve.values[-1])


def _shade(shift: float) -> str:
    """In which direction the mean pixel is off; this does not say how dark or bright single pixels are."""
    if abs(shift) < OFF_BRIGHTNESS / 2:
        return ""
    return " (darker than the data)" if shift < 0 else " (brighter than the data)"


def saturation(case: Case) -> Verdict | None:
    """Discriminator saturation: median D(x) > SURE and median D(G(z)) < 1 - SURE over the last readings.

    A warning: a generator can still learn from a critic that is always right, if its loss does not saturate;
    a failure where it does not: its gradient has vanished too, or its draws cover less than UNCOVERED of the data.
    """
    real, fake = case.curve("train", "real_prob"), case.curve("train", "fake_prob")
    assert real is not None and fake is not None
    if real.recent(RECENT) <= SURE or fake.recent(RECENT) >= 1 - SURE:
        return None
    value, covered = case.curve("train", "value"), _last(case, "coverage")
    vanished = case.curve("train", "generator_gradient") is not None and vanishing_gradient(case) is not None
    lost = vanished or (covered is not None and covered < UNCOVERED)
    note = "" if value is None else f", value {value.recent(RECENT):.3g} nats (-1.386 at the equilibrium, 0 at most)"
    return Verdict(
        "discriminator saturation",
        "failure" if lost else "warning",
        f"D(x) {real.recent(RECENT):.4f} on images, {fake.recent(RECENT):.2g} on draws{note}",
        f"Weaken the critic: {_WEAKER}",
        int(real.steps[-1]),
    )


def vanishing_gradient(case: Case) -> Verdict | None:
    """Vanishing generator gradient: its norm is close to zero while the critic wins.

        median of the last norms < STARVED max(first norm, largest median of three)  and  mean D(G(z)) < 1 - SURE

    At the equilibrium the gradient is small too, but there D(G(z)) = 1/2. Losses without probabilities have no such
    excuse to be told from, and are judged by the norm alone.
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
        f"its norm is {norm.recent(RECENT):.2g}, and was {largest:.2g}"
        + ("" if fake is None else f"; D(G(z)) {fake.recent(RECENT):.2g}"),
        f"Take --loss non-saturating, or weaken the critic: {_WEAKER}",
        int(norm.steps[-1]),
    )


def divergence(case: Case) -> Verdict | None:
    """Divergence: the samples were better before. With c the coverage, in medians of three readings,

        max c >= HAD_COVERAGE  and  end c < (1 - LOST) max c,

    LOST_FAILURE for a failure, LOST_WARNING for a warning.
    """
    curve = case.curve("samples", "coverage")
    assert curve is not None
    best = float(curve.smooth[WINDOW - 1 :].max())
    if best < HAD_COVERAGE or curve.end >= (1 - LOST_WARNING) * best:
        return None
    when = int(curve.steps[WINDOW - 1 + int(curve.smooth[WINDOW - 1 :].argmax())])
    severity = "failure" if curve.end < (1 - LOST_FAILURE) * best else "warning"
    evidence = f"coverage fell from {best:.2g} at {case.at(when)} to {curve.end:.2g}"
    return Verdict("divergence", severity, evidence, _STEADIER, when)


def oscillation(case: Case) -> Verdict | None:
    """Oscillation: diversity or coverage swings from one validation to the next, noise > SWING."""
    curves = [(name, case.curve("samples", name)) for name in ("diversity", "coverage")]
    swings = [(curve.noise, name) for name, curve in curves if curve is not None and len(curve) >= MIN_SWINGS]
    worst, name = max(swings)
    if worst <= SWING:
        return None
    evidence = f"the {name} of the draws swings by ± {worst:.2g} from one validation to the next"
    return Verdict("oscillation", "warning", evidence, _STEADIER, case.step)


def _begun(case: Case) -> bool:
    """Whether the generator has had time to learn at all."""
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
