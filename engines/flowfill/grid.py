"""`FlowGrid`: the grid that flow is estimated on, beside the picture's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.float32]
"""(1, channels, height, width)."""

MULTIPLE = 64
"""The network halves its coarsest cells of 16 pixels twice."""

SCALES = (2.0, 1.0, 0.5, 0.25)
"""Grid points a pixel along each axis."""

_SMALL = 352 * 288
_LARGE = 1920 * 1200
_UHD = 4096 * 2304


def scale_for(width: int, height: int) -> float:
    """The scale that suits a picture's size.

    Small pictures gain from a finer grid: about 0.5 dB on the one CIF-sized stretch that was measured. Beyond full
    HD a coarser grid bounds memory (UHD: 3.2 GB at its peak); what it costs in quality there was not measured.
    """
    pixels = width * height
    if pixels <= _SMALL:
        return 2.0
    if pixels <= _LARGE:
        return 1.0
    return 0.5 if pixels <= _UHD else 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowGrid:
    """How a picture of one size lies on the grid of its flow."""

    width: int
    """Pixels a row of the picture."""
    height: int
    """Rows of the picture."""
    scale: float
    """One of `SCALES`."""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            shown = ", ".join(f"{scale:g}" for scale in SCALES)
            raise ValueError(f"flow_scale is one of {shown}, not {self.scale:g}")

    @property
    def used(self) -> tuple[int, int]:
        """(rows, columns) that the picture covers."""
        return _ceil(self.height * self.scale), _ceil(self.width * self.scale)

    @property
    def padded(self) -> tuple[int, int]:
        """(rows, columns) that the network sees: `used`, rounded up to its multiple."""
        rows, columns = self.used
        return _ceil(rows / MULTIPLE) * MULTIPLE, _ceil(columns / MULTIPLE) * MULTIPLE

    def sampled(self, picture: Planes) -> Planes:
        """A picture (1, 3, height, width) on the padded grid (1, 3, rows, columns); the edge is repeated."""
        if self.scale > 1:
            picture = _doubled(picture)
        elif self.scale < 1:
            picture = _averaged(picture, round(1 / self.scale))
        rows, columns = self.padded
        below, right = rows - picture.shape[2], columns - picture.shape[3]
        if below or right:
            return np.pad(picture, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
        return picture

    def cropped(self, planes: Planes) -> Planes:
        """The part of (1, c, rows, columns) that the picture covers."""
        rows, columns = self.used
        return np.ascontiguousarray(planes[:, :, :rows, :columns])


def _ceil(value: float) -> int:
    return -int(-value // 1)


def _averaged(picture: Planes, factor: int) -> Planes:
    """Means over squares of `factor` pixels; the last row and column are repeated to fill theirs."""
    height, width = picture.shape[2:]
    below, right = -height % factor, -width % factor
    if below or right:
        picture = np.pad(picture, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    total = picture[:, :, ::factor, ::factor].copy()
    for row in range(factor):
        for column in range(factor):
            if row or column:
                total += picture[:, :, row::factor, column::factor]
    total *= np.float32(1 / factor**2)
    return total


def _doubled(picture: Planes) -> Planes:
    """Twice the rows and columns, bilinear between pixel centres."""
    for axis in (2, 3):
        picture = _doubled_along(picture, axis)
    return picture


def _doubled_along(picture: Planes, axis: int) -> Planes:
    moved = np.moveaxis(picture, axis, 0)
    before = np.concatenate((moved[:1], moved[:-1]))
    after = np.concatenate((moved[1:], moved[-1:]))
    doubled = np.empty((2 * moved.shape[0], *moved.shape[1:]), np.float32)
    doubled[0::2] = 0.75 * moved + 0.25 * before
    doubled[1::2] = 0.75 * moved + 0.25 * after
    return np.ascontiguousarray(np.moveaxis(doubled, 0, axis))
