"""The tour from end to end under `--quick`: runs, scores, figures and one page; a second call trains nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import ROOT
from quick_studies import MB, TOUR_MB

from ancestral.commands.main import main
from ancestral.reports.pictures.catalogue import caption_of
from ancestral.reports.score_tables import score_table
from ancestral.runs.run import Run
from ancestral.runs.watching import Progress
from ancestral.studies.explorer import SHARE, explorable
from ancestral.studies.page import find_study, met_in_words
from ancestral.studies.recipe import AN_IDENTITY, OURS, Budget, Options, PlannedRun, ReferenceCheck, Study
from ancestral.studies.tour import PLAN
from ancestral.studies.workshop import Workshop

BUDGETS: tuple[Budget, ...] = ("quick", "default", "full")


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tour") / "out"
    assert main(["study", "tour", "--quick", "--out", str(out)]) == 0
    return out


def test_every_run_exists_with_scores_of_its_kind(tour: Path) -> None:
    for planned in PLAN:
        run = Run(tour / "runs" / planned.name)
        assert run.outcome["reason"] == "epochs"
        kinds = {score.kind for score in run.scores()}
        bounded = planned.family == "vae" or planned.name == "flow-levels"
        assert kinds == ({"bound"} if bounded else {"exact"} if planned.scored else set())
        methods = {score.method for score in run.scores()}
        assert (f"IWAE_{min(planned.importance_samples, 100)}" in methods) == bool(planned.importance_samples)


def test_the_page_contains_all_scores_and_figures_and_needs_no_network(tour: Path) -> None:
    page = (tour / "report.html").read_text()
    for planned in PLAN:
        for score in Run(tour / "runs" / planned.name).scores():
            assert f"{score.nats:.{2 if score.dimensions > 2 else 4}f}" in page
            assert score.kind_in_words in page
    assert page.count("<img ") == 16 and len(page.encode()) < TOUR_MB * MB
    assert "http://" not in page and "https://" not in page
    assert "too short to judge" in page


def test_the_models_of_images_are_in_one_explorer_that_the_page_links_to(tour: Path) -> None:
    (held,) = re.findall(r'id="content">(.*?)</script>', (tour / "explorer.html").read_text(), re.DOTALL)
    models = json.loads(held)["models"]
    assert [model["name"] for model in models] == [one.name for one in PLAN if one.name != "flow-points"]
    assert all("spec" in model for model in models)
    assert 'href="explorer.html"' in (tour / "report.html").read_text()


def test_the_models_of_points_have_a_page_of_their_own(tour: Path) -> None:
    (held,) = re.findall(r'id="content">(.*?)</script>', (tour / "explorer-points.html").read_text(), re.DOTALL)
    (model,) = json.loads(held)["models"]
    assert model["name"] == "flow-points" and model["spec"]["kind"] == "point-flow"
    assert 'href="explorer-points.html"' in (tour / "report.html").read_text()


def test_a_study_leaves_the_largest_models_out_of_its_explorer(tour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Run(tour / "runs" / one.name) for one in PLAN]
    sizes = {run.path.name: (run.model_folder / "model.safetensors").stat().st_size for run in runs}
    images = [name for name in sizes if name != "flow-points"]
    assert [run.path.name for run in explorable(runs)] == images
    largest = max(images, key=lambda name: sizes[name])
    rest = SHARE * sum(sizes[name] for name in images if name != largest) / 1e6
    monkeypatch.setattr("ancestral.studies.explorer.MAX_MB", 1 + rest + 0.001)
    assert [run.path.name for run in explorable(runs)] == [name for name in images if name != largest]


def test_a_second_call_reuses_everything(tour: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tour / "runs" / "vae-binary" / "model" / "model.safetensors"
    health = tour / "runs" / "vae-binary" / "health.json"
    before, examined = weights.stat().st_mtime_ns, health.read_text()
    explored = (tour / "explorer.html").stat().st_mtime_ns
    health.write_text('{"verdicts": [], "healthy": [], "unjudged": []}')  # as older rules would give
    assert main(["study", "tour", "--quick", "--out", str(tour)]) == 0
    assert capsys.readouterr().err.count("reused") == len(PLAN)
    assert weights.stat().st_mtime_ns == before
    assert health.read_text() == examined
    assert (tour / "explorer.html").stat().st_mtime_ns == explored


def test_the_explanation_of_scores_is_on_the_page_once(tour: Path) -> None:
    assert (tour / "report.html").read_text().count("in nats (larger is better)") == 1


def test_properties_shared_by_all_scores_are_in_the_caption(tour: Path) -> None:
    score = Run(tour / "runs" / "vae-binary").scores()[0]
    alike = score_table([("a", score), ("b", replace(score, nats=-1.0))])
    assert "scored on" not in alike.header and score.space in alike.caption
    unlike = score_table([("a", score), ("b", replace(score, count=3))])
    assert unlike.header[-1] == "scored on" and score.space not in unlike.caption


def test_commands_use_paths_relative_to_the_page(tour: Path) -> None:
    page = (tour / "report.html").read_text()
    assert "<span>runs/vae-binary</span>" in page and str(tour) not in page


def test_captions_state_pixels_and_curves(tour: Path) -> None:
    runs = {name: Run(tour / "runs" / name) for name in ("vae-binary", "flow-levels")}
    assert caption_of(runs["vae-binary"], "samples").endswith(
        "Mean images: pixels are not sampled, each shows its mean."
    )
    assert caption_of(runs["flow-levels"], "samples").endswith("Pixels are sampled.")
    assert caption_of(runs["vae-binary"], "curves").endswith("means over minibatches during training.")


def test_references_identities_and_own_aims_are_counted_separately() -> None:
    checks = [
        ReferenceCheck("a", "1", "1", True),
        ReferenceCheck("b", "1", "2", False, source="Germain et al., 2015"),
        ReferenceCheck("c", "1", "1", True, source=AN_IDENTITY),
        ReferenceCheck("d", "1", "2", False, source=OURS),
    ]
    assert met_in_words(checks) == (
        "Met: 1 of 2 references of others, 1 of 1 identities that must hold, 0 of 1 aims of our own."
    )


def test_runs_with_other_settings_are_refused_and_kept(tour: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tour / "runs" / "mixture-em" / "training.json").read_bytes()
    assert main(["study", "tour", "--out", str(tour)]) == 2
    assert "other settings" in capsys.readouterr().err
    assert (tour / "runs" / "mixture-em" / "training.json").read_bytes() == before


def test_an_unknown_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "grand-tour", "--out", str(tmp_path / "out")]) == 2
    assert "choose tour, uva2018" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mixture-em", "vae-levels-mixture", "autoencoder"])
def test_a_valid_run_passes_verification(tour: Path, name: str) -> None:
    assert main(["verify", str(tour / "runs" / name)]) == 0


def test_a_changed_score_is_detected(tour: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tour / "runs" / "mixture-gradient" / "scores.json"
    honest = path.read_text()
    scores = json.loads(honest)
    scores[0]["nats"] += 1.0
    path.write_text(json.dumps(scores))
    assert main(["verify", str(path.parent)]) == 2
    assert "FAILED" in capsys.readouterr().err
    path.write_text(honest)


def test_compare_ranks_within_a_space_and_refuses_across(tour: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {name: str(tour / "runs" / name) for name in ("mixture-em", "mixture-gradient", "vae-levels")}
    assert main(["compare", runs["mixture-em"], runs["mixture-gradient"], "--json"]) == 0
    ranked = json.loads(capsys.readouterr().out)
    assert ranked[0]["nats"] >= ranked[1]["nats"]
    assert main(["compare", runs["mixture-em"], runs["vae-levels"]]) == 2
    assert "cannot be ranked" in capsys.readouterr().err


def test_a_new_score_is_added_to_the_page_of_its_run(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "vae", "--epochs", "1", "--latents", "2", "--hidden", "8", "--out", out]) == 0
    picture = tmp_path / "run" / "figures" / "samples.png"
    before = picture.stat().st_mtime_ns
    assert main(["evaluate", out, "--samples", "7"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    drawn = list((tmp_path / "run" / "figures").glob("*.png"))
    assert "IWAE<sub>7</sub>" in page and page.count("<img ") == len(drawn) + 2
    assert picture.stat().st_mtime_ns == before


def test_a_study_can_be_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (tmp_path / "mine.py").write_text(text.split("## A new study")[1].split("```python\n")[1].split("```")[0])
    out = tmp_path / "out"
    assert main(["study", str(tmp_path / "mine.py"), "--quick", "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "above -30 nats" in page and "What was asked." in page and "not judged" in page
    assert main(["study", str(tmp_path / "mine.py"), "--quick", "--out", str(out)]) == 0
    assert "reused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("STUDY = 3", "must define STUDY"),
        ("import nothing_of_this_name", "mine.py, line 1: ModuleNotFoundError"),
        ("a = 1\nb = (", "mine.py, line 2: syntax error"),
    ],
)
def test_a_file_without_a_study_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(content)
    assert main(["study", str(tmp_path / "mine.py"), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_study_with_a_dataclass_is_read(tmp_path: Path) -> None:
    """Dataclasses resolve postponed annotations in `sys.modules`."""
    lines = [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "from typing import ClassVar",
        "from ancestral.studies.recipe import Study",
        "@dataclass",
        "class Mine:",
        "    shared: ClassVar[int] = 1",
        "    epochs: int = 3",
        'STUDY = Study("Mine", "", lambda options: [], [])',
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    assert find_study(str(tmp_path / "mine.py")).title == "Mine"


def test_options_that_a_study_does_not_have_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["study", "tour", "--learning-rates", "0.1", *out]) == 2
    assert "does not compare learning rates" in capsys.readouterr().err
    assert main(["study", "tour", "--source", "synthetic-circuit", *out]) == 2
    assert "it has one set of images only" in capsys.readouterr().err
    assert main(["study", "truth", "--source", "mnist", *out]) == 2
    assert "--source mnist: the study truth cannot use it: synthetic-circuit or" in capsys.readouterr().err
    assert main(["study", "tour", "--quick", "--full", *out]) == 2
    assert "cannot be combined" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_budgets_change_the_settings_of_planned_runs() -> None:
    planned = PlannedRun("a", "a", "vae", {"epochs": 10, "latents": 3}, full={"epochs": 80}, quick={"latents": 2})
    found = {budget: planned.settings_under(budget, {"epochs": 2, "train_size": 50}) for budget in BUDGETS}
    assert [found[budget].training.epochs for budget in BUDGETS] == [2, 10, 80]
    assert [found[budget].model.latents for budget in BUDGETS] == [2, 3, 3]
    assert [found[budget].data.train_size for budget in BUDGETS] == [50, None, None]
    assert planned.share_under("full", {"epochs": 2}) == 8


def test_results_are_stored_until_their_conditions_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study("Mine", "", lambda options: [], [])
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    for budget, conditions in (("quick", {}), ("quick", {}), ("default", {}), ("default", {"n": (1, 2)})):
        workshop = Workshop(study.quick, tmp_path, Options(budget), Progress())  # type: ignore[arg-type]
        workshop.remember("it", compute, **conditions)
    assert len(computed) == 3
    monkeypatch.setattr("ancestral.studies.workshop.version_of", lambda package: "another")
    workshop.remember("it", compute, **conditions)
    assert len(computed) == 4


def test_the_time_left_includes_trainings_and_chapters(tmp_path: Path) -> None:
    """Before a study starts, it is the expected time of its plan and its chapters."""
    planned = PlannedRun("a", "a", "mixture", {"components": 2, "data": "digits"}, minutes=3.0)
    lines: list[str] = []
    workshop = Workshop({"epochs": 1, "train_size": 50}, tmp_path, Options("quick"), Progress(say=lines.append))
    workshop.train([], [10.0, 20.0])
    assert workshop.pace.seconds_left() == 1800
    workshop.train([planned], [10.0, 20.0])
    assert workshop.pace.expected[1:] == [10.0, 20.0] and workshop.pace.done == 1
    assert 900 < workshop.pace.seconds_left() < 3600, (
        "a short training does not change the expected time of long chapters"
    )
    assert lines[0].endswith(workshop.pace.left)
