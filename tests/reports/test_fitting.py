"""Which drawings fit a model: those that can be made, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import SMALL_RUNS, SmallRuns

import ancestral
from ancestral.core.errors import InputError, NotComputable
from ancestral.reports.pictures.catalogue import drawings_of

EXPECTED = {  # the drawings that distinguish one kind of model from another
    "vae": ({"reconstructions", "walks", "traversals", "split"}, {"manifold", "steps", "density", "components"}),
    "grey": ({"manifold", "latents"}, {"surprise", "posterior"}),
    "mixture": ({"components", "posterior"}, {"latents", "traversals", "manifold", "vanishing-gradient"}),
    "made": ({"steps", "surprise"}, {"reconstructions", "latents", "split"}),
    "moons": ({"density", "deformation", "curves"}, {"neighbours", "completions", "frankenstein"}),
    "gan": ({"walks", "neighbours", "vanishing-gradient"}, {"frankenstein", "split", "density"}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_drawings_of_a_run_are_those_that_fit(name: str, small_runs: SmallRuns, tmp_path: Path) -> None:
    run = ancestral.Run(small_runs.copied([name], tmp_path) / name)
    there, absent = EXPECTED[name]
    listed = run.drawings()
    assert there | {"samples"} <= set(listed) and not absent & set(listed)
    assert all(caption.endswith(".") for caption in listed.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_RUNS)
def test_what_is_listed_can_be_drawn_and_what_is_not_is_refused(
    name: str, small_runs: SmallRuns, tmp_path: Path
) -> None:
    run = ancestral.Run(small_runs.copied([name], tmp_path) / name)
    listed = run.drawings()
    for drawing in drawings_of(run).values():
        if drawing.name in listed:
            run.show(drawing.name, **({"count": 3} if drawing.on_request else {}))
        else:
            with pytest.raises((NotComputable, InputError)):
                run.show(drawing.name)
