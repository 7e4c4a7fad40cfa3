"""Code of a plug-in that raises, or returns something else than it must: one line, exit code 2, and no run folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, Captured, refused

import ancestral
from ancestral.commands.main import main
from ancestral.core import serialization
from ancestral.core.errors import InputError
from ancestral.evaluation.contract import samples_in_space
from ancestral.families import catalogue
from ancestral.families.hooks import calling, fault_of_plug_in
from ancestral.families.score_parts import score_parts

CHAIN = (ROOT / "examples" / "chain.py").read_text().replace('name="chain"', 'name="faulty"')
SMALL = ["--data", "digits", "--epochs", "1", "--train-size", "40", "--valid-size", "20", "--device", "cpu"]
TINY = '    tiny={"chain": lambda: PixelChain([1, 3, 3], 1.0)},\n'

STEP = """
class Step:
    def __init__(self, context):
        self.model = context.model
        self.optimizer = torch.optim.SGD(context.model.parameters(), 0.1)
    def __call__(self, batch, step):
        loss = -self.model.log_prob(batch.x)
        self.optimizer.zero_grad()
        loss.mean().backward()
        self.optimizer.step()
        return {"loss": loss.detach()}
    def end_epoch(self): pass
    def state(self): return {}
    def restore(self, tensors): pass
