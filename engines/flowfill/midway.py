"""What of the motion between two pictures holds at a time between them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from flowfill.motion import Mismatch, PairMotion, mismatch
from flowfill.parallel import Crew
from flowfill.sample import sample
from flowfill.scratch import Field, Scratch

_MOTION_WINDOW = (9, 9)
_NOISE_FLOOR = np.float32(2.0)
_NEAR_FLOOR = np.float32(1.0)
_EQUAL_ERRORS = np.float32(5e-4)
_OUTSIDE_SHARE = np.float32(0.02)


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


def midway(pair: PairMotion, *, position: Fraction, crew: Crew, scratch: Scratch) -> Midway:
    """Projects the motion of a pair to a time between its pictures.

    Each pixel there has two candidates: the motion of the left pixel that arrives at it, and that of the right one
    (they differ where something is covered or uncovered). The one along which the two pictures agree better
    weighs more. Where neither explains the pictures much better than standing still does (noise, flicker, fades, logos,
    wrong matches) the plain dissolve takes over; it is the least wrong of all mixes that ignore motion.

    Args:
        pair: The motion both ways.
        position: 0 is left, 1 is right.
        crew: Works on bands of rows side by side.
        scratch: Where the arithmetic happens and the result lies: it holds until the next call.
    """
    rows, columns = pair.left.shape
    fields = scratch.array("midway", (9, rows, columns))
    from_left, from_right, motion = fields[:6].reshape(3, rows, columns, 2)
    made = Midway(motion=motion, left_share=fields[6], dissolve_share=fields[7])
    inside = fields[8]
    inside.fill(1.0)
    candidates = tuple(
        _Candidate(motion=each, difference=np.empty((rows, columns), dtype=np.uint8))
        for each in (from_left, from_right)
    )
    bands, share = crew.bands(rows), float(position)
    crew.run(*(partial(_trace, candidates, pair, share, band, scratch) for band in bands))
    errors = crew.run(*(partial(mismatch, each.difference, window=_MOTION_WINDOW) for each in candidates))
    all_errors = (*errors, pair.still)
    crew.run(*(partial(_settle, made, candidates, all_errors, inside, share, band, scratch) for band in bands))
    return made


def _trace(
    candidates: tuple[_Candidate, ...], pair: PairMotion, position: float, band: tuple[int, int], scratch: Scratch
) -> None:
    """Fills a band of both candidates.

    The pixel that lands at x set out from x - position * motion in left, so the motion is a fixed point:
    motion(x) = there(x - position * motion(x)); from right likewise. The first step towards it is enough: more of
    them changed PSNR by 0.01 dB at most.
    """
    rows = slice(*band)
    before, after = np.float32(position), np.float32(1.0 - position)
    for candidate, flow, distance in zip(candidates, (pair.there, pair.back), (before, after), strict=True):
        motion = candidate.motion[rows]
        offsets = scratch.array("offsets", motion.shape)
        sample(flow, _offsets(flow[rows], -distance, band[0], into=offsets), into=motion)
        if flow is pair.back:
            np.negative(motion, out=motion)
        left = sample(pair.left, _offsets(motion, -before, band[0], into=offsets))
        right = sample(pair.right, _offsets(motion, after, band[0], into=offsets))
        cv2.absdiff(left, right, dst=candidate.difference[rows])


def _settle(
    made: Midway,
    candidates: tuple[_Candidate, ...],
    errors: tuple[Mismatch, ...],
    ones: Field,
    position: float,
    band: tuple[int, int],
    scratch: Scratch,
) -> None:
    """Weighs the candidates in a band, and writes what came out to `made`."""
    from_left, from_right = candidates
    left, right, still = errors
    before, after = np.float32(position), np.float32(1.0 - position)
    rows = slice(*band)
    # Four arrays are used over and over, and each operation is on a whole band: new memory and many small operations
    # (each asks for the interpreter's lock) took all that a second thread gains.
    first, second, third, fourth = scratch.array("weighing", (4, *left.wide[rows].shape))
    motion = made.motion[rows]
    offsets = scratch.array("offsets", motion.shape)

    np.square(left.wide[rows], out=first)
    np.square(right.wide[rows], out=second)
    second += _EQUAL_ERRORS
    first += second
    first += _EQUAL_ERRORS
    np.divide(second, first, out=first)  # the left candidate's weight
    cv2.merge((first, first), dst=offsets)
    np.subtract(from_left.motion[rows], from_right.motion[rows], out=motion)
    motion *= offsets
    motion += from_right.motion[rows]

    for factor, inside in ((-before, first), (after, second)):
        sample(ones, _offsets(motion, factor, band[0], into=offsets), beyond=cv2.BORDER_CONSTANT, into=inside)
    np.minimum(first, second, out=third)  # whether both samples lie in their pictures, eased over a pixel
    for factor, inside in ((after, first), (before, second)):
        inside += _OUTSIDE_SHARE
        inside *= factor
    second += first
    np.divide(first, second, out=made.left_share[rows])

    np.minimum(left.wide[rows], right.wide[rows], out=first)
    first += _NOISE_FLOOR
    _share_of_square(first, still.wide[rows], into=second)  # of the moved pictures' wide error
    np.minimum(left.near[rows], right.near[rows], out=first)
    np.add(still.near[rows], _NEAR_FLOOR, out=fourth)
    _share_of_square(first, fourth, into=first)  # and of their near one
    np.maximum(first, second, out=first)
    np.multiply(first, third, out=made.dissolve_share[rows])


def _share_of_square(error: Field, other: Field, *, into: Field) -> None:
    """error² / (error² + other²)."""
    squares = error * error
    np.multiply(other, other, out=into)
    into += squares
    np.divide(squares, into, out=into)


def _offsets(motion: Field, factor: np.float32, first_row: int, *, into: Field) -> Field:
    """The motion times a factor, for `sample` from a whole plane: a relative map counts from its own first row."""
    np.multiply(motion, factor, out=into)
    if first_row:
        into[..., 1] += np.float32(first_row)
    return into
