"""The stored record of a compression of test images, beside the claim of the model and other codecs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.evaluation.codecs import Codec
from ancestral.evaluation.score import Score

LOG2 = math.log(2)


@dataclass(frozen=True)
class CompressionRecord:
    """A file of all images of a split, its claim, its speed, and other codecs on the same pixels.

    Args:      claim: the score of the same images by the model before its numbers are rounded. file_bits: of the whole
               file. images: number. dimensions: pixels in each. exact: number of images that came back byte by byte.
               encode_per_second, decode_per_second: images. block: images in a block. code, arithmetic, guarantee: as
               in the file. model_bytes: of the weights as they are stored. codecs: other codecs. space, split: of the
               images. threads: of the calculation.
    """

    claim: Score
    file_bits: int
    images: int
    dimensions: int
    exact: int
    encode_per_second: float
    decode_per_second: float
    block: int
    code: str
    arithmetic: str
    guarantee: str
    model_bytes: int
    codecs: tuple[Codec, ...]
    space: str
    split: str
    threads: int
    _repr_html_ = as_html

    @property
    def claimed_bits(self) -> float:
        """-log2 p(x) of all images together, or their negative ELBO."""
        return -self.claim.nats * self.images / LOG2

    @property
    def overhead(self) -> float:
        """By which share the file is larger than the claim."""
        return self.file_bits / self.claimed_bits - 1

    @property
    def bits_per_dim(self) -> float:
        """Bits of the file for each pixel."""
        return self.file_bits / (self.images * self.dimensions)

    @property
    def best_codec(self) -> Codec | None:
        """The smallest of the other codecs."""
        return min((one for one in self.codecs if one.bits is not None), key=lambda one: one.bits or 0, default=None)

    @property
    def images_to_break_even(self) -> int | None:
        """Number of images after which file and model are together smaller than the best other codec; None: never."""
        best = self.best_codec
        if best is None or best.bits is None or best.bits <= self.file_bits:
            return None
        return math.ceil(8 * self.model_bytes / ((best.bits - self.file_bits) / self.images))

    @property
    def score(self) -> Score:
        """The size of the file as a score: its bits in nats for each image."""
        return Score(
            nats=-self.file_bits * LOG2 / self.images,
            stderr=self.claim.stderr,
            method=f"file, {self.code}",
            kind="file",
            side=None,
            samples=0,
            space=self.space,
            split=self.split,
            count=self.images,
            dimensions=self.dimensions,
            weights_sha256=self.claim.weights_sha256,
            data_sha256=self.claim.data_sha256,
        )

    def to_json(self) -> dict[str, Any]:
        """The record as stored in `compression.json`, with the values that follow from it."""
        record = {**asdict(self), "codecs": [list(one) for one in self.codecs], "claim": self.claim.to_json()}
        return {**record, "claimed_bits": self.claimed_bits, "bits_per_dim": self.bits_per_dim}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CompressionRecord:
        """Read a stored record.

        Raises:    InputError: fields are missing or unknown.
        """
        try:
            own = {name: value for name, value in record.items() if name not in ("claimed_bits", "bits_per_dim")}
            own["claim"] = Score.from_json(own["claim"])
            own["codecs"] = tuple(Codec(*one) for one in own["codecs"])
            return cls(**own)
        except (KeyError, TypeError) as error:
            raise InputError(f"not the record of a compression: {error}; compress with --report again") from error
