"""`Seen`: one picture as cuts are judged. What is worked out of it serves both pairs that it stands in."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codec_plugin.timeline.motion import Image, Patches, Spectrum, halved, patches_of, spectrum_of

_SMALLEST_SIDE = 16  # a quarter of that, 4 samples, is the least that blocks are looked for in


class Seen:
    """A thumbnail, and what was worked out of it so far."""

    def __init__(self, thumbnail: NDArray[np.uint8]) -> None:
        """Works nothing out yet.

        Args:
            thumbnail: (height, width), from `scenes.thumbnail`.
        """
        self.thumbnail = thumbnail
        """As it was given."""

    @cached_property
    def image(self) -> Image:
        """The thumbnail, its edges repeated where it is too small to look for blocks in."""
        rows, columns = self.thumbnail.shape
        below, beside = max(0, _SMALLEST_SIDE - rows), max(0, _SMALLEST_SIDE - columns)
        return np.pad(self.thumbnail.astype(np.float32), ((0, below), (0, beside)), mode="edge")

    @cached_property
    def deviation(self) -> float:
        """Of the levels of `image`."""
        return float(self.image.std())

    @cached_property
    def half(self) -> Image:
        """`image` at half the size."""
        return halved(self.image)

    @cached_property
    def moments(self) -> tuple[Image, Image]:
        """Mean and variance of `half` in windows."""
        return moments(self.half)

    @cached_property
    def patches(self) -> Patches:
        """Of `image` at a quarter of the size."""
        return patches_of(halved(self.half))

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of `image`."""
        return spectrum_of(self.image)


def moments(image: Image) -> tuple[Image, Image]:
    """(height - 4, width - 4) each: mean and variance of 5 x 5 windows."""
    mean = windowed(image)
    return mean, np.maximum(windowed(image * image) - mean * mean, np.float32(0.0))


def windowed(image: Image) -> Image:
    """(height - 4, width - 4): means of 5 x 5 windows."""
    pairs = image[:, :-1] + image[:, 1:]
    across = pairs[:, :-3] + pairs[:, 2:-1] + image[:, 4:]
    pairs = across[:-1] + across[1:]
    sums: Image = pairs[:-3] + pairs[2:-1] + across[4:]
    sums *= np.float32(1.0 / 25.0)
    return sums
