"""What of the motion between two pictures holds at a time between them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import cv2
import numpy as np

from flowfill.motion import Mismatch, PairMotion, mismatch
from flowfill.parallel import Crew
from flowfill.sample import sample
from flowfill.scratch import Field, Scratch

_MOTION_WINDOW = (7, 7)
_HALO_ROWS = _MOTION_WINDOW[1] // 2
_NOISE_FLOOR = np.float32(1.5)
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
    fields = scratch.array("midway", (5, rows, columns))
    inside = fields[4]
    inside.fill(1.0)
    made = Midway(motion=fields[:2].reshape(rows, columns, 2), left_share=fields[2], dissolve_share=fields[3])
    crew.run(*(partial(_fill_band, made, pair, float(position), band, inside, scratch) for band in crew.bands(rows)))
    return made


def _fill_band(
    made: Midway, pair: PairMotion, position: float, band: tuple[int, int], inside: Field, scratch: Scratch
) -> None:
    """Makes rows [start, stop), in one go and in few, large operations on memory that is there already.

    Each handing over between threads, each operation (it asks for the interpreter's lock) and each new array costs:
    with many small ones a second thread gained nothing.
    """
    start, stop = band
    wide = (max(0, start - _HALO_ROWS), min(len(inside), stop + _HALO_ROWS))
    size = (wide[1] - wide[0], inside.shape[1])
    motions = scratch.array("candidates", (2, *size, 2))
    from_left = _trace(pair, motions[0], position, wide, backwards=False, scratch=scratch)
    from_right = _trace(pair, motions[1], position, wide, backwards=True, scratch=scratch)

    rows = slice(start - wide[0], stop - wide[0])
    target = slice(start, stop)
    work = scratch.array("weighing", (4, stop - start, size[1]))
    _mix_motion(made.motion[target], motions[:, rows], from_left.wide[rows], from_right.wide[rows], work=work)
    both_inside = _share_sides(made, inside, position, band, work=work, scratch=scratch)
    first, second, _, floored = work
    np.minimum(from_left.wide[rows], from_right.wide[rows], out=first)
    first += _NOISE_FLOOR
    _share_of_square(first, pair.still.wide[target], into=second)
    np.minimum(from_left.near[rows], from_right.near[rows], out=first)
    np.add(pair.still.near[target], _NEAR_FLOOR, out=floored)
    _share_of_square(first, floored, into=first)
    np.maximum(first, second, out=first)
    np.multiply(first, both_inside, out=made.dissolve_share[target])


def _trace(
    pair: PairMotion, motion: Field, position: float, band: tuple[int, int], *, backwards: bool, scratch: Scratch
) -> Mismatch:
    """Writes a band of one candidate's left-to-right motion, and says how badly the pictures agree along it.

    The pixel that lands at x set out from x - position * motion in left, so the motion is a fixed point:
    motion(x) = there(x - position * motion(x)); from right likewise. The first step towards it is enough: more of
    them changed PSNR by 0.01 dB at most.
    """
    before, after = np.float32(position), np.float32(1.0 - position)
    flow, distance = (pair.back, after) if backwards else (pair.there, before)
    start, stop = band
    offsets = scratch.array("offsets", motion.shape)
    sample(flow, _offsets(flow[start:stop], -distance, start, into=offsets), into=motion)
    if backwards:
        np.negative(motion, out=motion)
    left = sample(pair.left, _offsets(motion, -before, start, into=offsets))
    right = sample(pair.right, _offsets(motion, after, start, into=offsets))
    return mismatch(cv2.absdiff(left, right), window=_MOTION_WINDOW)


def _mix_motion(motion: Field, candidates: Field, left_error: Field, right_error: Field, *, work: Field) -> None:
    """Weighs each candidate with the square of the other's error."""
    weight, other = work[:2]
    np.square(left_error, out=weight)
    np.square(right_error, out=other)
    other += _EQUAL_ERRORS
    weight += other
    weight += _EQUAL_ERRORS
    np.divide(other, weight, out=weight)
    np.subtract(candidates[0], candidates[1], out=motion)
    motion *= cv2.merge((weight, weight))  # numpy alone takes five times as long to spread it over x and y
    motion += candidates[1]


def _share_sides(
    made: Midway, inside: Field, position: float, band: tuple[int, int], *, work: Field, scratch: Scratch
) -> Field:
    """Writes a band of `left_share`, and returns where both samples lie in their pictures (in `work[2]`)."""
    before, after = np.float32(position), np.float32(1.0 - position)
    motion = made.motion[band[0] : band[1]]
    offsets = scratch.array("offsets", motion.shape)
    left, right, both = work[:3]
    for factor, into in ((-before, left), (after, right)):
        # Ones in the picture, zeros outside: linear sampling eases from one to the other.
        sample(inside, _offsets(motion, factor, band[0], into=offsets), beyond=cv2.BORDER_CONSTANT, into=into)
    np.minimum(left, right, out=both)
    for factor, vote in ((after, left), (before, right)):
        vote += _OUTSIDE_SHARE
        vote *= factor
    right += left
    np.divide(left, right, out=made.left_share[band[0] : band[1]])
    return np.asarray(both, dtype=np.float32)


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
