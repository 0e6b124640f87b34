"""When the frames of a clip are: functions that give times from 0 (left end) to 1 (right end)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise


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


def times_around(positions: Sequence[Fraction], count: int) -> tuple[Fraction, ...]:
    """Times of `count` frames, 0, 1 and every position among them; the widest steps are halved until there are enough.

    A model that takes some numbers of frames only is thus asked for frames at the right times, of which some are left
    out afterwards.

    Args:
        positions: strictly rising, inside (0, 1).
        count: how many frames there are to be, `len(positions) + 2` or more.

    Raises:
        ValueError: there are more positions than places.
    """
    times = [Fraction(0), *positions, Fraction(1)]
    if len(times) > count:
        raise ValueError(f"{len(positions)} positions and two ends don't fit into {count} frames")
    while len(times) < count:
        steps = [after - before for before, after in pairwise(times)]
        widest = steps.index(max(steps))
        times.insert(widest + 1, (times[widest] + times[widest + 1]) / 2)
    return tuple(times)


def _check(count: int, *, least: int) -> None:
    if count < least:
        raise ValueError(f"a clip has at least {least} frames, not {count}")
