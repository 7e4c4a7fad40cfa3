"""Coding of images with a model: a code pushes images onto a stack, and pops them again.

    autoregressive, one order     pixel by pixel with p(x_d | x_<d)
    autoregressive, J orders      bits-back over the order, with p(order | x)
    autoregressive, K classes     bits-back over class and order, with p(class, order | x)
    any order                     pixel by pixel in reading order, one evaluation for each pixel
    a latent with K states        bits-back over the state, with the exact p(z | x)
    a tree of hidden states       bits-back over all states, with the exact p(z | x)
    latents with q(z | x)         bits-back over the latents

Bits-back coding pops the latents z with q(z | x) from the stack, then pushes x with p(x | z) and z with p(z). The pop
removes -log q(z | x), so an image costs on average -E_q[log p(x | z) + log p(z) - log q(z | x)], its negative ELBO.
With the exact posterior, it costs -log p(x). The reader pops z and x, and pushes z with q(z | x): the stack is then as
before.

Reference: Hinton and van Camp, 1993; Frey and Hinton, 1997; Townsend et al., 2019, arXiv 1901.04866 (with ANS).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.compression.bits_back import ByLatents, ByState
from ancestral.compression.code import Code
from ancestral.compression.grid import NotExact
from ancestral.compression.in_order import ByConditionals, ByOrderAndClass, InOrder, OneByOne
from ancestral.compression.stack import Stack, Stacks
from ancestral.compression.state_trees import ByTrees
from ancestral.core.errors import InputError, NotComputable
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasConditionals, HasPixels, HasStates, HasStateTrees, LatentModel, Model
from ancestral.models.classes import scores_classes
from ancestral.models.orders import HasConditionalAt

MOST_IMAGES = 128  # images whose latents are popped at once
SHARE = 8  # a batch has at most an eighth as many images as those before it, whose bits its latents need


def batches(code: Code, n: int) -> list[slice]:
    """The images that are pushed at once: all, or growing batches for bits-back coding."""
    if not code.chained:
        return [slice(0, n)]
    found, done = [], 0
    while done < n:
        size = min(max(1, done // SHARE), MOST_IMAGES, n - done)
        found.append(slice(done, done + size))
        done += size
    return found


def push_images(code: Code, x: Tensor) -> Stack:
    """A stack with the images x, shape (n, *event_shape), whole levels."""
    stack, x = Stack(code.borrowed), x.double()
    for number, part in enumerate(batches(code, len(x))):
        stack.mix(number)
        code.push(stack, x[part])
    return stack


def pop_images(code: Code, stacks: Sequence[Stack], counts: Sequence[int]) -> Tensor:
    """All images of some stacks, which have `counts` images. Several stacks are possible if the code is not chained.

    Raises:    InputError: something is left on the stack, so the file or the model is another one.
    """
    n = sum(counts)
    stack = stacks[0] if len(stacks) == 1 else Stacks(stacks, counts)
    parts = []
    for number, part in reversed(list(enumerate(batches(code, n)))):
        parts.append(code.pop(stack, part.stop - part.start))
        stack.mix(number)
    if not all(one.is_initial() for one in stacks):
        raise InputError("the bits of the file do not end where its images end: the file or the model is another one")
    return torch.cat(parts[::-1])


def code_of(model: Model) -> Code:
    """The code for a model.

    Raises:    NotComputable: the model has no probabilities that a decoder can compute, with the reason.
    """
    kind = kind_of(model)
    code = kind(model)
    try:
        code.measure()
    except NotExact:
        code = kind(model, portable=False)
        code.measure()
    return code


def kind_of(model: Model) -> type[Code]:
    """The kind of code for a model, found without a calculation.

    Raises:    NotComputable: there is none, with the reason.
    """
    if model.levels is None and model.kind != "implicit":
        raise NotComputable(f"{type(model).__name__} has a density of real numbers: only probabilities can compress")
    if isinstance(model, AutoregressiveModel):
        return ByOrderAndClass if len(model.orders) > 1 or model.sums_classes else InOrder
    if isinstance(model, HasStates):
        return ByState
    if isinstance(model, HasStateTrees):
        return ByTrees
    if isinstance(model, LatentModel) and isinstance(model, HasPixels):
        if scores_classes(model) and getattr(model, "sums_classes", False):
            raise NotComputable(f"a conditional {type(model).__name__} cannot compress: its code has no class")
        return ByLatents
    if isinstance(model, HasConditionalAt):
        return OneByOne
    if isinstance(model, HasConditionals):
        return ByConditionals
    raise NotComputable(_reason(model))


def _reason(model: Model) -> str:
    name = type(model).__name__
    if model.kind == "implicit":
        return f"{name} has no likelihood, so it cannot compress images"
    return (
        f"{name} has a likelihood, but neither conditionals of single pixels nor latents with pixels given them: "
        "it cannot compress images"
    )
