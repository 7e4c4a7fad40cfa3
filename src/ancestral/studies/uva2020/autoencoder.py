"""`uva2020`, part 1: the plain autoencoder, compared with the VAE."""

from __future__ import annotations

from dataclasses import asdict

from ancestral.core.text import plural
from ancestral.reports.html import Figure, Table
from ancestral.studies.demonstrations.code_spread import (
    MOST,
    SHOWN,
    Spread,
    code_spread,
    codes,
    codes_figure,
    normal_length,
)
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.uva2020.words import apart, share_in_words
from ancestral.studies.workshop import Workshop

TITLES = {"autoencoder": "autoencoder", "vae": "VAE, MLP"}


def autoencoder(workshop: Workshop) -> ChapterContent:
    """The plain autoencoder, compared with the VAE."""
    count = workshop.size(10_000, 200)
    stored = workshop.remember(
        "code-spread",
        lambda: {name: asdict(code_spread(workshop.runs[name], count)) for name in TITLES},
        count=count,
    )
    plain, vae = (Spread(**stored[name]) for name in TITLES)
    epochs = [plural(workshop.runs[name].outcome["epochs"], "epoch") for name in TITLES]
    latents = workshop.runs["vae"].settings.model.latents
    normal = normal_length(latents)
    nearer = abs(vae.length - normal) < abs(plain.length - normal)
    text = (
        "The autoencoder uses the networks of the VAE without the KL term and without noise: it encodes an image as "
        f"{latents} numbers and decodes them. It was trained for {epochs[0]}, the VAE for {epochs[1]}. Its "
        f"reconstructions are {'better' if plain.loss < vae.loss else 'not better'} than those of the VAE, which "
        f"decodes a sample of z: −log p(x | z) is {plain.loss:.1f} nats per image, compared with {vae.loss:.1f}.\n\n"
        "However, its loss puts no constraint on the distribution of its codes. Over test images, their standard "
        f"deviations are between {plain.least:.2f} and {plain.most:.2f}, and their mean distance from the origin is "
        f"{plain.length:.1f}; for the standard normal it is {normal:.1f}. For the VAE's z, sampled for the same "
        f"images, the standard deviations are between {vae.least:.2f} and {vae.most:.2f} and the mean distance is "
        f"{vae.length:.1f}"
        + (", because the KL term pulls q(z | x) towards the prior.\n\n" if nearer else ".\n\n")
        + _of_draws(plain, vae, count)
        + " So an autoencoder is no generative model: it defines neither how to sample an image nor the probability of "
        "an image. `ancestral evaluate` ends with an error for an autoencoder."
    )
    return ChapterContent(text, [_table(workshop, plain, vae, count, normal)], _figures(workshop))


def _of_draws(plain: Spread, vae: Spread, count: int) -> str:
    """Recognised shares with z from a standard normal, and from a normal fitted to the codes, as sentences."""
    of_normal = [share_in_words(one.from_normal, count) for one in (plain, vae)]
    told = (
        "The autoencoder's decoder was not trained on samples of the standard normal. Of "
        f"{count:,} such samples, decoded to mean images, the classifier recognises {of_normal[0]}; of the VAE's mean "
        f"images it recognises {of_normal[1]}."
    )
    if plain.from_normal >= vae.from_normal or not apart(plain.from_normal, vae.from_normal, count):
        told += " In this run, this number does not show an advantage of the VAE."
    told += (
        " As a second test, a normal with the mean and covariance of the codes was fitted after training. With z from "
        f"it, {share_in_words(plain.from_fitted, count)} are recognised"
    )
    if not apart(plain.from_fitted, plain.from_normal, count):
        return f"{told}: no clear gain, as the codes are not normal."
    if plain.from_fitted < plain.from_normal:
        return f"{told}, which is even fewer."
    if vae.from_normal > plain.from_fitted and apart(vae.from_normal, plain.from_fitted, count):
        return f"{told}. This is more, but fewer than for the VAE, which trains decoder and prior together."
    return f"{told}. This is as good as the VAE, but it needs a second model, fitted to the codes of the first."


def _table(workshop: Workshop, plain: Spread, vae: Spread, count: int, normal: float) -> Table:
    both = (plain, vae)
    fids = [workshop.quality(name, threshold=True, means=name == "vae").fid.value for name in TITLES]
    rows = [
        [title, *(f"{getattr(one, key):.2f}" for one in both)]
        for key, title in (
            ("loss", "−log p(x | z), nats per image"),
            ("least", "smallest standard deviation of a latent"),
            ("most", "largest standard deviation of a latent"),
            ("length", f"mean length of z (standard normal: {normal:.2f})"),
        )
    ]
    rows += [
        ["recognised, z from N(0, I)", *(share_in_words(one.from_normal, count) for one in both)],
        ["recognised, z from a normal fitted to the codes", *(share_in_words(one.from_fitted, count) for one in both)],
        ["FID, z from N(0, I)", *(f"{fid:.2f}" for fid in fids)],
    ]
    caption = (
        f"Codes of {count:,} test images, and mean images for as many samples of z (for FID, each pixel has its more "
        "probable value)."
    )
    return Table(["", *TITLES.values()], rows, caption, numeric={1, 2})


def _figures(workshop: Workshop) -> list[Figure]:
    found = {title: codes(workshop.runs[name], "test", SHOWN) for name, title in TITLES.items()}
    caption = (
        f"Codes of the first {min(SHOWN, len(found['autoencoder'])):,} test images along their two directions of "
        f"largest variance, on the same axes. {MOST:.0%} of samples of N(0, I) are inside the circle."
    )
    samples = "Plain autoencoder: decoded samples of a standard normal, not cherry-picked."
    return [
        workshop.draw("autoencoder", "samples", samples),
        workshop.draw("autoencoder", "reconstructions", "Plain autoencoder: test images and reconstructions."),
        workshop.figure("codes", codes_figure(found), caption, of=TITLES),
    ]
