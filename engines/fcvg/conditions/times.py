"""When the frames of a clip are: functions that give times from 0 (left end) to 1 (right end)."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction


class Schedule(StrEnum):
    """How condition pictures are spaced over a clip."""

    UNIFORM = "uniform"
    """Each at its frame's own time."""
    REFERENCE = "reference"
    """As in the published demo: the second and the last but one repeat the ends, so that things stand still there."""


def uniform_times(count: int) -> tuple[Fraction, ...]:
    """i / (count - 1) for each of the `count` frames, at least two."""
    _check(count, least=2)
    return tuple(Fraction(index, count - 1) for index in range(count))


def reference_times(count: int) -> tuple[Fraction, ...]:
    """The published demo's times: i / (count - 3) for the frames inside, and 0 and 1 once more at the ends.

    Raises:
        ValueError: fewer than 4 frames.
    """
    _check(count, least=4)
    return (Fraction(0), *(Fraction(index, count - 3) for index in range(count - 2)), Fraction(1))


def _check(count: int, *, least: int) -> None:
    if count < least:
        raise ValueError(f"a clip has at least {least} frames, not {count}")
