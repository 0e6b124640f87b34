"""Where output frames stand: one grid for each verb. Pure arithmetic, the same for files and for live streams."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Protocol

from codec_plugin.errors import OptionError
from codec_plugin.options import FACTOR_RANGE, RATE_RANGE
from codec_plugin.timeline.segments import Segment
from codec_plugin.timing import FrameClock, output_subdivision, round_half_up, show_rate

ON_GRID = Fraction(1, 8)
"""A source frame within this share of a slot is that slot's frame (`--fps`)."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Fill gaps, add nothing else."""

    def __str__(self) -> str:
        return "restore"


@dataclass(frozen=True, slots=True)
class Multiply:
    """`factor` times the frames."""

    factor: int
    """2 to 64."""

    def __post_init__(self) -> None:
        FACTOR_RANGE.check("factor", self.factor)
        if self.factor != int(self.factor):
            raise OptionError(f"factor must be a whole number, not {self.factor}; for any rate there is --fps")

    def __str__(self) -> str:
        return f"multiply {self.factor}"


@dataclass(frozen=True, slots=True)
class Resample:
    """Frames at `rate`, whatever the source has."""

    rate: Fraction
    """Frames a second."""

    def __post_init__(self) -> None:
        RATE_RANGE.check("fps", self.rate)

    def __str__(self) -> str:
        return f"resample {self.rate}"


Verb = Restore | Multiply | Resample
"""What is to be done with a stream."""


def parse_verb(text: str) -> Verb:
    """The verb that `str(verb)` wrote.

    Raises:
        OptionError: it isn't one.
    """
    name, _, argument = text.partition(" ")
    try:
        if name == "restore" and not argument:
            return Restore()
        if name == "multiply":
            return Multiply(int(argument))
        if name == "resample":
            return Resample(Fraction(argument))
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(f"{text!r} is no verb: {error}") from error
    raise OptionError(f"{text!r} is no verb; there are: restore, multiply K, resample RATE")


