"""What this machine's PyAV can do, tried and not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from codec_plugin.media.encoders import KINDS, takes

_NEEDED = ("libx264", "libx265", "ffv1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderState:
    """Whether an encoder works here."""

    name: str
    """FFmpeg's name."""
    usable: bool
    """Whether it encoded a picture just now."""
    needed: bool
    """Whether the plugin counts on it."""
    detail: str
    """What it can do, or why it doesn't work."""


def library_versions() -> dict[str, str]:
    """FFmpeg's libraries and their versions."""
    return {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}


def encoder_states() -> list[EncoderState]:
    """Each encoder that this package knows, tried with one small picture."""
    return [_try(name) for name in KINDS]


def _try(name: str) -> EncoderState:
    needed = name in _NEEDED
    try:
        context = CodecContext.create(name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = 256, 256
        context.pix_fmt = "yuv420p" if takes(name, "yuv420p") else "bgr0"
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        frame = VideoFrame(256, 256, context.pix_fmt)
        frame.pts = 0
        context.options = {"x265-params": "log-level=none"} if name == "libx265" else {}
        packets = [*context.encode(frame), *context.encode(None)]
    except (ValueError, OSError, av.error.FFmpegError) as error:
        why = "needs an NVIDIA GPU and driver" if "nvenc" in name else str(error)
        return EncoderState(name=name, usable=False, needed=needed, detail=why)
    lossless = ", lossless too" if KINDS[name].lossless is not None else ""
    return EncoderState(name=name, usable=bool(packets), needed=needed, detail=f"works{lossless}")
