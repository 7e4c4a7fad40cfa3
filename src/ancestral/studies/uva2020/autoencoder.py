"""`uva2020`, part 1: the plain autoencoder beside the VAE."""

from __future__ import annotations

from dataclasses import asdict

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
from ancestral.studies.parts import plural
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.uva2020.words import apart, share_in_words
from ancestral.studies.workshop import Workshop

TITLES = {"autoencoder": "autoencoder", "vae": "VAE, MLP"}


def autoencoder(workshop: Workshop) -> ChapterContent:
    """The plain autoencoder beside the VAE: what it can do and what it cannot."""
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
        "The same networks without the divergence and without noise: an image becomes a code of "
        f"{latents} numbers and comes back. Trained for {epochs[0]}, against {epochs[1]} of the VAE, it keeps images "
        f"{'better' if plain.loss < vae.loss else 'no better'}: -log p(x | z) is {plain.loss:.1f} nats an image "
        f"against {vae.loss:.1f}, where z is drawn around its mean.\n\n"
        "But nothing asks its codes to follow any distribution. Over test images they spread with standard deviations "
        f"from {plain.least:.2f} to {plain.most:.2f} by coordinate, and lie {plain.length:.1f} from the origin in the "
        f"mean, where a draw of the standard normal lies {normal:.1f} from it. The VAE's z, drawn for the same images, "
        f"spread from {vae.least:.2f} to {vae.most:.2f} and lie {vae.length:.1f} away"
        + (": the divergence pulls them there.\n\n" if nearer else ".\n\n")
        + _of_draws(plain, vae, count)
        + " It is no generative model: it says neither how to draw an image nor how probable one is, and asked for a "
        "likelihood the program refuses."
    )
    return ChapterContent(text, [_table(workshop, plain, vae, count, normal)], _figures(workshop))


def _of_draws(plain: Spread, vae: Spread, count: int) -> str:
    """What decoded draws of the standard normal show, and whether a normal fitted to the codes mends it."""
    of_normal = [share_in_words(one.from_normal, count) for one in (plain, vae)]
    told = (
        "So a draw of the standard normal is a place for which the autoencoder's decoder was never trained. Of "
        f"{count:,} such draws, decoded to mean images, {of_normal[0]} are recognised for sure, of the VAE's "
        f"{of_normal[1]}."
    )
    if plain.from_normal >= vae.from_normal or not apart(plain.from_normal, vae.from_normal, count):
        told += " The lesson does not show in that number here."
    told += (
        " What if a normal is fitted to its codes afterwards, with their mean and covariance? Then "
        f"{share_in_words(plain.from_fitted, count)} are"
    )
    if not apart(plain.from_fitted, plain.from_normal, count):
        return f"{told}: no clear gain, as the codes are not normal."
    if plain.from_fitted < plain.from_normal:
        return f"{told}: fewer still."
    if vae.from_normal > plain.from_fitted and apart(vae.from_normal, plain.from_fitted, count):
        return f"{told}: far from nothing, and short of the VAE, which learns decoder and codes for one another."
    return f"{told}: the draws are then as good, but they are so by a second model, fitted to the codes of the first."


def _table(workshop: Workshop, plain: Spread, vae: Spread, count: int, normal: float) -> Table:
    both = (plain, vae)
    fids = [workshop.quality(name, threshold=True, means=name == "vae").fid.value for name in TITLES]
    rows = [
        [title, *(f"{getattr(one, key):.2f}" for one in both)]
        for key, title in (
            ("loss", "-log p(x | z), nats an image"),
            ("least", "smallest standard deviation of a latent"),
            ("most", "largest standard deviation of a latent"),
            ("length", f"mean length of z (of normal draws: {normal:.2f})"),
        )
    ]
    rows += [
        ["recognised, z from N(0, I)", *(share_in_words(one.from_normal, count) for one in both)],
        ["recognised, z from a normal fitted to the codes", *(share_in_words(one.from_fitted, count) for one in both)],
        ["FID, z from N(0, I)", *(f"{fid:.2f}" for fid in fids)],
    ]
    caption = (
        f"Codes of {count:,} test images, and mean images of as many draws of z (for FID every pixel at its more "
        "probable value)."
    )
    return Table(["", *TITLES.values()], rows, caption, numeric={1, 2})


def _figures(workshop: Workshop) -> list[Figure]:
    found = {title: codes(workshop.runs[name], "test", SHOWN) for name, title in TITLES.items()}
    caption = (
        f"Codes of the first {min(SHOWN, len(found['autoencoder'])):,} test images along the two directions in which "
        f"they vary most, on the same axes. {MOST:.0%} of draws of N(0, I) lie within the circle."
    )
    return [
        workshop.draw("autoencoder", "samples", "Plain autoencoder: decoded draws of a standard normal, none picked."),
        workshop.draw("autoencoder", "reconstructions", "Plain autoencoder: test images and what comes back."),
        workshop.figure("codes", codes_figure(found), caption),
    ]
