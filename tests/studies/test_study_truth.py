"""The study `truth` from end to end under `--quick`, on a small sampled set (slow); and its own distributions."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from quick_studies import MB, STUDY_MB, carried_out

from ancestral.core.random import seeded_noise
from ancestral.data.anomalies import frankenstein
from ancestral.data.splits import Split
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.catalogue import BUILT_IN
from ancestral.families.circuit.tiny import tiny_circuit
from ancestral.runs import synthetic
from ancestral.studies.recipe import Options
from ancestral.studies.truth.bounds import summed_over_states
from ancestral.studies.truth.measure import OnTest
from ancestral.studies.truth.plan import PLAN, plan
from ancestral.studies.truth.rankings import spliced_log_prob
from ancestral.studies.truth.recipe import STUDY

IMAGES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9)), dtype=torch.float64).view(-1, 1, 3, 3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ANCESTRAL_DATA", str(tmp_path_factory.mktemp("own")))
        patch.setattr(synthetic, "SIZES", {"synthetic-circuit": synthetic.Sizes(720, 110)})
        return carried_out("truth", tmp_path_factory)


def parts_of(out: Path) -> list[str]:
    return re.sub(r"base64,[^\"]*", "", (out / "report.html").read_text()).split("<section")[1:]


def test_every_family_is_planned() -> None:
    assert {planned.family for planned in PLAN} == set(BUILT_IN) - {"autoencoder"}  # an autoencoder is no distribution


def test_another_source_changes_the_data_of_all_runs() -> None:
    other = plan(Options("full", source="synthetic-pixelcnn"))
    assert {one.settings["data"] for one in other} == {"synthetic-pixelcnn"}
    assert len(other) == len(PLAN) and {one.settings["data"] for one in PLAN} == {"synthetic-circuit"}
    for one in other:
        data = one.settings_under("full", STUDY.quick).data
        assert data.train_size + data.valid_size <= synthetic.SIZES["synthetic-pixelcnn"].train


@pytest.mark.slow
def test_a_truth_without_any_mask_leaves_out_what_it_cannot_compute(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ANCESTRAL_DATA", str(tmp_path_factory.mktemp("own")))
        patch.setattr(synthetic, "SIZES", {"synthetic-pixelcnn": synthetic.Sizes(720, 110)})
        page = carried_out("truth", tmp_path_factory, "--source", "synthetic-pixelcnn")
    parts = parts_of(page)
    assert "a PixelCNN, which gets the class" in parts[1] and "ten trees" not in parts[1]
    assert "They are left out here" in parts[7] and "AUROC, Frankenstein" not in parts[7]
    assert "Other masks and calibration are left out" in parts[8] and "calibration error" not in parts[8]
    assert [part.count("<img") for part in parts[1:9]] == [1, 1, 1, 1, 0, 1, 0, 1]
    words = re.sub(r"<[^>]*>", " ", parts[-1]).split()
    assert "study truth --quick --source synthetic-pixelcnn" in " ".join(words)


@pytest.mark.slow
def test_the_page_has_every_chapter_and_every_model(out: Path) -> None:
    assert (out / "report.html").stat().st_size < STUDY_MB * MB
    parts = parts_of(out)
    assert len(parts) == len(STUDY.chapters) + 3  # references first; the explorer and the commands follow
    for planned in PLAN:
        for chapter in (3, 6, 8):  # those that need samples only
            assert planned.title in parts[chapter]
        for chapter in (2, 7):
            assert (planned.title in parts[chapter]) == planned.scored
    words = re.sub(r"<[^>]*>", " ", " ".join(parts)).lower().split()
    assert "nan" not in words and "inf" not in words
    assert [part.count("<img") for part in parts[1:9]] == [1, 1, 1, 1, 0, 1, 0, 2]


@pytest.mark.slow
def test_bounds_are_labelled_and_identities_hold(out: Path) -> None:
    """At most for KL(p || q) of a lower bound, at least for KL(q || p); exact values without a word."""
    parts = parts_of(out)
    row = {p.name: re.search(rf">{re.escape(p.title)}</th>(.*?)</tr>", parts[2], re.DOTALL) for p in PLAN}
    for name in ("vae", "flow", "helmholtz", "any-order"):
        assert row[name] and "at most" in row[name][1] and "lower bound" in row[name][1]
    for name in ("mixture", "tree", "circuit", "belief-net", "made", "pixelcnn"):
        assert row[name] and "at most" not in row[name][1] and "exact" in row[name][1]
    assert "0 nats" in parts[0] and parts[0].count("0.1054 nats") == 2
    assert parts[3].count("at least") == 4


def test_a_bound_is_labelled_as_an_upper_bound_of_the_divergence() -> None:
    log_p, log_q = torch.tensor([-1.0, -2.0]), {"a": torch.tensor([-2.0, -3.0]), "b": torch.tensor([-2.0, -3.0])}
    found = OnTest(log_p, torch.ones(2, 1), log_q, {"a": "log p(x)", "b": "IWAE_5"})
    assert found.divergence("a").side is None and found.divergence("b").side == "upper"


def test_the_distribution_of_spliced_images_sums_to_one_and_is_that_of_the_anomalies() -> None:
    """By enumeration of 512 images; the frequencies of 40,000 images of `frankenstein`, each within 5 errors."""
    with seeded_noise(2):
        model = tiny_circuit(components=3, classes=3).double()
        labels = model.draw_classes(40_000)
        x = model.sample_classes(labels)
    probs = spliced_log_prob(model, IMAGES).exp()
    assert probs.sum().item() == pytest.approx(1, abs=1e-12)
    spliced = frankenstein(Split(x.to(torch.uint8), labels)).images
    code = spliced.flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    shares = torch.bincount(code, minlength=512).double() / len(code)
    # right halves are sampled with replacement, so their errors are at most about sqrt(2) larger
    errors = (probs * (1 - probs) / len(code)).sqrt().clamp(min=1 / len(code))
    assert ((shares - probs).abs() < 5 * 1.5 * errors).all()
    plain = model.log_prob(IMAGES).exp()
    assert (shares - probs).square().sum() < 0.05 * (shares - plain).square().sum()


def test_the_sum_over_states_is_the_probability() -> None:
    with seeded_noise(1):
        model = HelmholtzMachine([1, 3, 3], latents=[3]).double()
    assert summed_over_states(model, IMAGES).exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_the_readme_names_the_study() -> None:
    assert "| `truth` |" in (ROOT / "README.md").read_text()
