"""Models of p(x | c) for a vector c: vectors of data, statistics of the training data, scores, samples, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from helpers import Captured, Stopping, printed, refused, run

import ancestral
from ancestral.core.errors import NotComputable
from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.evaluation.enumeration import all_images
from ancestral.evaluation.likelihood import Request, exact_log_prob, log_probs_with_errors
from ancestral.families.score_parts import score_parts
from ancestral.models.base import ExactModel
from ancestral.models.vectors import UnderRandomVectors, given_batch
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.sample import sample_model
from ancestral.settings.data import DataSettings, ReadOptions
from ancestral.training.objectives import nll, terms_of_labels

RNG = np.random.default_rng(0)
IMAGES = (RNG.random((60, 4, 4)) < np.linspace(0.1, 0.9, 60)[RNG.permutation(60), None, None]).astype(np.uint8)
SHARE = IMAGES.mean((1, 2))  # the condition of each image, which can be computed again from the image
BRIEF: dict[str, Any] = {"hidden": (20,), "epochs": 2, "batch_size": 10, "pixels": "threshold"}


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "a.npz", **arrays)  # type: ignore[arg-type]
    return str(folder / "a.npz")


def test_vectors_stay_with_their_images(tmp_path: Path) -> None:
    two = np.stack([SHARE, -SHARE], 1)
    path = saved(tmp_path, images=IMAGES, share=SHARE, two=two)
    data = load_dataset(path, options=ReadOptions(conditions=("share", "two")))
    assert data.conditions == ("share", "two 1", "two 2") and "conditions" not in " ".join(data.assumptions)
    for split in (data.train, data.valid, data.test):
        assert split.conditions is not None and split.conditions.dtype == torch.float64
        expected = split.images.double().mean((1, 2, 3))
        assert torch.allclose(split.conditions, torch.stack([expected, expected, -expected], 1))
        assert torch.equal(split.take(slice(2, 4)).conditions, split.conditions[2:4])  # type: ignore[arg-type]
    batches = PixelBatches(data.train, PixelSpace("threshold", 2), seed=3, fresh=True)
    for batch in [*batches.shuffled(1, 7), *batches.blocks(7)]:
        assert batch.conditions is not None
        assert torch.allclose(batch.conditions[:, 0], batch.x.double().mean((1, 2, 3)))
        part = batch.rows(torch.tensor([1, 0]))
        assert torch.equal(part.conditions, batch.conditions[[1, 0]])  # type: ignore[arg-type]


def test_the_data_command_shows_each_number_with_its_mean_and_deviation(tmp_path: Path, capsys: Captured) -> None:
    two = np.stack([SHARE, -3 * SHARE], 1)
    path = saved(tmp_path, train=IMAGES[:40], test=IMAGES[40:], train_share=two[:40], test_share=two[40:] + 100)
    command = ("data", path, "--valid-size", 5, "--conditions", "share")
    images = load_dataset(path, valid_size=5, options=ReadOptions(conditions=("share",))).train.images
    train = images.double().mean((1, 2, 3))[:, None].numpy() * [1, -3]  # the mean and deviation of all rows differ
    (line,) = [line for line in printed(capsys, *command)[0].splitlines() if line.startswith("conditions:")]
    numbers = [
        f"share {place} {column.mean():.4g} ± {column.std():.4g}" for place, column in enumerate(train.T, start=1)
    ]
    assert line.startswith(f"conditions: 2 numbers for each row: {', '.join(numbers)} (")
    (record,) = json.loads(printed(capsys, *command, "--json")[0])
    assert record["conditions"] == ["share 1", "share 2"]
    np.testing.assert_allclose(record["condition_statistics"], np.stack([train.mean(0), train.std(0)], 1))
    assert run("data", path, "--conditions", "size") == 2 and "size" in capsys.readouterr().err
    assert run("data", "digits", "--conditions", "size") == 2 and "--conditions" in capsys.readouterr().err


def test_files_in_parts_tables_and_memory_have_the_same_vectors(tmp_path: Path) -> None:
    parts = {"train": IMAGES[:40], "test": IMAGES[40:], "train_c": SHARE[:40], "c_test": SHARE[40:]}
    data = load_dataset(saved(tmp_path, **parts), options=ReadOptions(conditions=("c",)))
    assert torch.equal(data.test.conditions[:, 0], torch.from_numpy(SHARE[40:]))  # type: ignore[index]
    others = load_dataset(
        saved(tmp_path, **{**parts, "c_test": SHARE[40:] + 1}), options=ReadOptions(conditions=("c",))
    )
    assert others.sha256 != data.sha256
    held = {"train": {"images": IMAGES[:40]}, "test": {"images": IMAGES[40:]}}
    name = hold(held, conditions={"train": SHARE[:40], "test": SHARE[40:]})
    in_memory = load_dataset(name, options=ReadOptions(conditions=("conditions",)))
    assert torch.equal(in_memory.test.conditions, data.test.conditions)  # type: ignore[arg-type]
    lines = ["a,size,b", *(f"{row[0]:.4f},{row[1]:.4f},{row[2]:.4f}" for row in RNG.normal(size=(60, 3)))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = load_dataset(str(tmp_path / "t.csv"), options=ReadOptions(conditions=("size",)))
    assert table.columns == ("a", "b") and table.conditions == ("size",) and table.train.event_shape == (2,)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "no array share"),
        ({"share": SHARE[:59]}, "shape 59 for 60 rows"),
        ({"share": np.zeros((60, 2, 2))}, "shape 60x2x2"),
        ({"share": np.where(np.arange(60) == 7, np.nan, SHARE)}, "row 7 (from 0)"),
        ({"share": np.where(np.arange(60) == 7, np.inf, SHARE)}, "infinite"),
        ({"share": np.array(["a"] * 60)}, "not numbers"),
        ({"share": SHARE, "Share": SHARE}, "two arrays of conditions"),
        ({"share": np.zeros((60, 1025))}, "1,025 numbers"),
    ],
)
def test_wrong_vectors_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    path = saved(tmp_path, images=IMAGES, **arrays)
    refused(lambda: load_dataset(path, options=ReadOptions(conditions=("share",))), words)


def test_parts_without_vectors_and_with_others_are_refused(tmp_path: Path) -> None:
    parts = {"train": IMAGES[:40], "test": IMAGES[40:], "train_c": SHARE[:40]}
    refused(lambda: load_dataset(saved(tmp_path, **parts), options=ReadOptions(conditions=("c",))), "no array test_c")
    parts["test_c"] = np.stack([SHARE[40:]] * 2, 1)
    refused(lambda: load_dataset(saved(tmp_path, **parts), options=ReadOptions(conditions=("c",))), "train 1, test 2")
    refused(lambda: DataSettings(data="digits", conditions=("c",)), "--conditions")
    refused(lambda: DataSettings(data="a.npz", conditions=("c", "c")), "once")


def test_the_statistics_are_those_of_the_training_images(tmp_path: Path) -> None:
    shifted = np.where(np.arange(60) < 40, SHARE, SHARE + 100)
    parts = {"train": IMAGES[:40], "test": IMAGES[40:], "train_c": shifted[:40], "test_c": shifted[40:]}
    path = saved(tmp_path, **parts)
    data = RunData(DataSettings(data=path, conditions=("c",), pixels="threshold"))
    ((mean, scale),) = data.spec.conditions
    vectors = data.dataset.train.conditions
    assert vectors is not None and mean == pytest.approx(vectors.mean().item(), abs=1e-12) and mean < 1
    assert scale == pytest.approx(vectors.std(correction=0).item(), abs=1e-12)
    model = ancestral.build("made", data=path, conditions="c", **{k: BRIEF[k] for k in ("hidden", "pixels")})
    standardised = model.standardised(vectors)  # type: ignore[operator]
    assert standardised.mean().abs() < 1e-6 and standardised.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    constant = saved(tmp_path, images=IMAGES, c=np.stack([SHARE, np.full(60, 0.1)], 1))
    refused(lambda: ancestral.build("made", data=constant, conditions="c"), "one value", "c 2")


def test_the_loss_and_the_score_of_an_image_are_those_of_its_own_vector() -> None:
    model = zoo.seeded(zoo.EVERY["made, given a vector"])
    vectors = torch.tensor([[3.0, -1.0], [5.0, -0.5], [1.0, -2.0], [4.0, -1.2]], dtype=torch.float64)
    x = model.given_vectors(vectors).sample(4)  # type: ignore[operator]
    each = [model.given_vectors(c).log_prob(one[None]) for c, one in zip(vectors, x, strict=True)]  # type: ignore[operator]
    expected = torch.cat(each).detach()
    loss = terms_of_labels(model, nll, Batch(x, conditions=vectors))["loss"]
    assert torch.allclose(-loss, expected)
    from ancestral.data.splits import Split

    images = PixelBatches(Split(x.to(torch.uint8), None, conditions=vectors), PixelSpace("threshold", 2))
    assert torch.allclose(exact_log_prob(model, images).to(expected), expected)
    without = PixelBatches(x.to(torch.uint8), PixelSpace("threshold", 2))
    refused(lambda: exact_log_prob(model, without), "vector c", kind=NotComputable)
    refused(lambda: given_batch(model, None), "not given", kind=NotComputable)


def test_orders_and_steps_score_each_image_given_its_own_vector() -> None:
    from ancestral.data.splits import Split

    model = zoo.seeded(zoo.EVERY["any-order, given a vector"])
    vectors = torch.tensor([[3.0, -1.0], [-2.0, 4.0], [1.0, -5.0]], dtype=torch.float64)
    x = all_images(model)[[3, 6, 9]]
    images = PixelBatches(Split(x.to(torch.uint8), None, conditions=vectors), PixelSpace("threshold", 2))
    own = [model.given_vectors(c) for c in vectors]  # type: ignore[operator]
    order, method = log_probs_with_errors(model, images, Request(order="columns"))[::2]
    expected = [of_c.log_prob_in_order(one[None], "columns") for of_c, one in zip(own, x, strict=True)]
    assert torch.allclose(order, torch.cat(expected)) and method == "log p(x | c), columns order"
    in_one_step = log_probs_with_errors(model, images, Request(steps=1))[0]  # without randomness
    expected = [of_c.bound_in_steps(one[None], 1).detach() for of_c, one in zip(own, x, strict=True)]
    assert torch.allclose(in_one_step, torch.cat(expected))


def test_parallel_steps_of_samples_under_random_vectors() -> None:
    model = zoo.seeded(zoo.EVERY["any-order, given a vector"])
    x = sample_model(UnderRandomVectors(model, torch.tensor([[3.0, -1.0], [-2.0, 4.0]])), 6, steps=2)  # type: ignore[arg-type]
    assert x.shape == (6, *model.event_shape)
    made = UnderRandomVectors(zoo.seeded(zoo.EVERY["made, given a vector"]), torch.zeros(3, 2))  # type: ignore[arg-type]
    refused(lambda: sample_model(made, 6, steps=2), "MADE has no parallel steps", kind=NotComputable)


@pytest.mark.parametrize("name", zoo.VECTORS)
def test_a_model_without_its_vector_returns_no_number(name: str) -> None:
    model: Any = zoo.seeded(zoo.EVERY[name])
    x = model.given_vectors([3.0, -1.0]).sample(2)
    seen = torch.zeros_like(x, dtype=torch.bool)
    for ask in ("log_prob", "elbo", "encode", "conditionals", "log_joint_classes", "decode"):
        if hasattr(model, ask) and ask != "log_joint_classes":
            z = model.given_vectors([3.0, -1.0]).encode(x) if ask == "decode" else x
            refused(lambda ask=ask, z=z: getattr(model, ask)(z), kind=NotComputable)
    refused(lambda: model.sample(2), kind=NotComputable)
    refused(lambda: model.complete(x, seen), kind=NotComputable)
    refused(lambda: model.given_vectors([3.0]), "needs 2")
    refused(lambda: model.given_vectors([3.0, float("nan")]), "not finite")
    refused(lambda: model.given_vectors(["a", "b"]), "list of numbers")
    refused(lambda: model.given_vectors([[3.0, -1.0]] * 3).sample(2), "vectors were given for 3 images")
    refused(lambda: model.given(0), "no classes")


@pytest.mark.parametrize("name", [name for name in zoo.VECTORS if not name.startswith("any-order")])  # has no terms
def test_the_terms_of_a_score_are_those_of_each_image(name: str) -> None:
    model: Any = zoo.seeded(zoo.EVERY[name])
    given = model.given_vectors(torch.randn(20, 2, dtype=torch.float64))
    x = given.sample(20)
    with torch.no_grad():
        found = score_parts(given, x)
        if isinstance(given, ExactModel):
            torch.testing.assert_close(found.values.sum(1), given.log_prob(x), rtol=1e-4, atol=1e-4)
    assert len(found.values) == 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    digits = load_dataset("digits")
    images = torch.cat([digits.train.images, digits.valid.images, digits.test.images])[:900, 0].numpy()
    grey = images.mean((1, 2))
    folder = tmp_path_factory.mktemp("vectors")
    np.savez(folder / "grey.npz", images=images, grey=grey)
    settings = {**BRIEF, "epochs": 12, "batch_size": 20, "report": False}
    return ancestral.fit("made", folder / "made", data=str(folder / "grey.npz"), conditions="grey", **settings)


def test_an_image_is_more_probable_given_its_own_vector(trained: ancestral.Run) -> None:
    score = ancestral.evaluate(trained)
    assert score.method == "log p(x | c)" and score.space.endswith(", given grey")
    test = trained.data.stored("test")
    assert test.conditions is not None
    model: Any = trained.load()
    x = trained.data.held("test").first(len(test))
    with torch.no_grad():
        own = model.given_vectors(test.conditions).log_prob(x)
        shuffled = model.given_vectors(test.conditions.roll(1, 0)).log_prob(x)
    assert score.nats == pytest.approx(own.double().mean().item(), abs=1e-4)
    gain = (own - shuffled).double()
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5 and gain.mean() > 0.5
    record = json.loads((trained.path / "settings.json").read_text())
    assert record["data"]["conditions"] == ["grey"] and record["settings"]["data"]["conditions"] == ["grey"]


def test_the_vector_changes_the_samples(trained: ancestral.Run) -> None:
    dark, light = (ancestral.sample(trained, 200, condition=[grey]) for grey in (3.0, 7.0))
    assert light.mean() > dark.mean() + 0.1
    both = ancestral.sample(trained, 200, condition=[[3.0]] * 100 + [[7.0]] * 100)
    assert both[100:].mean() > both[:100].mean() + 0.1
    many = ancestral.sample(trained, 1100, condition=[[3.0]] * 1000 + [[7.0]] * 100)  # in two blocks
    assert many[1000:].mean() > many[:1000].mean() + 0.1
    usual = ancestral.sample(trained, 400).mean()
    assert dark.mean() < usual < light.mean()
    assert run("sample", trained.path, "--condition", 4, "--n", 2) == 0
    for words in (("--condition", "4", "5"), ("--condition", "nan"), ("--label", "3")):
        assert run("sample", trained.path, *words) == 2
    refused(lambda: ancestral.sample(trained, 3, condition=[[4.0], [5.0]]), "2 vectors for 3 samples")


def test_samples_without_a_vector_have_vectors_of_the_test_data(trained: ancestral.Run) -> None:
    from ancestral.runs.vectors import sampler_of

    model = sampler_of(trained)
    assert isinstance(model, UnderRandomVectors)
    assert torch.equal(model.vectors, trained.data.stored("test").conditions)  # type: ignore[arg-type]
    refused(lambda: model.log_prob(model.sample(1)), "likelihood", kind=NotComputable)


def test_completions_have_the_vector_of_each_image(trained: ancestral.Run) -> None:
    found = ancestral.complete(trained, "bottom", count=3, draws=2)
    assert found.score is not None and found.score.kind == "exact" and "given grey" in found.score.space
    model: Any = trained.load()
    vectors = trained.data.stored("test").conditions
    images = trained.data.held("test").first(len(vectors))  # type: ignore[arg-type]
    seen = torch.zeros_like(images, dtype=torch.bool)
    seen[:, :, :4] = True
    expected = model.given_vectors(vectors).log_prob_missing(images, seen).mean().item()
    assert found.score.nats == pytest.approx(expected, abs=1e-4)
    one = ancestral.complete(trained, "bottom", count=3, draws=2, condition=[5.0])
    assert one.score is None and one.drawn.shape == (2, 3, 1, 8, 8)


def test_new_data_need_vectors_and_the_same_scores_come_from_memory(trained: ancestral.Run, tmp_path: Path) -> None:
    test = trained.data.stored("test")
    images, vectors = test.images[:, 0].numpy(), test.conditions.numpy()  # type: ignore[union-attr]
    np.savez(tmp_path / "new.npz", images=images, grey=vectors)
    np.savez(tmp_path / "without.npz", images=images)
    np.savez(tmp_path / "wide.npz", images=images, grey=np.repeat(vectors, 2, 1))
    stored = ancestral.evaluate(trained).nats
    from_file = ancestral.evaluate(trained, data=str(tmp_path / "new.npz"), levels=17)
    in_memory = ancestral.evaluate(trained, data={"images": images, "grey": vectors}, levels=17)
    assert from_file.nats == in_memory.nats == pytest.approx(stored, abs=1e-9)
    refused(lambda: ancestral.evaluate(trained, data=str(tmp_path / "without.npz")), "no array grey")
    refused(lambda: ancestral.evaluate(trained, data=str(tmp_path / "wide.npz")), "2 numbers", "needs 1")
    refused(lambda: ancestral.evaluate(trained, data="digits"), "has no conditions (grey)")


def test_commands_that_cannot_give_a_vector_refuse_in_one_line(
    trained: ancestral.Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words in (
        ("compress", trained.path, "--out", tmp_path / "x.anc"),
        ("explore", trained.path),
        ("detect", trained.path, "--against", "noise"),
        ("draw", "steps", trained.path),
    ):
        capsys.readouterr()
        assert run(*words) == 2, words
        assert "vector" in capsys.readouterr().err


def test_a_run_in_memory_resumes_to_the_bit(tmp_path: Path) -> None:
    settings = {**BRIEF, "data": (IMAGES, np.arange(60) % 2), "conditions": SHARE, "report": False}
    whole = ancestral.fit("made", tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        ancestral.fit("made", tmp_path / "part", reporter=Stopping(3), checkpoint_seconds=0, **settings)
    again = ancestral.fit("made", tmp_path / "part", resume=True, **settings)
    assert again.weights_sha256 == whole.weights_sha256
    assert again.settings.data.conditions == ("conditions",)
    assert Run(again.path).load().statistics.tolist() == whole.load().statistics.tolist()  # type: ignore[union-attr]


def test_families_without_an_input_for_vectors_refuse(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, c=SHARE, labels=np.arange(60) % 2)
    for family in ("mixture", "circuit", "gan"):
        refused(lambda family=family: ancestral.build(family, data=path, conditions="c"), "no input for the vectors")
    refused(lambda: ancestral.build("made", data=path, conditions="c", conditional=True), "cannot be combined")
    refused(lambda: ancestral.build("vae", data=path, conditions="c", prior="vamp"), "--prior")
    refused(lambda: ancestral.build("made", data=path, conditions=SHARE), "need data in memory")
    refused(lambda: ancestral.build("made", data=IMAGES, conditions=SHARE[:5]), "60 rows")