"""


@pytest.fixture(autouse=True)
def _catalogue_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOADED", "_SOURCES", "_MODULES"):
        monkeypatch.setattr(catalogue, name, dict(getattr(catalogue, name)))
    for name in ("_CLASSES", "_OWNERS"):
        monkeypatch.setattr(serialization, name, dict(getattr(serialization, name)))


def family(folder: Path, *hooks: str, code: str = "", old: str = "", new: str = "") -> Path:
    """A file with the chain, further fields of its record, and further code."""
    lines = "".join(f"    {hook},\n" for hook in hooks)
    text = CHAIN.replace(TINY, TINY + lines).replace("FAMILY = ", f"{code}\n\nFAMILY = ", 1)
    assert old in text
    path = folder / "faulty.py"
    path.write_text(text.replace(old, new) if old else text)
    return path


LOSS = "objective=lambda settings, model: lambda model, batch: "
LOG_PROB = "return self.conditionals(x).log_prob(x).flatten(1).sum(1)"
SAMPLE = "pixels = [self.a.new_zeros(n)]"
HOOKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "initialise raises": ("initialise=lambda model, train: 1 / 0", ("initialise", "DivisionError", "faulty.py, line")),
    "objective raises": ("objective=lambda settings, model: 1 / 0", ("objective", "ZeroDivisionError")),
    "objective of a number": ("objective=lambda settings, model: 3", ("objective", "int", "(model, batch)")),
    "objective that ends the program": ("objective=lambda s, m: (_ for _ in ()).throw(SystemExit(0))", ("objective",)),
    "loss raises": (f"{LOSS}1 / 0", ("objective", "ZeroDivisionError", "faulty.py, line")),
    "no loss": (f"{LOSS}{{'nll': -model.log_prob(batch.x)}}", ("objective", "nll", '"loss"', "B = 40")),
    "no terms": (f"{LOSS}-model.log_prob(batch.x)", ("objective", "Tensor", '"loss"')),
    "scalar loss": (f"{LOSS}{{'loss': -model.log_prob(batch.x).mean()}}", ("objective", "shape ()", "B = 40")),
    "loss of another batch": (f"{LOSS}{{'loss': -model.log_prob(batch.x)[:3]}}", ("objective", "shape (3,)")),
    "loss of no tensor": (f"{LOSS}{{'loss': [1.0] * 40}}", ("objective", "list")),
    "second term of no tensor": (f"{LOSS}{{'loss': -model.log_prob(batch.x), 'kl': 1.0}}", ("objective", "'kl'")),
    "loss without a gradient": (f"{LOSS}{{'loss': batch.x.flatten(1).sum(1)}}", ("objective", "RuntimeError", "grad")),
    "step raises": ("step=lambda context: 1 / 0", ("step", "ZeroDivisionError")),
    "step without its methods": ("step=lambda context: print", ("step", "end_epoch and state and restore")),
    "held_out raises": ("held_out=lambda model, images: 1 / 0", ("held_out", "ZeroDivisionError")),
    "held_out is empty": ("held_out=lambda model, images: {}", ("held_out", "{}")),
    "held_out of a number": ("held_out=lambda model, images: 1.0", ("held_out", "1.0")),
    "held_out of tensors": ("held_out=lambda model, images: {'a': torch.zeros(())}", ("held_out", "tensor")),
    "held_out of texts": ("held_out=lambda model, images: {'a': '1'}", ("held_out", "'1'")),
    "missing module": ("initialise='no_such_module:a'", ("initialise", "no_such_module")),
    "missing name": ("score_parts='json:nothing'", ("score_parts", "nothing")),
    "drawings of another type": ("drawings='json:dumps'", ("drawings",)),
    "objective of another type": ("objective='json:__name__'", ("objective",)),
    "drawing of a taken name": ("drawings=[ancestral.Drawing('samples', 'x', print)]", ("samples", "already used")),
    "two drawings of a name": ("drawings=[ancestral.Drawing('a', 'x', print)] * 2", ("'a'", "already used")),
}  # fmt: skip
MODELS = {
    "log_prob raises": (LOG_PROB, "raise KeyError('a')", ("log_prob", "PixelChain", "KeyError", "faulty.py, line")),
    "log_prob of a shape": (LOG_PROB, LOG_PROB.removesuffix(".sum(1)"), ("log_prob", "(40, 64)", "(40,)")),
    "log_prob of a number": (LOG_PROB, "return 1.0", ("log_prob", "float")),
    "sample raises": (SAMPLE, "raise KeyError('a')", ("sample", "PixelChain", "KeyError")),
    "sample of a shape": (SAMPLE, "return self.a.new_zeros(n)", ("sample(2)", "(2,)", "(2, 1, 8, 8)")),
    "sample of a list": (SAMPLE, "return [0] * n", ("sample(2)", "list")),
}
STEPS = {
    "its call raises": ("loss = -self", "1 / 0; loss = -self", ("step", "ZeroDivisionError", "faulty.py, line")),
    "its terms are a number": ('return {"loss": loss.detach()}', "return 3", ("step", "int", '"loss"')),
    "its state is no dict": ("return {}", "return 3", ("state of the step", "dict of tensors")),
}


def assert_refused(path: Path, capsys: Captured, words: tuple[str, ...]) -> None:
    out = path.parent / "run"
    assert main(["train", str(path), *SMALL, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    for word in (*words, "faulty"):
        assert word in error, error
    assert not out.exists()


@pytest.mark.parametrize("name", HOOKS)
def test_a_faulty_hook_leaves_no_run(name: str, tmp_path: Path, capsys: Captured) -> None:
    hook, words = HOOKS[name]
    assert_refused(family(tmp_path, hook), capsys, words)


@pytest.mark.parametrize("name", MODELS)
def test_a_faulty_model_leaves_no_run(name: str, tmp_path: Path, capsys: Captured) -> None:
    old, new, words = MODELS[name]
    assert_refused(family(tmp_path, old=old, new=new), capsys, words)


@pytest.mark.parametrize("name", STEPS)
def test_a_faulty_step_leaves_no_run(name: str, tmp_path: Path, capsys: Captured) -> None:
    old, new, words = STEPS[name]
    assert_refused(family(tmp_path, "step=Step", code=STEP, old=old, new=new), capsys, words)


def test_the_exception_is_the_cause(tmp_path: Path) -> None:
    path = family(tmp_path, f"{LOSS}1 / 0")
    with pytest.raises(InputError) as caught:
        ancestral.fit(path, tmp_path / "run", data="digits", train_size=40)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("hooks", [(), ("step=Step",)], ids=["objective of the kind", "own step"])
def test_trying_the_parts_changes_nothing(
    hooks: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = family(tmp_path, *hooks, code=STEP)
    options = {"data": "digits", "train_size": 100, "epochs": 2, "batch_size": 40}
    torch.manual_seed(3)
    tried = ancestral.fit(path, tmp_path / "a", **options)
    after = torch.rand(1)
    monkeypatch.setattr("ancestral.runs.fit.try_out", lambda *parts: None)
    torch.manual_seed(3)
    plain = ancestral.fit(path, tmp_path / "b", **options)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(a, b) for a, b in zip(tried.load().parameters(), plain.load().parameters(), strict=True))
    assert [line.value for line in tried.log()] == [line.value for line in plain.log()]


CLOSURE = """
calls = []
def stepper(context):
    model = context.model
    class Step:
        def __call__(self, batch, step):
            calls.append(1)
            with torch.no_grad():
                model.a.add_(1)
                return {"loss": -model.log_prob(batch.x)}
        def end_epoch(self): pass
        def state(self): return {}
        def restore(self, tensors): pass
    return Step()
