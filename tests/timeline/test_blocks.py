"""Sums over blocks, against plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.picture import Plane
from codec_plugin.timeline.blocks import block_differences, block_sums


def strided(seed: int, size: tuple[int, int], *, depth: int) -> Plane:
    """Samples over the whole range of a depth, in rows that lie further apart than they are long."""
    rng = np.random.default_rng(seed)
    kind = np.uint8 if depth == 8 else np.uint16
    wide = rng.integers(0, 1 << depth, (size[0], size[1] + 7)).astype(kind)
    return wide[:, : size[1]]


def plainly(sample: Callable[[int, int], int], size: tuple[int, int], block: tuple[int, int]) -> list[list[int]]:
    """The sums of every whole block, one sample after the other."""
    return [
        [
            sum(
                sample(y, x)
                for y in range(row * block[0], (row + 1) * block[0])
                for x in range(column * block[1], (column + 1) * block[1])
            )
            for column in range(size[1] // block[1])
        ]
        for row in range(size[0] // block[0])
    ]


SIDES = st.integers(1, 24)
BLOCKS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(st.tuples(SIDES, SIDES), BLOCKS, st.sampled_from([8, 10, 12, 16]), st.integers(0, 99))
def test_sums_are_exact(size: tuple[int, int], block: tuple[int, int], depth: int, seed: int) -> None:
    plane = strided(seed, size, depth=depth)
    expected = plainly(lambda y, x: int(plane[y, x]), size, block)
    sums = block_sums(plane, rows=block[0], columns=block[1])
    assert sums.shape == (size[0] // block[0], size[1] // block[1])
    assert np.array_equal(sums, np.reshape(expected, sums.shape))


@given(st.tuples(SIDES, SIDES), BLOCKS, st.sampled_from([8, 10, 12, 16]), st.integers(0, 99))
def test_sums_of_differences_are_exact(size: tuple[int, int], block: tuple[int, int], depth: int, seed: int) -> None:
    first, second = (strided(each, size, depth=depth) for each in (seed, seed + 100))
    expected = plainly(lambda y, x: abs(int(first[y, x]) - int(second[y, x])), size, block)
    sums = block_differences(first, second, rows=block[0], columns=block[1])
    assert np.array_equal(sums, np.reshape(expected, sums.shape))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", [16, 257, 300])
def test_a_block_of_the_brightest_samples_does_not_overflow(kind: type[np.unsignedinteger], side: int) -> None:
    most = int(np.iinfo(kind).max)
    bright, dark = np.full((side, side), most, kind), np.zeros((side, side), kind)
    assert block_sums(bright, rows=side, columns=side).item() == most * side * side
    assert block_differences(dark, bright, rows=side, columns=side).item() == most * side * side


def test_floats_are_added_as_floats() -> None:
    plane = np.random.default_rng(3).random((32, 48), dtype=np.float32)
    expected = plane.astype(np.float64).reshape(2, 16, 3, 16).sum(axis=(1, 3))
    assert block_sums(plane, rows=16, columns=16) == pytest.approx(expected, rel=1e-5)


def test_planes_are_not_written_to() -> None:
    first, second = (strided(seed, (33, 35), depth=8) for seed in (1, 2))
    copies = first.copy(), second.copy()
    block_differences(first, second, rows=16, columns=16)
    assert np.array_equal(first, copies[0])
    assert np.array_equal(second, copies[1])
