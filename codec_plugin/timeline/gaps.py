"""`Gap`: a place where frames are missing, and how that is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from codec_plugin.timeline.segments import Segment, Timeline
from codec_plugin.timing import slots_of


class Cause(StrEnum):
    """Why frames are missing."""

    DROPPED = "dropped"
    """Slots of the clock that no frame stands on."""
    REPEATED = "repeated"
    """Frames that only repeat the one before."""
    CORRUPT = "corrupt"
    """Frames that came out of the decoder damaged, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Missing frames between two good ones."""

    left_pts: int
    """The last good frame before, in ticks."""
    right_pts: int
    """The first good frame after."""
    missing: tuple[int, ...]
    """When the missing frames should be shown, in ticks."""
    cause: Cause
    """Why they are missing."""
    evidence: str
    """How that is known, in words."""


def dropped(timeline: Timeline) -> Iterator[Gap]:
    """The holes in the lattice of each segment's clock, in order; none on true VFR."""
    for segment in timeline.segments:
        yield from _holes(segment)


def bad_frames(timeline: Timeline, bad: Iterable[int], *, cause: Cause, evidence: str) -> Iterator[Gap]:
    """Runs of bad frames between good ones, in order.

    Args:
        timeline: the stream's times.
        bad: times of the bad frames, in ticks.
        cause: what is wrong with them.
        evidence: how that is known.
    """
    wrong = np.asarray(sorted(set(bad)), dtype=np.int64)
    for segment in timeline.segments:
        is_bad = np.isin(segment.pts, wrong)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], is_bad, [False])).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            left = segment.pts[max(int(start) - 1, 0)]
            right = segment.pts[min(int(stop), segment.pts.size - 1)]
            yield Gap(
                left_pts=int(left),
                right_pts=int(right),
                missing=tuple(int(pts) for pts in segment.pts[start:stop]),
                cause=cause,
                evidence=evidence,
            )


def _holes(segment: Segment) -> Iterator[Gap]:
    clock = segment.clock
    if clock is None:
        return
    slots = slots_of(segment.pts, origin=clock.origin, period=clock.period)
    for index in np.flatnonzero(np.diff(slots) > 1):
        before, after = int(slots[index]), int(slots[index + 1])
        left, right = int(segment.pts[index]), int(segment.pts[index + 1])
        yield Gap(
            left_pts=left,
            right_pts=right,
            missing=tuple(clock.pts_of(slot) for slot in range(before + 1, after)),
            cause=Cause.DROPPED,
            evidence=f"{after - before} slots in one step",
        )
