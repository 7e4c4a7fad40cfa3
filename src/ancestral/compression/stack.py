"""The entropy coder: an asymmetric numeral system (ANS) with exact integer frequencies.

A symbol with the frequency f and the start c (the sum of the frequencies of the symbols before it), both of `TOTAL`,
changes the state s of the coder:

    push:  s -> (s // f) * TOTAL + c + s mod f          pop:  s -> f * (s // TOTAL) + s mod TOTAL - c

with the symbol whose interval [c, c + f) contains s mod TOTAL. The state has 64 bits; its lower 32 bits move to the
stack of words before a push would overflow it, and back when it is below 2^32. So a symbol costs log2(TOTAL / f) bits,
and pops return the symbols in the reverse order of the pushes. The library `constriction` does this calculation.
It takes probabilities as floating-point numbers; `_probabilities` chooses them so that its integers are ours.

Reference: Duda, 2009, arXiv 0902.0271; Bamler, 2022, arXiv 2201.01741 (the library).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from constriction import stream  # type: ignore[attr-defined]

from ancestral.core.errors import InputError

BITS = 24
TOTAL = 1 << BITS
MIXED = 4096  # words
STATE = 2  # words in the state, which pushes and pops change
CODER = "ans-32-64-24"  # words of 32 bits, a state of 64 bits, frequencies of 24 bits

Array = np.ndarray[Any, Any]


class Stack:
    """A stack of symbols, as words of 32 bits.

    Args:      borrowed: number of words of the fixed generator (`random_words`) that are on the stack at the start;
               the latents of the first images are popped from them.
    """

    def __init__(self, borrowed: int = 0) -> None:
        self.borrowed = borrowed
        self._load(random_words(borrowed))

    @classmethod
    def from_content(cls, content: Array, lowest: int, borrowed: int) -> Stack:
        """The stack whose `content`, `lowest` and `borrowed` these are.

        Raises:    InputError: they cannot be those of a stack.
        """
        if not 0 <= lowest <= borrowed or (len(content) and content[-1] == 0):
            raise InputError("the bits of a block are damaged")
        stack = cls(0)
        stack.borrowed = borrowed
        stack._load(np.concatenate([random_words(lowest), content.astype(np.uint32)]))
        return stack

    def _load(self, words: Array) -> None:
        self._coder = stream.stack.AnsCoder(np.ascontiguousarray(words))
        self._lowest = max(0, len(words) - STATE)
        self._bits = stream.model.Bernoulli(perfect=False)
        self._levels = stream.model.Categorical(perfect=False, lazy=True)

    def push_bits(self, values: Array, ones: Array) -> None:
        """Push zeros and ones, the last one first. values, ones: shape (n,); ones: frequency of 1."""
        self._coder.encode_reverse(_integers(values), self._bits, _probability_of_one(ones))

    def pop_bits(self, ones: Array) -> Array:
        """Pop zeros and ones, shape (n,), in the order in which `push_bits` got them."""
        values: Array = self._coder.decode(self._bits, _probability_of_one(ones))
        self._note_depth()
        return values

    def push(self, starts: Array, sizes: Array) -> None:
        """Push symbols by their intervals, the last one first. starts, sizes: shape (n,); sizes at most TOTAL - 2."""
        last = starts + sizes == TOTAL
        first = starts == 0
        # three symbols: those before, the symbol itself, those after; at an end, the others are one symbol less one
        edges = np.zeros((len(starts), 4), dtype=np.int64)
        edges[:, 1] = np.where(first, sizes, np.where(last, 1, starts))
        edges[:, 2] = np.where(first, TOTAL - 1, np.where(last, starts, starts + sizes))
        edges[:, 3] = TOTAL
        symbols = np.where(first, 0, np.where(last, 2, 1))
        self._coder.encode_reverse(_integers(symbols), self._levels, _probabilities(edges))

    def pop(self, edges: Array, where: Array | None = None) -> Array:
        """Pop symbols, shape (n,).

        Args:      edges: sums of the frequencies, from 0 to TOTAL, shape (n, L + 1). where: which rows of a larger
                   table these are, for `Stacks`.
        """
        if edges.shape[1] == 2:
            return np.zeros(len(edges), dtype=np.int64)
        symbols: Array = self._coder.decode(self._levels, _probabilities(edges))
        self._note_depth()
        return symbols.astype(np.int64)

    def push_symbols(self, symbols: Array, edges: Array) -> None:
        """Push the symbols with these tables, shapes (n,) and (n, L + 1), the last one first."""
        if edges.shape[1] == 2:  # one symbol only
            return
        rows = np.arange(len(symbols))
        starts = edges[rows, symbols]
        self.push(starts, edges[rows, symbols + 1] - starts)

    def mix(self, number: int) -> None:
        """Change up to `MIXED` words of the content, below the top word, by fixed random bits; a second call with the
        same number undoes it.

        The latents that are popped next then depend on bits without a pattern. Without this, they would depend on the
        latents that were pushed last, and an image would cost more than its ELBO says.
        """
        words = self._coder.get_compressed()
        end = len(words) - 1
        first = max(self.borrowed, end - MIXED)
        if first < end:
            words[first:end] ^= random_words(end - first, number * MIXED)
            self._coder = stream.stack.AnsCoder(np.ascontiguousarray(words))

    @property
    def lowest(self) -> int:
        """Number of words of the generator that no pop has reached."""
        return self._lowest

    def content(self) -> Array:
        """The words above the lowest depth, the bottom first."""
        words: Array = self._coder.get_compressed()
        return words[self._lowest :]

    def is_initial(self) -> bool:
        """Whether only the words of the generator are left, as before the first push."""
        words = self._coder.get_compressed()
        return bool(np.array_equal(words, random_words(self.borrowed)))

    def _note_depth(self) -> None:
        depth = max(0, int(self._coder.num_words()) - STATE)
        self._lowest = min(self._lowest, depth)
        if depth == 0 and self.borrowed:
            raise InputError("the latents of one image need more initial bits than the coder has: no file is written")


class Stacks(Stack):
    """Several stacks that are read together: the rows of a table belong to them in turn. Only for pops.

    Args:      stacks: without latents. counts: number of rows of each.
    """

    def __init__(self, stacks: Sequence[Stack], counts: Sequence[int]) -> None:
        self.stacks, self._ends = stacks, np.cumsum(counts)[:-1]

    def mix(self, number: int) -> None:
        """Nothing: stacks without latents are not mixed."""

    def pop_bits(self, ones: Array) -> Array:
        """As `Stack.pop_bits`, for one row an image."""
        return np.concatenate([one.pop_bits(rows) for one, rows in self._parts(ones, self._ends)])

    def pop(self, edges: Array, where: Array | None = None) -> Array:
        """As `Stack.pop`, for one row an image, or for the images `where` this is True."""
        ends = self._ends if where is None else np.concatenate([[0], np.cumsum(where)])[self._ends]
        return np.concatenate([one.pop(rows) for one, rows in self._parts(edges, ends)])

    def _parts(self, rows: Array, ends: Array) -> Iterator[tuple[Stack, Array]]:
        return zip(self.stacks, np.split(rows, ends), strict=True)


def random_words(count: int, skipped: int = 0) -> Array:
    """Words of the fixed generator: the upper 32 bits of the splitmix64 sequence with the seed 0; the last bit of each
    word is set. skipped: number of words before the first that is returned."""
    with np.errstate(over="ignore"):
        z = np.arange(skipped + 1, skipped + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    words: Array = (z >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return words


def _integers(values: Array) -> Array:
    return np.ascontiguousarray(values, dtype=np.int32)


def _probability_of_one(ones: Array) -> Array:
    """Numbers p for which the library computes the frequency `ones`: it rounds (1 - p) (TOTAL - 2) down and adds 1."""
    return np.ascontiguousarray(1 - (TOTAL - ones.astype(np.float64) - 0.5) / (TOTAL - 2))


def _probabilities(edges: Array) -> Array:
    """Probabilities for which the library computes these edges: it rounds cumulative sums times (TOTAL - L) down and
    adds the number of the symbol. The sums are in the middle of their integers, far from the rounding errors."""
    levels = edges.shape[1] - 1
    sums = (edges - np.arange(levels + 1) + 0.5) / (TOTAL - levels)
    sums[:, 0], sums[:, -1] = 0, 1
    return np.ascontiguousarray(np.diff(sums, axis=1))
