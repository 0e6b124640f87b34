"""`Picture`: the pixels of one frame as numpy planes. The only image type that engines see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
"""One plane, (height, width): uint8 for 8 bits, uint16 for 9 to 16 (low-aligned), float32 in [0, 1]."""


class Family(StrEnum):
    """What the planes mean."""

    YUV = "yuv"
    """Luma and two chroma planes: Y, Cb, Cr."""
    RGB = "rgb"
    """Three planes in the order R, G, B."""
    GRAY = "gray"
    """One luma plane."""


class Matrix(StrEnum):
    """The matrix between R'G'B' and Y'CbCr (names as in ITU-T H.273, table 4)."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the samples of a picture lie in its planes."""

    family: Family
    """YUV, RGB or gray."""
    depth: int
    """Bits a sample: 8 to 16 for integers, 32 for float32 in [0, 1]."""
    chroma_shift_x: int = 0
    """log2 of the horizontal chroma subsampling: 0 for 4:4:4, 1 for 4:2:2 and 4:2:0, 2 for 4:1:1."""
    chroma_shift_y: int = 0
    """log2 of the vertical chroma subsampling: 0 for 4:4:4 and 4:2:2, 1 for 4:2:0."""
    alpha: bool = False
    """Whether a last, full-size plane holds opacity."""

    def __post_init__(self) -> None:
        if not (8 <= self.depth <= 16 or self.depth == 32):
            raise ValueError(f"depth is 8 to 16, or 32 for float, not {self.depth}")
        if self.family is not Family.YUV and (self.chroma_shift_x or self.chroma_shift_y):
            raise ValueError(f"only YUV has subsampled chroma, not {self.family}")

    @property
    def is_float(self) -> bool:
        """Whether samples are float32 in [0, 1]."""
        return self.depth == 32

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of every plane."""
        if self.is_float:
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if self.depth == 8 else np.uint16)

    @property
    def peak(self) -> float:
        """The largest sample value: 2**depth - 1, or 1.0 for float."""
        return 1.0 if self.is_float else float((1 << self.depth) - 1)

    @property
    def plane_count(self) -> int:
        """How many planes a picture of this layout has."""
        return (1 if self.family is Family.GRAY else 3) + self.alpha

    def plane_size(self, plane: int, *, width: int, height: int) -> tuple[int, int]:
        """(height, width) of a plane, chroma rounded up as FFmpeg does."""
        if self.family is Family.YUV and plane in (1, 2):
            return -(-height >> self.chroma_shift_y), -(-width >> self.chroma_shift_x)
        return height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """What is needed to turn YUV into RGB and back."""

    matrix: Matrix = Matrix.BT709
    """Which luma weights the Y'CbCr samples were made with."""
    full_range: bool = False
    """True for 0…peak ("pc", "jpeg"); false for the limited range 16…235 · 2**(depth - 8) ("tv", "mpeg")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The pixels of one frame.

    Planes may be views of memory that the decoder owns: an engine reads them and never writes to them.
    """

    planes: tuple[Plane, ...]
    """One array a plane, (height, width) each, chroma smaller where it is subsampled; rows may be strided."""
    layout: Layout
    """What the planes mean."""
    color: Color = Color()
    """How YUV relates to RGB."""
    key: int | None = None
    """Names the source frame (its pts), so that an engine may keep a frame's features from one gap to the
    next; None for a picture that was made."""

    def __post_init__(self) -> None:
        if len(self.planes) != self.layout.plane_count:
            raise ValueError(f"{self.layout} has {self.layout.plane_count} planes, not {len(self.planes)}")
        for index, plane in enumerate(self.planes):
            size = self.layout.plane_size(index, width=self.width, height=self.height)
            if plane.shape != size or plane.dtype != self.layout.dtype:
                raise ValueError(
                    f"plane {index} must be {self.layout.dtype} of {size}, not {plane.dtype} of {plane.shape}"
                )

    @property
    def width(self) -> int:
        """Pixels a row of the first plane."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the first plane."""
        return int(self.planes[0].shape[0])
