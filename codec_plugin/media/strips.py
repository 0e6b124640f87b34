"""Small pictures for pages that people look at."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext

from codec_plugin.media.reader import Frame

_WIDTH = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A row of pictures around one made frame."""

    title: str
    """Of what."""
    at: Fraction
    """When it is shown, seconds."""
    psnr: float
    """Of the made frame, dB."""
    pictures: tuple[tuple[str, bytes], ...]
    """(What it is, the picture as JPEG) from left to right."""


def jpeg(frame: Frame) -> bytes:
    """A frame as a small JPEG file, 320 pixels wide at most."""
    width = min(_WIDTH, frame.width) // 2 * 2
    height = max(2, round(frame.height * width / frame.width) // 2 * 2)
    small = frame.reformat(width=width, height=height, format="yuvj420p")
    context = CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.flags |= av.codec.context.Flags.qscale
    context.global_quality = 3 * 118  # qscale 3, in FFmpeg's lambda units
    small.pts, small.pict_type = 0, 0
    return b"".join(bytes(packet) for part in (small, None) for packet in context.encode(part))
