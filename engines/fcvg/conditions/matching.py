"""Segments of two pictures, paired: by where the motion carries them, and by what their surroundings look like."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcvg.conditions.describing import describe, likeness
from fcvg.conditions.motion import Motion, find_motion
from fcvg.conditions.segments import Gray, Segments, find_segments, segment_lengths

_SAMPLES = 7  # points of a segment whose motion is followed
_ANGLE = math.radians(12)
_TOLERANCE = 3.0  # pixels across, at a 640-wide picture; in proportion elsewhere, at least 2
_OVERLAP = 0.35  # of the shorter one
_LENGTHS = 0.4  # shorter to longer
_LIKE = 0.3  # least correlation where the motion agrees
_ALIKE = 0.85  # least correlation where nothing but the looks speaks
_ALIKE_RATIO = 0.6  # 1 - correlation, best to second best
_FAR = 0.25  # of the diagonal: the furthest that looks alone may pair

Table = npt.NDArray[np.float64]
"""(left segment, right segment)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Segments found in both pictures; equal places are one pair, with the ends in the same order."""

    left: Segments
    """In the left picture."""
    right: Segments
    """In the right picture."""

    def __len__(self) -> int:
        return len(self.left)


def match_segments(left: Gray, right: Gray) -> Matches:
    """Pairs the segments of two pictures of one size. Swapping the pictures swaps the result, exactly."""
    if left.tobytes() > right.tobytes():  # one order of work, so that rounding can't tell the two calls apart
        swapped = match_segments(right, left)
        return Matches(left=swapped.right, right=swapped.left)
    ours, theirs = find_segments(left), find_segments(right)
    if not len(ours) or not len(theirs):
        return Matches(left=ours[:0], right=theirs[:0])
    alike = likeness(describe(left, ours), describe(right, theirs)).astype(np.float64)
    tolerance = max(2.0, _TOLERANCE * left.shape[1] / 640)
    ahead = _disagreement(carried(ours, find_motion(left, right)), theirs, tolerance=tolerance)
    back = _disagreement(carried(theirs, find_motion(right, left)), ours, tolerance=tolerance).T
    by_motion = np.where(alike >= _LIKE, (ahead + back) / 2 + (1 - alike), np.inf)
    pairs = _mutual(by_motion)
    reach = _FAR * math.hypot(*left.shape)
    pairs += _lookalikes(alike, ours, theirs, taken=pairs, reach=reach)
    first = ours[[i for i, _ in pairs]]
    second = theirs[[j for _, j in pairs]]
    return in_reading_order(Matches(left=first, right=with_ends_as(second, first)))


def carried(segments: Segments, motion: Motion) -> Segments:
    """Where a motion takes segments: straight lines through where their points go."""
    share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    points = segments[:, :1] + (segments[:, 1:] - segments[:, :1]) * share[None, :, None]
    moved = motion(points)
    base = np.stack([np.ones(_SAMPLES), share], axis=1)
    # The least squares line through the moved points, then its values at the two ends.
    fitted = np.einsum("ks,nsc->nkc", np.linalg.pinv(base), moved)
    return np.stack([fitted[:, 0], fitted[:, 0] + fitted[:, 1]], axis=1)


def with_ends_as(segments: Segments, models: Segments) -> Segments:
    """Segments, their ends put into the order that lies nearer to the models' ends, by the sum of both distances."""
    straight = np.linalg.norm(segments - models, axis=-1).sum(axis=-1)
    crossed = np.linalg.norm(segments[:, ::-1] - models, axis=-1).sum(axis=-1)
    return np.where((crossed < straight)[:, None, None], segments[:, ::-1], segments)


def in_reading_order(matches: Matches) -> Matches:
    """Pairs by where their middles are, and each pair's ends likewise: an order that no swap of the sides changes."""
    ends = matches.left + matches.right
    turn = (ends[:, 0, 0] > ends[:, 1, 0]) | ((ends[:, 0, 0] == ends[:, 1, 0]) & (ends[:, 0, 1] > ends[:, 1, 1]))
    left, right = (np.where(turn[:, None, None], side[:, ::-1], side) for side in (matches.left, matches.right))
    middles = ends.sum(axis=1)
    order = np.lexsort((middles[:, 0], middles[:, 1]))
    return Matches(left=left[order], right=right[order])


def _disagreement(expected: Segments, found: Segments, *, tolerance: float) -> Table:
    """How far each found segment is from each expected one, 0 and up; infinite where they can't be the same."""
    lengths, others = segment_lengths(expected), segment_lengths(found)
    directions = (expected[:, 1] - expected[:, 0]) / np.maximum(lengths, 1e-9)[:, None]
    other_directions = (found[:, 1] - found[:, 0]) / np.maximum(others, 1e-9)[:, None]
    angle = np.arccos(np.clip(np.abs(directions @ other_directions.T), 0, 1))
    offset = found[None] - expected[:, :1][:, None]  # (expected, found, end, 2)
    along = np.einsum("efkc,ec->efk", offset, directions)
    across = np.abs(np.einsum("efkc,ec->efk", offset, np.stack([-directions[:, 1], directions[:, 0]], -1))).mean(-1)
    shared = np.minimum(along.max(-1), lengths[:, None]) - np.maximum(along.min(-1), 0)
    shorter, longer = np.minimum(lengths[:, None], others[None]), np.maximum(lengths[:, None], others[None])
    possible = (angle < _ANGLE) & (across < tolerance) & (shared > _OVERLAP * shorter) & (shorter > _LENGTHS * longer)
    gap = 1 - np.clip(shared / np.maximum(longer, 1e-9), 0, 1)
    return np.where(possible, angle / _ANGLE + across / tolerance + gap, np.inf)


def _mutual(costs: Table) -> list[tuple[int, int]]:
    """Pairs in which each is the other's best, where there is a finite best."""
    best, back = costs.argmin(axis=1), costs.argmin(axis=0)
    return [(i, int(j)) for i, j in enumerate(best) if back[j] == i and np.isfinite(costs[i, j])]


def _lookalikes(
    alike: Table, ours: Segments, theirs: Segments, *, taken: list[tuple[int, int]], reach: float
) -> list[tuple[int, int]]:
    """Pairs by their looks alone, among those whose motion was lost: mutual, very alike, and with no second like it."""
    costs = 1 - alike
    middles, others = ours.mean(axis=1), theirs.mean(axis=1)
    far = np.linalg.norm(middles[:, None] - others[None], axis=-1) > reach
    lengths, other_lengths = segment_lengths(ours)[:, None], segment_lengths(theirs)[None]
    unequal = np.minimum(lengths, other_lengths) < 2 * _LENGTHS * np.maximum(lengths, other_lengths)
    left_taken, right_taken = {i for i, _ in taken}, {j for _, j in taken}
    found = []
    for i, j in _mutual(np.where(far | unequal, np.inf, costs)):
        rivals = np.concatenate([np.delete(costs[i], j), np.delete(costs[:, j], i)])
        distinct = not rivals.size or costs[i, j] < _ALIKE_RATIO * rivals.min()
        if i not in left_taken and j not in right_taken and alike[i, j] > _ALIKE and distinct:
            found.append((i, j))
    return found
