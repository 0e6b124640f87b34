"""Streams that go from file to file as they are: which a container can hold, and how each is carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from codec_plugin.errors import CannotHold
from codec_plugin.media.formats import MP4_LIKE, advice, may_hold
from codec_plugin.media.packets import AnyPacket, is_flush
from codec_plugin.media.source import is_cover_art
from codec_plugin.timing import round_half_up

HVC1 = "hvc1"
"""MP4's name of HEVC whose parameter sets stand in the header alone (ISO/IEC 14496-15, 8.3.3.1)."""

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something of the source that the output does not get as it was."""

    what: str
    """Which stream or property."""
    why: str
    """The reason, and what to do about it."""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(slots=True)
class Copy:
    """One stream's way into the output."""

    target: Stream
    """The stream in the output."""
    convert: Callable[[AnyPacket], Iterator[AnyPacket]]
    """Packets of the source as packets of the target."""


def is_carried_otherwise(stream: Stream, *, container: InputContainer) -> bool:
    """Whether a data stream is only another form of what is carried anyway: MP4's time code and chapter tracks.

    The time code goes over as a tag, chapters as chapters; MP4's own muxer makes both tracks of them again.
    """
    if stream.type != "data" or "mp4" not in container.format.name.split(","):
        return False
    is_chapter_text = _codec_name(stream) == "bin_data" and bool(container.chapters())
    return "timecode" in stream.metadata or is_chapter_text


def is_unknown(stream: Stream) -> bool:
    """Whether a file announces a sound stream and no packet of it ever told what it is: there is nothing to copy."""
    return isinstance(stream, AudioStream) and not stream.codec_context.sample_rate


def becomes_attachment(stream: Stream, *, output: OutputContainer) -> bool:
    """Whether a stream is cover art that the container keeps as an attachment (Matroska)."""
    return isinstance(stream, VideoStream) and is_cover_art(stream) and output.format.name == "matroska"


def copy_stream(stream: Stream, *, output: OutputContainer, cover: bytes = b"") -> Copy:
    """Adds a copy of a stream to an output, converting text subtitles between srt and mov_text where needed.

    Args:
        stream: the source's.
        output: not yet begun.
        cover: the picture itself, for cover art that becomes an attachment.

    Raises:
        CannotHold: the container can't hold it; the message names the stream and a container that can.
    """
    codec = _codec_name(stream)
    if isinstance(stream, AttachmentStream):
        return _copy_attachment(stream, output=output)
    if becomes_attachment(stream, output=output):
        return _attach_cover(stream, cover, output=output)
    if stream.type == "data" and output.format.name in ("matroska", "webm"):
        raise _cannot_hold(stream, output)  # the muxer takes it and fails at the header
    conversion = _subtitle_conversion(codec, output.format.name)
    if conversion:
        return _convert_subtitles(stream, output=output, conversion=conversion)
    if not may_hold(output, codec):
        raise _cannot_hold(stream, output)
    try:
        target = output.add_stream_from_template(stream, opaque=True)
    except (ValueError, av.error.FFmpegError) as error:
        raise _cannot_hold(stream, output) from error
    _take_properties(target, stream)
    if output.format.name in MP4_LIKE and _is_hvc1(stream) and isinstance(target, VideoStream):
        target.codec_context.codec_tag = HVC1  # else the muxer says hev1, which Apple's players don't take
    return Copy(target=target, convert=_plain(target))


def describe(stream: Stream) -> str:
    """A stream in a few words: "stream 2 (subtitle, subrip, ger)"."""
    language = f", {stream.language}" if stream.language else ""
    return f"stream {stream.index} ({stream.type}, {_codec_name(stream)}{language})"


def _take_properties(target: Stream, source: Stream) -> None:
    target.metadata.update(source.metadata)
    target.disposition = source.disposition


def _is_hvc1(stream: Stream) -> bool:
    return isinstance(stream, VideoStream) and stream.codec_context.codec_tag == HVC1


def _codec_name(stream: Stream) -> str:
    context = getattr(stream, "codec_context", None)
    if context is not None:
        return str(context.codec.canonical_name)
    return str(getattr(stream, "name", None) or "unknown")


def _cannot_hold(stream: Stream, output: OutputContainer) -> CannotHold:
    return CannotHold(
        f"a {output.format.name} file can't hold {describe(stream)}; "
        f"{advice(output)}leave such streams out with --drop-unsupported"
    )


def _plain(target: Stream) -> Callable[[AnyPacket], Iterator[AnyPacket]]:
    def convert(packet: AnyPacket) -> Iterator[AnyPacket]:
        if not is_flush(packet):
            packet.stream = target
            yield packet

    return convert


def _copy_attachment(stream: AttachmentStream, *, output: OutputContainer) -> Copy:
    if output.format.name != "matroska":
        raise _cannot_hold(stream, output)
    name = stream.name or stream.metadata.get("filename") or f"attachment-{stream.index}"
    target = output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
    target.metadata.update({key: value for key, value in stream.metadata.items() if key != "filename"})
    return Copy(target=target, convert=lambda packet: iter(()))


def _attach_cover(stream: Stream, cover: bytes, *, output: OutputContainer) -> Copy:
    kind = {"mjpeg": "jpeg"}.get(_codec_name(stream), _codec_name(stream))
    name = stream.metadata.get("filename") or f"cover.{'jpg' if kind == 'jpeg' else kind}"
    target = output.add_attachment(name, stream.metadata.get("mimetype") or f"image/{kind}", cover)
    return Copy(target=target, convert=lambda packet: iter(()))


def _subtitle_conversion(codec: str, form: str) -> tuple[str, str] | None:
    """(bitstream filter, codec it makes) where text subtitles must change their wrapping."""
    if codec in _TEXT_SUBTITLES and form in MP4_LIKE:
        return "text2movsub", "mov_text"
    if codec == "mov_text" and form == "matroska":
        return "mov2textsub", "subrip"
    return None


def _convert_subtitles(stream: Stream, *, output: OutputContainer, conversion: tuple[str, str]) -> Copy:
    name, codec = conversion
    target = output.add_mux_stream(codec)
    target.time_base = stream.time_base or Fraction(1, 1000)
    _take_properties(target, stream)
    wrap = BitStreamFilterContext(name, stream)

    def convert(packet: AnyPacket) -> Iterator[AnyPacket]:
        if is_flush(packet) or not packet.size:
            return
        for wrapped in wrap.filter(packet):
            if wrapped.size > 2 or codec == "mov_text":  # mov_text's empty samples are the pauses between
                wrapped.stream = target
                yield wrapped

    return Copy(target=target, convert=convert)


def shift(packet: AnyPacket, offset: Fraction) -> None:
    """Moves a packet in time by a number of seconds, to the nearest tick of its stream."""
    if packet.time_base is None or not offset:
        return
    ticks = round_half_up(offset / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
