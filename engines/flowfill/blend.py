"""`blend`: a linear cross-dissolve between the two neighbours, in their own depth."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.picture import Picture, Plane

_SECONDS_A_SAMPLE = 3e-10
_BAND_SAMPLES = 1 << 17  # what is worked on at once, so that it stays in the processor's cache
_HALFWAY = Fraction(1, 2)
_LARGEST_DENOMINATOR = 1 << 40  # so that the sums fit 64 bits; what that is off by is less than any rounding


def cross_dissolve(left: Plane, right: Plane, *, position: Fraction, peak: int | None = None) -> Plane:
    """Mixes two planes linearly.

    Args:
        left: (height, width), uint8, uint16 or float32; not written to.
        right: of the same shape and type.
        position: 0 is left, 1 is right.
        peak: The largest value that a sample has, None for the largest of its type. Less is faster: 10-bit planes
            take half the time of 16-bit ones.

    Returns:
        A new plane of the same shape and type. Integers are rounded to the nearest: the exact value is never
        more than half a step away.
    """
    mixed = np.empty(left.shape, dtype=left.dtype)
    rows = max(1, _BAND_SAMPLES // max(1, left.shape[1]))
    for start in range(0, left.shape[0], rows):
        band = slice(start, start + rows)
        if left.dtype.kind == "f":
            _mix_floats(left[band], right[band], position=position, into=mixed[band])
        elif position == _HALFWAY:
            _mix_halves(left[band], right[band], into=mixed[band])
        else:
            _mix_integers(
                left[band],
                right[band],
                position=position,
                peak=np.iinfo(left.dtype).max if peak is None else peak,
                into=mixed[band],
            )
    return mixed


def blend_pictures(left: Picture, right: Picture, *, position: Fraction) -> Picture:
    """The cross-dissolve of every plane of two pictures of one layout, at `position` between them."""
    peak = None if left.layout.is_float else int(left.layout.peak)
    planes = tuple(
        cross_dissolve(a, b, position=position, peak=peak) for a, b in zip(left.planes, right.planes, strict=True)
    )
    return Picture(planes=planes, layout=left.layout, color=left.color)


class BlendEngine:
    """Cross-dissolves: cheap, right where nothing moves, a double exposure where something does."""

    info = EngineInfo(name="blend", summary="cross-dissolves the two neighbours")

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Time and memory of one gap.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.
        """
        return Estimate(seconds=3 * size[0] * size[1] * positions * _SECONDS_A_SAMPLE, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields the dissolve at each position."""
        for position in request.positions:
            yield blend_pictures(request.left, request.right, position=position)

    def close(self) -> None:
        """Does nothing: there is nothing to free."""


def _mix_floats(left: Plane, right: Plane, *, position: Fraction, into: Plane) -> None:
    np.subtract(right, left, out=into)
    into *= np.float32(position)
    into += left


def _mix_halves(left: Plane, right: Plane, *, into: Plane) -> None:
    # a + b = 2 (a | b) - (a ^ b), so this is the mean rounded up, without leaving the planes' own type.
    np.bitwise_xor(left, right, out=into)
    into >>= 1
    np.subtract(left | right, into, out=into)


def _mix_integers(left: Plane, right: Plane, *, position: Fraction, peak: int, into: Plane) -> None:
    share = position.limit_denominator(_LARGEST_DENOMINATOR)
    above, below = share.numerator, share.denominator
    largest = peak * below + below // 2
    kind = next(kind for kind in (np.uint16, np.uint32, np.uint64) if largest <= np.iinfo(kind).max)
    mixed: Plane = left.astype(kind)
    part: Plane = right.astype(kind)
    mixed *= kind(below - above)
    part *= kind(above)
    mixed += part
    mixed += kind(below // 2)
    mixed //= kind(below)
    into[...] = mixed
