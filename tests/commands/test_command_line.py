"""The command line: exit codes, one-line errors, no partial files, and JSON output that is only JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Captured, printed, run, train_without_page

from ancestral.commands.config_files import expand_configs
from ancestral.commands.dispatch import BUILT_IN, COMMANDS
from ancestral.core.errors import InputError

FAST = ["--epochs", "1", "--train-size", "200", "--valid-size", "50"]
CODING = [*FAST, "--latents", "2", "--hidden", "8"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of each family, and a VAE on grey levels, without pages; no test changes them."""
    folder = tmp_path_factory.mktemp("runs")
    train_without_page("vae", *CODING, "--out", folder / "vae")
    train_without_page("mixture", *FAST, "--components", 3, "--out", folder / "mixture")
    train_without_page("autoencoder", *CODING, "--out", folder / "autoencoder")
    train_without_page("vae", *CODING, "--pixels", "levels", "--out", folder / "levels")
    train_without_page("made", *FAST, "--hidden", 8, "--out", folder / "made")
    train_without_page("belief-net", *FAST, "--latents", 3, "--out", folder / "belief-net")
    train_without_page("flow", *FAST, "--width", 4, "--couplings", 1, "--out", folder / "flow")
    wide = [*FAST, "--latents", "20", "--hidden", "8"]
    train_without_page("vae", *wide, "--out", folder / "wide")
    return folder


# ---- what answers at once

