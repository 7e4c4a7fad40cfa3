"""Length, optimiser, validation and log of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import LARGEST_COUNT, LARGEST_SEED, check_fields, check_numbers

USUAL_RATE, USUAL_BETA1, BETA2 = 1e-3, 0.9, 0.999
COUNTS = "epochs batch_size warmup_steps patience validate_every watch_size log_every samples_at"
COUNTS += " shuffle_window devices shards"
LARGEST = {**dict.fromkeys(COUNTS.split(), LARGEST_COUNT), "seed": LARGEST_SEED, "learning_rate": 1e38}


@dataclass(frozen=True)
class TrainingSettings:
    """Length, optimiser, validation and log of the training."""

    epochs: int = 40
    """number of passes over the training data"""
    batch_size: int = 128
    """number of images per step"""
    shuffle_window: int | None = None
    """shuffle the images within windows of N images of the files, and the windows, for data on a slow disk (default:
    shuffle all images)"""
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd"] = "adam"
    """optimiser"""
    learning_rate: float | None = None
    """learning rate; with a schedule or warm-up, its highest value (default: depends on the family)"""
    beta1: float | None = None
    """adam, adamw, adamax: decay of the first moment (default: 0.9; gan: 0.5)"""
    weight_decay: float = 0.0
    """weight decay; adamw: decoupled; other optimisers: an L2 penalty, added to the gradient"""
    momentum: float = 0.0
    """sgd, rmsprop: momentum"""
    schedule: Literal["constant", "cosine"] = "constant"
    """learning-rate schedule; cosine: the rate decays to zero over the epochs"""
    warmup_steps: int = 0
    """number of steps at the start over which the learning rate rises from zero"""
    clip_norm: float | None = None
    """largest norm of the gradient; a longer gradient is scaled down (default: no clipping)"""
    average_weights: float | None = None
    """decay, below 1, of an exponential moving average of the weights, which validation, samples and the saved model
    use, for example 0.999 (default: no average)"""
    patience: int | None = None
    """stop after N validations without improvement (default: never)"""
    validate_every: int | None = None
    """validate also every N steps (default: only at the end of each epoch)"""
    watch: tuple[Literal["train", "valid", "test"], ...] = ("valid",)
    """splits whose score is logged at each validation; the best weights are always selected on valid"""
    watch_size: int | None = None
    """--watch train, test: use only the first N images (default: all)"""
    log_every: int = 20
    """log the mean over every N steps; the first step is always logged separately"""
    samples_at: tuple[int, ...] = ()
    """save 64 samples after these epochs (0: before training)"""
    thumbnails: bool = True
    """store 64 training and 64 test images in the run, for its report; --no-thumbnails switches this off"""
    seed: int = 0
    """random seed of the run"""
    device: str = "auto"
    """auto, cpu, cuda, mps, or one of several devices, for example cuda:1"""
    devices: int = 1
    """number of processes of one run: on CPUs one core each, on accelerators one device each"""
    shards: int | None = None
    """number of parts of a batch whose contributions are summed; results depend on it, and not on the number of
    processes (default: number of processes at the start)"""
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format of the computation; mixed: 16 bits where it is safe, 32 bits elsewhere"""
    compile: bool = False
    """compile loss and gradient into one graph; for long trainings, because compiling takes half a minute"""
    cuda_graph: bool = False
    """record a whole step as one CUDA graph and replay it; for small models on an NVIDIA GPU"""
    init_from: str | None = None
    """folder of a run; the new run starts from its trained weights"""
    freeze: tuple[str, ...] = ()
    """names of parts of the model that are not trained, for example encoder"""
    track: tuple[Literal["tensorboard", "csv"], ...] = ()
    """write the log also as events for TensorBoard, or as a .csv table with one column for each quantity"""

    def __post_init__(self) -> None:
        check_fields(self, LARGEST)
        counts = "epochs batch_size shuffle_window patience validate_every watch_size log_every devices shards"
        check_numbers(self, counts, 1)
        check_numbers(self, "warmup_steps samples_at seed", 0)
        check_numbers(self, "weight_decay momentum beta1", 0)
        if self.beta1 is not None and self.beta1 >= 1:
            raise InputError(f"--beta1 {self.beta1}: give a number of at least 0 and below 1")
        check_numbers(self, "learning_rate clip_norm average_weights", 0, above=True)
        if self.compile and self.precision == "16-mixed":
            raise InputError("--compile: not with --precision 16-mixed, which scales gradients: choose bf16-mixed")
        if self.cuda_graph and self.precision == "16-mixed":
            raise InputError("--cuda-graph: not with --precision 16-mixed, which scales gradients: choose bf16-mixed")
        if self.cuda_graph and self.compile:
            raise InputError("--cuda-graph: not with --compile: leave out one of them")
        if self.average_weights is not None and self.average_weights >= 1:
            raise InputError(f"--average-weights {self.average_weights}: give a number above 0 and below 1")

    @property
    def unused(self) -> dict[str, str]:
        """Settings that have no effect given the others: the reason, by name of the setting."""
        found = {}
        if self.optimizer not in ("sgd", "rmsprop"):
            found["momentum"] = "only used with --optimizer sgd or rmsprop"
        if not self.optimizer.startswith("adam"):
            found["beta1"] = "only used with --optimizer adam, adamw or adamax"
        if not {"train", "test"} & set(self.watch):
            found["watch_size"] = "only used with --watch train or test"
        if self.samples_at and min(self.samples_at) > self.epochs:
            found["samples_at"] = f"there are only {self.epochs} epochs"
        return found

    @property
    def full_length_schedules(self) -> tuple[str, ...]:
        """Names of the settings in use that are schedules over all epochs (as of `FamilySettings`)."""
        return ("schedule",) if self.schedule == "cosine" else ()

    @property
    def rate(self) -> float:
        """The learning rate; 1e-3 if neither the user nor the family chose one."""
        return USUAL_RATE if self.learning_rate is None else self.learning_rate

    @property
    def betas(self) -> tuple[float, float]:
        """Decay of Adam's two moments; the first is 0.9 if neither the user nor the family chose one."""
        return USUAL_BETA1 if self.beta1 is None else self.beta1, BETA2
