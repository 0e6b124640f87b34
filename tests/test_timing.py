"""Clocks fitted to time stamps: exact slots whatever is dropped, rounded or claimed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from codec_plugin.timing import (
    FrameClock,
    RateCandidate,
    RateSource,
    Timestamp,
    fit_clock,
    output_subdivision,
    rescale,
    round_half_up,
    show_rate,
    show_time,
    simplest_between,
    slots_of,
)
from tests.strategies import any_rates, kept_slots, standard_rates, starts, time_bases
from tests.synth import MILLISECOND, NTSC, NTSC_DOUBLE, NTSC_FILM, lattice

PLAIN = Fraction(1, 90_000)


def claim(rate: Fraction | int, source: RateSource) -> RateCandidate:
    """Somebody's word for a rate."""
    return RateCandidate(rate=Fraction(rate), source=source)


def slots_by(clock: FrameClock, pts: np.ndarray) -> list[int]:
    """The slot of each time, counted from the first one's."""
    first = clock.slot_of(int(pts[0]))
    return [clock.slot_of(int(each)) - first for each in pts]


@given(data=st.data(), rate=any_rates(), kept=kept_slots(least=10, most_missing=30), start=starts())
def test_the_fitted_clock_gives_each_frame_its_exact_slot(
    data: st.DataObject, rate: Fraction, kept: tuple[int, ...], start: Fraction
) -> None:
    time_base = data.draw(time_bases(rate))
    pts = lattice(kept, rate=rate, time_base=time_base, start=start)

    fit = fit_clock(pts, time_base=time_base)

    assert fit.clock is not None
    assert slots_by(fit.clock, pts) == list(kept)
    assert fit.clock.source is RateSource.CONTENT


@settings(max_examples=40)
@given(rate=standard_rates().filter(lambda rate: 10 < rate <= 30), kept=kept_slots(least=100, most=140), start=starts())
def test_milliseconds_are_enough_to_know_a_standard_rate_exactly(
    rate: Fraction, kept: tuple[int, ...], start: Fraction
) -> None:
    pts = lattice(kept, rate=rate, time_base=MILLISECOND, start=start)  # 3 s and more: 24 and 23.976 differ by 3 ms

    fit = fit_clock(pts, time_base=MILLISECOND)

    assert fit.clock is not None
    assert slots_by(fit.clock, pts) == list(kept)
    assert fit.clock.rate == rate


@given(rate=any_rates(), kept=kept_slots(), start=starts(), data=st.data())
def test_a_header_that_is_right_gives_its_exact_rate(
    rate: Fraction, kept: tuple[int, ...], start: Fraction, data: st.DataObject
) -> None:
    time_base = data.draw(time_bases(rate))
    pts = lattice(kept, rate=rate, time_base=time_base, start=start)

    fit = fit_clock(pts, time_base=time_base, candidates=[claim(rate, RateSource.HEADER)])

    assert fit.clock is not None
    assert slots_by(fit.clock, pts) == list(kept)
    assert fit.disagreements == ()


@given(kept=kept_slots(), wrong=st.sampled_from([Fraction(15000, 1001), Fraction(90_000), Fraction(2997, 314)]))
def test_a_header_that_is_wrong_is_reported_and_not_believed(kept: tuple[int, ...], wrong: Fraction) -> None:
    pts = lattice(kept, rate=NTSC, time_base=PLAIN)

    fit = fit_clock(pts, time_base=PLAIN, candidates=[claim(wrong, RateSource.HEADER)])

    assert fit.clock is not None
    assert fit.clock.rate == NTSC
    assert slots_by(fit.clock, pts) == list(kept)
    assert fit.disagreements == (claim(wrong, RateSource.HEADER),)


@given(
    every=st.integers(2, 8),
    rate=st.sampled_from([NTSC_FILM, Fraction(25), NTSC, Fraction(50), NTSC_DOUBLE]),
    time_base=st.sampled_from([PLAIN, MILLISECOND]),
    frames=st.integers(8, 40),
)
def test_the_codecs_own_timing_tells_a_regular_drop(
    every: int, rate: Fraction, time_base: Fraction, frames: int
) -> None:
    kept = range(0, every * frames, every)
    pts = lattice(kept, rate=rate, time_base=time_base)
    halved = claim(rate / every, RateSource.HEADER)

    fit = fit_clock(pts, time_base=time_base, candidates=[claim(rate, RateSource.CODEC), halved])

    assert fit.clock is not None
    assert (fit.clock.rate, fit.clock.source) == (rate, RateSource.CODEC)
    assert slots_by(fit.clock, pts) == list(kept)
    assert fit.disagreements == (halved,)


