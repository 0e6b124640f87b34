"""Frozen repeats: frames that stand where others were lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codec_plugin.picture import Family, Picture, Plane
from codec_plugin.timeline.blocks import block_differences

BLOCK = 16
"""Side of the blocks in which differences are measured, in samples."""

LOOK_AHEAD = 9
"""Differences after a run that `RepeatFinder` needs to judge it: the jump, and eight of the motion there."""

LONGEST_RUN = 48
"""Repeats in a run; a picture that stands longer (2 s at 24 Hz) is a freeze and no gap."""

# Found by a grid search over 637 runs of 1 to 4 repeats in eight clips, encoded with x264, x265 and mpeg4,
# against Big Buck Bunny and six other clips untouched.
_REFERENCE = 4  # differences on either side whose median is the motion there
_CANDIDATE = 0.6  # of the difference before it: more is motion, not a repeat
_LEAST_MOTION = 2.0  # levels; codec noise alone stays below
_LEAST_JUMP = 0.65  # of the motion; fast motion decorrelates, so two steps may differ as little as one
_MOST_IMBALANCE = 6.0  # motion on one side over the other: a start or a stop
_MOST_GROWTH = 1.5  # of a jump, per lost frame up to _SETTLED_RUN: beyond is a cut
_SETTLED_RUN = 4  # repeats; in longer runs a natural rest is likelier and must be stiller
_SETTLED_STRICTNESS = 4.0
_NEIGHBOURHOOD = LOOK_AHEAD - 1  # differences on either side that are searched for other rests
_MOST_RESTS = 2  # other rests there; three are a drawing held on twos, with a slip in its rhythm
_RESTING = 0.3  # of the motion
_SETTLED_JUMP = 1.25  # of the motion: what rests and goes on jumps by 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceStats:
    """How a picture differs from the one before it; levels are 1/255 of the full scale."""

    mean: float
    """Mean absolute difference over the picture, in levels."""
    peak: float
    """Mean absolute difference over the 1 % of blocks that differ most, in levels: sees a moving mouth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A run of frames that repeat the frame before the run."""

    start: int
    """First frame that repeats its predecessor, as an index in presentation order."""
    stop: int
    """One past the last."""
    stillness: float
    """Difference inside the run as a fraction of the motion around it; 0 is an exact copy."""
    jump: float
    """Difference of the frame after the run in multiples of the motion around it."""
    motion: float
    """The motion around the run: median peak difference on either side, averaged, in levels."""


class RepeatFinder:
    """Finds repeats while the differences arrive, with a bounded look-ahead and memory.

    A repeat differs from its predecessor by codec noise only, while the picture moves before and after,
    and the frame after the run makes up for the motion that was lost. A still scene has no motion around
    it, and a cut jumps too far. What stands at every second or third frame, such as a drawing held on twos,
    is a lower frame rate and no gap: two frames at least must move on either side of a run, and no more
    than two other rests lie within eight frames.
    """

    def __init__(self, *, sensitivity: float = 1.0) -> None:
        """Starts at the first frame.

        Args:
            sensitivity: 1 as calibrated; 2 accepts half the evidence, 0.5 asks for twice.

        Raises:
            ValueError: sensitivity is not above 0.
        """
        if not sensitivity > 0.0:
            raise ValueError(f"sensitivity is above 0, not {sensitivity}")
        self._sensitivity = sensitivity
        self._kept: list[DifferenceStats] = []
        self._first = 0
        self._next = 1

    @property
    def settled(self) -> int:
        """Frames before this index are judged; a run that may still be one holds it back, by `LONGEST_RUN` at most."""
        return self._first + self._next + 1

    def push(self, stats: DifferenceStats) -> list[Repeat]:
        """Takes the difference of the next frame to its predecessor; returns the runs that are now certain."""
        self._kept.append(stats)
        return list(self._judged(is_last=False))

    def finish(self) -> list[Repeat]:
        """Returns the runs whose look-ahead the end of the clip has cut short."""
        return list(self._judged(is_last=True))

    def _judged(self, *, is_last: bool) -> Iterator[Repeat]:
        while self._next < len(self._kept):
            stop = _run_stop(self._kept, self._next)
            if stop == self._next:
                self._next += 1
            elif stop + LOOK_AHEAD > len(self._kept) and not is_last:
                break
            elif (found := _judge(self._kept, self._next, stop, self._sensitivity)) is not None:
                yield _shifted(found, self._first)
                self._next = stop + 1
            else:
                self._next += 1
        surplus = max(0, self._next - _NEIGHBOURHOOD)
        del self._kept[:surplus]
        self._first += surplus
        self._next -= surplus


def difference(previous: Picture, current: Picture) -> DifferenceStats:
    """Measures the difference of two pictures in presentation order.

    Args:
        previous: The earlier picture.
        current: The later one, of the same size and layout.

    Returns:
        The statistics of the luma plane, or of the green one of RGB; last rows and columns that fill no
        16 x 16 block are left out.

    Raises:
        ValueError: Size or layout differ.
    """
    index = 1 if current.layout.family is Family.RGB else 0
    first, second = previous.planes[index], current.planes[index]
    if first.shape != second.shape or previous.layout != current.layout:
        raise ValueError(
            f"pictures must be alike, not {first.shape} {previous.layout} and {second.shape} {current.layout}"
        )
    blocks = _block_means(first, second, peak=current.layout.peak).ravel()
    count = max(1, round(blocks.size / 100))
    largest = np.partition(blocks, blocks.size - count)[-count:]
    return DifferenceStats(mean=float(blocks.mean()), peak=float(largest.mean()))


def find_repeats(differences: Iterable[DifferenceStats], *, sensitivity: float = 1.0) -> list[Repeat]:
    """Finds the runs of repeated frames of a clip.

    Args:
        differences: One for each frame from the second on: item i compares frame i + 1 with frame i.
        sensitivity: 1 as calibrated; 2 accepts half the evidence, 0.5 asks for twice.

    Returns:
        The runs in order, as indices of frames.

    Raises:
        ValueError: sensitivity is not above 0.
    """
    finder = RepeatFinder(sensitivity=sensitivity)
    found = [repeat for stats in differences for repeat in finder.push(stats)]
    return found + finder.finish()


def _run_stop(kept: list[DifferenceStats], start: int) -> int:
    ceiling = _CANDIDATE * kept[start - 1].peak
    stop = start
    while stop < len(kept) and stop - start <= LONGEST_RUN and kept[stop].peak < ceiling:
        stop += 1
    return stop


def _judge(kept: list[DifferenceStats], start: int, stop: int, sensitivity: float) -> Repeat | None:
    length = stop - start
    before, after = kept[max(0, start - _REFERENCE) : start], kept[stop + 1 : stop + 1 + _REFERENCE]
    if not after or length > LONGEST_RUN:
        return None
    sides = [float(np.median([stats.peak for stats in side])) for side in (before, after)]
    means = [float(np.median([stats.mean for stats in side])) for side in (before, after)]
    slowest = min(*sides, before[-1].peak, after[0].peak)
    slowest_mean = min(*means, before[-1].mean, after[0].mean)
    if slowest < _LEAST_MOTION / sensitivity or max(sides) > _MOST_IMBALANCE * min(sides):
        return None
    motion = sum(sides) / 2.0
    jump, mean_jump = kept[stop].peak / motion, kept[stop].mean / max(sum(means) / 2.0, 1e-6)
    local = max(stats.peak for stats in kept[start:stop]) / slowest
    overall = max(stats.mean for stats in kept[start:stop]) / max(slowest_mean, 1e-6)
    stillness = math.sqrt(local * min(overall, 1.0))
    is_long = length > _SETTLED_RUN
    strictness = _SETTLED_STRICTNESS if is_long else 1.0
    least_jump = _SETTLED_JUMP if is_long else _LEAST_JUMP
    if local >= _CANDIDATE or stillness > _most_stillness(jump) * sensitivity / strictness:
        return None
    if jump < least_jump / sensitivity or max(jump, mean_jump) > _MOST_GROWTH * (min(length, _SETTLED_RUN) + 1) + 0.5:
        return None
    if _rests(kept, start, stop, ceiling=_RESTING * motion) > _MOST_RESTS:
        return None
    return Repeat(start=start + 1, stop=stop + 1, stillness=stillness, jump=jump, motion=motion)


def _most_stillness(jump: float) -> float:
    # A copy needs no jump; a coarsely coded one, which differs by half the motion, needs a large one.
    return min(0.15 + 0.25 * (jump - 0.5), 0.6)


def _rests(kept: list[DifferenceStats], start: int, stop: int, *, ceiling: float) -> int:
    before = kept[max(0, start - _NEIGHBOURHOOD) : start]
    after = kept[stop : stop + 1 + _NEIGHBOURHOOD]
    return sum(first.peak >= ceiling > second.peak for side in (before, after) for first, second in pairwise(side))


def _shifted(repeat: Repeat, frames: int) -> Repeat:
    return Repeat(
        start=repeat.start + frames,
        stop=repeat.stop + frames,
        stillness=repeat.stillness,
        jump=repeat.jump,
        motion=repeat.motion,
    )


def _block_means(first: Plane, second: Plane, *, peak: float) -> NDArray[np.float64]:
    """Mean absolute differences of whole blocks, in levels."""
    rows, columns = min(BLOCK, first.shape[0]), min(BLOCK, first.shape[1])
    sums = block_differences(first, second, rows=rows, columns=columns)
    return np.asarray(sums * (255.0 / (peak * rows * columns)), dtype=np.float64)
