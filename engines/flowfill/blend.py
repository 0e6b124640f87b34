"""`blend`: a linear cross-dissolve between the two neighbours, in their own depth."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.picture import Picture, Plane

_SECONDS_A_SAMPLE = 3e-10


def cross_dissolve(left: Plane, right: Plane, *, position: Fraction) -> Plane:
    """Mixes two planes linearly.

    Args:
        left: (height, width), uint8, uint16 or float32; not written to.
        right: of the same shape and type.
        position: 0 is left, 1 is right.

    Returns:
        A new plane of the same shape and type. Integers are rounded to the nearest: the exact value is never
        more than half a step away (with 16 bits, half a step and a hundredth, since the sum is a float32).
    """
    share = float(position)
    mixed = cv2.addWeighted(_whole(left), 1.0 - share, _whole(right), share, 0.0)
    return np.asarray(mixed).reshape(left.shape)


def blend_pictures(left: Picture, right: Picture, *, position: Fraction) -> Picture:
    """The cross-dissolve of every plane of two pictures of one layout, at `position` between them."""
    planes = tuple(cross_dissolve(a, b, position=position) for a, b in zip(left.planes, right.planes, strict=True))
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


def _whole(plane: Plane) -> Plane:
    """The plane as OpenCV takes it: any row stride will do, but samples of a row must be neighbours."""
    return plane if plane.strides[1] == plane.itemsize and plane.strides[0] > 0 else np.ascontiguousarray(plane)
