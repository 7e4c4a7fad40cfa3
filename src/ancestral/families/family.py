"""The record that defines a family: all that the rest of the package needs to know of it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ancestral.core.errors import InputError
from ancestral.core.modules import failure
from ancestral.families.settings_check import check_settings
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ancestral.data.pixels import PixelBatches
    from ancestral.models.base import Model
    from ancestral.training.engine import Engine

FLAGS = {
    *("family", "model", "data", "training", "out", "resume", "tolerate", "json", "seeds", "trials", "storage"),
    *("recipe", "config", "reporter", "report", "explorer", "progress", "checkpoint_seconds", "split"),
}
"""Flags of the commands and keywords of the functions that train."""
GENERAL_DRAWINGS = {
    *("samples", "reconstructions", "interpolations", "walks", "manifold", "steps", "curves", "density", "deformation"),
    *("completions", "latents", "posterior", "traversals", "neighbours", "frankenstein", "surprise", "split"),
}
"""Names of the drawings of all families, see `reports.pictures.catalogue`."""
OWN = "own"  # the prefix of classes of no family
OWN_MODEL = "own-model"  # the name that the record of a person's own model has in place of a family's
NONE_GIVEN: Mapping[str, Any] = MappingProxyType({})
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class DataSpec(NamedTuple):
    """What a model is built for.

    Args:      event_shape: shape of one x, (C, H, W) for images. levels: number of values of a stored pixel; 0 for
               points. space: the pixel space, see `data.pixels.SPACES`. classes: number of classes of the training
               data, None where they have no labels. standardise: the columns of the points have units of their own.
               proportions: of the classes among the training data, where they have labels; their sum is 1.
               networks: those that a person gives in place of the family's own, by name; see `Family.networks`.
    """

    event_shape: tuple[int, ...]
    levels: int
    space: str
    classes: int | None = None
    standardise: bool = False
    proportions: tuple[float, ...] | None = None
    networks: Mapping[str, Any] = NONE_GIVEN


class StepContext(NamedTuple):
    """What a family's own step is made from.

    Args:      engine: device and precision. model: on that device. settings: the family's. training: optimiser,
               schedule and so on. total_steps: updates of the whole run. train: the training data.
               networks: those that a person gives, by name.
    """

    engine: Engine
    model: Model
    settings: Any
    training: TrainingSettings
    total_steps: int
    train: PixelBatches
    networks: Mapping[str, Any] = NONE_GIVEN


class Subject(NamedTuple):
    """What a family's own drawing shows.

    Args:      model: trained, in evaluation mode. data: the run's data; see `runs.run_data.RunData`.
               settings: the family's. training: how it was trained.
    """

    model: Any
    data: Any
    settings: Any
    training: TrainingSettings


@dataclass(frozen=True)
class Drawing:
    """A picture that can be drawn of a trained model.

    Args:      name: on the command line. caption: what it shows. draw: a function that returns a matplotlib figure.
               Of a family's own drawing it is called as `draw(subject, count, seed)`, with a `Subject`; count is None
               where the user gives none. Of a general drawing (in `reports.pictures.catalogue`) it is called as
               `draw(run, count=..., seed=...)`, without what the user does not give. needs: classes or protocols that
               the model must satisfy. on_request: it takes long, so a run's page does not draw it unasked.
    """

    name: str
    caption: str
    draw: Callable[..., Figure]
    needs: tuple[type, ...] = ()
    on_request: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(f"the drawing name {self.name!r} is not lower-case words joined by hyphens")
        if not isinstance(self.caption, str) or not callable(self.draw):
            raise InputError(f"the drawing {self.name} needs a caption and a function that draws it")


@dataclass(frozen=True)
class Family:
    """A family of models.

    Fields that are code may be strings, `"package.module:name"`, which are imported at their first use; built-in
    records use them, so that `--help` needs no torch.

    Args:      name: on the command line and in `settings.json`: lower-case words joined by hyphens.
               settings: a dataclass; its fields are the flags, the strings below them the help. The types of the
               fields are bool, int, float, str, a Literal of these, a tuple of these, or one of these and None.
               build: (settings, DataSpec) -> Model, untrained.
               tiny: models small enough to sum over all their images, by name: the contract tests run on them.
               initialise: (model, training data), once before training: a structure learned from data, say.
               objective: (settings, model) -> Objective, or None for that of the model's kind.
               step: (StepContext) -> Step, or None for a gradient step.
               held_out: (model, images) -> {name: mean loss in nats}; the first of them selects the best weights.
               drawings: the family's own. score_parts: (model, x) -> the terms of the score of each x.
               explorer: (model) -> a description for the page that runs it in the browser: a dict with "kind" (see
               `explorer/engine/models.js`), with tensors among its values. It raises NotComputable for a model that has
               no such form.
               networks: names of the networks that a person may give in place of the family's own, as in
               `fit("vae", encoder=module)`, and from what to what they map. `build` finds them in the DataSpec, and
               passes them through `networks.own.given_network`.
    Raises:    InputError: a field is wrong.
    """

    name: str
    settings: type
    build: Callable[[Any, DataSpec], Model] | str
    tiny: Mapping[str, Callable[[], Model]] | str
    initialise: Callable[[Any, PixelBatches], None] | str | None = None
    objective: Callable[[Any, Any], Any] | str | None = None
    step: Callable[[StepContext], Any] | str | None = None
    held_out: Callable[[Any, PixelBatches], dict[str, float]] | str | None = None
    drawings: Sequence[Drawing] | str = ()
    score_parts: Callable[[Any, Any], Any] | str | None = None
    explorer: Callable[[Any], dict[str, Any]] | str | None = None
    networks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name == OWN:
            raise InputError(f"the family name {self.name!r} is not lower-case words joined by hyphens")
        taken = {one.name for part in (DataSettings, TrainingSettings) for one in fields(part)} | FLAGS
        check_settings(self.name, self.settings, taken | set(self.networks))
        for part in fields(self)[2:]:
            _check_code(self.name, part.name, getattr(self, part.name))

    def code(self, field: str) -> Any:
        """The value of a field, imported where it is given as a string.

        Raises:    InputError: there is no such module or name, the module cannot be imported, or the value is none
                   that the field may have.
        """
        value = getattr(self, field)
        if not isinstance(value, str):
            return value
        module, _, attribute = value.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a plug-in's module may fail in any way
            raise InputError(f"the family {self.name} names {value!r} as its {field}: {failure(error)}") from error
        _check_code(self.name, field, found, text=False)
        return found

    def resolve(self) -> None:
        """Import all that is given as strings.

        Raises:    InputError: as `code`.
        """
        for part in fields(self)[2:]:
            self.code(part.name)

    @property
    def title(self) -> str:
        """What messages call it."""
        return titled(self.name)

    @property
    def summary(self) -> str:
        """First line of the settings' docstring."""
        return next(iter((self.settings.__doc__ or "").strip().splitlines()), "")


