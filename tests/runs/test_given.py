"""Networks and models that a person gives in Python: trained, scored, stored as weights, opened again and resumed."""

from __future__ import annotations

import copy
import json
import shutil
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Stopping, refused, run
from torch import Tensor, nn
from torch.nn import functional as F

import ancestral
from ancestral.core.errors import NotComputable
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.runs.given import Given

SMALL: dict[str, Any] = {"data": "digits", "latents": 3, "hidden": (12,), "epochs": 2, "train_size": 300}


def parts(seed: int = 0) -> dict[str, nn.Module]:
    """An encoder that returns a pair, and a decoder with a flat output."""
    torch.manual_seed(seed)
    encoder = Encoder()
    return {"encoder": encoder, "decoder": nn.Sequential(nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 64))}


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
        self.mean, self.log_variance = nn.Linear(64, 3), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.norm(self.conv(x)).relu().flatten(1)
        return self.mean(h), self.log_variance(h)


class Pixels(ancestral.ExactModel):
    """Independent pixels, of a class that is not registered."""

    spaces, levels, event_shape = ("threshold", "static", "dynamic"), 2, (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(1, 8, 8))

    def log_prob(self, x: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logits.expand_as(x), x, reduction="none").flatten(1).sum(1)

    def sample(self, n: int) -> Tensor:
        return torch.bernoulli(self.logits.sigmoid().expand(n, 1, 8, 8))


def weights(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    return safetensors.torch.load_file(path / "model" / "model.safetensors")


def _in_order(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.flatten().tolist()


def same_values(first: Path, second: Path) -> bool:
    """Whether the weights of two runs are equal to the bit, in their order, whatever their names."""
    one, other = (
        sorted(weights(path).values(), key=lambda t: (t.shape, t.flatten().tolist())) for path in (first, second)
    )
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    return ancestral.fit("vae", tmp_path_factory.mktemp("given") / "vae", **parts(), **SMALL)


def test_given_networks_equal_to_the_built_in_ones_train_to_the_same_bits(tmp_path):
    """The law of the whole path: same first weights, same order, same draws, so the same run and score."""
    built = ancestral.build("vae", **SMALL)
    plain = ancestral.fit("vae", tmp_path / "plain", **SMALL)
    networks = {"encoder": built.encoder.network, "decoder": built.likelihood.network}
    given = ancestral.fit("vae", tmp_path / "given", **networks, **SMALL)
    assert same_values(plain.path, given.path)
    assert ancestral.evaluate(plain).nats == ancestral.evaluate(given).nats
    assert (plain.path / "log.jsonl").read_bytes() == (given.path / "log.jsonl").read_bytes()


@pytest.mark.parametrize("family", ["made", "pixelcnn"])
def test_a_given_autoregressive_network_trains_and_scores(tmp_path, family):
    linear = nn.Sequential(nn.Flatten(), Lower(64))
    made = ancestral.fit(family, tmp_path / "run", data="digits", epochs=2, train_size=300, network=linear)
    assert ancestral.evaluate(made).kind == "exact" and ancestral.sample(made, 2).shape == (2, 1, 8, 8)
    assert ancestral.complete(made, count=2, draws=1).drawn.shape[-3:] == (1, 8, 8)
    again = ancestral.Run(made.path, network=nn.Sequential(nn.Flatten(), Lower(64)))
    assert ancestral.evaluate(again).nats == made.scores()[0].nats


class Lower(nn.Linear):
    """A linear map from earlier pixels alone."""

    def __init__(self, pixels: int) -> None:
        super().__init__(pixels, pixels)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.tril(-1), self.bias)


def test_given_generator_critic_and_conditioner(tmp_path):
    generator, critic = nn.Linear(4, 64), nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    before = critic[1].weight.clone()
    gan = ancestral.fit(
        "gan", tmp_path / "gan", data="digits", train_size=300, latents=4, epochs=1, generator=generator, critic=critic
    )
    assert not torch.equal(critic[1].weight, before), "it is the critic that was given that is trained"
    assert torch.equal(
        gan.load().decode(torch.ones(2, 4)), gan.load().to_pixels(generator(torch.ones(2, 4)).view(2, 1, 8, 8))
    )
    assert ancestral.sample(ancestral.Run(gan.path, generator=nn.Linear(4, 64)), 2).shape == (2, 1, 8, 8)

    def conditioner(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))

    flow = ancestral.fit("flow", tmp_path / "flow", data="moons", epochs=1, train_size=300, conditioner=conditioner)
    again = ancestral.Run(flow.path, conditioner=conditioner)
    assert ancestral.evaluate(again).nats == ancestral.evaluate(flow).nats
    made = ancestral.build("flow", data="moons", conditioner=conditioner)
    last = [layer for layer in made.modules() if isinstance(layer, nn.Linear) and layer.in_features == 8]
    assert last and all(bool(layer.weight.abs().sum() > 0) for layer in last), "it starts as the person made it"
    refused(lambda: ancestral.build("flow", data="moons", layers="maf", conditioner=conditioner), "affine or spline")


