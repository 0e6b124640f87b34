"""The guide of a picture: small 8-bit luma, on which motion is searched."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from codec_plugin.picture import Family, Picture

Guide = npt.NDArray[np.uint8]
"""(height, width), uint8."""

GUIDE_MAX_SIDE = 640
"""The most pixels along the longer side of a guide. Larger ones cost more and follow noise."""

_SHRINKS = ((600, 3), (400, 2))
"""Pictures with at least so many pixels along the longer side have a guide so many times smaller. Twice instead of
three times gave 0.05 to 0.45 dB at two thirds of the speed."""

GUIDE_MIN_SIDE = 12
"""DIS refuses pictures under this many pixels in either direction (its first pyramid level holds no patch)."""


def guide_size(width: int, height: int) -> tuple[int, int] | None:
    """The size of the guide for pictures of a size.

    Args:
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.

    Returns:
        (width, height), or None where the pictures are too small for motion to be searched at all.
    """
    if min(width, height) < GUIDE_MIN_SIDE:
        return None
    longer = max(width, height)
    usual = next((shrink for side, shrink in _SHRINKS if longer >= side), 1)
    wanted = max(usual, -(-longer // GUIDE_MAX_SIDE))
    shrink = max(1, min(wanted, min(width, height) // (2 * GUIDE_MIN_SIDE)))
    return -(-width // shrink), -(-height // shrink)


def guide_of(picture: Picture, *, size: tuple[int, int]) -> Guide:
    """Shrinks the plane nearest to luma and brings it to 8 bits.

    Args:
        picture: Of any layout. Of RGB the green plane is taken: it carries most of luma, and motion needs no more.
        size: (width, height) from `guide_size`.

    Returns:
        (height, width), uint8; not a view of the picture.
    """
    plane = picture.planes[1 if picture.layout.family is Family.RGB else 0]
    small = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
    if picture.layout.depth == 8:
        return np.array(small, dtype=np.uint8, copy=small is plane)
    scaled = np.asarray(small, dtype=np.float32) * np.float32(255.0 / picture.layout.peak)
    return np.asarray(np.clip(np.rint(scaled), 0.0, 255.0), dtype=np.uint8)
