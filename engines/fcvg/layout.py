"""`ClipLayout`: which frames the network makes, so that those that were asked for are among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

BUCKETS = (9, 17, 25)
"""Frames of a clip, both endpoints among them; a gap gets the smallest that holds it. Fixed, so that a compiled network
is compiled three times at most, and none below 9: SVD was trained on clips of 14 and 25 frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLayout:
    """A clip's frames and the times they stand for."""

    times: tuple[Fraction, ...]
    """For each frame its place between the endpoints, rising from 0 to 1: condition pictures are to be drawn there."""
    chosen: tuple[int, ...]
    """The frames that were asked for, one for each position."""
    off_lattice: float
    """How far, at most, a position is from its frame's place on an even lattice, in steps of that lattice.

    The network spaces its frames evenly unless conditions tell it otherwise: without any, this is the error in time.
    """

    @property
    def frames(self) -> int:
        """Frames of the clip."""
        return len(self.times)


def layout_of(positions: Sequence[Fraction], *, buckets: Sequence[int] = BUCKETS) -> ClipLayout:
    """Lays positions out on a clip.

    The clip is the smallest bucket that holds the positions and both endpoints, and longer than every bucket where
    none does. Each position is given the frame nearest to it, in order; the frames between those stand at even times.
    A request for evenly spaced frames that fill a bucket so gets exactly its lattice.

    Args:
        positions: strictly rising inside (0, 1), at least one.
        buckets: rising.
    """
    needed = len(positions) + 2
    frames = next((bucket for bucket in buckets if bucket >= needed), needed)
    chosen = _nearest(positions, frames=frames)
    knots = [(0, Fraction(0)), *zip(chosen, positions, strict=True), (frames - 1, Fraction(1))]
    times = [Fraction(0)]
    for (left, before), (right, after) in pairwise(knots):
        step = (after - before) / (right - left)
        times += [before + step * index for index in range(1, right - left + 1)]
    off = max(abs(position * (frames - 1) - frame) for position, frame in zip(positions, chosen, strict=True))
    return ClipLayout(times=tuple(times), chosen=chosen, off_lattice=float(off))


def _nearest(positions: Sequence[Fraction], *, frames: int) -> tuple[int, ...]:
    """For each position an inner frame of its own, near it."""
    chosen: list[int] = []
    for index, position in enumerate(positions):
        after = chosen[-1] + 1 if chosen else 1
        last = frames - 1 - (len(positions) - index)
        chosen.append(min(last, max(after, round(position * (frames - 1)))))
    return tuple(chosen)
