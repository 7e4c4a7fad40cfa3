"""The record of a detection: what was told from what, how well, and what the numbers rest on; as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.evaluation.detection import Auroc, Rate, size_of_power

POWER = 0.95
DRIFTED = 0.01  # below this p-value a person is told
PLAIN = ("against", "method", "kind", "space", "pools", "alpha", "trials", "calibrated_on", "drift")


@dataclass(frozen=True)
class DetectionRecord:
    """How well a model tells anomalous images from natural ones.

    Args:      against: the anomalies. method, kind, space: of log p, as in a `Score`. pools: which images were used.
               alpha: the false-positive rate asked for. trials: batches of each kind and size. calibrated_on: valid
               or test. drift: p-value of calibration and natural images being alike, by log p. calibration: images
               calibrated on. counts, nats: natural and anomalous images, and the mean of log p(x) or its bound over
               each.
               auroc, rates: by score, keys of `SCORES`.
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
        """What the numbers rest on, a line each; and whether the calibration fits the natural images."""
        lines = [
            f"{self.method}, {self.kind}; {self.space}; {self.pools}",
            f"{self.trials} random batches of each kind and size; level asked for: {self.alpha:.1%}; 95 % intervals, "
            "which allow for other images",
            f"calibration and natural images differ among themselves with p = {self.drift:.2g}",
        ]
        if self.drift < DRIFTED and self.calibrated_on == "valid":
            lines.append("the level will not hold for large batches: --calibrate test takes both from the test images")
        return lines

    def size_of_power(self, score: str = "log_prob") -> int | None:
        """The smallest batch tried that is found out 95 times in 100 by a score, or None."""
        return size_of_power(self.rates[score], POWER)

    def to_json(self) -> dict[str, Any]:
        """The record for `--json` and for the run: a score each with its batches."""
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
        """A record read back.

        Raises:    InputError: it is none of ours.
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
            raise InputError(f"the record of a detection cannot be read ({error!r}): detect anew") from error
