"""Hypothesis strategies: clocks, drops, time bases."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from codec_plugin.timing import STANDARD_RATES

COARSE_CLOCKS = tuple(Fraction(1, n) for n in (1000, 90_000, 1_000_000, 10**9, 44_100, 12_800))
"""Time bases of Matroska, MPEG-TS, FLV and MP4s of several makers."""


@st.composite
def kept_slots(draw: st.DrawFn, *, most_missing: int = 6, least: int = 8, most: int = 40) -> tuple[int, ...]:
    """Slots that have a frame: the first and the last among them, and most steps one slot."""
    long_steps = draw(st.lists(st.integers(2, most_missing + 1), max_size=most // 4))
    single = draw(st.integers(max(len(long_steps) + 1, least - len(long_steps)), most - len(long_steps)))
    steps = draw(st.permutations([*long_steps, *[1] * single]))
    slots = [0]
    for step in steps:
        slots.append(slots[-1] + step)
    return tuple(slots)


def missing(slots: tuple[int, ...]) -> list[int]:
    """The slots between the first and the last that aren't there."""
    return sorted(set(range(slots[0], slots[-1])) - set(slots))


def standard_rates() -> st.SearchStrategy[Fraction]:
    """Rates that cameras and encoders use."""
    return st.sampled_from(STANDARD_RATES)


def any_rates() -> st.SearchStrategy[Fraction]:
    """Rates from 1 to 120 a second, many of them no standard ones."""
    return st.one_of(standard_rates(), st.integers(1, 120).map(Fraction), _fractions())


def _fractions() -> st.SearchStrategy[Fraction]:
    return st.builds(Fraction, st.integers(2000, 120_000), st.integers(1000, 1002))


def time_bases(rate: Fraction) -> st.SearchStrategy[Fraction]:
    """A tick that is a slot, a part of one, or a container's own."""
    return st.one_of(
        st.integers(1, 1024).map(lambda parts: 1 / (rate * parts)),
        st.sampled_from([base for base in COARSE_CLOCKS if 1 / (rate * base) >= 4]),
    )


def starts() -> st.SearchStrategy[Fraction]:
    """When a stream begins, in seconds: 0, an encoder's delay, or the middle of a broadcast."""
    return st.sampled_from([Fraction(0), Fraction(7, 5), Fraction(-1, 12), Fraction(59_857), Fraction(95_443)])