def test_a_given_conditioner_of_an_image_flow(tmp_path):
    settings = {"data": "digits", "pixels": "levels", "couplings": 1, "width": 4, "dequantisation": "uniform"}
    flow = ancestral.build("flow", **settings, conditioner=lambda i, o: nn.Conv2d(i, o, 1))
    x = torch.randint(17, (2, 1, 8, 8)).float()
    z = flow.encode(x)
    assert torch.equal(flow.decode(z), x), "it can be inverted"


def test_the_modules_given_are_trained_in_place_with_the_best_weights(own):
    assert torch.equal(own.given.networks["encoder"].mean.weight, own.load().encoder.network.network.module.mean.weight)
    copied = own.load()
    copied.encoder.network.network.module.mean.weight.data.zero_()
    assert bool(own.load().encoder.network.network.module.mean.weight.abs().sum() > 0), "run.load() fills copies"


def test_a_run_is_opened_again_with_fresh_modules(own, capsys):
    score = ancestral.evaluate(own)
    fresh = parts(9)
    again = ancestral.Run(own.path, **fresh)
    assert ancestral.evaluate(again) == score
    assert torch.equal(ancestral.sample(again, 3), ancestral.sample(own, 3))
    assert torch.equal(fresh["decoder"][0].weight, parts(9)["decoder"][0].weight), "a run fills copies"
    model = ancestral.load(own.path, **fresh)
    assert model.likelihood.network.network.module is fresh["decoder"]
    assert torch.equal(fresh["decoder"][0].weight, own.given.networks["decoder"][0].weight), (
        "load fills them themselves"
    )
    assert list(ancestral.verify(again))[-1].passed and all(check.passed for check in ancestral.verify(again))
    assert "Encoder" in again.report().read_text()


