"""What a user may set, and its defaults. The command line's flags are made from these dataclasses.

Nothing here imports torch, so that `--help` answers at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ancestral.errors import InputError

PixelSpaceName = Literal["binary", "static", "threshold", "levels", "unit"]


def check_choices(settings: Any) -> None:
    """Refuse words that are none of a setting's choices: the command line would, other callers might not.

    Raises:    InputError: names the flag and its choices.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if get_origin(hint) is tuple:
            hint, values = get_args(hint)[0], value
        else:
            values = (value,)
        if get_origin(hint) is Literal and any(word not in get_args(hint) for word in values):
            raise InputError(f"{_flag(name)} {_shown(value)}: choose {', '.join(get_args(hint))}")


def check_numbers(settings: Any, names: str, least: float, above: bool = False) -> None:
    """Refuse numbers that are too small, not finite, or not whole where whole ones are wanted.

    Args:      names: of the settings, with spaces between; None is left alone, each of a tuple is looked at.
               least: the smallest number allowed, or with `above` the largest that is too small.
    Raises:    InputError: names the flag and what it takes.
    """
    kinds = {part.name: str(part.type) for part in fields(settings)}
    for name in names.split():
        value = getattr(settings, name)
        whole = "int" in kinds[name]
        kind = int if whole else (int, float)
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            fits = isinstance(number, kind) and not isinstance(number, bool) and math.isfinite(number)
            if not fits or number < least or (above and number == least):
                wanted = f"a {'whole' if whole else 'finite'} number {'above' if above else 'of at least'}"
                raise InputError(f"{_flag(name)} {_shown(value)}: give {wanted} {least}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class DataSettings:
    """Which images, how they are split, and what a pixel is."""

    data: str = "digits"
    """digits, mnist, fashion, kmnist, a .npz or .npy file, or a folder of images"""
    pixels: PixelSpaceName = "threshold"
    """binary: drawn afresh each epoch with probability = grey value; static: drawn once; threshold: above one
    half; levels: whole numbers; unit: real numbers in [0, 1]"""
    split: Literal["uva2018", "uva2020", "tue2024", "csds600"] | None = None
    """a coursework's own split of the MNIST training images"""
    train_size: int | None = None
    """use only the first so many training images"""
    valid_size: int | None = None
    """hold out so many training images for validation"""
    split_seed: int | None = None
    """shuffle before splitting (default: the files' order)"""
    pad_to: int | None = None
    """pad images with black to this many pixels a side"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_numbers(self, "train_size pad_to", 1)
        check_numbers(self, "valid_size split_seed", 0)


@dataclass(frozen=True)
class TrainingSettings:
    """How long, how fast, and when to stop."""

    epochs: int = 40
    """passes over the training images"""
    batch_size: int = 128
    """images per step"""
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd"] = "adam"
    """update rule"""
    learning_rate: float = 1e-3
    """step size (at its peak, where a schedule is used)"""
    weight_decay: float = 0.0
    """decoupled for adamw, added to the gradient for the others"""
    momentum: float = 0.0
    """for sgd and rmsprop"""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the rate falls to nothing over the epochs"""
    warmup_steps: int = 0
    """steps over which the rate first rises from nothing"""
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
    seed: int = 0
    """everything random follows from it"""
    device: str = "auto"
    """auto, cpu, cuda, mps or one of several, cuda:1 say"""
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    """number format"""
    tensorboard: bool = False
    """write TensorBoard events too"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_numbers(self, "epochs batch_size patience validate_every watch_size log_every", 1)
        check_numbers(self, "warmup_steps samples_at seed", 0)
        check_numbers(self, "weight_decay momentum", 0)
        check_numbers(self, "learning_rate clip_norm", 0, above=True)


@dataclass(frozen=True)
class MixtureSettings:
    """Mixture of Bernoullis: exact log-likelihood of binary pixels."""

    components: int = 20
    """K, the number of values of the latent"""
    method: Literal["gradient", "em"] = "gradient"
    """gradient of the log-likelihood, or expectation-maximisation"""
    smoothing: float = 0.05
    """em: pseudo-counts of black and of white per pixel and component, so that nothing is impossible"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_numbers(self, "components", 1)
        check_numbers(self, "smoothing", 0, above=True)


@dataclass(frozen=True)
class CodingSettings:
    """Encoder, decoder and pixel likelihood."""

    latents: int = 20
    """M, the dimension of z"""
    network: Literal["mlp", "cnn"] = "mlp"
    """kind of encoder and decoder"""
    hidden: tuple[int, ...] = (512,)
    """mlp: widths of the encoder's hidden layers; the decoder mirrors them"""
    channels: tuple[int, ...] = (32, 32, 64, 64, 64)
    """cnn: channels of the encoder's convolutions"""
    strides: tuple[int, ...] = (2, 1, 2, 1, 2)
    """cnn: strides of the encoder's convolutions"""
    decoder_channels: tuple[int, ...] = ()
    """cnn: channels that enter each layer of the decoder (default: the encoder's, reversed)"""
    decoder_strides: tuple[int, ...] = ()
    """cnn: strides of the decoder's layers (default: the encoder's, reversed)"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "relu"
    """nonlinearity"""
    glorot: bool = False
    """Glorot-uniform initial weights instead of torch's default"""
    likelihood: Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"] = "auto"
    """p(x | z); auto: bernoulli for binary pixels, categorical for levels, gaussian for unit"""
    variance: float = 1.0
    """gaussian: the variance, or its starting value"""
    learn_variance: bool = False
    """gaussian: fit the variance"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_numbers(self, "latents hidden channels strides decoder_channels decoder_strides", 1)
        check_numbers(self, "variance", 0, above=True)
        encoder = self.channels, self.strides
        decoder = self.decoder_channels or self.channels, self.decoder_strides or self.strides
        for side, (channels, strides) in {"": encoder, "decoder-": decoder}.items():
            if self.network == "cnn" and len(channels) != len(strides):
                raise InputError(f"--{side}channels {_shown(channels)}: give one of --{side}strides for each")


@dataclass(frozen=True)
class VAESettings(CodingSettings):
    """Variational autoencoder: a lower bound on the log-likelihood."""

    prior: Literal["normal", "mixture", "vamp"] = "normal"
    """p(z): standard normal, learned mixture of Gaussians, or mixture of posteriors (VampPrior)"""
    components: int = 16
    """mixture, vamp: number of components"""
    objective: Literal["elbo", "iwae", "dreg"] = "elbo"
    """what is maximised: the lower bound, the importance-weighted bound, or that with the doubly
    reparameterised gradient"""
    importance_samples: int = 5
    """iwae, dreg: draws of z per image"""
    beta: float = 1.0
    """elbo: weight of the divergence in training (never in evaluation)"""
    free_bits: float = 0.0
    """elbo: nats per latent that the divergence may have for free in training"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "components importance_samples", 1)
        check_numbers(self, "beta free_bits", 0)


@dataclass(frozen=True)
class AutoencoderSettings(CodingSettings):
    """Plain autoencoder: no likelihood; the baseline a VAE is compared with."""


@dataclass(frozen=True)
class Settings:
    """All that determines a run, besides the versions of the software."""

    family: str
    model: MixtureSettings | VAESettings | AutoencoderSettings
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


FAMILIES: dict[str, type] = {
    "mixture": MixtureSettings,
    "vae": VAESettings,
    "autoencoder": AutoencoderSettings,
}


def settings_for(family: str, **values: Any) -> Settings:
    """Settings of a family from flags by name, with defaults for the rest.

    Raises:    InputError: unknown family or setting.
    Example:
        >>> settings_for("vae", latents=2, epochs=3).training.epochs
        3
    """
    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}: choose {', '.join(FAMILIES)}")
    rooms = [FAMILIES[family], DataSettings, TrainingSettings]
    names = [{field.name for field in fields(room)} for room in rooms]
    for name in values:
        if not any(name in known for known in names):
            raise InputError(f"unknown setting {name!r} for {family}: see `ancestral train {family} --help`")
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    parts = [room(**{n: v for n, v in chosen.items() if n in known}) for room, known in zip(rooms, names, strict=True)]
    return Settings(family, *parts)
