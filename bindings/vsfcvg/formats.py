"""VapourSynth's frames as FFmpeg's and back. Only the neighbours of new frames, and these, are ever converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vapoursynth as vs

from codec_plugin.media.pixels import frame_of, plane_views
from codec_plugin.media.reader import Frame

Plane = npt.NDArray[Any]

_DEPTHS = (8, 9, 10, 12, 14, 16)
_SUBSAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411", (2, 2): "410", (0, 1): "440"}
_ONLY_8_BIT = ("411", "410")
_RGB_ORDER = (1, 2, 0)  # FFmpeg has G, B, R
_UNSPECIFIED = 2
# Float YUV is 0 to 1 and -0.5 to 0.5 within the nominal range; as limited-range 16 bit its footroom and headroom stay.
_BLACK, _LUMA_SPAN, _NEUTRAL, _CHROMA_SPAN = 16 << 8, 219 << 8, 128 << 8, 224 << 8
_PEAK = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a clip's frames are handed to an engine."""

    pixel_format: str
    """FFmpeg's name of the format that is worked in."""
    is_rgb: bool
    """Whether planes must be put into FFmpeg's order."""
    is_float: bool
    """Whether samples are floats, worked on as 16-bit integers."""

    def to_frame(self, frame: vs.VideoFrame, *, pts: int) -> Frame:
        """A VapourSynth frame as FFmpeg's."""
        props = frame.props
        planes = [np.asarray(frame[index]) for index in range(frame.format.num_planes)]
        if self.is_float:
            planes = [self._to_integer(plane, index) for index, plane in enumerate(planes)]
        if self.is_rgb:
            planes = [planes[index] for index in _RGB_ORDER]
        made = frame_of(
            planes,
            pixel_format=self.pixel_format,
            matrix=int(props.get("_Matrix", _UNSPECIFIED)),
            full_range=self._full_range(props),
        )
        made.pts = pts
        return made

    def write(self, made: Frame, target: vs.VideoFrame) -> None:
        """Puts a made frame's samples into a VapourSynth frame."""
        planes: Sequence[Plane] = plane_views(made)
        if self.is_rgb:
            planes = [planes[_RGB_ORDER.index(index)] for index in range(3)]
        for index, plane in enumerate(planes):
            np.asarray(target[index])[:] = self._to_float(plane, index) if self.is_float else plane

    def _full_range(self, props: Any) -> bool | None:
        if self.is_float and not self.is_rgb:
            return False
        if "_Range" in props:  # as in FFmpeg and H.273: 1 is full
            return bool(props["_Range"])
        if "_ColorRange" in props:  # the older property: 0 is full
            return not props["_ColorRange"]
        return True if self.is_rgb else None

    def _to_integer(self, plane: Plane, index: int) -> Plane:
        low, span = self._scale(index)
        return np.clip(np.rint(plane.astype(np.float32) * span + low), 0, _PEAK).astype(np.uint16)

    def _to_float(self, plane: Plane, index: int) -> Plane:
        low, span = self._scale(index)
        return (plane.astype(np.float32) - low) / np.float32(span)

    def _scale(self, index: int) -> tuple[int, int]:
        if self.is_rgb:
            return 0, _PEAK
        return (_NEUTRAL, _CHROMA_SPAN) if index else (_BLACK, _LUMA_SPAN)


def format_of(clip: vs.VideoNode, *, function: str) -> Format:
    """How a clip's frames are worked on.

    Raises:
        vs.Error: its format or size varies, or it is one that has no name in FFmpeg.
    """
    form = clip.format
    if form is None or form.id == 0 or not clip.width or not clip.height:
        raise vs.Error(f"{function}: the clip's format and size must not vary; make them constant with resize first")
    is_float = form.sample_type == vs.FLOAT
    depth = 16 if is_float else form.bits_per_sample
    ending = "" if depth == 8 else f"{depth}le"
    is_rgb = form.color_family == vs.RGB
    name = None
    if depth in _DEPTHS:
        if is_rgb:
            name = f"gbrp{ending}"
        elif form.color_family == vs.GRAY:
            name = f"gray{ending}"
        else:
            sampling = _SUBSAMPLINGS.get((form.subsampling_w, form.subsampling_h))
            if sampling and (depth == 8 or sampling not in _ONLY_8_BIT) and (sampling != "440" or depth in (8, 10, 12)):
                name = f"yuv{sampling}p{ending}"
    if name is None:
        raise vs.Error(f"{function}: {form.name} is no format that can be worked on; convert it with resize first")
    return Format(pixel_format=name, is_rgb=is_rgb, is_float=is_float)
