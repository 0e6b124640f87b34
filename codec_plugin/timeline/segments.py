"""`Timeline`: a stream's presentation times, cut at discontinuities, each part with its own clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from codec_plugin.timing import (
    ClockFit,
    FrameClock,
    RateCandidate,
    RateSource,
    Ticks,
    fit_clock,
    round_half_up,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A stretch without a discontinuity."""

    pts: Ticks
    """Presentation times in ticks, strictly rising, (n,), n ≥ 1."""
    fit: ClockFit
    """The clock that they stand on, if any."""

    @property
    def clock(self) -> FrameClock | None:
        """The segment's clock; None for true VFR."""
        return self.fit.clock

    @property
    def first(self) -> int:
        """The first frame's time in ticks."""
        return int(self.pts[0])

    @property
    def last(self) -> int:
        """The last frame's time in ticks."""
        return int(self.pts[-1])

    @property
    def slot_count(self) -> int:
        """Slots from first to last frame, both counted; frames where there is no clock."""
        if self.clock is None:
            return int(self.pts.size)
        return self.clock.slot_of(self.last) - self.clock.slot_of(self.first) + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """All segments of a stream, in the order of the file."""

    time_base: Fraction
    """Seconds a tick."""
    segments: tuple[Segment, ...]
    """In file order; their times rise too, but for `backward_jumps`."""
    backward_jumps: tuple[int, ...] = ()
    """The first time (in ticks) after each jump back; such a stream can't be written as one again."""

    @property
    def frame_count(self) -> int:
        """Frames of all segments."""
        return sum(int(segment.pts.size) for segment in self.segments)

    @property
    def main(self) -> Segment | None:
        """The segment with the most frames."""
        return max(self.segments, key=lambda segment: int(segment.pts.size), default=None)

    @property
    def duration(self) -> Fraction:
        """Seconds covered by the segments, first frame to last."""
        return sum(((s.last - s.first) * self.time_base for s in self.segments), Fraction(0))

    def window(self, start: Fraction, stop: Fraction | None) -> Timeline:
        """Only the frames with start <= time < stop, in seconds; the clocks stay what they are."""
        parts = []
        for segment in self.segments:
            low = -(-start // self.time_base)
            inside = segment.pts >= int(low)
            if stop is not None:
                inside &= segment.pts < int(-(-stop // self.time_base))
            if inside.any():
                parts.append(Segment(pts=segment.pts[inside], fit=segment.fit))
        return Timeline(time_base=self.time_base, segments=tuple(parts), backward_jumps=self.backward_jumps)


def build_timeline(
    pts: Ticks,
    *,
    time_base: Fraction,
    candidates: Sequence[RateCandidate],
    max_gap: Fraction,
    breaks: npt.NDArray[np.intp] | None = None,
) -> Timeline:
    """Cuts presentation times into segments and fits a clock to each.

    Args:
        pts: presentation times in ticks, rising but for the breaks, (n,).
        time_base: seconds a tick.
        candidates: rates claimed for the stream.
        max_gap: seconds; a longer step is a discontinuity.
        breaks: indices before which the stream jumps back.
    """
    if pts.size == 0:
        return Timeline(time_base=time_base, segments=())
    back = np.asarray([] if breaks is None else breaks, dtype=np.intp)
    jump = np.flatnonzero(np.diff(pts) > round_half_up(max_gap / time_base)) + 1
    edges = np.unique(np.concatenate((back, jump)))
    parts = [part for part in np.split(pts, edges) if part.size]
    longest = max(parts, key=lambda part: int(part.size))
    main = fit_clock(longest, time_base=time_base, candidates=candidates)
    fits = [
        main if part is longest else _fit_beside(part, main, time_base=time_base, candidates=candidates)
        for part in parts
    ]
    return Timeline(
        time_base=time_base,
        segments=tuple(Segment(pts=part, fit=fit) for part, fit in zip(parts, fits, strict=True)),
        backward_jumps=tuple(int(pts[index]) for index in back),
    )


def _fit_beside(part: Ticks, main: ClockFit, *, time_base: Fraction, candidates: Sequence[RateCandidate]) -> ClockFit:
    """A shorter segment believes the longest one's rate first: few frames tell little by themselves."""
    if main.clock is None:
        return fit_clock(part, time_base=time_base, candidates=candidates)
    believed = RateCandidate(rate=main.clock.rate, source=RateSource.CODEC)
    user = [c for c in candidates if c.source in (RateSource.USER, RateSource.DROP_MAP)]
    return fit_clock(part, time_base=time_base, candidates=(*user, believed))
