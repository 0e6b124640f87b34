"""`Canvas`: the size at which the networks see a picture, and the way there and back. Nothing is ever cropped away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.options import parse_size

STEP = 64
"""The networks halve pictures six times: three times in the VAE, three times in the UNet."""
AREA = 576 * 1024
"""Pixels that the networks were trained on."""

Rgb = npt.NDArray[np.float32]
"""(height, width, 3): R, G, B in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What the networks see of pictures of one size."""

    picture: tuple[int, int]
    """(width, height) of the film."""
    content: tuple[int, int]
    """(width, height) to which the picture is scaled."""
    size: tuple[int, int]
    """(width, height) of the whole, multiples of 64: the content at the upper left, its edges repeated beyond."""

    @classmethod
    def of(cls, picture: tuple[int, int], size: str = "auto") -> Canvas:
        """The canvas for pictures of a size.

        Args:
            picture: (width, height).
            size: as in `FcvgOptions`.
        """
        if size == "native":
            width, height = (-(-side // STEP) * STEP for side in picture)
            return cls(picture=picture, content=picture, size=(width, height))
        chosen = parse_size(size) or fitting(picture)
        return cls(picture=picture, content=chosen, size=chosen)

    def put(self, rgb: Rgb) -> Rgb:
        """A picture of the film as the networks see it."""
        scaled = _resized(rgb, self.content)
        right, below = self.size[0] - self.content[0], self.size[1] - self.content[1]
        if right or below:
            scaled = np.pad(scaled, ((0, below), (0, right), (0, 0)), mode="edge")
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def take(self, rgb: Rgb) -> Rgb:
        """A picture that the networks made, as the film needs it."""
        width, height = self.content
        return np.clip(_resized(rgb[:height, :width], self.picture), 0, 1)


def fitting(picture: tuple[int, int]) -> tuple[int, int]:
    """The multiples of 64 that are nearest in shape and area to a picture's shape at 1024x576's area.

    Both are measured as ratios: a shape that is 5 % off counts as much as an area that is 5 % off.
    """
    shape = math.log(picture[0] / picture[1])
    sides = range(STEP, 64 * STEP, STEP)
    return min(
        ((width, height) for width in sides for height in sides if width * height <= 2 * AREA),
        key=lambda size: abs(math.log(size[0] / size[1]) - shape) + abs(math.log(size[0] * size[1] / AREA)),
    )


def _resized(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    shrinks = size[0] < width or size[1] < height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(rgb, size, interpolation=method), 0, 1).astype(np.float32)
