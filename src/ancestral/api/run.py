"""The public run: a run folder with figures and page, and a model with data but without a folder."""

from __future__ import annotations

import logging
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ancestral.core.arguments import plain_arguments, refuse_unknown
from ancestral.core.errors import InputError
from ancestral.core.text import with_article
from ancestral.models.base import Model
from ancestral.reports import cells as cells  # runs and records then have HTML for a notebook
from ancestral.runs.given import Given
from ancestral.runs.hub import fetch_run, is_on_hub
from ancestral.runs.new_data import on_data
from ancestral.runs.run import Run as StoredRun
from ancestral.runs.run_data import RunData
from ancestral.settings.data import MEMORY, POINT_SETS, DataSettings, OtherData
from ancestral.training.log import columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ancestral.explorer.make import Explorer

TRAINED = "_ancestral_trained_in"  # attribute of a module that was trained in place
log = logging.getLogger("ancestral")


class Run(StoredRun):
    """A run folder: settings, weights, log, scores and figures.

    Args:      path: of the folder, or `hub:OWNER/NAME` with or without `@REVISION`, which is downloaded into the cache.
               data: the run's own data, if they were given in memory in another session. into, networks: for a run with
               your own model or networks, an instance of the model, or of the networks by name, `encoder=module`. They
               are copied before the weights are loaded.
    Raises:    InputError: `data` are not the data that the run was trained on.
    Example:   `Run("runs/first").show("samples")`
    """

    @plain_arguments()
    def __init__(self, path: Path | str, data: Any = None, *, into: Model | None = None, **networks: Any) -> None:
        super().__init__(fetch_run(str(path)) if is_on_hub(path) else path, Given(into, networks))
        if data is not None and not run_of(self, data)[0].keeps_records:
            raise InputError(f"these are not the data of {self.path}: to score other data, use evaluate(run, data=...)")

    @classmethod
    def from_model(cls, model: Model, data: Any, path: Path | str, **settings: Any) -> Run:
        """A run folder for a model that was trained outside this package; it can be used like any other run.

        Args:      model: trained; its weights are stored. data: as in `fit`. path: the folder, new or empty. settings:
                   of the data, for example `pixels="levels"`.
        Raises:    InputError: the data do not fit the model, or the folder is not empty.
        """
        from ancestral.families.run_settings import settings_for
        from ancestral.runs.elsewhere import store_trained

        refuse_no_model(model)
        chosen = _data_settings(model, data, settings)
        stored = store_trained(model, settings_for(None, **vars(chosen)), path)
        return cls(stored.path, into=model).keeping(chosen.data)

    def keeping(self, source: Any) -> Run:
        """This run, with a reference to its data in memory, so that they stay available."""
        self.source = source
        return self

    def drawings(self) -> dict[str, str]:
        """The drawings that `show` can make for this run, as a dict from name to caption.

        Raises:    InputError: there is no trained model yet.
        """
        from ancestral.reports.pictures.catalogue import caption_of, drawable

        return {name: caption_of(self, name) for name in drawable(self)[0]}

    def show(self, name: str, **options: Any) -> Figure:
        """Make a drawing; a notebook displays it.

        Args:      name: one of `drawings()`. options: `count`, at least 1, and `seed`, integers.
        Returns:   a matplotlib figure.
        Raises:    InputError: no such drawing or option. NotComputable: the drawing is not possible for this model.
        """
        from ancestral.figures.notebook import show_figures
        from ancestral.reports.pictures.catalogue import draw

        show_figures()
        return draw(self, name, **options)

    def history(self) -> dict[str, list[float]]:
        """The log of the training as a table, for `pandas.DataFrame(run.history())`.

        Returns:   columns of equal length: `step`, `epoch` and each reading as `split/name` (`valid/negative_elbo`), in
                   nats unless the name states otherwise; NaN at steps without a reading.
        """
        return columns_of(self.log())

    def report(self) -> Path:
        """Draw all figures and write the page of the run; returns its path."""
        from ancestral.reports.run_page import write_run_page

        return write_run_page(self)

    def explore(self, *, with_images: bool = False, max_mb: float = 20.0) -> Explorer:
        """Write RUN/explorer.html, in which the model runs in the browser; a notebook shows it in a frame.

        Args:      with_images: include test images and names of classes of data that are not a public named set.
                   max_mb: a larger page is refused, in MB of 10^6 bytes.
        Raises:    InputError: no weights, no form for the browser, or a page too large.
        """
        from ancestral.explorer.make import explore_run

        return explore_run(self, with_images=with_images, max_mb=max_mb)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = True,
        with_images: bool = False,
        licence: str | None = None,
        folder: Path | str | None = None,
    ) -> str | None:
        """Upload the run to a model hub, as `ancestral.export` packs it; `ancestral.load("hub:NAME")` loads it.

        Args:      name: OWNER/NAME of the repository, which is created if needed. private: whether a new repository is
                   private. with_images: include figures, page and thumbnails of data that are not a named public set.
                   licence: identifier for the card. folder: write the files to this folder instead of uploading them.
        Returns:   `hub:NAME@REVISION`; None with `folder`.
        Raises:    InputError: the training is not finished, or the hub rejects the request or cannot be reached.
        """
        from ancestral.api.publishing import push

        return push(self, name, private=private, with_images=with_images, licence=licence, folder=folder)


