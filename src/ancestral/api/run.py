"""The public run: a run folder with its pictures and its page, and a model on data without a folder."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.core.arguments import plain_arguments, refuse_unknown
from ancestral.core.errors import InputError
from ancestral.models.base import Model
from ancestral.reports import cells as cells  # runs and records then have HTML for a notebook
from ancestral.runs.new_data import on_data
from ancestral.runs.run import Run as StoredRun
from ancestral.runs.run_data import RunData
from ancestral.settings.data import POINT_SETS, DataSettings, OtherData
from ancestral.training.log import columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(StoredRun):
    """A run folder: settings, weights, log, scores and pictures.

    Args:      path: of the folder.
    Example:   `Run("runs/first").show("samples")`
    """

    @plain_arguments()
    def __init__(self, path: Path | str) -> None:
        super().__init__(path)

    def drawings(self) -> dict[str, str]:
        """The pictures that `show` can draw of this run's model and data: caption by name.

        Raises:    InputError: there is no trained model yet.
        """
        from ancestral.reports.pictures.catalogue import caption_of, fitting_drawings

        return {name: caption_of(self, name) for name in fitting_drawings(self)}

    def show(self, name: str, **options: Any) -> Figure:
        """Draw a picture; a notebook shows it.

        Args:      name: one of `drawings()`. options: `count`, at least 1, and `seed`, whole numbers.
        Returns:   a matplotlib figure.
        Raises:    InputError: there is no such picture or option. NotComputable: this model has no such picture.
        """
        from ancestral.figures.notebook import show_figures
        from ancestral.reports.pictures.catalogue import draw

        show_figures()
        return draw(self, name, **options)

    def history(self) -> dict[str, list[float]]:
        """The log of the training as a table, from which `pandas.DataFrame(run.history())` makes a data frame.

        Returns:   columns of equal length: `step`, `epoch` and each reading as `split/name` (`valid/negative_elbo`), in
                   nats unless the name says otherwise; NaN at steps without that reading.
        """
        return columns_of(self.log())

    def report(self) -> Path:
        """Draw all pictures and write the run's page; returns its path."""
        from ancestral.reports.run_page import write_run_page

        return write_run_page(self)


class ModelOnData(StoredRun):
    """A model and data as a run without a folder: it can be scored and used, and nothing is stored.

    Args:      model: any. data: which images or points.
    Raises:    InputError: the data are of another shape.
    """

    keeps_records = False

    def __init__(self, model: Model, data: DataSettings) -> None:
        super().__init__(type(model).__name__)
        self.model, self.source = model, data
        if tuple(self.data.event_shape) != tuple(model.event_shape):
            shapes = ["x".join(map(str, shape)) for shape in (self.data.event_shape, model.event_shape)]
            raise InputError(f"the data {self.data.name} are of shape {shapes[0]}, and the model's are {shapes[1]}")

    @cached_property
    def data(self) -> RunData:
        return RunData(self.source)

    @property
    def weights_sha256(self) -> None:
        """None: there is no file of weights."""

    def load(self) -> Model:
        return self.model.eval()


def run_of(
    of: StoredRun | Path | str | Model, data: Any, split: str = "test", **settings: Any
) -> tuple[StoredRun, str]:
    """The run that a verb works on, and the split of its data.

    Args:      of: a run, its folder, or a model. data: for a model its data; for a run data in place of its own.
               split: of the data, where they are divided. settings: how the data are read.
    Raises:    InputError: a model without data, or data that do not fit.
    """
    if isinstance(of, Model):
        if data is None:
            raise InputError("a model by itself has no data: give data='digits', say")
        return ModelOnData(of, _data_settings(of, data, settings)), split
    run = of if isinstance(of, StoredRun) else Run(of)
    if isinstance(data, DataSettings):
        raise InputError("a run reads other data as its own were read: give a name or a path")
    refuse_unknown("the data of a run", settings, [field.name for field in fields(OtherData)])
    return on_data(run, OtherData(None if data is None else source_of(data), **settings), split)


def source_of(data: object) -> str:
    """The name of data, as settings have it: a named set, a path, or the name that data in memory are given.

    Raises:    InputError: none of these.
    """
    if isinstance(data, str | Path):
        return str(data)
    from ancestral.data.memory import hold

    return hold(data)


def _data_settings(model: Model, given: Any, settings: dict[str, Any]) -> DataSettings:
    """The settings, with the first pixel space that the model is a distribution over where none is given."""
    if isinstance(given, DataSettings):
        return given
    data = source_of(given)
    if settings.get("pixels") is None and data not in POINT_SETS:
        settings = {**settings, "pixels": "threshold" if "threshold" in model.spaces else model.spaces[0]}
    refuse_unknown("the data of a model", settings, [field.name for field in fields(DataSettings)])
    return DataSettings(data, **settings)
