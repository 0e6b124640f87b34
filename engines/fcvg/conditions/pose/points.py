"""Points of a whole person, by DWPose (Yang et al., arXiv 2307.15880): the crop it sees, and its SimCC answer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.conditioner import Rgb8
from fcvg.conditions.pose.people import Floats

COUNT = 133
"""Points that the network gives a person."""
BINS = 2
"""Bins of its answer a pixel of what it sees."""
_MARGIN = 1.25  # of the box, so that hands and feet are inside
_MEAN, _DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """A person's surroundings, as the network sees them."""

    pixels: npt.NDArray[np.float32]
    """(1, 3, height, width), normalised."""
    middle: Floats
    """(x, y) of its middle, in pixels of the picture."""
    extent: Floats
    """Its width and height, in pixels of the picture."""


def cropped(picture: Rgb8, box: Floats, *, size: tuple[int, int]) -> Crop:
    """Cuts a box out, a quarter wider and higher, and wide or high enough for the network's shape; black outside.

    Args:
        picture: what it is cut out of.
        box: (4,): left, top, right, bottom.
        size: (width, height) that the network sees.
    """
    width, height = size
    shape = width / height
    middle = (box[:2] + box[2:]) * 0.5
    wide, high = (box[2:] - box[:2]) * _MARGIN
    extent = np.array([wide, wide / shape] if wide > high * shape else [high * shape, high])
    # Middle, the point half a width above it, and the one half a width left of that, in both pictures.
    reach = extent[0] / 2
    here = np.array([middle, middle - (0, reach), middle - (reach, reach)], dtype=np.float32)
    there = np.array([(width / 2, height / 2), (width / 2, (height - width) / 2), (0, (height - width) / 2)])
    matrix = cv2.getAffineTransform(here, there.astype(np.float32))
    cut = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    pixels = ((cut - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
    return Crop(pixels=np.ascontiguousarray(pixels, dtype=np.float32), middle=middle, extent=extent)


def decoded(across: npt.NDArray[np.float32], down: npt.NDArray[np.float32], crop: Crop) -> tuple[Floats, Floats]:
    """Points of one person from the network's answer: each is where its two rows of bins are highest.

    Args:
        across: (1, 133, 2 * width): how likely each point is at each half pixel from left to right.
        down: (1, 133, 2 * height): likewise from top to bottom.
        crop: what the network saw.

    Returns:
        (133, 2) in pixels of the picture, and (133,): scores, the lower of the two heights.
    """
    height, width = crop.pixels.shape[2:]
    scores = np.minimum(across[0].max(axis=1), down[0].max(axis=1)).astype(np.float64)
    scores[~np.isfinite(scores)] = 0  # not seen
    bins = np.stack([across[0].argmax(axis=1), down[0].argmax(axis=1)], axis=1)
    bins[scores <= 0] = -1  # nowhere: just outside, as published
    places = bins / BINS / (width, height)
    return places * crop.extent + crop.middle - crop.extent / 2, scores
