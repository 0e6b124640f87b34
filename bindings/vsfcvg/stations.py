"""Where a clip's new frames stand: for any output frame, in any order, what it is made of. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from codec_plugin.grids import Multiply, RateGrid, Resample, grid_for, output_parts
from codec_plugin.timing import FrameClock, RateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What one output frame is made of."""

    left: int
    """The source frame that it is, or that stands before it."""
    pts: int
    """Where it stands, in output ticks; a source frame n stands at n * parts."""
    is_source: bool
    """Whether it is the source frame `left` itself."""
    is_last: bool
    """Whether the next output frame has another `left`."""


class Stations:
    """The output frames of a verb over a clip of evenly spaced frames: the very places that a plan would have."""

    def __init__(self, verb: Multiply | Resample, *, rate: Fraction | None, frames: int) -> None:
        """Prepares the answers.

        Args:
            verb: what is to be done; `Resample` needs a rate.
            rate: the clip's frames a second; None where they vary, and then an interval is as good as any other.
            frames: the clip's frames.
        """
        self.verb, self.frames = verb, frames
        rate = rate or Fraction(1)
        self.time_base = 1 / rate
        clock = FrameClock(origin=Fraction(0), time_base=self.time_base, rate=rate, source=RateSource.HEADER)
        self.parts = output_parts(verb, clock=clock, time_base=self.time_base)
        self._grid = grid_for(verb, clock=clock, first_pts=0, time_base=self.time_base, parts=self.parts)

    @property
    def count(self) -> int:
        """Output frames in all."""
        if isinstance(self.verb, Multiply):
            return self.frames * self.verb.factor
        count = ceil(self.frames / self._period)
        return count - (self._grid.slot(self.frames) == count - 1)  # that place belongs to a frame that isn't there

    def station(self, number: int) -> Station:
        """What the output frame with this number is made of."""
        left, pts, is_source = self._place(number)
        following = self._place(number + 1)[0] if number + 1 < self.count else self.frames
        return Station(left=left, pts=pts, is_source=is_source, is_last=following != left)

    def gap(self, left: int) -> tuple[int, ...]:
        """Where the new frames after a source frame stand, in output ticks; after the last one they are held."""
        if left + 1 < self.frames:
            return tuple(self._grid.between(left, left + 1))
        return tuple(self._grid.after(left, 1))

    @property
    def _period(self) -> Fraction:
        assert isinstance(self._grid, RateGrid)  # asked for that verb only
        return self._grid.period

    def _place(self, number: int) -> tuple[int, int, bool]:
        """The source frame at or before an output frame, where it stands, and whether it is that source frame."""
        if isinstance(self.verb, Multiply):
            left, part = divmod(number, self.verb.factor)
            return (left, self.gap(left)[part - 1], False) if part else (left, left * self.parts, True)
        exact = number * self._period
        left = floor(exact)
        for frame in (left, left + 1):
            if frame < self.frames and self._grid.slot(frame) == number:
                return frame, frame * self.parts, True
        return left, min(self.gap(left), key=lambda pts: abs(pts - exact * self.parts)), False