"""


def test_a_step_whose_copy_would_change_the_model_is_not_tried(tmp_path: Path) -> None:
    run = ancestral.fit(
        family(tmp_path, "step=stepper", code=CLOSURE), tmp_path / "run", data="digits", train_size=40, epochs=1
    )
    (module,) = (of for name, of in sys.modules.items() if of.__dict__.get("__file__") == str(tmp_path / "faulty.py"))
    assert module.calls == [1]
    assert run.outcome["steps"] == 1


def test_a_fault_in_the_middle_of_a_training_keeps_the_state(tmp_path: Path, capsys: Captured) -> None:
    code = "calls = []\ndef loss(model, batch):\n    calls.append(1)\n    1 / (len(calls) < 5)\n    return "
    path = family(tmp_path, "objective=lambda s, m: loss", code=code + '{"loss": -model.log_prob(batch.x)}')
    words = ["train", str(path), *SMALL, "--epochs", "9", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "objective of the family faulty failed: ZeroDivisionError" in error
    path.write_text(path.read_text().replace("< 5", "< 5e9"))
    assert main([*words, "--resume"]) == 0


def test_a_model_that_fails_later_is_refused_in_one_line(tmp_path: Path, capsys: Captured) -> None:
    path = family(tmp_path)
    run = str(tmp_path / "run")
    assert main(["train", str(path), *SMALL, "--out", run]) == 0
    good = path.read_text()
    for old, new, verb, words in (
        (LOG_PROB, "raise KeyError('a')", ["evaluate", run], ("KeyError", "faulty.py, line")),
        (LOG_PROB, "return x.sum()", ["evaluate", run], ("PixelChain", "one value per image")),
        (SAMPLE, "raise KeyError('a')", ["sample", run, "--out", str(tmp_path / "a.npy")], ("KeyError",)),
        (SAMPLE, "return torch.zeros(3)", ["sample", run, "--out", str(tmp_path / "a.npy")], ("sample(64)", "(3,)")),
    ):
        path.write_text(good.replace(old, new))
        capsys.readouterr()
        assert main([*verb, "--family", str(path)]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        for word in words:
            assert word in error


def test_an_error_of_this_package_is_not_attributed_to_a_plug_in() -> None:
    with pytest.raises(KeyError) as caught, calling("vae", "objective"):
        raise KeyError("a")
    assert fault_of_plug_in(caught.value) == ""


DRAWINGS = (
    'drawings=[ancestral.Drawing("broken", "It fails.", lambda subject, count, seed: 1 / 0), '
    'ancestral.Drawing("other", "No figure.", lambda subject, count, seed: 3)]'
)
TERMS = "score_parts=lambda model, x: 1 / 0"


def test_a_drawing_that_fails_is_named_on_the_page(tmp_path: Path, capsys: Captured) -> None:
    path, run = family(tmp_path, DRAWINGS, TERMS), tmp_path / "run"
    path.write_text(path.read_text().replace("conditionals(", "_conditionals("))  # without them, terms are drawn
    assert main(["train", str(path), *SMALL, "--out", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "drawing broken of the family faulty failed: ZeroDivisionError: division by zero" in page
    assert "drawing other of the family faulty returns no matplotlib figure" in page
    assert "score_parts of the family faulty failed" in page
    assert "samples.png" in page or "data:image" in page
    capsys.readouterr()
    for name in ("broken", "other", "split"):
        assert main(["draw", name, str(run), "--out", str(tmp_path / "a.png"), "--family", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "faulty" in error
    assert main(["explain", str(run), "--family", str(path)]) == 2
    assert "score_parts of the family faulty failed: ZeroDivisionError" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--family", str(path)]) == 0
    assert "Not drawn: broken; " in (run / "report.html").read_text()


def test_terms_of_another_type_are_refused(tmp_path: Path) -> None:
    for made in ("3", "ancestral.ScoreParts(['a'], 3, x)", "ancestral.ScoreParts(['a'], m.log_prob(x)[:, None], x)"):
        path = family(tmp_path, f"score_parts=lambda m, x: {made}")
        model = catalogue.load_file(path).code("tiny")["chain"]()
        refused(lambda model=model: score_parts(model, model.sample(2)), "score_parts", "PixelChain")


def test_samples_of_an_implicit_model_are_checked_against_its_pixels() -> None:
    class Draws(ancestral.ImplicitModel):
        event_shape = (1, 2, 2)

        def __init__(self, spaces: tuple[str, ...], levels: int | None, value: float) -> None:
            super().__init__()
            self.spaces, self.levels, self.value = spaces, levels, value

        def sample(self, n: int) -> torch.Tensor:
            return torch.full((n, *self.event_shape), self.value)

    good = [(("binary",), 2, 1.0), (("levels",), 5, 4.0), (("unit",), None, 0.5), (("points",), None, -3.0)]
    bad = [
        *((("binary",), 2, 0.5), (("binary",), 2, 2.0), (("levels",), 5, 5.0), (("levels",), 5, 1.5)),
        *((("unit",), None, 1.5), (("unit",), None, -0.1), (("unit",), None, float("nan"))),
        *((("points",), None, float("inf")),),
    ]
    assert all(samples_in_space(Draws(*one))[0] for one in good)
    assert not any(samples_in_space(Draws(*one))[0] for one in bad)


def test_settings_are_written_and_read_back(tmp_path: Path) -> None:
    fields = "x: tuple[float, int] = (0.5, 2)\n    y: int | None = None\n    z: float = 1\n    scale: float"
    path = family(tmp_path, old='scale: float = 0.1\n    """', new=f'{fields} = 0.1\n    """')
    run = ancestral.fit(path, tmp_path / "run", data="digits", train_size=40, epochs=1, x=(1.5, 3), scale=1)
    assert json.loads((run.path / "settings.json").read_text())["settings"]["model"]["x"] == [1.5, 3]
    assert ancestral.Run(run.path).settings.model.x == (1.5, 3)
    ancestral.fit(path, run.path, data="digits", train_size=40, epochs=1, x=(1.5, 3), scale=1, resume=True)
