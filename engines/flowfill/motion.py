"""The motion between two guides, and what of it holds at a time between them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flowfill.guide import GUIDE_MIN_SIDE, Guide
from flowfill.parallel import Crew
from flowfill.sample import sample
from flowfill.scratch import Field

_MOTION_WINDOW = (9, 9)
_STILL_WINDOW = (11, 11)
_NEAR_WINDOW = (3, 3)
_NOISE_FLOOR = np.float32(2.0)
_NEAR_FLOOR = np.float32(1.0)
_EQUAL_ERRORS = np.float32(5e-4)
_OUTSIDE_SHARE = np.float32(0.02)
_COARSE_FROM_SIDE = 300
_PATCH_STRIDE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """How badly two pictures agree around each pixel, in 8-bit steps."""

    wide: Field
    """(height, width): mean over a window wide enough to tell motion from chance."""
    near: Field
    """(height, width): mean over 3 x 3 pixels: thin still things before a moving ground (logos, subtitles) show here
    and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMotion:
    """The motion between two guides, found once and used for every position between them."""

    left: Guide
    """(height, width), uint8."""
    right: Guide
    """(height, width), uint8."""
    there: Field
    """(height, width, 2): from each pixel of left to its place in right."""
    back: Field
    """(height, width, 2): from each pixel of right to its place in left."""
    still: Mismatch
    """How badly left and right agree without any motion."""


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


class MotionSearch:
    """OpenCV's DIS flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), both ways."""

    def __init__(self) -> None:
        self._there = _matcher()
        self._back = _matcher()

    def between(self, left: Guide, right: Guide, *, crew: Crew) -> PairMotion:
        """Finds the motion from left to right and from right to left.

        Args:
            left: (height, width), at least `GUIDE_MIN_SIDE` in both directions.
            right: Of the same size.
            crew: Runs the two directions side by side.
        """
        there, back = crew.run(
            lambda: _flow(self._there, left, right),
            lambda: _flow(self._back, right, left),
        )
        return PairMotion(
            left=left, right=right, there=there, back=back, still=_mismatch(left, right, window=_STILL_WINDOW)
        )


def midway(pair: PairMotion, *, position: Fraction, crew: Crew) -> Midway:
    """Projects the motion of a pair to a time between its pictures.

    Each pixel there has two candidates: the motion of the left pixel that arrives at it, and that of the right one
    (they differ where something is covered or uncovered). The one along which the two pictures agree better
    weighs more. Where neither explains the pictures much better than standing still does (noise, flicker, fades, logos,
    wrong matches) the plain dissolve takes over; it is the least wrong of all mixes that ignore motion.

    Args:
        pair: The motion both ways.
        position: 0 is left, 1 is right.
        crew: Runs the two candidates side by side.
    """
    before, after = float(position), 1.0 - float(position)
    (from_left, left_error), (from_right, right_error) = crew.run(
        lambda: _candidate(pair, pair.there, before, after, sign=-before),
        lambda: _candidate(pair, -pair.back, before, after, sign=after),
    )
    rows, columns = left_error.wide.shape
    made = Midway(
        motion=np.empty((rows, columns, 2), dtype=np.float32),
        left_share=np.empty((rows, columns), dtype=np.float32),
        dissolve_share=np.empty((rows, columns), dtype=np.float32),
    )
    errors = (left_error, right_error, pair.still)
    crew.run(*(partial(_settle, made, (from_left, from_right), errors, before, band) for band in crew.bands(rows)))
    return made


