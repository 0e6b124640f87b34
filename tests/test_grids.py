"""Where output frames stand, verb by verb."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codec_plugin import Multiply, OptionError, Resample, Restore
from codec_plugin.grids import (
    ON_GRID,
    Claims,
    Verb,
    describe,
    grid_for,
    output_parts,
    output_rate,
    parse_verb,
    verb_factor,
)
from codec_plugin.timing import FrameClock
from tests.strategies import any_rates, kept_slots, time_bases
from tests.synth import MILLISECOND, NTSC, NTSC_FILM, lattice, timeline_of

PLAIN = Fraction(1, 90_000)


def verbs() -> st.SearchStrategy[Verb]:
    """Any verb."""
    return st.one_of(
        st.just(Restore()),
        st.integers(2, 64).map(Multiply),
        st.fractions(Fraction(1, 2), 240, max_denominator=1001).map(Resample),
    )


@given(verb=verbs())
def test_a_verb_is_read_back_from_what_it_is_written_as(verb: Verb) -> None:
    assert parse_verb(str(verb)) == verb


@pytest.mark.parametrize(
    "text", ["", "double", "restore 2", "multiply", "multiply 1", "multiply 2.5", "resample 0", "resample 1/0"]
)
def test_what_is_no_verb_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_verb(text)


@pytest.mark.parametrize("factor", [0, 1, 65, -2])
def test_a_factor_out_of_range_is_refused(factor: int) -> None:
    with pytest.raises(OptionError, match="factor"):
        Multiply(factor)


@pytest.mark.parametrize("rate", ["0", "-25", "1/1000", "1001"])
def test_a_rate_out_of_range_is_refused(rate: str) -> None:
    with pytest.raises(OptionError, match="fps"):
        Resample(Fraction(rate))


@given(verb=verbs(), rate=any_rates(), kept=kept_slots(most=20), data=st.data(), on_clock=st.booleans())
def test_places_between_two_frames_rise_and_lie_strictly_between(
    verb: Verb, rate: Fraction, kept: tuple[int, ...], data: st.DataObject, on_clock: bool
) -> None:
    time_base = data.draw(time_bases(rate))
    pts = [int(each) for each in lattice(kept, rate=rate, time_base=time_base)]
    clock = FrameClock(origin=Fraction(pts[0]), time_base=time_base, rate=rate) if on_clock else None
    parts = output_parts(verb, clock=clock, time_base=time_base)
    if isinstance(verb, Resample):  # else there is no room for a frame a tick
        assume(1 / (verb.rate * time_base) * parts >= 2)
    grid = grid_for(verb, clock=clock, first_pts=pts[0], time_base=time_base, parts=parts)

    for left, right in pairwise(pts):
        places = [left * parts, *grid.between(left, right), right * parts]
        assert all(a < b for a, b in pairwise(places))


@given(factor=st.integers(2, 64), rate=any_rates(), kept=kept_slots(most=20), data=st.data())
def test_a_factor_cuts_every_slot_in_as_many_parts(
    factor: int, rate: Fraction, kept: tuple[int, ...], data: st.DataObject
) -> None:
    time_base = data.draw(time_bases(rate))
    pts = [int(each) for each in lattice(kept, rate=rate, time_base=time_base)]
    clock = FrameClock(origin=Fraction(pts[0]), time_base=time_base, rate=rate)
    verb = Multiply(factor)
    parts = output_parts(verb, clock=clock, time_base=time_base)
    grid = grid_for(verb, clock=clock, first_pts=pts[0], time_base=time_base, parts=parts)

    for (left, right), (slot, next_slot) in zip(pairwise(pts), pairwise(kept), strict=True):
        assert len(grid.between(left, right)) == factor * (next_slot - slot) - 1
    assert len(grid.after(pts[-1], round(clock.period))) == factor - 1


@given(left=st.integers(-(10**6), 10**6), width=st.integers(2, 10**6), factor=st.integers(2, 64), parts=st.just(64))
def test_a_factor_on_a_variable_rate_cuts_each_interval_evenly(left: int, width: int, factor: int, parts: int) -> None:
    grid = grid_for(Multiply(factor), clock=None, first_pts=left, time_base=PLAIN, parts=parts)

    places = grid.between(left, left + width)

    assert len(places) == factor - 1
    for number, place in enumerate(places, start=1):
        assert abs(place - (left + Fraction(width * number, factor)) * parts) <= Fraction(1, 2)


def test_restoring_a_variable_rate_makes_nothing() -> None:
    grid = grid_for(Restore(), clock=None, first_pts=0, time_base=PLAIN, parts=1)

    assert grid.between(0, 100_000) == []
    assert grid.after(100_000, 3600) == []


@given(rate=any_rates(), new_rate=any_rates(), slots=st.integers(2, 60))
def test_a_frame_takes_a_place_of_the_new_rate_if_it_is_within_an_eighth_of_it(
    rate: Fraction, new_rate: Fraction, slots: int
) -> None:
    time_base = 1 / (rate * 512)
    pts = [int(each) for each in lattice(range(slots), rate=rate, time_base=time_base)]
    parts = output_parts(Resample(new_rate), clock=None, time_base=time_base)
    grid = grid_for(Resample(new_rate), clock=None, first_pts=pts[0], time_base=time_base, parts=parts)

    for each in pts:
        place = (each - pts[0]) * time_base * new_rate
        near = round(place)
        assert grid.slot(each) == (near if abs(place - near) <= ON_GRID else None)


@given(rate=any_rates(), new_rate=any_rates(), slots=st.integers(2, 60))
def test_each_place_of_the_new_rate_is_taken_or_made_once(rate: Fraction, new_rate: Fraction, slots: int) -> None:
    time_base = 1 / (rate * 512)
    pts = [int(each) for each in lattice(range(slots), rate=rate, time_base=time_base)]
    verb = Resample(new_rate)
    parts = output_parts(verb, clock=None, time_base=time_base)
    assume(1 / (new_rate * time_base) * parts >= 2)
    grid = grid_for(verb, clock=None, first_pts=pts[0], time_base=time_base, parts=parts)
    claims = Claims(grid)

    taken = [each * parts for each in pts if claims.takes(each)]
    made = [place for left, right in pairwise(pts) for place in grid.between(left, right)]
    made += grid.after(pts[-1], 512)

    places = [round(each * time_base / parts * new_rate) for each in sorted([*taken, *made])]
    assert places == list(range(len(places)))
    assert abs(len(places) - slots / rate * new_rate) < Fraction(9, 8)


@pytest.mark.parametrize(
    ("rate", "new_rate", "time_base", "parts"),
    [
        (NTSC, 2 * NTSC, Fraction(1, 30_000), 2),
        (NTSC_FILM, Fraction(60), Fraction(1, 24_000), 1),
        (Fraction(25), Fraction(60), Fraction(1, 25), 12),
        (Fraction(25), NTSC, Fraction(1, 25), 1200),
    ],
)
def test_output_ticks_divide_source_ticks_so_that_places_are_exact(
    rate: Fraction, new_rate: Fraction, time_base: Fraction, parts: int
) -> None:
    assert output_parts(Resample(new_rate), clock=None, time_base=time_base) == parts


def test_restore_keeps_the_ticks_of_the_source() -> None:
    clock = FrameClock(origin=Fraction(0), time_base=MILLISECOND, rate=NTSC)

    assert output_parts(Restore(), clock=clock, time_base=MILLISECOND) == 1


@given(factor=st.integers(2, 64), rate=any_rates(), data=st.data())
def test_there_is_room_for_all_parts_of_a_slot(factor: int, rate: Fraction, data: st.DataObject) -> None:
    time_base = data.draw(time_bases(rate))
    clock = FrameClock(origin=Fraction(0), time_base=time_base, rate=rate)

    parts = output_parts(Multiply(factor), clock=clock, time_base=time_base)

    assert clock.period * parts >= factor


def test_the_output_rate_is_what_the_verb_makes_of_the_source() -> None:
    main = timeline_of(lattice(range(20), rate=NTSC, time_base=PLAIN), time_base=PLAIN).main

    assert output_rate(Restore(), main=main) == NTSC
    assert output_rate(Multiply(3), main=main) == 3 * NTSC
    assert output_rate(Resample(Fraction(60)), main=main) == 60
    assert output_rate(Restore(), main=None) is None


def test_verbs_describe_themselves() -> None:
    assert describe(Restore()) == "gaps filled"
    assert describe(Multiply(4)) == "4 times the frame rate"
    assert describe(Resample(NTSC)) == "frame rate 29.97 (30000/1001)"
    assert verb_factor(Restore()) == verb_factor(Resample(NTSC)) == 1
