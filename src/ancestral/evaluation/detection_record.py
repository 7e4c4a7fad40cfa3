"""The stored record of a detection: the images, the results, and the conditions of the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.evaluation.detection import Auroc, Rate, size_of_power

POWER = 0.95
DRIFTED = 0.01  # below this p-value there is a notice
PLAIN = ("against", "method", "kind", "space", "pools", "alpha", "trials", "calibrated_on", "drift")


@dataclass(frozen=True)
class DetectionRecord:
    """How well a model separates anomalous images from natural ones.

    Args:      against: name of the anomalous images. method, kind, space: of log p, as in a `Score`. pools: the images
               that were used. alpha: required false-positive rate. trials: number of batches of each kind and size.
               calibrated_on: valid or test. drift: p-value of the hypothesis that calibration and natural images have
               the same distribution, by log p. calibration: number of calibration images. counts: numbers of natural
               and anomalous images. nats: mean of log p(x), or of its bound, over each. auroc, rates: by score, with
               the keys of `SCORES`.
    """

    against: str
    method: str
    kind: str
    space: str
    pools: str
    alpha: float
    trials: int
    calibrated_on: str
    drift: float
    calibration: int
    counts: tuple[int, int]
    nats: tuple[float, float]
    auroc: dict[str, Auroc]
    rates: dict[str, list[Rate]]
    _repr_html_ = as_html

    @property
    def conditions(self) -> list[str]:
        """Conditions of the test, one line each, and whether the calibration fits the natural images."""
        lines = [
            f"{self.method}, {self.kind}; {self.space}; {self.pools}",
            f"{self.trials} random batches of each kind and size; required level: {self.alpha:.1%}; 95 % intervals, "
            "which allow for other images",
            f"test for a difference between calibration and natural images: p = {self.drift:.2g}",
        ]
        if self.drift < DRIFTED and self.calibrated_on == "valid":
            lines.append("they differ, so the level is wrong for large batches: use --calibrate test for both")
        return lines

    def size_of_power(self, score: str = "log_prob") -> int | None:
        """The smallest tested batch size that a score detects with a power of 95 %, or None."""
        return size_of_power(self.rates[score], POWER)

    def to_json(self) -> dict[str, Any]:
        """The record for `--json` and for the run: each score with its batches."""
        return {
            **{name: getattr(self, name) for name in PLAIN},
            "calibration": self.calibration,
            "natural": self.counts[0],
            "anomalous": self.counts[1],
            "natural_nats": self.nats[0],
            "anomalous_nats": self.nats[1],
            "scores": [
                {
                    "score": name,
                    "auroc": self.auroc[name].value,
                    "stderr": self.auroc[name].stderr,
                    "size_of_95_power": self.size_of_power(name),
                    "batches": [
                        {
                            "size": rate.size,
                            "false_positives": rate.false_positives.value,
                            "false_positives_95": rate.false_positives.interval,
                            "power": rate.power.value,
                            "power_95": rate.power.interval,
                        }
                        for rate in found
                    ],
                }
                for name, found in self.rates.items()
            ],
        }

    @staticmethod
    def from_json(record: dict[str, Any]) -> DetectionRecord:
        """Read a stored record.

        Raises:    InputError: it is not the record of a detection.
        """
        try:
            trials, scores = int(record["trials"]), record["scores"]
            counts = int(record["natural"]), int(record["anomalous"])
            calibration = int(record["calibration"])

            def rejected(batch: dict[str, Any]) -> tuple[int, int]:
                return round(batch["false_positives"] * trials), round(batch["power"] * trials)

            return DetectionRecord(
                **{name: record[name] for name in PLAIN},
                calibration=calibration,
                counts=counts,
                nats=(record["natural_nats"], record["anomalous_nats"]),
                auroc={one["score"]: Auroc(one["auroc"], one["stderr"]) for one in scores},
                rates={
                    one["score"]: [
                        Rate.counted(batch["size"], rejected(batch), trials, (calibration, *counts))
                        for batch in one["batches"]
                    ]
                    for one in scores
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the record of a detection ({error!r}): run `ancestral detect` again") from error
