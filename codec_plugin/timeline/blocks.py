"""Sums of blocks of samples, exact where samples are integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec_plugin.picture import Plane

Sums = NDArray[Any]


def block_sums(plane: Plane, *, rows: int, columns: int) -> Sums:
    """Adds up the samples of every block.

    Args:
        plane: (height, width), of integers of up to 16 bits or float32; rows may be strided.
        rows: Height of a block.
        columns: Its width.

    Returns:
        (height // rows, width // columns): uint64 or float64; last rows and columns that fill no block are left out.
    """
    return _columns_added(_rows_added((plane,), rows=rows), columns=columns)


def block_differences(first: Plane, second: Plane, *, rows: int, columns: int) -> Sums:
    """Adds up the absolute differences of two planes in every block.

    Args:
        first: (height, width), of integers of up to 16 bits or float32; rows may be strided.
        second: The same size and type.
        rows: Height of a block.
        columns: Its width.

    Returns:
        As `block_sums`.
    """
    return _columns_added(_rows_added((first, second), rows=rows), columns=columns)


def _rows_added(planes: tuple[Plane, ...], *, rows: int) -> Sums:
    """(height // rows, width): whole rows are added first, so that numpy works on long runs of samples."""
    height, width = planes[0].shape
    count = height // rows
    total = np.zeros((count, width), dtype=_sum_type(planes[0], samples=rows))
    for row in range(rows):
        parts = [plane[row : count * rows : rows] for plane in planes]
        total += parts[0] if len(parts) == 1 else np.maximum(*parts) - np.minimum(*parts)
    return total


def _columns_added(tall: Sums, *, columns: int) -> Sums:
    count = tall.shape[1] // columns
    total = np.zeros((tall.shape[0], count), dtype=np.float64 if tall.dtype.kind == "f" else np.uint64)
    for column in range(columns):
        total += tall[:, column : count * columns : columns]
    return total


def _sum_type(plane: Plane, *, samples: int) -> type[np.generic]:
    """The narrowest type that holds the sum of so many samples: numpy adds narrow ones several times as fast."""
    if plane.dtype.kind == "f":
        return np.float32
    most = int(np.iinfo(plane.dtype).max) * samples
    return next(kind for kind in (np.uint16, np.uint32, np.uint64) if most <= np.iinfo(kind).max)
