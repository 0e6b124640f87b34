"""What a file holds, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from codec_plugin.media.source import is_cover_art

_PROGRESSIVE_OR_UNKNOWN = (0, 1)
_REORDERING_IN_AVI = ("h264", "hevc", "mpeg4", "msmpeg4v3")


class TimeKeeping(StrEnum):
    """Where the presentation times of a stream come from."""

    PTS = "pts"
    """The container's presentation time stamps: the ordinary case."""
    DECODER_ORDER = "decoder order"
    """AVI with reordered pictures has decode times only; the k-th picture out of the decoder gets the k-th."""
    ORDINAL = "ordinal"
    """A raw stream has no times at all; pictures are counted at the stream's own rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream of a file."""

    index: int
    """Its index in the file."""
    kind: str
    """video, audio, subtitle, data or attachment."""
    codec: str
    """FFmpeg's name of the codec; "unknown" where it has none."""
    language: str | None
    """ISO 639 code from the container, or None."""
    is_cover_art: bool = False
    """A still that belongs to the tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """The video stream that is worked on."""

    index: int
    """Its index in the file."""
    codec: str
    """FFmpeg's name of the codec."""
    profile: str | None
    """The codec's profile, where the stream names one."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    pixel_format: str
    """FFmpeg's name, such as yuv420p10le; empty where only decoding would tell."""
    time_base: Fraction
    """Seconds a tick."""
    rate_from_header: Fraction | None
    """The container's claim."""
    rate_from_codec: Fraction | None
    """The bitstream's own claim (VUI, VOL); None where it has none or FFmpeg doesn't say."""
    sample_aspect_ratio: Fraction | None
    """Width of a pixel over its height; None for square or unknown."""
    is_interlaced: bool
    """Whether the stream says that it holds fields."""
    time_keeping: TimeKeeping
    """Where presentation times come from."""
    frames_from_header: int
    """Pictures that the container's header promises; 0 where it says nothing."""
    reorder_depth: int
    """How many pictures the decoder holds back to put them in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A whole file, as far as its headers tell."""

    name: str
    """What to call it in messages."""
    container: str
    """FFmpeg's name of the format, such as "matroska,webm"."""
    video: VideoInfo
    """The stream that is worked on."""
    streams: tuple[StreamInfo, ...]
    """All streams, that one included."""
    duration: Fraction | None
    """Seconds that the container's header promises; None where it says nothing."""
    start: Fraction
    """The earliest presentation time in seconds, as the container gives it (0 where it doesn't)."""


def probe_video(stream: VideoStream, *, container: InputContainer) -> VideoInfo:
    """Reads what a video stream's headers say."""
    codec = stream.codec_context
    assert stream.time_base is not None  # FFmpeg gives every stream of an open input one
    header = stream.base_rate or stream.average_rate
    aspect = stream.sample_aspect_ratio
    return VideoInfo(
        index=stream.index,
        codec=codec.codec.canonical_name,
        profile=stream.profile,
        size=(codec.width, codec.height),
        pixel_format=codec.pix_fmt or "",
        time_base=stream.time_base,
        rate_from_header=header or None,
        rate_from_codec=codec.framerate or None,
        sample_aspect_ratio=aspect if aspect and aspect != 1 else None,
        is_interlaced=int(codec.field_order) not in _PROGRESSIVE_OR_UNKNOWN,
        time_keeping=_time_keeping(stream, container=container),
        frames_from_header=stream.frames,
        reorder_depth=codec.reorder_depth or int(codec.has_b_frames),
    )


def probe_source(container: InputContainer, *, video: VideoStream, name: str) -> SourceInfo:
    """Reads what a file's headers say."""
    start = container.start_time
    return SourceInfo(
        name=name,
        container=container.format.name,
        video=probe_video(video, container=container),
        streams=tuple(_stream_info(stream) for stream in container.streams),
        duration=Fraction(container.duration, 1_000_000) if container.duration else None,
        start=Fraction(start, 1_000_000) if start is not None else Fraction(0),
    )


def _stream_info(stream: Stream) -> StreamInfo:
    context = getattr(stream, "codec_context", None)
    name = context.codec.canonical_name if context is not None else stream.type
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=name or "unknown",
        language=stream.language,
        is_cover_art=isinstance(stream, VideoStream) and is_cover_art(stream),
    )


def _time_keeping(stream: VideoStream, *, container: InputContainer) -> TimeKeeping:
    formats = container.format.name.split(",")
    codec = stream.codec_context
    if (
        "avi" in formats
        and codec.codec.canonical_name in _REORDERING_IN_AVI
        and (codec.reorder_depth or codec.has_b_frames)
    ):
        return TimeKeeping.DECODER_ORDER
    if stream.start_time is None and container.start_time is None and formats[0] in _RAW_FORMATS:
        return TimeKeeping.ORDINAL
    return TimeKeeping.PTS


_RAW_FORMATS = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "av1", "obu", "dirac", "vc1")
