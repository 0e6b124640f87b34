"""Requests laid out on clips: what was asked for is among what is made, at the time it was asked for."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcvg.layout import layout_of


def evenly(missing: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(index, missing + 1) for index in range(1, missing + 1))


@pytest.mark.parametrize(
    ("missing", "frames"), [(1, 9), (7, 9), (8, 17), (15, 17), (16, 25), (23, 25), (24, 26), (100, 102)]
)
def test_a_gap_goes_to_the_smallest_clip_that_holds_it(missing: int, frames: int) -> None:
    assert layout_of(evenly(missing)).frames == frames


@pytest.mark.parametrize("missing", [7, 15, 23, 24, 100])
def test_an_even_gap_that_fills_its_clip_is_the_clips_lattice(missing: int) -> None:
    layout = layout_of(evenly(missing))

    assert layout.times == (Fraction(0), *evenly(missing), Fraction(1))
    assert layout.chosen == tuple(range(1, missing + 1))
    assert layout.off_lattice == 0


@pytest.mark.parametrize("missing", [1, 3])
def test_an_even_gap_that_divides_its_clip_is_on_the_lattice(missing: int) -> None:
    layout = layout_of(evenly(missing))

    assert layout.times == tuple(Fraction(index, 8) for index in range(9))
    assert layout.off_lattice == 0


@given(places=st.sets(st.fractions(min_value=0, max_value=1, max_denominator=300), min_size=1, max_size=120))
def test_every_position_has_a_frame_at_its_own_time_and_times_rise(places: set[Fraction]) -> None:
    positions = tuple(sorted(places - {Fraction(0), Fraction(1)})) or (Fraction(1, 2),)
    layout = layout_of(positions)

    assert tuple(layout.times[frame] for frame in layout.chosen) == positions
    assert all(before < after for before, after in pairwise(layout.times))
    assert (layout.times[0], layout.times[-1]) == (0, 1)
    assert 0 < min(layout.chosen) <= max(layout.chosen) < layout.frames - 1


@pytest.mark.parametrize("missing", range(1, 24))
def test_even_gaps_are_at_most_a_step_off_the_lattice(missing: int) -> None:
    assert layout_of(evenly(missing)).off_lattice < 1
