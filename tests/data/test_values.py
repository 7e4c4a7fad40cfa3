"""Conversion of stored numbers of all types to levels: values, notices and errors."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from helpers import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestral.data import values
from ancestral.data.values import Quantised, quantise
from ancestral.settings.data import ReadOptions


def read(array: np.ndarray, **options) -> Quantised:
    return quantise("a.npy", {"train": array}, ReadOptions(**options))


def images(*pixels: float, dtype: str = "uint8") -> np.ndarray:
    """Four equal images, one row high, of these pixels."""
    return np.array([[[pixels]]] * 4).astype(dtype)


def pixels(found: Quantised) -> list[int]:
    return found.arrays["train"][0].ravel().tolist()


def said(found: Quantised) -> str:
    return "; ".join(found.assumptions)


@pytest.mark.parametrize("dtype", ["uint8", "int8", ">i2", "uint16", "int64", "uint64"])
@pytest.mark.parametrize("top", [1, 16, 31])
def test_small_whole_numbers_are_levels(dtype, top):
    found = read(images(0, top, 1, dtype=dtype))
    assert pixels(found) == [0, top, 1] and found.arrays["train"].dtype == np.uint8
    assert found.levels == top + 1 and found.value_range == (0, top)
    assert f"read as {top + 1} levels (use --levels for another number)" in said(found)
    # what was inferred gives the same again when it is stated
    again = read(images(0, top, 1, dtype=dtype), levels=top + 1, value_range=(0.0, float(top)))
    assert pixels(again) == [0, top, 1] and again.levels == top + 1 and not again.assumptions


def test_whole_numbers_up_to_255_have_256_levels():
    ramp = np.arange(200, dtype=np.int64).reshape(1, 1, 10, 20)
    found = read(ramp)
    assert found.levels == 256 and found.value_range == (0, 255)
    assert np.array_equal(found.arrays["train"], ramp) and found.arrays["train"].dtype == np.uint8
    assert "int64" in said(found)
    assert read(ramp.astype(np.uint8)).assumptions == ()


def test_bytes_that_need_no_conversion_are_not_copied():
    array = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert read(array).arrays["train"] is array


def test_few_values_cause_a_notice_with_the_flag_that_makes_them_levels():
    found = read(images(0, 255))
    assert found.levels == 256 and "only 2 of 256 levels occur (0, 255)" in said(found)
    assert "--levels 2 --value-range 0 255" in said(found)
    assert pixels(read(images(0, 255), levels=2, value_range=(0.0, 255.0))) == [0, 1]
    uneven = said(read(images(0, 10, 200)))
    assert "only 3 of 256" in uneven and "--levels" not in uneven
    sixteenths = read(np.linspace(0, 1, 17).reshape(1, 1, 1, 17))
    assert "--levels 17 " in said(sixteenths)
    assert pixels(read(np.linspace(0, 1, 17).reshape(1, 1, 1, 17), levels=17)) == list(range(17))


def test_an_array_of_one_value_causes_a_notice():
    assert "every pixel has the value 7" in said(read(images(7, 7)))
    assert "every pixel has the value 0.25" in said(read(images(0.25, 0.25, dtype="float32")))
    zeros = read(images(0, 0))
    assert zeros.levels == 2 and "every pixel has the value 0" in said(zeros)


def test_booleans_have_two_levels_for_any_bytes():
    strange = np.array([0, 1, 2, 200], np.uint8).reshape(1, 1, 2, 2).view(np.bool_)
    found = read(strange)
    assert found.levels == 2 and pixels(found) == [0, 1, 1, 1] and found.arrays["train"].dtype == np.uint8
    assert found.value_range == (0, 1)
    ones = strange.view(np.uint8)[strange.view(np.uint8) > 0].reshape(1, 1, 1, 3).view(np.bool_)
    assert "every pixel has the value 1" in said(read(ones))


def test_levels_that_are_stated_keep_the_values():
    found = read(images(0, 3, 40), levels=64)
    assert (found.levels, pixels(found), found.value_range, found.assumptions) == (64, [0, 3, 40], (0, 63), ())
    wide = read(images(0, 4095, 65_535, dtype="uint16"), levels=65_536)
    assert wide.levels == 65_536 and wide.arrays["train"].dtype == np.uint16 and pixels(wide) == [0, 4095, 65_535]
    assert read(images(0, 300, dtype="int32"), levels=301).arrays["train"].dtype == np.uint16
    refused(lambda: read(images(0, 16), levels=16), "a.npy", "16", "--levels 17", "--value-range 0 16")
    refused(lambda: read(images(0, 70_000, dtype="int32"), levels=65_536), "--value-range 0 70000")


def test_sixteen_bits_are_scaled_by_the_bits_that_they_use():
    found = read(images(0, 257, 65_535, dtype="uint16"))
    assert found.levels == 256 and found.value_range == (0, 65_535) and pixels(found) == [0, 1, 255]
    assert "scaled" in said(found) and "--levels 65536" in said(found)
    # twelve bits in sixteen would be dark: the flag that takes all sixteen is named
    twelve = read(images(0, 4080, dtype="uint16"))
    assert twelve.value_range == (0, 4095) and pixels(twelve) == [0, 254]
    assert "--value-range 0 65535" in said(twelve)
    assert "--value-range 0 65535" not in said(read(images(0, 2**15, dtype="uint16")))
    assert pixels(read(images(0, 4095, dtype="uint16"), value_range=(0.0, 4095.0))) == [0, 255]


def test_wider_whole_numbers_are_scaled_by_a_power_of_two():
    found = read(images(0, 1000, 1023, dtype="int32"))
    assert found.levels == 256 and found.value_range == (0, 1023) and pixels(found) == [0, 249, 255]
    assert read(images(0, 1024, dtype="int32")).value_range == (0, 2047)
    assert read(images(0, 2**63, dtype="uint64")).value_range == (0.0, 2.0**64)


@pytest.mark.parametrize(("dtype", "advice"), [("int8", "--value-range -128 127"), ("int16", "--value-range -3 9")])
def test_negative_whole_numbers_are_refused(dtype, advice):
    refused(lambda: read(images(-3, 9, dtype=dtype)), "a.npy", dtype, "-3", advice)
    assert pixels(read(images(-3, 9, dtype=dtype), value_range=(-3.0, 9.0))) == [0, 12]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "longdouble"])
def test_floats_in_the_unit_interval_are_rounded(dtype):
    ramp = np.arange(256).reshape(4, 1, 8, 8)
    found = read((ramp / 255).astype(dtype))
    assert found.levels == 256 and found.value_range == (0, 1) and np.array_equal(found.arrays["train"], ramp)
    assert pixels(read(images(0, 0.5, 1, dtype=dtype), levels=3)) == [0, 1, 2]
    wide = read(images(0, 1, dtype=dtype), levels=65_536)
    assert wide.arrays["train"].dtype == np.uint16 and pixels(wide) == [0, 65_535]
    two = read(images(0, 1, dtype=dtype))
    assert two.levels == 2 and pixels(two) == [0, 1] and "2 levels" in said(two)


@pytest.mark.parametrize(
    ("low", "high", "advice"),
    [
        (0, 255, "--value-range 0 255"),
        (0, 2, "--value-range 0 255"),
        (-1, 1, "--value-range -1 1"),
        (-0.5, 0.5, "--value-range -1 1"),
        (-2.25, 3.5, "--value-range -2.25 3.5"),
        (0, 1e6, "--value-range 0 1000000"),
        (-1.23456789, 9.87654321, "--value-range -1.235 9.877"),
    ],
)
def test_other_floats_are_refused_with_a_range_that_holds_them(low, high, advice):
    array = images(low, high, dtype="float64")
    refused(lambda: read(array), "a.npy", advice)
    bounds = [float(word) for word in advice.split()[1:]]
    found = read(array, value_range=(bounds[0], bounds[1]))
    assert found.levels == 256 and found.value_range == tuple(bounds)


def test_a_stated_range_is_mapped_linearly():
    assert pixels(read(images(-1, 0, 1, dtype="float32"), value_range=(-1.0, 1.0))) == [0, 128, 255]
    assert pixels(read(images(-1, 0, 1, dtype="float32"), value_range=(-1.0, 1.0), levels=3)) == [0, 1, 2]
    assert read(images(0, 16), value_range=(0.0, 16.0)).levels == 17
    assert read(images(100, 116), value_range=(100.0, 116.0)).arrays["train"].max() == 16
    refused(lambda: read(images(0, 300, dtype="int16"), value_range=(0.0, 255.0)), "0 to 300", "--value-range 0 300")


@pytest.mark.parametrize("options", [{}, {"value_range": (0.0, 5.0)}, {"levels": 9}, {"infer": False}])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_pixels_are_counted(bad, options):
    array = images(0.5, 1, 0, dtype="float32")
    array[1, 0, 0, 1] = array[3, 0, 0, 0] = array[3, 0, 0, 1] = bad
    refused(lambda: read(array, **options), "a.npy", "2 of 4 images", "NaN or infinite")


@pytest.mark.parametrize("array", [np.zeros((3, 1, 2, 2), complex), np.zeros((3, 1, 2, 2), "M8[s]"), np.full(3, "a")])
def test_numbers_that_are_not_real_raise(array):
    refused(lambda: read(array), "a.npy", str(array.dtype), "real numbers")


def test_parts_are_read_together():
    both = {"train": images(0, 3), "test": images(0, 16)}
    found = quantise("a.npz", both, ReadOptions())
    assert found.levels == 17 and list(found.arrays) == ["train", "test"]
    mixed = {"train": images(0, 3), "test": images(0, 1, dtype="float32")}
    refused(lambda: quantise("a.npz", mixed, ReadOptions()), "train uint8", "test float32")
    refused(lambda: quantise("a.npz", {"train": images(9), "test": images(1) > 0}, ReadOptions()), "bool")
    far = {"train": images(0, 1), "test": images(0, 1000, dtype="int32")}
    assert quantise("a.npz", far, ReadOptions()).value_range == (0, 1023)


def test_earlier_readings_are_kept():
    assert read(images(0, 1), infer=False).levels == 256
    assert read(images(0, 16), infer=False).value_range == (0, 255)
    assert read(images(0, 1, dtype="float32"), infer=False).levels == 256
    assert pixels(read(images(0, 1, dtype="float32"), infer=False)) == [0, 255]
    assert read(images(0, 1) > 0, infer=False).levels == 2
    assert read(images(0, 1), infer=False).assumptions == ()


@settings(max_examples=80, deadline=None)
@given(
    dtype=st.sampled_from(["bool", "uint8", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64"]),
    seed=st.integers(0, 999),
    scale=st.sampled_from([1, 16, 255, 4000, 60_000]),
    levels=st.one_of(st.none(), st.integers(2, 65_536)),
    stated=st.booleans(),
)
def test_what_is_read_is_within_its_levels_and_reads_the_same_when_stated(dtype, seed, scale, levels, stated):
    numbers = np.random.default_rng(seed).random((3, 1, 4, 5)) * scale
    array = numbers.astype(dtype)
    bounds = (float(array.min()), float(array.max()) + 1) if stated else None
    try:
        found = read(array, levels=levels, value_range=bounds)
    except values.InputError:
        return
    stored = found.arrays["train"]
    assert stored.dtype == (np.uint8 if found.levels <= 256 else np.uint16)
    assert stored.max() < found.levels and stored.shape == array.shape
    again = read(array, levels=found.levels, value_range=found.value_range)
    assert np.array_equal(again.arrays["train"], stored) and again.levels == found.levels
    # the map is linear: no pixel is further than half a level from its own place
    low, high = found.value_range
    place = (array.astype(np.float64) - low) / (high - low) * (found.levels - 1)
    assert abs(stored - place).max() <= 0.5 + (0.3 if dtype == "float16" else 1e-3)


def test_blocks_do_not_change_the_result(monkeypatch):
    array = np.random.default_rng(0).random((50, 3, 4, 5)).astype(np.float32)
    whole = read(array).arrays["train"]
    monkeypatch.setattr(values, "BLOCK_VALUES", 100)
    assert np.array_equal(read(array).arrays["train"], whole)
    array[7, 0, 0, 0] = array[40, 1, 1, 1] = np.nan
    refused(lambda: read(array), "2 of 50 images")


def test_no_large_copies_are_made():
    array = np.random.default_rng(0).random((400, 1, 200, 200)).astype(np.float32)
    tracemalloc.start()
    read(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.size + 24 * values.BLOCK_VALUES  # the result, and a few blocks