class Grid(Protocol):
    """Where the output frames of one segment stand. Times in are source ticks, times out are output ticks."""

    def slot(self, pts: int) -> int | None:
        """Names the grid place that a source frame takes; None where it is off the grid and dropped."""
        ...

    def between(self, left_pts: int, right_pts: int) -> list[int]:
        """The places strictly between two source frames that neither of them takes, rising."""
        ...

    def after(self, last_pts: int, step: int) -> list[int]:
        """The places after the segment's last frame that belong to its own slot; `step` is the step before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockGrid:
    """The slots of a clock, each cut into `factor` parts: `restore` (1) and `--factor` on a clock."""

    clock: FrameClock
    """The segment's clock."""
    factor: int
    """Places a slot."""
    parts: int
    """Output ticks a source tick."""

    def slot(self, pts: int) -> int | None:
        return pts

    def between(self, left_pts: int, right_pts: int) -> list[int]:
        first = self.clock.slot_of(left_pts) * self.factor + 1
        stop = self.clock.slot_of(right_pts) * self.factor
        places = [self._place(number) for number in range(first, stop)]
        return _inside(places, left_pts * self.parts, right_pts * self.parts)

    def after(self, last_pts: int, step: int) -> list[int]:
        first = self.clock.slot_of(last_pts) * self.factor
        places = [self._place(first + part) for part in range(1, self.factor)]
        return _inside(places, last_pts * self.parts, None)

    def _place(self, number: int) -> int:
        return round_half_up(self.clock.position_of(Fraction(number, self.factor)) * self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalGrid:
    """Each interval cut into `factor` parts: `--factor` on true VFR (and `restore`, with factor 1: nothing)."""

    factor: int
    """Parts an interval."""
    parts: int
    """Output ticks a source tick."""

    def slot(self, pts: int) -> int | None:
        return pts

    def between(self, left_pts: int, right_pts: int) -> list[int]:
        left, right = left_pts * self.parts, right_pts * self.parts
        places = [left + round_half_up(Fraction((right - left) * i, self.factor)) for i in range(1, self.factor)]
        return _inside(places, left, right)

    def after(self, last_pts: int, step: int) -> list[int]:
        left = last_pts * self.parts
        places = [left + round_half_up(Fraction(step * self.parts * i, self.factor)) for i in range(1, self.factor)]
        return _inside(places, left, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateGrid:
    """A new rate from the segment's first frame on: `--fps`.

    A source frame takes the place that it is within `ON_GRID` of, or within half of the source's own slot where that is
    shorter: of several frames near one place only the nearest may take it.
    """

    origin: int
    """The first frame's time, in source ticks."""
    period: Fraction
    """Source ticks from place to place."""
    source_period: Fraction | None
    """Source ticks from one source slot to the next; None for VFR."""
    parts: int
    """Output ticks a source tick."""

    def slot(self, pts: int) -> int | None:
        number = round_half_up((pts - self.origin) / self.period)
        off = pts - self.origin - number * self.period
        if self.source_period is not None and not -self.source_period / 2 < off <= self.source_period / 2:
            return None
        return number if abs(off) <= self.period * ON_GRID else None

    def between(self, left_pts: int, right_pts: int) -> list[int]:
        taken = {self.slot(left_pts), self.slot(right_pts)}
        first = floor((left_pts - self.origin) / self.period) + 1
        stop = ceil((right_pts - self.origin) / self.period)
        places = [self._place(number) for number in range(first, stop) if number not in taken]
        return _inside(places, left_pts * self.parts, right_pts * self.parts)

    def after(self, last_pts: int, step: int) -> list[int]:
        return [place for place in self.between(last_pts, last_pts + step) if place < (last_pts + step) * self.parts]

    def _place(self, number: int) -> int:
        return round_half_up((self.origin + number * self.period) * self.parts)


class Claims:
    """Which source frames take a place of a grid: each place goes to the first frame that is near enough."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._taken: int | None = None

    def takes(self, pts: int) -> bool:
        """Whether the frame takes a place; asked once for each frame, in order."""
        slot = self._grid.slot(pts)
        if slot is None or slot == self._taken:
            return False
        self._taken = slot
        return True


def grid_for(verb: Verb, *, clock: FrameClock | None, first_pts: int, time_base: Fraction, parts: int) -> Grid:
    """The grid of a verb over one segment.

    Args:
        verb: what is to be done.
        clock: the segment's clock; None for VFR.
        first_pts: the segment's first frame, in source ticks.
        time_base: seconds a source tick.
        parts: output ticks a source tick.
    """
    if isinstance(verb, Resample):
        source_period = clock.period if clock is not None else None
        return RateGrid(origin=first_pts, period=1 / (verb.rate * time_base), source_period=source_period, parts=parts)
    factor = verb_factor(verb)
    if clock is None:
        return IntervalGrid(factor=factor, parts=parts)
    return ClockGrid(clock=clock, factor=factor, parts=parts)


def verb_factor(verb: Verb) -> int:
    """Places a slot: the factor, or 1."""
    return verb.factor if isinstance(verb, Multiply) else 1


def output_parts(verb: Verb, *, clock: FrameClock | None, time_base: Fraction) -> int:
    """Output ticks a source tick, so that the verb's places are whole ticks, or as near as 31 bits allow.

    `restore` keeps the source's ticks: where a container rounded the source's times, it rounds made ones alike.
    """
    if isinstance(verb, Restore):
        # A made frame needs a tick of its own between its neighbours: an imposed rate may leave none.
        return 1 if clock is None or clock.period >= 1 else ceil(1 / clock.period)
    if isinstance(verb, Resample):
        return output_subdivision([1 / (verb.rate * time_base)], time_base=time_base)
    if clock is None:
        return verb.factor
    # At least `factor` parts, so that there is room between two frames whatever the container rounded.
    step = clock.period / verb.factor
    exact = output_subdivision([step], time_base=time_base)
    return exact if exact >= verb.factor or step >= 2 else exact * verb.factor


def output_rate(verb: Verb, *, main: Segment | None) -> Fraction | None:
    """Frames a second of the output, where it has such a rate."""
    if isinstance(verb, Resample):
        return verb.rate
    if main is None:
        return None
    rate = main.clock.rate if main.clock is not None else main.fit.rate_from_content
    return rate * verb_factor(verb) if rate else None


def describe(verb: Verb) -> str:
    """What a verb does, for people."""
    if isinstance(verb, Multiply):
        return f"{verb.factor} times the frame rate"
    if isinstance(verb, Resample):
        return f"frame rate {show_rate(verb.rate)}"
    return "gaps filled"


def _inside(places: list[int], low: int, high: int | None) -> list[int]:
    """Places moved, where rounding brought them together, to be strictly rising and strictly inside."""
    moved: list[int] = []
    for number, place in enumerate(places):
        floor_here = (moved[-1] if moved else low) + 1
        ceiling = place if high is None else high - (len(places) - number)
        moved.append(max(floor_here, min(place, ceiling)))
    return moved
