"""The record that defines a family for the rest of the package."""

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
    from ancestral.training.shards import Shards

FLAGS = {
    *("family", "model", "data", "training", "out", "resume", "tolerate", "json", "seeds", "trials", "storage"),
    *("recipe", "config", "reporter", "report", "explorer", "progress", "checkpoint_seconds", "split"),
}
"""Flags of the commands, and keyword arguments of the functions, that train."""
GENERAL_DRAWINGS = {
    *("samples", "reconstructions", "interpolations", "walks", "manifold", "steps", "curves", "density", "deformation"),
    *("completions", "latents", "posterior", "traversals", "neighbours", "frankenstein", "surprise", "split"),
}
"""Names of the general drawings, see `reports.pictures.catalogue`."""
OWN = "own"  # the prefix of classes that belong to no family
OWN_MODEL = "own-model"  # the name in the record of a user's own model
NONE_GIVEN: Mapping[str, Any] = MappingProxyType({})
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class DataSpec(NamedTuple):
    """The data that a model is built for.

    Args:      event_shape: shape of one x, (C, H, W) for images.
               levels: number of values of a stored pixel; 0 for points.
               space: the pixel space, see `data.pixels.SPACES`.
               classes: number of classes of the training data, None without labels.
               standardise: whether the columns of the points have different units and must be standardised.
               proportions: of the classes in the training data, with sum 1; None without labels.
               networks: the user's own networks, by name; see `Family.networks`.
               conditions: mean and standard deviation in the training data of each entry of the vector that the model
               is conditioned on; () without vectors.
    """

    event_shape: tuple[int, ...]
    levels: int
    space: str
    classes: int | None = None
    standardise: bool = False
    proportions: tuple[float, ...] | None = None
    networks: Mapping[str, Any] = NONE_GIVEN
    conditions: tuple[tuple[float, float], ...] = ()


class StepContext(NamedTuple):
    """The arguments of a function that builds a family's own training step.

    Args:      engine: device and precision.
               model: on that device.
               settings: the family's.
               training: optimiser, schedule and so on.
               total_steps: number of updates in the whole run.
               train: the training data.
               networks: the user's own networks, by name.
               shards: into which the step divides a batch; a step that does so has the attribute `divides = True`.
    """

    engine: Engine
    model: Model
    settings: Any
    training: TrainingSettings
    total_steps: int
    train: PixelBatches
    networks: Mapping[str, Any] = NONE_GIVEN
    shards: Shards | None = None


class Subject(NamedTuple):
    """The trained model and data that a family's own drawing shows.

    Args:      model: trained, in evaluation mode.
               data: the run's data; see `runs.run_data.RunData`.
               settings: the family's.
               training: the settings of the training.
    """

    model: Any
    data: Any
    settings: Any
    training: TrainingSettings


@dataclass(frozen=True)
class Drawing:
    """A figure of a trained model.

    Args:      name: name on the command line.
               caption: one sentence on what the figure shows.
               draw: a function that returns a matplotlib figure. For a family's own drawing, it is called as
               `draw(subject, count, seed)`, with a `Subject`; count is None if the user does not set it. For a general
               drawing (in `reports.pictures.catalogue`), it is called as `draw(run, count=..., seed=...)`, without the
               arguments that the user does not set.
               needs: classes or protocols that the model must satisfy.
               on_request: if True, the page of a run does not include it; for figures that take long.
    Raises:    InputError: a wrong name, or no caption or function.
    """

    name: str
    caption: str
    draw: Callable[..., Figure]
    needs: tuple[type, ...] = ()
    on_request: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(f"the drawing name {self.name!r} is not valid: use lower-case words joined by hyphens")
        if not isinstance(self.caption, str) or not callable(self.draw):
            raise InputError(f"the drawing {self.name} needs a caption and a function that draws it")


class Critique(NamedTuple):
    """A network that scores how real an image looks; a higher score is more real.

    Args:      network: in evaluation mode; images (B, *event_shape), as the model generates them, to scores (B, S), one
               for an image or one for each class. `networks.layers_of` must know its layers.
               has_probabilities: whether sigmoid(score) is the probability that the image is real.
    """

    network: Any
    has_probabilities: bool