def test_without_the_modules_a_run_is_refused_with_the_call(own, tmp_path, capsys):
    call = f"ancestral.Run({str(own.path)!r}, encoder=..., decoder=...)"
    refused(lambda: ancestral.evaluate(own.path), "Encoder", call)
    refused(lambda: ancestral.Run(own.path, encoder=parts()["encoder"]).load(), "its decoder", call)
    refused(lambda: ancestral.Run(own.path, **parts(), critic=nn.Linear(1, 1)).load(), "no critic")
    wrong = parts() | {"decoder": nn.Linear(3, 64)}
    refused(lambda: ancestral.load(own.path, **wrong), "does not fit the modules that were given", "likelihood")
    picture, table = tmp_path / "x.png", tmp_path / "x.npz"
    for words in (
        ["evaluate"],
        ["sample", "--out", tmp_path / "x.png"],
        ["quality"],
        ["verify"],
        ["infer", "--out", tmp_path / "x.npz"],
    ):
        assert run(words[0], own.path, *words[1:]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and call in said
    assert not picture.exists() and not table.exists()
    assert run("draw", "curves", own.path, "--out", tmp_path / "curves.png") == 0, "what needs no model works"


def test_an_interrupted_run_of_given_networks_resumes_to_the_bit(own, tmp_path):
    for after, seed in ((1, 0), (4, 5)):  # once there is a checkpoint, the first weights of new modules do not matter
        out, often = tmp_path / str(after), {"checkpoint_seconds": 0, **SMALL}
        with pytest.raises(KeyboardInterrupt):
            ancestral.fit("vae", out, **parts(), **often, reporter=Stopping(after))
        refused(lambda: ancestral.fit("vae", tmp_path / "1", **SMALL, resume=True), "your own encoder")
        done = ancestral.fit("vae", out, **parts(seed), **often, resume=True)
        assert same_values(done.path, own.path)


def test_resuming_with_another_network_is_refused(own):
    other = parts() | {"decoder": nn.Linear(3, 64)}
    refused(lambda: ancestral.fit("vae", own.path, **other, **SMALL, resume=True), "another decoder", "Sequential")
    before = (own.path / "settings.json").read_bytes()
    assert before == (own.path / "settings.json").read_bytes()


def test_a_second_training_of_the_same_modules_is_reported(tmp_path, caplog):
    networks = parts()
    ancestral.fit("vae", tmp_path / "one", **networks, **SMALL)
    assert "was trained before" not in caplog.text
    ancestral.fit("vae", tmp_path / "two", **networks, **SMALL)
    assert "encoder was already trained" in caplog.text and str(tmp_path / "one") in caplog.text


def test_settings_that_given_networks_replace_are_reported(tmp_path, caplog):
    ancestral.build("vae", data="digits", latents=3, hidden=(7,), **parts())
    assert "hidden has no effect: your own encoder and decoder replace it" in caplog.text
    caplog.clear()
    ancestral.build("vae", data="digits", latents=3, hidden=(7,), encoder=parts()["encoder"])
    ancestral.build("vae", data="digits", latents=3, **parts())
    assert "no effect" not in caplog.text


def test_names_of_replaced_settings_exist():
    for name in BUILT_IN:
        family = find(name)
        for networks, settings in family.settings.network_settings.items():
            assert set(networks.split()) <= set(family.networks)
            assert set(settings.split()) <= {field.name for field in fields(family.settings)}


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({"encoder": nn.Linear(8, 6)}, ["encoder", "(2, 1, 8, 6)", "6 values"]),
        ({"decoder": nn.Linear(3, 63)}, ["decoder returns shape (2, 63)", "64 values"]),
        ({"decoder": nn.Linear(4, 64)}, ["decoder fails on an input of shape (2, 3)"]),
        ({"encodr": nn.Linear(3, 64)}, ["does not accept your own network 'encodr'", "encoder"]),
        ({"critic": nn.Linear(3, 64)}, ["does not accept your own network 'critic'"]),
    ],
)
def test_wrong_networks_are_refused_and_nothing_is_written(tmp_path, networks, words):
    refused(lambda: ancestral.fit("vae", tmp_path / "run", **networks, **SMALL), *words)
    assert not (tmp_path / "run").exists()


def test_a_user_s_model_is_trained_scored_and_opened(tmp_path):
    model = Pixels()
    made = ancestral.fit(model, tmp_path / "pixels", data="digits", epochs=20, learning_rate=0.1)
    record = json.loads((made.path / "settings.json").read_text())
    assert record["settings"]["family"] is None and record["given"]["model"]["class"].endswith("Pixels")
    score = ancestral.evaluate(made)
    shares = made.data.training(0).first(10**6).mean(0)
    best = Pixels()
    best.logits.data = shares.clamp(1e-3, 1 - 1e-3).logit()
    # these epochs come near the pixels' own shares, which no independent pixels can beat on train
    assert score.kind == "exact" and score.nats > ancestral.evaluate(best, data="digits").nats - 1
    again = ancestral.Run(made.path, into=Pixels())
    assert ancestral.evaluate(again) == score and all(check.passed for check in ancestral.verify(again))
    assert torch.equal(ancestral.load(made.path, into=Pixels()).logits, model.logits)
    assert "samples" in again.drawings() and again.show("samples") is not None
    assert "own model" in again.report().read_text()
    refused(lambda: ancestral.evaluate(made.path), "into=model")
    refused(lambda: ancestral.load(made.path, into=ancestral.build("vae", data="digits")), "does not fit")
    assert run("evaluate", made.path) == 2


def test_a_user_s_objective_is_minimised(tmp_path):
    """The objective pulls the logits to one: they go there whatever the data, resumed or not."""

    def objective(model: Pixels, batch: ancestral.Batch) -> dict[str, Tensor]:
        loss = (model.logits - 1).square().sum().expand(len(batch.x))
        return {"loss": loss, "distance": loss.detach().sqrt()}

    settings: dict[str, Any] = {
        "data": "digits",
        "epochs": 40,
        "learning_rate": 0.05,
        "train_size": 256,
        "valid_size": 0,
    }
    made = ancestral.fit(Pixels(), tmp_path / "one", objective=objective, **settings)
    assert torch.allclose(made.load().logits, torch.ones(()), atol=0.02)
    with pytest.raises(KeyboardInterrupt):
        ancestral.fit(
            Pixels(), tmp_path / "two", objective=objective, **settings, reporter=Stopping(20), checkpoint_seconds=0
        )
    again = ancestral.fit(Pixels(), tmp_path / "two", objective=objective, **settings, resume=True)
    assert same_values(made.path, again.path)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (lambda model, batch: -model.log_prob(batch.x), ["objective of this model returns a Tensor"]),
        (lambda model, batch: {"loss": -model.log_prob(batch.x).mean()}, ["shape ()", "B = 100"]),
        (lambda model, batch: {"lss": -model.log_prob(batch.x)}, ["terms lss"]),
        (lambda model: None, ["TypeError"]),
        ("elbo", ["str", "not a function"]),
    ],
)
def test_wrong_objectives_are_refused_and_nothing_is_written(tmp_path, objective, words):
    given: dict[str, Any] = {"data": "digits", "batch_size": 100, "objective": objective}
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", **given), *words)
    assert not (tmp_path / "run").exists()


