"""What of the motion between two pictures holds at a time between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from flowfill.motion import Mismatch, PairMotion, mismatch
from flowfill.parallel import Crew
from flowfill.sample import sample
from flowfill.scratch import Field

_MOTION_WINDOW = (9, 9)
_NOISE_FLOOR = np.float32(2.0)
_NEAR_FLOOR = np.float32(1.0)
_EQUAL_ERRORS = np.float32(5e-4)
_OUTSIDE_SHARE = np.float32(0.02)
_STRIP_SAMPLES = 8192
"""Arithmetic goes in strips of rows with about so many samples: arrays of 32 KB stay in the cache and need no new
pages from the system (weighing takes 1.6 ms instead of 2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Midway:
    """How to make the picture at one position; everything is at the guides' size."""

    motion: Field
    """(height, width, 2): the motion from left to right, in guide pixels, of what is at each pixel there."""
    left_share: Field
    """(height, width) in [0, 1]: how much of the moved mix comes from left. It is 1 - position but where the
    motion comes from outside of one picture: there the other is taken."""
    dissolve_share: Field
    """(height, width) in [0, 1]: how far to go from the moved mix to the plain dissolve, because motion explains
    the two pictures no better than standing still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A motion for each pixel at the position, and how the pictures differ along it."""

    motion: Field
    """(height, width, 2): from left to right."""
    difference: npt.NDArray[np.uint8]
    """(height, width): of the left and the right picture's samples."""


def midway(pair: PairMotion, *, position: Fraction, crew: Crew) -> Midway:
    """Projects the motion of a pair to a time between its pictures.

    Each pixel there has two candidates: the motion of the left pixel that arrives at it, and that of the right one
    (they differ where something is covered or uncovered). The one along which the two pictures agree better
    weighs more. Where neither explains the pictures much better than standing still does (noise, flicker, fades, logos,
    wrong matches) the plain dissolve takes over; it is the least wrong of all mixes that ignore motion.

    Args:
        pair: The motion both ways.
        position: 0 is left, 1 is right.
        crew: Works on bands of rows side by side.
    """
    rows, columns = pair.left.shape
    candidates = tuple(
        _Candidate(
            motion=np.empty((rows, columns, 2), dtype=np.float32),
            difference=np.empty((rows, columns), dtype=np.uint8),
        )
        for _ in range(2)
    )
    made = Midway(
        motion=np.empty((rows, columns, 2), dtype=np.float32),
        left_share=np.empty((rows, columns), dtype=np.float32),
        dissolve_share=np.empty((rows, columns), dtype=np.float32),
    )
    bands, share = crew.bands(rows), float(position)
    crew.run(*(partial(_trace, candidates, pair, share, band) for band in bands))
    errors = crew.run(*(partial(mismatch, each.difference, window=_MOTION_WINDOW) for each in candidates))
    crew.run(*(partial(_settle, made, candidates, (*errors, pair.still), share, band) for band in bands))
    return made


def _trace(candidates: tuple[_Candidate, ...], pair: PairMotion, position: float, band: tuple[int, int]) -> None:
    """Fills a band of both candidates.

    The pixel that lands at x set out from x - position * motion in left, so the motion is a fixed point:
    motion(x) = there(x - position * motion(x)); from right likewise. The first step towards it is enough: more of
    them changed PSNR by 0.01 dB at most.
    """
    before, after = np.float32(position), np.float32(1.0 - position)
    for candidate, flow, distance in zip(candidates, (pair.there, pair.back), (before, after), strict=True):
        for strip in _strips(band, flow.shape[1]):
            motion = candidate.motion[strip]
            sample(flow, _offsets(flow[strip], -distance, strip), into=motion)
            if flow is pair.back:
                np.negative(motion, out=motion)
            left = sample(pair.left, _offsets(motion, -before, strip))
            right = sample(pair.right, _offsets(motion, after, strip))
            cv2.absdiff(left, right, dst=candidate.difference[strip])


def _settle(
    made: Midway,
    candidates: tuple[_Candidate, ...],
    errors: tuple[Mismatch, ...],
    position: float,
    band: tuple[int, int],
) -> None:
    """Weighs the candidates in a band, and writes what came out to `made`."""
    from_left, from_right = candidates
    left_error, right_error, still_error = errors
    before, after = np.float32(position), np.float32(1.0 - position)
    ones = np.ones_like(made.left_share)
    for strip in _strips(band, len(ones[0])):
        left_power = np.square(left_error.wide[strip]) + _EQUAL_ERRORS
        right_power = np.square(right_error.wide[strip]) + _EQUAL_ERRORS
        weight = right_power / (left_power + right_power)
        motion = made.motion[strip]
        np.subtract(from_left.motion[strip], from_right.motion[strip], out=motion)
        motion *= cv2.merge((weight, weight))
        motion += from_right.motion[strip]

        # 1 where the sample lies in the picture, 0 outside, and eased over a pixel.
        in_left, in_right = (
            sample(ones, _offsets(motion, factor, strip), beyond=cv2.BORDER_CONSTANT) for factor in (-before, after)
        )
        left_vote, right_vote = after * (in_left + _OUTSIDE_SHARE), before * (in_right + _OUTSIDE_SHARE)
        np.divide(left_vote, left_vote + right_vote, out=made.left_share[strip])
        moved_wide = np.square(np.minimum(left_error.wide[strip], right_error.wide[strip]) + _NOISE_FLOOR)
        moved_near = np.square(np.minimum(left_error.near[strip], right_error.near[strip]))
        wide = moved_wide / (moved_wide + np.square(still_error.wide[strip]))
        near = moved_near / (moved_near + np.square(still_error.near[strip] + _NEAR_FLOOR))
        np.multiply(np.maximum(wide, near), np.minimum(in_left, in_right), out=made.dissolve_share[strip])


def _strips(band: tuple[int, int], columns: int) -> Iterator[slice]:
    start, stop = band
    rows = max(1, _STRIP_SAMPLES // columns)
    for first in range(start, stop, rows):
        yield slice(first, min(stop, first + rows))


def _offsets(motion: Field, factor: np.float32, strip: slice) -> Field:
    """The motion times a factor, for `sample` from a whole plane: a relative map counts from its own first row."""
    offsets = motion * factor
    offsets[..., 1] += np.float32(strip.start)
    return offsets
