"""Caps and buffers as FFmpeg's formats and frames, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import gi
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from codec_plugin.media.pixels import frame_of, plane_views
from codec_plugin.media.reader import Frame
from gstfcvg.caps import PIXEL_FORMATS

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402  # only after their versions are said

_UNSPECIFIED = 2
_FULL, _LIMITED = 1, 2  # GstVideoColorRange
Plane = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What caps say of each buffer."""

    info: Any
    """GStreamer's own GstVideoInfo."""
    pixel_format: str
    """FFmpeg's name."""
    rate: Fraction | None
    """Frames a second; None where they vary."""
    matrix: int
    """matrix_coefficients of ITU-T H.273."""
    full_range: bool | None
    """Whether samples use the full range; None where the caps don't say."""

    @classmethod
    def of(cls, caps: Gst.Caps) -> Look:
        """Reads fixed caps.

        Raises:
            ValueError: they hold fields, or a format that isn't in the template.
        """
        info = GstVideo.VideoInfo.new_from_caps(caps)
        if info is None or info.finfo.name not in PIXEL_FORMATS:
            raise ValueError(f"caps that can't be worked on: {caps.to_string()}; put videoconvert before fcvg")
        if info.interlace_mode != GstVideo.VideoInterlaceMode.PROGRESSIVE:
            raise ValueError(f"the video is interlaced ({caps.to_string()}); put deinterlace before fcvg")
        matrix = GstVideo.VideoColorMatrix.to_iso(info.colorimetry.matrix)
        return cls(
            info=info,
            pixel_format=PIXEL_FORMATS[info.finfo.name],
            rate=Fraction(info.fps_n, info.fps_d) if info.fps_n > 0 and info.fps_d > 0 else None,
            matrix=matrix or _UNSPECIFIED,
            full_range={_FULL: True, _LIMITED: False}.get(int(info.colorimetry.range)),
        )

    @property
    def size(self) -> int:
        """Bytes of a buffer as this package makes them."""
        return int(self.info.size)

    def to_frame(self, buffer: Gst.Buffer, *, pts: int) -> Frame:
        """A buffer's samples as a frame.

        Raises:
            ValueError: the buffer holds less than its caps promise.
        """
        meta = GstVideo.buffer_get_video_meta(buffer)
        layout = (meta or self.info).offset, (meta or self.info).stride
        with buffer.map(Gst.MapFlags.READ) as mapped:
            data = np.frombuffer(mapped.data, np.uint8)
            if data.size < (self._least_size() if meta else self.size):
                raise ValueError(f"a buffer of {data.size} bytes, where its caps promise {self.size}")
            made = frame_of(
                self._planes(data, *layout),
                pixel_format=self.pixel_format,
                matrix=self.matrix,
                full_range=self.full_range,
            )
        made.pts = pts
        return made

    def to_buffer(self, frame: Frame) -> Gst.Buffer:
        """A made frame as a buffer, without times."""
        buffer = Gst.Buffer.new_allocate(None, self.size, None)
        with buffer.map(Gst.MapFlags.WRITE) as mapped:
            data = np.frombuffer(mapped.data, np.uint8)
            data[:] = 0
            planes = self._planes(data, self.info.offset, self.info.stride)
            for target, samples in zip(planes, plane_views(frame), strict=True):
                target[:] = samples
        return buffer

    def _planes(self, data: Plane, offsets: Sequence[int], strides: Sequence[int]) -> list[Plane]:
        """Views of a buffer's planes, in FFmpeg's order: that is also the order in GStreamer's memory."""
        views = []
        for index, (height, width, shape) in enumerate(self._shapes()):
            rows = as_strided(data[offsets[index] :], (height, width), (strides[index], 1))
            views.append(rows.view(np.uint16) if self._is_wide else rows.reshape(shape) if shape else rows)
        return views

    def _shapes(self) -> Iterator[tuple[int, int, tuple[int, int, int] | None]]:
        """For each plane: rows, bytes of samples a row, and the shape of packed pixels."""
        width, height, count = self.info.width, self.info.height, self.info.finfo.n_planes
        form = self.info.finfo
        if count == 1 and form.n_components > 1:
            step = form.pixel_stride[0]
            yield height, width * step, (height, width, step)
            return
        for component in range(count):
            across, down = -(-width >> form.w_sub[component]), -(-height >> form.h_sub[component])
            yield down, across * (2 if self._is_wide else 1), None

    def _least_size(self) -> int:
        return sum(rows * width for rows, width, _ in self._shapes())

    @property
    def _is_wide(self) -> bool:
        return bool(self.info.finfo.bits > 8)


def shown_at(buffer: Gst.Buffer, *, pts: int, duration: int, discontinuous: bool = False) -> Gst.Buffer:
    """The same samples, not copied, with other times (in nanoseconds)."""
    kept = Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.META | Gst.BufferCopyFlags.MEMORY
    shown = buffer.copy_region(kept, 0, buffer.get_size())
    shown.pts, shown.dts, shown.duration = pts, Gst.CLOCK_TIME_NONE, duration
    shown.offset = shown.offset_end = Gst.BUFFER_OFFSET_NONE
    if discontinuous:
        shown.set_flags(Gst.BufferFlags.DISCONT)
    else:
        shown.unset_flags(Gst.BufferFlags.DISCONT)
    return shown