def _settle(
    made: Midway,
    candidates: tuple[Field, Field],
    errors: tuple[Mismatch, Mismatch, Mismatch],
    position: float,
    band: tuple[int, int],
) -> None:
    """Weighs the candidates in rows [start, stop) and writes what came out to `made`."""
    rows = slice(*band)
    from_left, from_right = (each[rows] for each in candidates)
    left_error, right_error, still_error = errors
    left_power, right_power = (np.square(each.wide[rows]) + _EQUAL_ERRORS for each in (left_error, right_error))
    weight = right_power / (left_power + right_power)
    motion = made.motion[rows]
    np.subtract(from_left, from_right, out=motion)
    motion *= cv2.merge((weight, weight))
    motion += from_right

    before, after = np.float32(position), np.float32(1.0 - position)
    in_left, in_right = (_inside(motion, factor, band[0], made.motion.shape) for factor in (-before, after))
    left_vote, right_vote = after * (in_left + _OUTSIDE_SHARE), before * (in_right + _OUTSIDE_SHARE)
    np.divide(left_vote, left_vote + right_vote, out=made.left_share[rows])
    moved_wide = np.square(np.minimum(left_error.wide[rows], right_error.wide[rows]) + _NOISE_FLOOR)
    moved_near = np.square(np.minimum(left_error.near[rows], right_error.near[rows]))
    wide = moved_wide / (moved_wide + np.square(still_error.wide[rows]))
    near = moved_near / (moved_near + np.square(still_error.near[rows] + _NEAR_FLOOR))
    np.multiply(np.maximum(wide, near), np.minimum(in_left, in_right), out=made.dissolve_share[rows])


def _matcher() -> cv2.DISOpticalFlow:
    # Sparser patches than the preset's save a third of the search and cost 0.02 dB. Variational refinement doubles
    # its time, and changed PSNR by -0.05 to +0.03 dB on three clips.
    matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    matcher.setPatchStride(_PATCH_STRIDE)
    matcher.setVariationalRefinementIterations(0)
    return matcher


def _flow(matcher: cv2.DISOpticalFlow, source: Guide, target: Guide) -> Field:
    # A large guide's own pixels cost six times the search for 0.1 dB or less; small guides need them.
    halves = max(source.shape) >= _COARSE_FROM_SIDE and min(source.shape) >= 2 * GUIDE_MIN_SIDE
    matcher.setFinestScale(1 if halves else 0)
    # The stubs ask for an array, but DIS takes any array, zeros too, for a first guess instead of making its own.
    flow = matcher.calc(source, target, None)  # type: ignore[call-overload]
    return _field(flow)


def _candidate(pair: PairMotion, flow: Field, before: float, after: float, *, sign: float) -> tuple[Field, Mismatch]:
    """The motion that lands on each pixel at the position, and how badly the pictures agree along it.

    `flow` is left-to-right motion, seated at left pixels (sign -before) or right ones (sign +after). The pixel that
    lands at x set out from x + sign * motion, so the motion is a fixed point: motion(x) = flow(x + sign * motion(x)).
    The first step towards it is enough: more of them changed PSNR by 0.01 dB at most.
    """
    motion = sample(flow, _scaled(flow, sign))
    left = sample(pair.left, _scaled(motion, -before))
    right = sample(pair.right, _scaled(motion, after))
    return motion, _mismatch(left, right, window=_MOTION_WINDOW)


def _mismatch(left: npt.NDArray[Any], right: npt.NDArray[Any], *, window: tuple[int, int]) -> Mismatch:
    difference = cv2.absdiff(left, right).astype(np.float32)
    return Mismatch(wide=_field(cv2.blur(difference, window)), near=_field(cv2.blur(difference, _NEAR_WINDOW)))


def _inside(motion: Field, factor: np.float32, first_row: int, shape: tuple[int, ...]) -> Field:
    """(rows, width) in [0, 1]: whether samples at x + factor * motion(x) lie in the picture, eased over a pixel."""
    ones = np.ones(shape[:2], dtype=np.float32)
    offsets = motion * factor
    offsets[..., 1] += np.float32(first_row)
    return _field(sample(ones, offsets, beyond=cv2.BORDER_CONSTANT))


def _scaled(motion: Field, factor: float) -> Field:
    return motion * np.float32(factor)


def _field(array: npt.NDArray[Any] | cv2.typing.MatLike) -> Field:
    return np.asarray(array, dtype=np.float32)
