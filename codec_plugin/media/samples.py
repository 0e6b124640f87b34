"""Frames as plain R, G, B samples at a size of one's own, and what a codec leaves of such frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from codec_plugin.errors import CannotHold, DamagedInput
from codec_plugin.media.color import color_of
from codec_plugin.picture import Matrix

Rgb8 = npt.NDArray[np.uint8]
"""(height, width, 3): R, G, B."""

_SWS_MATRICES = {
    Matrix.BT601: Colorspace.ITU601,
    Matrix.BT709: Colorspace.ITU709,
    Matrix.BT2020: Colorspace.BT2020,
}
_RATE = 25


def to_rgb8(frame: VideoFrame, *, size: tuple[int, int] | None = None) -> Rgb8:
    """A frame in 8-bit R, G, B of its own transfer, scaled by areas.

    Args:
        frame: as the decoder gave it.
        size: (width, height) afterwards; None for its own.
    """
    color = color_of(frame)
    width, height = size or (frame.width, frame.height)
    made = VideoReformatter().reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=_SWS_MATRICES[color.matrix],
        src_color_range=ColorRange.JPEG if color.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )
    return np.ascontiguousarray(made.to_ndarray())


def through_codec(pictures: Sequence[Rgb8], *, crf: float, preset: str = "veryfast") -> list[Rgb8]:
    """Pictures encoded by x264 in memory, and decoded again: what a decoder hands over of them.

    Args:
        pictures: consecutive frames of one size, both sides even.
        crf: x264's constant quality: 0 to 51, the higher the worse.
        preset: x264's own.

    Raises:
        CannotHold: x264 doesn't take the pictures.
        DamagedInput: the decoder gave back other than as many.
    """
    height, width = pictures[0].shape[:2]
    encoder = CodecContext.create("libx264", "w")
    decoder = CodecContext.create("h264", "r")
    assert isinstance(encoder, VideoCodecContext)
    assert isinstance(decoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, _RATE), Fraction(_RATE)
    encoder.options = {"crf": f"{crf:g}", "preset": preset}
    encoder.thread_count = decoder.thread_count = 1
    try:
        frames = [_frame(picture, index) for index, picture in enumerate(pictures)]
        packets = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    except av.error.FFmpegError as error:
        raise CannotHold(f"x264 doesn't take pictures of {width}x{height}: {error}") from error
    decoder.extradata = encoder.extradata
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    if len(decoded) != len(pictures):
        raise DamagedInput(f"{len(pictures)} pictures went into x264, and {len(decoded)} came out of its decoder")
    return [to_rgb8(frame) for frame in decoded]


def _frame(picture: Rgb8, index: int) -> VideoFrame:
    frame = VideoReformatter().reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    frame.pts, frame.time_base = index, Fraction(1, _RATE)
    return frame