@pytest.mark.parametrize("codec", [Fraction(20), Fraction(50, 3), Fraction(31), NTSC])
def test_a_codecs_timing_that_the_steps_contradict_is_reported_and_not_believed(codec: Fraction) -> None:
    pts = lattice(range(30), rate=Fraction(25), time_base=PLAIN)

    fit = fit_clock(pts, time_base=PLAIN, candidates=[claim(codec, RateSource.CODEC)])

    assert fit.clock is not None
    assert fit.clock.rate == 25
    assert fit.disagreements == (claim(codec, RateSource.CODEC),)


@pytest.mark.parametrize("ticks", [1000, 24_000, 90_000])
def test_a_time_base_written_where_the_codecs_rate_should_stand_is_no_rate(ticks: int) -> None:
    pts = lattice(range(30), rate=Fraction(25), time_base=PLAIN)

    fit = fit_clock(pts, time_base=PLAIN, candidates=[claim(ticks, RateSource.CODEC)])

    assert fit.clock is not None
    assert fit.clock.rate == 25
    assert fit.disagreements == ()


@pytest.mark.parametrize("source", [RateSource.USER, RateSource.DROP_MAP])
def test_an_imposed_rate_is_believed_over_everything(source: RateSource) -> None:
    pts = lattice(range(0, 60, 3), rate=NTSC, time_base=PLAIN)
    others = [claim(10, RateSource.CODEC), claim(Fraction(10_000, 1001), RateSource.HEADER)]

    fit = fit_clock(pts, time_base=PLAIN, candidates=[*others, claim(NTSC, source)])

    assert fit.clock is not None
    assert (fit.clock.rate, fit.clock.source) == (NTSC, source)
    assert slots_by(fit.clock, pts) == list(range(0, 60, 3))
    assert [each.source for each in fit.disagreements] == [RateSource.CODEC, RateSource.HEADER]


def test_an_imposed_rate_gives_even_a_variable_one_a_clock() -> None:
    pts = np.asarray([0, 100, 137, 290, 300, 411, 640, 641, 800], np.int64)

    fit = fit_clock(pts, time_base=MILLISECOND, candidates=[claim(25, RateSource.USER)])

    assert fit.clock is not None
    assert fit.clock.rate == 25
    assert not fit.is_vfr


@given(seed=st.integers(0, 10_000))
def test_a_truly_variable_rate_has_no_clock(seed: int) -> None:
    source = np.random.default_rng(seed)
    steps = source.integers(1000, 9000, 60)
    pts = np.cumsum(steps)

    fit = fit_clock(pts, time_base=PLAIN)

    assert fit.clock is None
    assert fit.is_vfr


@given(seed=st.integers(0, 1000), kept=kept_slots(least=20))
def test_the_jitter_of_a_live_encoder_is_no_variable_rate(seed: int, kept: tuple[int, ...]) -> None:
    even = lattice(kept, rate=Fraction(30), time_base=PLAIN)
    jitter = np.random.default_rng(seed).integers(-300, 301, even.size)  # a tenth of a slot either way

    fit = fit_clock(even + jitter, time_base=PLAIN, candidates=[claim(30, RateSource.HEADER)])

    assert fit.clock is not None
    assert slots_by(fit.clock, even + jitter) == list(kept)


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, NTSC_DOUBLE])
@pytest.mark.parametrize(
    ("time_base", "start"),
    [
        (PLAIN, 59_857 * 90_000),
        (PLAIN, 2**33 - 90_000),
        (Fraction(1, 10**9), 59_857 * 10**9),
        (Fraction(1, 10**9), 1_790_000_000 * 10**9),
        (Fraction(1, 10**9), -(10**15)),
        (MILLISECOND, 1_790_000_000_000),
    ],
)
def test_times_far_from_zero_do_not_overflow(rate: Fraction, time_base: Fraction, start: int) -> None:
    kept = [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21]
    pts = lattice(kept, rate=rate, time_base=time_base) + start

    fit = fit_clock(pts, time_base=time_base, candidates=[claim(rate, RateSource.HEADER)])

    assert fit.clock is not None
    assert fit.clock.rate == rate
    assert slots_by(fit.clock, pts) == kept
    slots = slots_of(pts, origin=fit.clock.origin, period=fit.clock.period)
    assert [int(slot) - int(slots[0]) for slot in slots] == kept


@given(
    pts=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20).map(sorted),
    origin=st.fractions(-1000, 1000, max_denominator=2002),
    rate=any_rates(),
    time_base=st.sampled_from([PLAIN, MILLISECOND, Fraction(1, 10**9)]),
)
def test_slots_of_many_times_are_the_slots_of_each(
    pts: list[int], origin: Fraction, rate: Fraction, time_base: Fraction
) -> None:
    clock = FrameClock(origin=origin, time_base=time_base, rate=rate)

    slots = slots_of(np.asarray(pts, np.int64), origin=origin, period=clock.period)

    assert [int(slot) for slot in slots] == [clock.slot_of(each) for each in pts]


