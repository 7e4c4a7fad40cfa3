"""The study `uva2020` from end to end under `--quick`: the deliverables of the coursework on its page."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path

import pytest
import torch
from quick_studies import EMBEDDED, MB, SHEET, STUDY_MB, carried_out, needs_mnist

from ancestral import fit
from ancestral.evaluation.quality import Measured
from ancestral.evaluation.score import Score
from ancestral.health.examine import Examination, Verdict
from ancestral.health.gan_rules import _shade
from ancestral.reports.pictures.latents import percentile_grid
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.code_spread import Spread
from ancestral.studies.demonstrations.paired_scores import Difference
from ancestral.studies.uva2020.autoencoder import _of_draws
from ancestral.studies.uva2020.comparison import _missed
from ancestral.studies.uva2020.game import _gradient, _in_the_run, _starving
from ancestral.studies.uva2020.gan import _finding, _rising
from ancestral.studies.uva2020.points import _above, _in_bits
from ancestral.studies.uva2020.recipe import PLAN, STUDY
from ancestral.studies.uva2020.words import (
    apart,
    bits_in_words,
    differences,
    settings_in_words,
    share_in_words,
    too_brief,
)
from ancestral.training.log import LogLine

DELIVERABLES = (
    "falls below|does not fall below",  # training loss against 0.16
    "at most 0\\.",  # a lower bound on the nats is an upper bound on the bits
    "IWAE<sub>100</sub>",
    "recognised with confidence",  # the manifold, cell by cell
    "VAE, CNN",
    "no generative model",
    "class KL",
    "learning rate too large",
    "vanishing generator gradient",
    "saturating",
    "-2 log 2",
    "0.8101",  # the entropy of the true density
    "variational dequantisation",
    "By quadrature it is 1.000000",
    "from image to z",
    "LightningGenerative",
    "--track",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("uva2020", tmp_path_factory)


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return html.unescape((out / "report.html").read_text())


@needs_mnist
def test_every_deliverable_is_on_the_page(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.title in page and chapter.asked in page
    missing = [words for words in DELIVERABLES if not re.search(words, page)]
    assert not missing
    assert page.count("<img ") == 30


@needs_mnist
def test_the_page_is_light_at_the_default_budget_too(out: Path) -> None:
    later = sum(len(one.settings.get("samples_at", ())) for one in PLAN) - 3  # sheets that the quick page lacks
    assert later == 6 and (out / "report.html").stat().st_size + later * SHEET * EMBEDDED < STUDY_MB * MB


@needs_mnist
def test_every_figure_of_a_run_that_was_trained_briefly_says_so(out: Path, page: str) -> None:
    captions = re.findall(r"<figcaption><b>Figure \d+\.</b>(.*?)</figcaption>", page, re.DOTALL)
    silent = [text.split("\n")[0].strip() for text in captions if "Not a result" not in text]
    assert len(captions) == 30 and len(silent) == 7  # 3 before training, 4 without a trained model
    assert sum("before training" in text for text in silent) == 3
    of_computations = ("One dimension, optimal critic", "Mean logarithms", "The density fitted", "Density of x")
    assert all(any(text.startswith(words) for text in silent) for words in of_computations)
    assert not any(text.count("Not a result") > 1 for text in captions)


@needs_mnist
def test_the_quick_page_has_no_verdicts(page: str) -> None:
    assert "too briefly" in page and page.count("not judged") >= 20
    assert ">met<" not in page and ">missed<" not in page


@needs_mnist
def test_the_page_has_no_missing_values_and_needs_no_network(page: str) -> None:
    assert "http://" not in page and "https://" not in page
    words = re.sub(r"base64,[^\"]*", "", page).split("</style>")[1]
    assert not re.search(r"\b(nan|inf|None)\b", words)


@needs_mnist
def test_runs_have_scores_of_their_kind_and_are_reused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for planned in PLAN:
        methods = {score.method for score in Run(out / "runs" / planned.name).scores()}
        assert bool(methods) == planned.scored
        assert (f"IWAE_{min(planned.importance_samples, 100)}" in methods) == bool(planned.importance_samples)


def test_the_plan_is_the_coursework_s() -> None:
    plan = {one.name: one.settings_under("full", STUDY.quick) for one in PLAN}
    vae, gan, flow = plan["vae"], plan["gan"], plan["flow-points"]
    assert (vae.training.epochs, vae.training.batch_size, vae.training.rate, vae.data.protocol) == (
        80,
        128,
        1e-3,
        "uva2020",
    )
    assert (vae.model.latents, vae.model.hidden, plan["vae-cnn"].training.epochs) == (20, (512,), 80)
    assert (gan.training.epochs, gan.training.rate, gan.training.beta1, gan.training.batch_size) == (
        250,
        2e-4,
        0.5,
        128,
    )
    assert (flow.training.epochs, flow.training.batch_size, flow.model.depth, flow.model.hidden) == (
        40,
        256,
        6,
        (64, 64),
    )
    assert (flow.model.base_scale, flow.model.activation, flow.data.data) == (0.3, "gelu", "two-gaussians")


def test_the_grid_is_at_the_percentiles_with_the_first_coordinate_along_rows() -> None:
    axis, z = percentile_grid(20, cells=21)
    shares = torch.special.ndtr(axis.double())
    torch.testing.assert_close(shares, (torch.arange(20) + 0.5).double() / 21, rtol=0, atol=1e-6)
    assert torch.equal(z[:20, 0], axis) and torch.equal(z[::20, 1], axis) and (z[:20, 1] == axis[0]).all()
    middles, _ = percentile_grid(20)
    torch.testing.assert_close(middles, -middles.flip(0), rtol=0, atol=1e-6)  # symmetric about 0
    torch.testing.assert_close(
        torch.special.ndtr(middles.double()).diff(), torch.full((19,), 0.05).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("value", "words"), [(-1.0, "not converged"), (-2 * math.log(2), "near the equilibrium"), (-2.0, "worse than")]
)
def test_the_sentence_on_the_final_value_follows_the_value(value: float, words: str) -> None:
    assert words in _in_the_run(value, 0.6, 0.4)


def test_the_text_of_a_finding(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert _finding(run, "GAN collapse") == "not checked"
    verdict = Verdict("GAN collapse", "failure", "diversity 0", "Lower the rate", 3)
    run.keep_health(Examination((verdict,), ("oscillation",), ("divergence",)))
    told = [_finding(run, name) for name in ("GAN collapse", "oscillation", "divergence")]
    assert told == ["failure: diversity 0", "no sign", "log too short"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    common = {"data": "digits", "epochs": 2, "batch_size": 160, "latents": 2, "hidden": (8,), "log_every": 3}
    return [
        fit("vae", folder / "a", **common),
        fit("vae", folder / "b", **common, schedule="cosine", glorot=True, activation="tanh"),
    ]


def test_the_mean_of_an_epoch_weights_readings_by_their_images(runs: list[Run]) -> None:
    run = runs[0]
    images, batch = run.record["data"]["counts"]["train"], 160
    lines = [line for line in run.log() if (line.split, line.name) == ("train", "loss")]
    per_epoch = -(-images // batch)
    steps = sorted({1, *range(3, 2 * per_epoch + 1, 3), per_epoch, 2 * per_epoch})
    assert (
        [line.step for line in lines] == steps and per_epoch % 3 and images % batch
    )  # with incomplete last intervals and batches
    found = training_curves(run).epoch_means("loss")
    for epoch, mean in zip((1, 2), found.values, strict=True):
        sizes = [batch] * (per_epoch - 1) + [images - batch * (per_epoch - 1)]
        total, before = 0.0, 0
        for line in lines:
            if line.epoch == epoch:
                after = line.step - (epoch - 1) * per_epoch
                total += line.value * sum(sizes[before:after])
                before = after
        assert mean == pytest.approx(total / images, rel=1e-12)
    assert list(found.steps) == [1, 2]


def test_the_sentence_on_settings_and_the_list_of_differences(runs: list[Run]) -> None:
    told = settings_in_words(runs[0])
    assert "ReLU; Adam at 0.001, constant learning rate, β_1 = 0.9; minibatches of 160; 2 epochs." in told
    assert "decaying by a cosine schedule" in settings_in_words(runs[1])
    assert differences(runs[0], runs[0]) == []
    assert differences(runs[1], runs[0]) == [
        "activation (tanh, not relu)",
        "glorot (on, not off)",
        "schedule (cosine, not constant)",
    ]
    assert too_brief(runs[0], 80) == "It was trained for 2 epochs of 80."
    assert "as long as" in too_brief(runs[0], 2)


def test_a_lower_bound_on_nats_is_an_upper_bound_on_bits() -> None:
    facts = {"method": "", "samples": 1, "space": "", "split": "test", "count": 9, "dimensions": 1, "stderr": 0.0}
    bound = Score(nats=-math.log(2), kind="bound", side="lower", **facts)
    assert bits_in_words(bound) == "at most 1.0000"
    assert bits_in_words(Score(nats=-math.log(2), kind="exact", side=None, **facts)) == "1.0000"


def test_shares_have_binomial_errors() -> None:
    assert share_in_words(0.5, 10_000) == "50.0% ± 0.5%" and share_in_words(0.0, 10) == "0%"
    assert share_in_words(3e-4, 10_000) == "below 0.1%"
    assert apart(0.5, 0.53, 10_000) and not apart(0.5, 0.53, 1000)


def test_the_difference_from_the_true_density_is_stated_with_its_error() -> None:
    behind = Difference(-0.02 * 2 * math.log(2), 0.001 * 2 * math.log(2), "log p(x)", 100)
    assert _in_bits(behind) == "0.0200 ± 0.0010 bits/dim"
    assert _above(behind, "It") == "It is 0.0200 ± 0.0010 bits/dim above the true density (paired differences)."
    assert "which is impossible" in _above(Difference(0.02, 0.001, "log p(x)", 100), "It")
    assert "not a clear difference" in _above(Difference(-0.001, 0.001, "log p(x)", 100), "It")


class FakeRun:
    """A run with a log only."""

    path = Path()

    def __init__(self, split: str, name: str, values: list[float], settings: object) -> None:
        self.record, self.settings = {"data": {"counts": {"train": 10}}}, settings
        self.lines = [LogLine(step, step, split, name, value) for step, value in enumerate(values, 1)]

    def log(self) -> list[LogLine]:
        return self.lines


def test_sentences_on_trends_and_gradients_follow_the_readings(runs: list[Run]) -> None:
    settings = runs[0].settings  # minibatches of 160: ten images are one
    rising = FakeRun("samples", "recognised", [0.1 * i for i in range(8)], settings)
    level = FakeRun("samples", "recognised", [0.5] * 8, settings)
    assert "still rising: 65.0% in the last 2 epochs, 45.0%" in _rising(rising)  # type: ignore[arg-type]
    assert "no longer rose" in _rising(level)  # type: ignore[arg-type]
    norms = FakeRun("train", "generator_gradient", [5.0, 1.0, 3.0], settings)
    assert _gradient(norms, 2) == 1.0 and _gradient(norms, 3) == 3.0  # type: ignore[arg-type]
    assert "12 times smaller" in _starving(4.0, 1 / 3, 10) and "does not vanish" in _starving(1.0, 0.9, 10)


def test_sentences_on_the_autoencoder_follow_the_recognised_shares() -> None:
    def spread(normal: float, fitted: float) -> Spread:
        return Spread(40.0, 1.0, 2.0, 4.0, normal, fitted)

    vae = spread(0.8, 0.8)
    assert "fewer than for the VAE" in _of_draws(spread(0.0, 0.4), vae, 10_000)
    assert "as good" in _of_draws(spread(0.0, 0.8), vae, 10_000)
    assert "no clear gain" in _of_draws(spread(0.1, 0.1), vae, 10_000)
    assert "even fewer" in _of_draws(spread(0.3, 0.1), vae, 10_000)
    assert "does not show an advantage" in _of_draws(spread(0.9, 0.9), vae, 10_000)


def test_a_low_recall_beside_the_best_fid_is_stated() -> None:
    class Record:
        def __init__(self, fid: float, recall: float, precision: float) -> None:
            self.fid, self.recall = Measured(fid, 0.0), Measured(recall, 0.9)
            self.precision = Measured(precision, 0.9)

    gan, vae = Record(3.0, 0.3, 0.8), Record(6.0, 0.7, 0.6)
    told = _missed({"gan": gan, "vae": vae})  # type: ignore[dict-item]
    assert "recall is 0.30, compared with 0.70 for the VAE, MLP (0.90" in told and "In exchange" in told
    assert "In exchange" not in _missed({"gan": Record(3.0, 0.3, 0.5), "vae": vae})  # type: ignore[dict-item]
    least = Record(3.0, 0.8, 0.5)
    told = _missed({"gan": least, "vae": vae})  # type: ignore[dict-item]
    assert "No other model has a clearly higher recall than its 0.80" in told


def test_the_mean_pixel_is_called_darker_or_brighter_only_if_it_differs_clearly() -> None:
    assert _shade(0.62) == " (brighter than the data)" and _shade(-0.42) == " (darker than the data)"
    assert _shade(0.1) == ""