@dataclass(frozen=True)
class Family:
    """A family of models: settings, builder, training and drawings.

    A field that holds code may be a string `"package.module:name"`, which is imported at its first use. Built-in
    records use such strings, so that `--help` does not import torch.

    Args:      name: name on the command line and in `settings.json`: lower-case words joined by hyphens.
               settings: a dataclass; its fields become flags, and the docstrings below the fields become their help.
               The types of the fields are bool, int, float, str, a Literal of these, a tuple of these, or one of these
               and None.
               build: (settings, DataSpec) -> untrained Model.
               tiny: functions that make models small enough to sum over all images, by name; the contract is tested on
               them.
               initialise: (model, training data) -> None, called once before training, for example to learn a
               structure.
               objective: (settings, model) -> Objective, or None for the default objective of the kind of model.
               step: (StepContext) -> Step, or None for the usual gradient step.
               held_out: (model, images) -> {name: mean loss in nats}; the first loss selects the best weights.
               drawings: drawings of this family.
               score_parts: (model, x) -> the terms of the score of each x.
               explorer: (model) -> a description with which a page runs the model in the browser: a dict with "kind"
               (see `explorer/engine/models.js`) and tensors among its values. It raises NotComputable for a model
               without such a form.
               critic: (settings, event_shape, tensors) -> `Critique`: the network that scores how real an image looks,
               for a family whose training step has one; tensors: of the step, from the checkpoint. It raises
               NotComputable where these do not give it.
               networks: names of the networks that a user may replace, as in `fit("vae", encoder=module)`, each with a
               description of its inputs and outputs. `build` finds them in the DataSpec and passes them through
               `networks.own.given_network`.
    Raises:    InputError: a field has a wrong value.
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
    critic: Callable[[Any, Sequence[int], Mapping[str, Any]], Critique] | str | None = None
    networks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name == OWN:
            raise InputError(f"the family name {self.name!r} is not valid: use lower-case words joined by hyphens")
        taken = {one.name for part in (DataSettings, TrainingSettings) for one in fields(part)} | FLAGS
        check_settings(self.name, self.settings, taken | set(self.networks))
        for part in fields(self)[2:]:
            _check_code(self.name, part.name, getattr(self, part.name))

    def code(self, field: str) -> Any:
        """The value of a field; a string is replaced by the object that it names.

        Raises:    InputError: the module or name does not exist, the module cannot be imported, or the object is not
                   valid for the field.
        """
        value = getattr(self, field)
        if not isinstance(value, str):
            return value
        module, _, attribute = value.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a plug-in's module may fail in any way
            raise InputError(
                f"cannot import {value!r}, the {field} of the family {self.name}: {failure(error)}"
            ) from error
        _check_code(self.name, field, found, text=False)
        return found

    def resolve(self) -> None:
        """Import the objects of all fields that are strings.

        Raises:    InputError: as `code`.
        """
        for part in fields(self)[2:]:
            self.code(part.name)

    @property
    def title(self) -> str:
        """The name of the family in messages."""
        return titled(self.name)

    @property
    def summary(self) -> str:
        """First line of the settings' docstring."""
        return next(iter((self.settings.__doc__ or "").strip().splitlines()), "")


def titled(name: str | None) -> str:
    """The name of a family in messages; None stands for a user's own model."""
    return "this model" if name in (None, OWN_MODEL) else f"the family {name}"


def _check_code(name: str, field: str, value: Any, text: bool = True) -> None:
    """Check the value of a field that holds code.

    Args:      text: whether a string that names the code is allowed.
    Raises:    InputError: the value is not valid for the field.
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
        raise InputError(f"the field {field!r} of the family {name} has the value {value!r}, which is not valid")


def _refuse_taken(name: str, drawings: Sequence[str]) -> None:
    """Raises:    InputError: two drawings have the same name."""
    for place, drawing in enumerate(drawings):
        if drawing in GENERAL_DRAWINGS or drawing in drawings[:place]:
            raise InputError(f"the drawing {drawing!r} of the family {name} has a name that is already used: rename it")
