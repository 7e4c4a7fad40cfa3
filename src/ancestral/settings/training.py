"""How long, how fast, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import LARGEST_COUNT, LARGEST_SEED, check_fields, check_numbers

USUAL_RATE, USUAL_BETA1, BETA2 = 1e-3, 0.9, 0.999
COUNTS = "epochs batch_size warmup_steps patience validate_every watch_size log_every samples_at"
LARGEST = {**dict.fromkeys(COUNTS.split(), LARGEST_COUNT), "seed": LARGEST_SEED, "learning_rate": 1e38}


@dataclass(frozen=True)
class TrainingSettings:
    """How long, how fast, and when to stop."""

    epochs: int = 40
    """passes over the training images"""
    batch_size: int = 128
    """images per step"""
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd"] = "adam"
    """update rule"""
    learning_rate: float | None = None
    """step size (at its peak, where a schedule is used; default: depends on the family)"""
    beta1: float | None = None
    """adam, adamw, adamax: decay of the running mean of the gradient (default: 0.9, for gan 0.5)"""
    weight_decay: float = 0.0
    """decoupled for adamw, added to the gradient for the others"""
    momentum: float = 0.0
    """for sgd and rmsprop"""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the rate decays to zero over the epochs"""
    warmup_steps: int = 0
    """steps over which the rate first rises from zero"""
    clip_norm: float | None = None
    """clip the gradient's norm to this"""
    patience: int | None = None
    """stop after so many validations without improvement"""
    validate_every: int | None = None
    """validate every so many steps too (default: at the end of each epoch)"""
    watch: tuple[Literal["train", "valid", "test"], ...] = ("valid",)
    """splits whose score is logged at each validation; only valid ever selects the best weights"""
    watch_size: int | None = None
    """watch only the first so many images of train and test"""
    log_every: int = 20
    """log means over so many steps (the first step is always logged alone)"""
    samples_at: tuple[int, ...] = ()
    """draw 64 samples after these epochs (0: before training)"""
    thumbnails: bool = True
    """store small sheets of 64 training and 64 test images in the run"""
    seed: int = 0
    """everything random follows from it"""
    device: str = "auto"
    """auto, cpu, cuda, mps or one of several, cuda:1 say"""
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format"""
    init_from: str | None = None
    """run folder whose trained weights a new run starts from"""
    freeze: tuple[str, ...] = ()
    """parts of the model that are not trained, by name: encoder, say"""
    track: tuple[Literal["tensorboard", "csv"], ...] = ()
    """write the log in other forms too: events for TensorBoard, or a table with a column for each quantity"""

    def __post_init__(self) -> None:
        check_fields(self, LARGEST)
        check_numbers(self, "epochs batch_size patience validate_every watch_size log_every", 1)
        check_numbers(self, "warmup_steps samples_at seed", 0)
        check_numbers(self, "weight_decay momentum beta1", 0)
        if self.beta1 is not None and self.beta1 >= 1:
            raise InputError(f"--beta1 {self.beta1}: give a number of at least 0 and below 1")
        check_numbers(self, "learning_rate clip_norm", 0, above=True)

    @property
    def unused(self) -> dict[str, str]:
        """Settings that have no effect beside the others, by name, and the reason in words."""
        found = {}
        if self.optimizer not in ("sgd", "rmsprop"):
            found["momentum"] = "it needs --optimizer sgd or rmsprop"
        if not self.optimizer.startswith("adam"):
            found["beta1"] = "it needs --optimizer adam, adamw or adamax"
        if not {"train", "test"} & set(self.watch):
            found["watch_size"] = "it needs --watch train or test"
        if self.samples_at and min(self.samples_at) > self.epochs:
            found["samples_at"] = f"there are {self.epochs} epochs"
        return found

    @property
    def stretched(self) -> tuple[str, ...]:
        """As of a family's settings: names of those in use that follow a course over all epochs."""
        return ("schedule",) if self.schedule == "cosine" else ()

    @property
    def rate(self) -> float:
        """The learning rate, and the usual one where none was chosen for a family."""
        return USUAL_RATE if self.learning_rate is None else self.learning_rate

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's, the first the usual one where none was chosen for a family."""
        return USUAL_BETA1 if self.beta1 is None else self.beta1, BETA2