def titled(name: str | None) -> str:
    """A family as messages call it; None for a model of a person's own."""
    return "this model" if name in (None, OWN_MODEL) else f"the family {name}"


def _check_code(name: str, field: str, value: Any, text: bool = True) -> None:
    """Check one of the fields that are code.

    Args:      text: a string that names the code is allowed.
    Raises:    InputError: the field cannot be this value.
    """
    if isinstance(value, str):
        good = text and ":" in value
    elif field == "tiny":
        good = isinstance(value, Mapping) and all(callable(make) for make in value.values())
    elif field == "networks":
        good = isinstance(value, Mapping) and all(isinstance(key, str) and key.isidentifier() for key in value)
    elif field == "drawings":
        good = isinstance(value, (list, tuple)) and all(isinstance(drawing, Drawing) for drawing in value)
        if good:
            _refuse_taken(name, [drawing.name for drawing in value])
    else:
        good = (value is None and field != "build") or callable(value)
    if not good:
        raise InputError(f"the field {field!r} of the family {name} cannot be {value!r}")


def _refuse_taken(name: str, drawings: Sequence[str]) -> None:
    """Raises:    InputError: two drawings have one name."""
    for place, drawing in enumerate(drawings):
        if drawing in GENERAL_DRAWINGS or drawing in drawings[:place]:
            raise InputError(f"the family {name} has a drawing {drawing!r}, a name that is taken: rename it")