HEAVY = ("torch", "lightning_fabric", "sklearn", "matplotlib", "numpy")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "vae", "--help"], ["draw", "-h"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = f"""
import sys
from ancestral.commands.main import main
try:
    code = main({words!r})
except SystemExit as stop:
    code = stop.code or 0
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print("HEAVY", code, heavy)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "HEAVY 0 []"
    assert answer.stderr == ""
    assert "usage" in answer.stdout.lower() or "--out" in answer.stdout


@pytest.mark.parametrize("words", [[], ["-m", "ancestral"]], ids=["installed", "module"])
def test_the_command_and_the_module(words: list[str]) -> None:
    command = [sys.executable, *words] if words else [str(Path(sys.executable).with_name("ancestral"))]
    if not Path(command[0]).exists():
        pytest.skip("the package is not installed as a command here")
    assert "0.1.0" in subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    wrong = subprocess.run([*command, "tain"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("ancestral: unknown command 'tain'") and wrong.stderr.count("\n") == 1


def test_every_command_and_family_is_in_the_overview(capsys: Captured) -> None:
    out, _ = printed(capsys)
    assert all(f"  {name} " in out for name in COMMANDS)
    out, _ = printed(capsys, "train", "--help")
    assert all(f"  {name} " in out for name in BUILT_IN)


# ---- what is refused


def assert_refused(capsys: Captured, folder: Path, *words: object, holds: str = "") -> None:
    """Exit code 2, one line that says why, nothing on stdout, and no file written or changed."""
    before = files(folder)
    capsys.readouterr()
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    *notes, line = err.splitlines()
    assert line.startswith("ancestral: ") and all("has no effect" in note for note in notes), err
    assert "Traceback" not in err
    assert holds in err
    assert files(folder) == before


WRONG_TRAININGS: dict[str, tuple[list[str], str]] = {
    "unknown flag": (["--colour", "red"], "--colour"),
    "a word too many": (["quickly"], "quickly"),
    "not a number": (["--epochs", "nine"], "--epochs"),
    "no value": (["--epochs"], "--epochs"),
    "no epochs": (["--epochs", "0"], "--epochs 0"),
    "negative epochs": (["--epochs", "-1"], "--epochs -1"),
    "half an epoch": (["--epochs", "0.5"], "--epochs"),
    "no batch": (["--batch-size", "0"], "--batch-size 0"),
    "negative batch": (["--batch-size", "-8"], "--batch-size -8"),
    "no rate": (["--learning-rate", "0"], "--learning-rate 0"),
    "negative rate": (["--learning-rate", "-0.1"], "--learning-rate -0.1"),
    "rate nan": (["--learning-rate", "nan"], "--learning-rate nan"),
    "rate inf": (["--learning-rate", "inf"], "--learning-rate inf"),
    "negative decay": (["--weight-decay", "-1"], "--weight-decay"),
    "negative momentum": (["--momentum", "-1"], "--momentum"),
    "clip at nothing": (["--clip-norm", "0"], "--clip-norm"),
    "negative warm-up": (["--warmup-steps", "-1"], "--warmup-steps"),
    "no patience": (["--patience", "0"], "--patience"),
    "validate never": (["--validate-every", "0"], "--validate-every"),
    "log never": (["--log-every", "0"], "--log-every"),
    "watch nothing": (["--watch-size", "0"], "--watch-size"),
    "samples before time": (["--samples-at", "-1"], "--samples-at"),
    "unknown optimiser": (["--optimizer", "newton"], "newton"),
    "unknown schedule": (["--schedule", "whenever"], "whenever"),
    "unknown precision": (["--precision", "3"], "--precision"),
    "unknown split": (["--watch", "holdout"], "holdout"),
    "unknown pixels": (["--pixels", "grey"], "grey"),
    "unknown device": (["--device", "nonsense"], "nonsense"),
    "unknown device number": (["--device", "cpu:x"], "cpu:x"),
    "absent device": (["--device", "cuda:99"], "cuda:99"),
    "unknown data": (["--data", "nonsense"], "nonsense"),
    "missing data file": (["--data", "nowhere.npz"], "nowhere.npz"),
    "no training images": (["--train-size", "0"], "--train-size"),
    "too many validation images": (["--valid-size", "5000"], "validation"),
    "negative validation": (["--valid-size", "-1"], "--valid-size"),
    "another set's protocol": (["--protocol", "csds600"], "csds600"),
    "its former flag": (["--split", "csds600"], "csds600"),
    "padding inwards": (["--pad-to", "4"], "4"),
    "no latents": (["--latents", "0"], "--latents 0"),
    "negative latents": (["--latents", "-2"], "--latents -2"),
    "no width": (["--hidden", "8", "0"], "--hidden 8 0"),
    "more than memory": (["--hidden", "1000000000000"], "--hidden 1000000000000"),
    "more than numbers": (["--hidden", "1" + 30 * "0"], "--hidden 1"),
    "strides of nothing": (["--network", "cnn", "--strides", "0"], "--strides 0"),
    "strides that a decoder lacks": (["--network", "cnn", "--channels", "4", "--strides", "3"], "give 1 or 2"),
    "channels without strides": (["--network", "cnn", "--channels", "3", "--strides", "1", "1"], "strides"),
    "no variance": (["--variance", "0"], "--variance"),
    "negative beta": (["--beta", "-1"], "--beta"),
    "negative free bits": (["--free-bits", "-1"], "--free-bits"),
    "no importance samples": (["--importance-samples", "0"], "--importance-samples"),
    "no components": (["--prior", "mixture", "--components", "0"], "--components"),
    "a density of binary pixels": (["--likelihood", "gaussian", "--pixels", "threshold"], "gaussian"),
    "coins for grey levels": (["--likelihood", "bernoulli", "--pixels", "levels"], "bernoulli"),
    "no recipe": (["--recipe"], "--recipe"),
    "missing recipe": (["--recipe", "nowhere.yaml"], "nowhere.yaml"),
}


@pytest.mark.parametrize("case", WRONG_TRAININGS)
def test_a_wrong_training_is_refused(capsys: Captured, tmp_path: Path, case: str) -> None:
    words, holds = WRONG_TRAININGS[case]
    # the settings are small, so that the test fails quickly if the training is not refused
    assert_refused(capsys, tmp_path, "train", "vae", *CODING, *words, "--out", tmp_path / "run", holds=holds)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["train", "gan3000"], "gan3000"),
        (["train", "--epochs", "3"], "--epochs"),
        (["train", "mixture", "--latents", "3"], "--latents"),
        (["train", "mixture", "--pixels", "levels", "--epochs", "1"], "binary pixels"),
        (["train", "mixture", "--method", "em", "--smoothing", "0", "--epochs", "1"], "--smoothing"),
        (["evaluate"], "run folder"),
        (["compare"], "run folder"),
        (["sample"], "run"),
        (["draw"], "samples"),
        (["evaluate", "nowhere"], "nowhere is not a run folder"),
        (["compare", "nowhere"], "nowhere is not a run folder"),
        (["sample", "nowhere", "--out", "a.png"], "nowhere is not a run folder"),
        (["draw", "samples", "nowhere", "--out", "a.png"], "nowhere is not a run folder"),
        (["data", "nonsense"], "nonsense"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_refused(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], holds: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(capsys, tmp_path, *words, holds=holds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["evaluate", "{}/autoencoder"], "no likelihood"),
        (["evaluate", "{}/vae", "--samples", "-1"], "--samples"),
        (["evaluate", "{}/vae", "--from-prior"], "--samples"),
        (["evaluate", "{}/vae", "--count", "0"], "--count"),
        (["evaluate", "{}/vae", "--count", "-5"], "--count"),
        (["evaluate", "{}/vae", "--split", "holdout"], "holdout"),
        (["evaluate", "{}/vae", "nowhere"], "nowhere"),
        (["compare", "{}/vae", "{}/levels"], "not comparable"),
        (["compare", "{}/vae", "{}/autoencoder"], "use `ancestral quality "),
        (["draw", "manifold", "{}/wide", "--out", "{}/a.png"], "2 latents"),
        (["draw", "manifold", "{}/mixture", "--out", "{}/a.png"], "2 latents"),
        (["draw", "components", "{}/vae", "--out", "{}/a.png"], "mixture"),
        (["draw", "portrait", "{}/vae", "--out", "{}/a.png"], "portrait"),
        (["draw", "samples", "{}/vae", "--out", "{}/a.gif"], ".png, .jpg, .pdf or .svg"),
        (["draw", "samples", "{}/vae", "--out", "{}/a.png", "--count", "0"], "--count"),
        (["draw", "{}/vae", "samples"], "name the picture before the run"),
        (["draw", "samples"], "name a run"),
        (["draw", "runs/absent"], "runs/absent: no such run folder"),
        (["sample", "{}/vae", "--out", "{}/a.pt"], ".npy"),
        (["sample", "{}/vae", "-n", "0", "--out", "{}/a.png"], "give at least 1"),
        (["sample", "{}/vae", "-n", "-3", "--out", "{}/a.png"], "give at least 1"),
        (["train", "vae", "--out", "{}/vae"], "already contains a run"),
        (["train", "vae", *CODING, "--batch-size", "7", "--out", "{}/vae", "--resume"], "batch_size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_of_a_run_is_refused(capsys: Captured, trained: Path, words: list[str], holds: str) -> None:
    assert_refused(capsys, trained, *[word.format(trained) for word in words], holds=holds)


def test_damaged_runs_are_refused_in_one_line(capsys: Captured, trained: Path, tmp_path: Path) -> None:
    for name, content in files(trained / "vae").items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    weights = tmp_path / "run" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    for command in ("evaluate", "compare", "sample", "draw samples"):
        out = [] if command in ("evaluate", "compare") else ["--out", str(tmp_path / "a.png")]
        if command != "compare":
            assert_refused(capsys, tmp_path, *command.split(), tmp_path / "run", *out, holds="model.safetensors")
    (tmp_path / "run" / "settings.json").write_text("{")
    for command in ("evaluate", "compare"):
        assert_refused(capsys, tmp_path, command, tmp_path / "run", holds="settings.json")


# ---- recipes


@pytest.mark.parametrize(
    ("recipe", "holds"),
    [
        ("colour: red", "'colour'"),
        ("epochs: [1", "recipe.yaml"),
        ("just words", "mapping"),
        ("- epochs", "mapping"),
        ("", "mapping"),
        ("epochs: many", "--epochs"),
        ("epochs: {a: 1}", "--epochs"),
        ("epochs: 0", "--epochs 0"),
        ("out: elsewhere", "'out'"),
        ("!!python/object/apply:os.system ['true']", "recipe.yaml"),
    ],
)
def test_a_wrong_recipe_is_refused(capsys: Captured, tmp_path: Path, recipe: str, holds: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    assert_refused(
        capsys,
        tmp_path,
        "train",
        "vae",
        *CODING[2:],
        "--recipe",
        path,
        "--out",
        tmp_path / "run",
        holds=holds,
    )


def test_a_recipe_that_is_not_text_is_refused(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00epochs")
    words = ["train", "vae", "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "run"]
    assert_refused(capsys, tmp_path, *words, holds="recipe.yaml")


def test_flags_override_recipes_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "epochs: 5\nlatents: 3\nhidden: [16, 8]\nglorot: true\ntensorboard: false\npatience: null\n"
        "learning-rate: 1e-4\ntrain_size: 100\nvalid_size: 20\nsamples_at: [1]\n"
    )
    (tmp_path / "b.yaml").write_text("latents: 4\n")
    out = tmp_path / "run"
    words = ["vae", "--hidden", "4", "--recipe", tmp_path / "a.yaml", "--epochs", 1]
    train_without_page(*words, "--recipe", tmp_path / "b.yaml", "--out", out)
    settings = json.loads((out / "settings.json").read_text())["settings"]
    assert settings["training"]["epochs"] == 1
    assert settings["training"]["learning_rate"] == 1e-4
    assert settings["training"]["patience"] is None
    assert settings["model"]["hidden"] == [4]
    assert settings["model"]["latents"] == 4, "the later recipe wins"
    assert settings["model"]["glorot"] is True
    assert settings["data"]["train_size"] == 100


def test_recipes_are_converted_to_flags() -> None:
    assert expand_configs(["--epochs", "3"], "vae") == ["--epochs", "3"]
    with pytest.raises(InputError, match="--recipe"):
        expand_configs(["--epochs", "3", "--recipe"], "vae")


# ---- what is done


def test_training_writes_a_complete_run_folder(capsys: Captured, tmp_path: Path) -> None:
    out, err = printed(capsys, "train", "vae", *CODING, "--json", "--out", tmp_path / "run")
    (score,) = json.loads(out)
    assert score["run"] == "run" and score["method"] == "ELBO" and score["side"] == "lower"
    assert f"report: {tmp_path / 'run' / 'report.html'}" in err.splitlines(), "whole, however long the path"
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{score['nats']:.2f}" in page.replace("\u2212", "-")
    assert "entropy" not in page, "that of images is not known"
    assert json.loads((tmp_path / "run" / "scores.json").read_text())[0]["nats"] == score["nats"]
    assert {p.name for p in (tmp_path / "run" / "figures").iterdir()} >= {"samples.png", "curves.png"}
    assert not list((tmp_path / "run").rglob(".*.tmp"))


def test_an_autoencoder_has_a_report_but_no_score(capsys: Captured, tmp_path: Path) -> None:
    out, _ = printed(capsys, "train", "autoencoder", *CODING, "--json", "--out", tmp_path / "run")
    assert json.loads(out) == []
    assert "no likelihood" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("words", [["--samples", "5"], ["--samples", "5", "--from-prior"], ["--split", "valid"], []])
def test_evaluate(capsys: Captured, trained: Path, words: list[str]) -> None:
    before = {name: files(trained / name) for name in ("vae", "levels")}
    out, err = printed(capsys, "evaluate", trained / "vae", trained / "levels", *words, "--json")
    scores = json.loads(out)
    assert [score["run"] for score in scores] == ["vae", "levels"] and err == ""
    assert {score["method"] for score in scores} <= {"ELBO", "IWAE_5", "prior MC_5"}
    again, _ = printed(capsys, "evaluate", trained / "vae", trained / "levels", *words, "--json")
    assert again == out, "a score is the same each time it is asked for"
    out, _ = printed(capsys, "evaluate", trained / "vae", *words)
    assert f"{scores[0]['nats']:.2f}" in out
    for name, content in before.items():
        for file, old in content.items():
            (trained / name / file).write_bytes(old)


def test_a_score_of_one_image_is_valid_json(capsys: Captured, trained: Path) -> None:
    stored = {name: (trained / "vae" / name).read_bytes() for name in ("scores.json", "manifest.json")}

    def no_json(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    out, _ = printed(capsys, "evaluate", trained / "vae", "--count", 1, "--json")
    (score,) = json.loads(out, parse_constant=no_json)
    assert score["count"] == 1 and score["stderr"] is None
    for name, content in stored.items():
        (trained / "vae" / name).write_bytes(content)


def test_sample(capsys: Captured, trained: Path, tmp_path: Path) -> None:
    out, err = printed(capsys, "sample", trained / "levels", "-n", 1001, "--out", tmp_path / "new" / "a.npy")
    assert out == "" and str(tmp_path / "new" / "a.npy") in err
    images = np.load(tmp_path / "new" / "a.npy", allow_pickle=False)
    assert images.shape == (1001, 1, 8, 8)
    assert set(np.unique(images)) <= set(range(17)), "pixels as the model draws them"
    for name, seed in [("b", 1), ("c", 1), ("d", 2)]:
        printed(capsys, "sample", trained / "vae", "-n", 4, "--seed", seed, "--out", tmp_path / f"{name}.npy")
    b, c, d = (np.load(tmp_path / f"{name}.npy") for name in "bcd")
    assert (b == c).all() and (b != d).any()
    printed(capsys, "sample", trained / "mixture", "--out", tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


DRAWINGS = {
    "vae": ("samples", "reconstructions", "interpolations", "manifold", "curves"),
    "mixture": ("samples", "reconstructions", "interpolations", "components", "curves"),
    "autoencoder": ("samples", "reconstructions", "interpolations", "manifold", "curves"),
    "levels": ("samples", "reconstructions", "manifold"),
    "made": ("samples", "steps", "curves", "neighbours"),
    "belief-net": ("samples", "reconstructions", "curves"),
    "flow": ("samples", "reconstructions", "interpolations", "curves"),
}


@pytest.mark.parametrize(("name", "what"), [(name, what) for name, all_ in DRAWINGS.items() for what in all_])
def test_draw(capsys: Captured, trained: Path, tmp_path: Path, name: str, what: str) -> None:
    words = ["draw", what, trained / name, "--count", 3]
    out, err = printed(capsys, *words, "--out", tmp_path / "a.png")
    assert out == "" and err == f"{what}: {tmp_path / 'a.png'}\n"
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    printed(capsys, *words, "--out", tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == picture


def test_compare(capsys: Captured, trained: Path) -> None:
    runs = [trained / name for name in ("wide", "mixture", "vae")]
    out, err = printed(capsys, "compare", *runs, "--json")
    ranked = json.loads(out)
    assert {score["run"] for score in ranked} == {"wide", "mixture", "vae"}
    first = ranked[0]["run"]
    assert err.startswith((f"best score: {first}, ", f"no best score: {first} is not")) and "--paired" in err
    assert [s["nats"] for s in ranked] == sorted((s["nats"] for s in ranked), reverse=True)
    out, _ = printed(capsys, "compare", *runs)
    assert out.index(ranked[0]["run"]) < out.index(ranked[-1]["run"])


def test_data(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path))
    out, err = printed(capsys, "data", "--json")
    states = {state["name"]: state for state in json.loads(out)}
    assert states["digits"]["state"] == "ready" and "mnist" in states and err == ""
    out, _ = printed(capsys, "data", "digits")
    assert "digits" in out and "ready" in out


def test_the_command_on_the_report_reproduces_the_run(trained: Path, tmp_path: Path) -> None:
    import shlex

    from ancestral.reports.run_page import repeat_command
    from ancestral.runs.run import Run

    _, _, *words = shlex.split(repeat_command(Run(trained / "wide")))
    words[words.index("--out") + 1] = str(tmp_path / "again")
    train_without_page(*words)
    for name in ("log.jsonl", "model/model.safetensors", "scores.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / "wide" / name).read_bytes()


def test_a_disabled_setting_is_reproduced(tmp_path: Path) -> None:
    import shlex

    from ancestral import fit
    from ancestral.reports.run_page import repeat_command
    from ancestral.runs.run import Run

    first = fit("flow", tmp_path / "first", data="moons", train_size=64, epochs=1, actnorm=False, depth=2)
    _, _, *words = shlex.split(repeat_command(first))
    words[words.index("--out") + 1] = str(tmp_path / "again")
    train_without_page(*words)
    assert Run(tmp_path / "again").settings == first.settings


def test_a_closed_output_pipe_is_no_error(trained: Path) -> None:
    program = "from ancestral.commands.main import entry; entry()"
    command = [sys.executable, "-c", program, "compare", str(trained / "vae"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaint) == (0, "")