@given(rate=any_rates(), slot=st.integers(-(10**6), 10**9), data=st.data())
def test_the_time_of_a_slot_is_in_that_slot(rate: Fraction, slot: int, data: st.DataObject) -> None:
    clock = FrameClock(origin=Fraction(7, 3), time_base=data.draw(time_bases(rate)), rate=rate)
    assume(clock.period > 1)

    assert clock.slot_of(clock.pts_of(slot)) == slot
    assert abs(clock.pts_of(slot) - clock.position_of(slot)) <= Fraction(1, 2)


def test_one_frame_takes_the_rate_that_is_claimed() -> None:
    one = np.asarray([17], np.int64)

    assert fit_clock(one, time_base=PLAIN).clock is None
    assert not fit_clock(one, time_base=PLAIN).is_vfr
    claimed = fit_clock(one, time_base=PLAIN, candidates=[claim(25, RateSource.HEADER)]).clock
    assert claimed is not None
    assert claimed.rate == 25


def test_no_frames_have_no_clock() -> None:
    fit = fit_clock(np.empty(0, np.int64), time_base=PLAIN, candidates=[claim(25, RateSource.HEADER)])

    assert fit.clock is None
    assert fit.rate_from_content is None


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-25)])
def test_a_clock_that_does_not_advance_is_refused(rate: Fraction) -> None:
    with pytest.raises(ValueError, match="above 0"):
        FrameClock(origin=Fraction(0), time_base=PLAIN, rate=rate)


@given(
    ticks=st.integers(-(2**70), 2**70),
    source=st.fractions(Fraction(1, 10**9), 1, max_denominator=10**9),
    target=st.fractions(Fraction(1, 10**9), 1, max_denominator=10**9),
)
@example(ticks=59_857 * 10**9, source=Fraction(1, 10**9), target=Fraction(1001, 30_000))
def test_rescaling_is_exact_to_half_a_tick(ticks: int, source: Fraction, target: Fraction) -> None:
    assert abs(rescale(ticks, source, target) * target - ticks * source) <= target / 2


@given(ticks=st.integers(-(2**60), 2**60), parts=st.integers(1, 5000))
def test_a_finer_time_base_and_back_changes_nothing(ticks: int, parts: int) -> None:
    fine = PLAIN / parts

    assert rescale(ticks, PLAIN, fine) == ticks * parts
    assert rescale(ticks * parts, fine, PLAIN) == ticks


@pytest.mark.parametrize(("value", "nearest"), [("1/2", 1), ("-1/2", 0), ("3/2", 2), ("-3/2", -1), ("7/3", 2)])
def test_a_half_goes_up_on_both_sides_of_zero(value: str, nearest: int) -> None:
    assert round_half_up(Fraction(value)) == nearest


@given(
    steps=st.lists(st.fractions(Fraction(1, 60), 5000, max_denominator=60), min_size=1, max_size=3),
    denominator=st.sampled_from([25, 1000, 30_000, 90_000]),
)
def test_the_output_tick_makes_all_steps_whole(steps: list[Fraction], denominator: int) -> None:
    time_base = Fraction(1, denominator)

    parts = output_subdivision(steps, time_base=time_base)

    assert denominator * parts < 2**31
    if all((step * parts).denominator != 1 for step in steps):
        # Only where the exact tick would not fit.
        exact = np.lcm.reduce([step.denominator for step in steps])
        assert int(exact) * denominator >= 2**31


@pytest.mark.parametrize(
    ("step", "denominator", "parts"), [("3003/2", 90_000, 2), ("512", 12_800, 1), ("1/2", 25, 2), ("125/3", 1000, 3)]
)
def test_the_output_tick_is_no_finer_than_it_must_be(step: str, denominator: int, parts: int) -> None:
    assert output_subdivision([Fraction(step)], time_base=Fraction(1, denominator)) == parts


@given(
    low=st.fractions(Fraction(1, 1000), 1000, max_denominator=10_000),
    width=st.fractions(0, 10, max_denominator=10_000),
)
def test_the_simplest_fraction_lies_between_and_none_simpler_does(low: Fraction, width: Fraction) -> None:
    simplest = simplest_between(low, low + width)

    assert low <= simplest <= low + width
    for denominator in range(1, min(simplest.denominator, 300)):
        assert -(-low * denominator // 1) > (low + width) * denominator // 1


def test_rates_and_times_are_shown_as_people_write_them() -> None:
    assert show_rate(Fraction(25)) == "25"
    assert show_rate(NTSC) == "29.97 (30000/1001)"
    assert show_time(Fraction(62_345, 1000)) == "0:01:02.345"
    assert show_time(Fraction(-3661)) == "-1:01:01.000"
    assert str(Timestamp(pts=180_000, time_base=PLAIN)) == "pts 180000 (0:00:02.000)"
