"""What tells whether two decoded pictures are the same, or alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from codec_plugin.media.reader import Frame, Lost, Reader, Window
from codec_plugin.media.source import films_of, open_input

_GRID = (9, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Print:
    """A decoded picture, boiled down."""

    pts: int
    """When it is shown, in the stream's ticks."""
    digest: bytes
    """Of all its samples: equal only for the same picture; empty for one that the decoder did not give."""
    levels: npt.NDArray[np.float32]
    """Mean luma over a grid of 16x9 fields, in levels of 255, (9, 16)."""
    is_damaged: bool
    """Whether the decoder flagged it, or did not give it at all."""

    def differs(self, other: Print) -> float:
        """The mean difference of two thumbnails, in levels of 255."""
        return float(np.abs(self.levels - other.levels).mean())

    def differs_most(self, other: Print) -> float:
        """The largest difference of any field of two thumbnails, in levels of 255; infinite for another grid."""
        if self.levels.shape != other.levels.shape:
            return float("inf")
        return float(np.abs(self.levels - other.levels).max())


def prints(
    path: Path, *, window: Window | None = None, video: int | None = None, ordinal: int | None = None
) -> Iterator[Print]:
    """Decodes a film, or a part of it.

    Args:
        path: the file.
        window: the part.
        video: the stream's index; None for the film's own.
        ordinal: which of the films in place of `video`, from 0: for a file of ours, read back.
    """
    if ordinal is not None:
        with open_input(path) as container:
            video = films_of(container)[ordinal].index
    with Reader(path, video=video, window=window) as reader:
        reader.interlaced_is_fine = True
        for item in reader.items():
            if isinstance(item, Lost):
                yield Print(pts=item.pts, digest=b"", levels=np.zeros(_GRID, np.float32), is_damaged=True)
            elif isinstance(item, Frame):
                yield print_of(item)


def print_of(frame: Frame) -> Print:
    """The print of a decoded frame."""
    assert frame.pts is not None  # the reader gives every frame its time
    digest = hashlib.sha256()  # with the processor's own instructions for it, the fastest that there is
    for plane in frame.planes:
        depth = 2 if frame.format.components[0].bits > 8 and len(frame.planes) > 1 else 1
        rows = np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
        digest.update(np.ascontiguousarray(rows[:, : min(plane.width * depth, plane.line_size)]).data)
    return Print(
        pts=frame.pts,
        digest=digest.digest(),
        levels=_levels(frame),
        is_damaged=bool(frame.is_corrupt),
    )


def _levels(frame: Frame) -> npt.NDArray[np.float32]:
    """Means over a grid, of one sample in sixteen: enough to tell one picture from another."""
    plane = frame.planes[0]
    wide = frame.format.components[0].bits > 8 and len(frame.planes) > 1
    rows = np.frombuffer(cast("memoryview[int]", plane), np.uint16 if wide else np.uint8).reshape(
        -1, plane.line_size // (1 + wide)
    )
    luma = rows[: plane.height : 4, : plane.width : 4].astype(np.float32)
    if wide:
        luma /= 1 << frame.format.components[0].bits - 8
    for axis, fields in enumerate(_GRID):
        edges = np.linspace(0, luma.shape[axis], min(fields, luma.shape[axis]), endpoint=False).astype(np.intp)
        sizes = np.diff(np.append(edges, luma.shape[axis])).astype(np.float32)
        luma = np.add.reduceat(luma, edges, axis=axis, dtype=np.float32)
        luma /= sizes if axis else sizes[:, None]
    return luma