def test_what_is_no_model_or_is_for_other_data_is_refused(tmp_path):
    refused(
        lambda: ancestral.fit(nn.Linear(2, 2), tmp_path / "run", data="digits"),
        "a Linear is a network, not an ancestral.Model",
    )
    refused(lambda: ancestral.Run.from_model(nn.Linear(2, 2), "digits", tmp_path / "run"), "a Linear is a network")
    refused(lambda: ancestral.Run.from_model("vae", "digits", tmp_path / "run"), "a str is no ancestral.Model")
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", data=torch.rand(600, 1, 4, 4)), "(1, 8, 8)", "(1, 4, 4)")
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", data="digits", pixels="unit"), "--pixels threshold")
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", data="digits", latents=3), "latents", "this model")
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", model=ancestral.VAESettings()), "no settings of a family")
    assert not (tmp_path / "run").exists()


class Bare(Pixels):
    def __init__(self):
        pass


def test_a_model_that_cannot_be_trained_is_refused_and_nothing_is_written(tmp_path):
    fixed = Pixels()
    fixed.requires_grad_(False)
    refused(lambda: ancestral.fit(Bare(), tmp_path / "run", data="digits"), "the Bare is not initialised", "super()")
    refused(lambda: ancestral.fit(fixed, tmp_path / "run", data="digits"), "no weights to train")
    refused(lambda: ancestral.fit(Pixels(), tmp_path / "run", data="digits", freeze=("logits",)), "has no parts")
    assert not (tmp_path / "run").exists()


def test_modules_and_functions_in_other_places_are_refused(tmp_path):
    def fit(family: str, **settings: Any) -> Any:
        return lambda: ancestral.fit(family, tmp_path / "run", data="digits", **settings)

    refused(
        fit("vae", network=nn.Flatten()),
        "the family vae does not accept your own network 'network'",
        "encoder, decoder",
    )
    refused(fit("made", encoder=nn.Flatten()), "the family made does not accept your own network 'encoder'", "network")
    refused(fit("mixture", encoder=nn.Flatten()), "the family mixture does not accept your own network 'encoder'")
    refused(fit("vae", objective=lambda model, batch: {}), "objective: a function goes with a model of your own")
    refused(fit("vae", encoder=lambda x: x), "the encoder must be a torch.nn.Module, not a function")
    refused(fit("vae", encoder=nn.Sequential(nn.Flatten(), nn.Linear(64, 40)).double()), "encoder.float()")
    assert not (tmp_path / "run").exists()


def test_a_model_trained_elsewhere_becomes_a_run(tmp_path):
    model = Pixels()
    model.logits.data.fill_(-1)
    made = ancestral.Run.from_model(model, "digits", tmp_path / "run")
    assert made.finished and ancestral.evaluate(made).nats == ancestral.evaluate(model, data="digits").nats
    assert torch.equal(ancestral.sample(made, 4), ancestral.sample(model, 4))
    assert "Trained elsewhere" in made.report().read_text() and all(check.passed for check in ancestral.verify(made))
    refused(lambda: ancestral.fit(model, made.path, data="digits", resume=True), "trained outside ancestral")
    refused(lambda: ancestral.Run.from_model(model, "digits", made.path), "already contains a run")
    refused(lambda: ancestral.Run.from_model(model, "moons", tmp_path / "other"), "(1, 8, 8)")
    refused(lambda: ancestral.Run.from_model(model, "digits", tmp_path / "other", pixel="unit"), "pixel", "pixels")
    assert not (tmp_path / "other").exists()