class ModelOnData(StoredRun):
    """A model with data as a run without a folder; nothing is stored.

    Args:      model: any. data: settings of the images or points.
    Raises:    InputError: the data are of another shape.
    """

    keeps_records = False

    def __init__(self, model: Model, data: DataSettings) -> None:
        super().__init__(type(model).__name__)
        self.model, self.source = model, data
        if tuple(self.data.event_shape) != tuple(model.event_shape):
            shapes = ["x".join(map(str, shape)) for shape in (self.data.event_shape, model.event_shape)]
            raise InputError(f"the data {self.data.name} have the shape {shapes[0]}, and the model needs {shapes[1]}")

    @cached_property
    def data(self) -> RunData:
        return RunData(self.source)

    @property
    def weights_sha256(self) -> None:
        """None, because there is no file of weights."""

    def load(self) -> Model:
        return self.model.eval()


def run_of(
    of: StoredRun | Path | str | Model, data: Any, split: str = "test", **settings: Any
) -> tuple[StoredRun, str]:
    """The run that a function uses, and the split of its data.

    Args:      of: a run, its folder, or a model. data: for a model, its data; for a run, other data, or None. split: of
               the data. settings: of the data.
    Raises:    InputError: a model without data, or data that do not fit.
    """
    if isinstance(of, Model):
        if data is None:
            raise InputError("a model without a run has no data: give data=..., for example data='digits'")
        return ModelOnData(of, _data_settings(of, data, settings)), split
    run = of if isinstance(of, StoredRun) else Run(of)
    if isinstance(data, DataSettings):
        raise InputError(
            "other data of a run are read with the settings of its own data: give a name or a path, not DataSettings"
        )
    refuse_unknown("the data of a run", settings, [field.name for field in fields(OtherData)])
    used, part = on_data(run, OtherData(None if data is None else source_of(data), **settings), split)
    if used.keeps_records and used is not run:
        run.data = used.data  # the run's own data, which are kept for later calls
        if used.data.settings.data.startswith(MEMORY):
            _ = used.data.dataset  # read now, while they are available
    if not used.keeps_records:
        known = run.record["data"]["sha256"] is not None
        unknown = "" if known else " (the run's own data change with each reading and cannot be recognised)"
        log.warning(
            "note: %s are not the data of %s%s: results are not stored with the run", used.data.name, run.path, unknown
        )
    return used, part


def source_of(data: object, weights: Any = None, conditions: Any = None) -> str:
    """The name of data in settings: a named set, a path, or a new name for data in memory.

    Args:      weights, conditions: of the images or rows, with data in memory.
    Raises:    InputError: data of another type, or weights or conditions for a file.
    """
    if isinstance(data, str | Path):
        for name, values in (("weights", weights), ("conditions", conditions)):
            if values is not None:
                raise InputError(f"{name} as an array need data in memory: for a file, name its array or column")
        return str(data)
    from ancestral.data.memory import hold

    return hold(data, weights, conditions)


def _data_settings(model: Model, given: Any, settings: dict[str, Any]) -> DataSettings:
    """The settings of data for a model; its pixel space is the default, and settings by name override others."""
    refuse_unknown("the data of a model", settings, [field.name for field in fields(DataSettings)])
    values = vars(given) if isinstance(given, DataSettings) else {"data": source_of(given)}
    return DataSettings(**with_pixels_of(model, {**values, **settings}))


def with_pixels_of(model: Model, values: dict[str, Any]) -> dict[str, Any]:
    """Settings with a pixel space of the model if none is given.

    Raises:    InputError: the model has no attribute `spaces`.
    """
    spaces = tuple(getattr(model, "spaces", ()))
    if not spaces:
        raise InputError(
            f"the {type(model).__name__} has no spaces: add its pixel spaces, for example spaces = ('threshold',)"
        )
    if values.get("pixels") is not None or values.get("data") in POINT_SETS or spaces[0] == "points":
        return values
    return {**values, "pixels": "threshold" if "threshold" in spaces else spaces[0]}


def refuse_no_model(model: Any) -> None:
    """Raises:    InputError: it is no `ancestral.Model`."""
    if not isinstance(model, Model):
        kind = type(model).__name__
        hint = "is a network, not an ancestral.Model: fit('vae', encoder=...), say"
        raise InputError(f"{with_article(kind)} {hint if isinstance(model, nn.Module) else 'is no ancestral.Model'}")


def note_trained(given: Given) -> None:
    """Show a notice for modules that this package trained before, because a run starts from their present weights."""
    for name, part in given.parts.items():
        if isinstance(part, nn.Module) and (before := vars(part).get(TRAINED)):
            log.warning(
                "note: this %s was already trained in %s: the run starts from its present weights", name, before
            )


def mark_trained(given: Given, path: Path) -> None:
    """Mark the given modules as trained."""
    for part in given.parts.values():
        if isinstance(part, nn.Module):
            vars(part)[TRAINED] = str(path)