def test_a_plain_model_has_no_run_and_is_scored():
    with pytest.raises(NotComputable):
        ancestral.evaluate(ancestral.build("gan", data="digits"), data="digits")
    assert ancestral.evaluate(Pixels(), data="digits").nats == pytest.approx(-64 * 0.6931, abs=0.01)
    refused(lambda: ancestral.evaluate(Pixels()), "has no data")


def test_a_foreign_description_cannot_name_a_module(own, tmp_path):
    """`given` in config.json is a name of what a person gives, never of anything to import."""
    folder = tmp_path / "model"
    model = ancestral.load(own.path, **parts())
    model.save(folder)
    config = json.loads((folder / "config.json").read_text())
    described = config["encoder"]["network"]["network"]
    assert described == {"given": "encoder", "python_class": f"{__name__}.Encoder", "arguments": []}
    for change in (
        {"given": "os.system"},
        {"given": 3},
        {"arguments": ["x"]},
        {"arguments": 3},
        {"given": "__class__"},
    ):
        odd = copy.deepcopy(config)
        odd["encoder"]["network"]["network"] |= change
        (folder / "config.json").write_text(json.dumps(odd))
        refused(lambda: ancestral.load_model(folder, given=parts()), "")


def test_own_networks_can_be_exported_and_extended(own, tmp_path, monkeypatch):
    """Extended, fine-tuned from its weights with another objective, exported, unpacked elsewhere and scored again."""
    folder = tmp_path / "here" / "vae"
    shutil.copytree(own.path, folder)
    longer = ancestral.fit("vae", folder, **parts(), epochs=4, resume=True)
    whole = ancestral.fit("vae", tmp_path / "whole", **parts(), **{**SMALL, "epochs": 4})
    assert same_values(longer.path, whole.path)
    networks = parts(3)
    tuned = ancestral.fit(
        "vae",
        tmp_path / "here" / "tuned",
        **networks,
        init_from=longer,
        objective="iwae",
        epochs=1,
        freeze=("encoder",),
    )
    trained = longer.load().encoder.network.network.module
    assert torch.equal(networks["encoder"].mean.weight, trained.mean.weight), "the encoder is frozen"
    assert not torch.equal(networks["decoder"][0].weight, longer.load().likelihood.network.network.module[0].weight)
    score, drawn = ancestral.evaluate(tuned), ancestral.sample(tuned, 3)
    ancestral.export(tuned, tmp_path / "tuned.zip")
    with zipfile.ZipFile(tmp_path / "tuned.zip") as packed:
        packed.extractall(tmp_path / "there")
    texts = [path.read_text() for path in (tmp_path / "there").rglob("*") if path.suffix in (".json", ".md", ".html")]
    assert texts and not any(str(tmp_path) in text for text in texts), "no place of this machine is named"
    shutil.rmtree(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "there")
    moved = ancestral.Run("tuned", **parts(8))
    assert ancestral.evaluate(moved) == score and torch.equal(ancestral.sample(moved, 3), drawn)
    assert 'ancestral.load("RUN", encoder=..., decoder=...)' in (tmp_path / "there/tuned/README.md").read_text()


def test_a_user_s_model_is_exported(tmp_path):
    made = ancestral.fit(Pixels(), tmp_path / "pixels", data="digits", epochs=1, report=True)
    ancestral.export(made, tmp_path / "pixels.zip")
    with zipfile.ZipFile(tmp_path / "pixels.zip") as packed:
        packed.extractall(tmp_path / "there")
    again = ancestral.Run(tmp_path / "there/pixels", into=Pixels())
    assert ancestral.evaluate(again) == made.scores()[0]
    assert "into=model" in (tmp_path / "there/pixels/README.md").read_text()


def test_first_weights_of_any_number_format_are_hashed():
    networks = {"encoder": nn.Linear(2, 3).bfloat16()}
    first = Given(networks=networks).facts(Pixels())["encoder"]["initial_sha256"]
    assert first == Given(networks=copy.deepcopy(networks)).facts(Pixels())["encoder"]["initial_sha256"]
    networks["encoder"].bias.data += 1
    assert first != Given(networks=networks).facts(Pixels())["encoder"]["initial_sha256"]


def test_settings_beside_those_of_data_are_used():
    """Settings by name override those of `DataSettings`, in scores as in `fit`."""
    chosen = ancestral.DataSettings("digits", pixels="static")
    score = ancestral.evaluate(Pixels(), data=chosen, pixels="threshold")
    assert "threshold" in score.space and score.space == ancestral.evaluate(Pixels(), data="digits").space
