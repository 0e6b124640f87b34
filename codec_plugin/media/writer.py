"""`Writer`: the encoded picture stream beside copies of all others, under a temporary name until it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.errors import CannotHold
from codec_plugin.media.color import Appearance, appearance_of
from codec_plugin.media.encoders import EncoderChoice, Film, add_encoder, choose_encoder, open_encoder
from codec_plugin.media.formats import MP4_TAGS
from codec_plugin.media.packets import AnyPacket
from codec_plugin.media.passthrough import (
    HVC1,
    Copy,
    Loss,
    becomes_attachment,
    copy_stream,
    describe,
    is_carried_otherwise,
    is_unknown,
    shift,
)
from codec_plugin.media.sideinfo import TAG, SideNote, carries_notes, with_note
from codec_plugin.media.source import is_cover_art
from codec_plugin.media.target import check_place as check_place  # other modules take them from here
from codec_plugin.media.target import check_target as check_target
from codec_plugin.media.target import copies_picture as copies_picture
from codec_plugin.media.target import output_errors as output_errors
from codec_plugin.options import EncodeOptions
from codec_plugin.timing import round_half_up

if TYPE_CHECKING:
    from av.container.core import Chapter  # a type that exists for checkers only

_MP4_ENDINGS = (".mp4", ".mov", ".m4v")
_ASPECT_LOST_IN = ("matroska", "webm", "yuv4mpegpipe")
_ASPECT_IN_BITSTREAM = ("h264", "hevc", "mpeg4", "mpeg2video")
_KEEPS_START = ("mpegts",)
_PLAIN_TAGS = MP4_TAGS - {"encoder", "creation_time", "major_brand", "minor_version", "compatible_brands"}


class Writer:
    """Writes one file: pictures that it encodes (or copies), and packets of other streams as they are.

    The file has a temporary name beside the target until `commit`; leaving the context without it removes it.

    Raises:
        CannotHold: the container can't hold one of the source's streams (and `drop_unsupported` is off), or the
            encoder can't take the frames.
        OutputError: the file can't be written.
    """

    def __init__(
        self,
        target: Path,
        *,
        source: InputContainer,
        picture: VideoStream,
        encode: EncodeOptions,
        rate: Fraction,
        time_base: Fraction,
        offset: Fraction = Fraction(0),
        drop_unsupported: bool = False,
        copy_picture: bool = False,
        on_copy: Callable[[VideoStream], None] = lambda stream: None,
        tags: Mapping[str, str] | None = None,
        appearance: Callable[[], Appearance | None] = lambda: None,
    ) -> None:
        self.target = target
        self.losses: list[Loss] = []
        self.choice: EncoderChoice | None = None
        self._source, self._picture, self._encode = source, picture, encode
        self._rate, self._time_base = rate, time_base
        self._appearance, self._on_copy, self._tags = appearance, on_copy, dict(tags or {})
        self._copies: dict[int, Copy] = {}
        self._early: list[AnyPacket] = []
        self._side_notes: dict[int, SideNote] = {}
        self._encoder: VideoStream | None = None
        self._encoded = 0
        self._drop_unsupported, self._copy_picture = drop_unsupported, copy_picture
        self._part = target.with_name(f".{target.stem}.part-{secrets.token_hex(4)}{target.suffix}")
        self.container = self._open()
        self.offset = Fraction(0) if self.container.format.name in _KEEPS_START else offset
        try:
            self._check_streams()
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    @property
    def part(self) -> Path:
        """Where the file is until it is whole."""
        return self._part

    @property
    def picture_ordinal(self) -> int:
        """Which of the output's video streams the picture is, from 0, cover art not counted.

        Not an index: muxers leave out streams that stay empty, and put cover art where they like.
        """
        videos = [s.index for s in self._wanted if isinstance(s, VideoStream) and not is_cover_art(s)]
        return videos.index(self._picture.index)

    @property
    def copied_indices(self) -> tuple[int, ...]:
        """The source's streams whose packets this writer wants."""
        return tuple(
            stream.index
            for stream in self._wanted
            if stream.type != "attachment" and (self._copy_picture or stream.index != self._picture.index)
        )

    def write_frame(self, frame: VideoFrame, *, pts: int, note: SideNote | None = None) -> None:
        """Encodes a frame to be shown at `pts`, in ticks of the output time base; they come in rising order.

        A note travels with the picture where the codec carries notes.
        """
        with output_errors(str(self.target)):
            if self._encoder is None:
                self._begin(frame)
            if note is not None:
                self._side_notes[pts] = note
            assert self._encoder is not None
            frame.pts, frame.time_base = pts, self._time_base
            frame.pict_type = 0  # else the source's picture types bind the encoder
            self._mux_encoded(frame)

    def write_packet(self, packet: AnyPacket) -> None:
        """Copies a packet of one of the streams in `copied_indices`."""
        with output_errors(str(self.target)):
            if self._copies or self._encoder is not None:
                self._mux_copied(packet)
                return
            # Nothing can be written before the first picture: its properties, and the cover art that a demuxer
            # gives before all else, belong into the header.
            self._early.append(packet)
            if self._copy_picture and packet.stream_index == self._picture.index:
                self._add_streams(None)
                self._mux_early()

    def finish(self) -> None:
        """Drains the encoder and writes the file's end; it still has its temporary name."""
        with output_errors(str(self.target)):
            if self._encoder is not None:
                self._mux_encoded(None)
            self.container.close()

    def commit(self) -> None:
        """Gives the file its final name."""
        with output_errors(str(self.target)):
            os.replace(self._part, self.target)

    def _open(self) -> OutputContainer:
        with output_errors(str(self.target)):
            return av.open(str(self._part), "w", container_options=self._container_options())

    def _container_options(self) -> dict[str, str]:
        """MP4 writes either any tags at all or cover art, not both; cover art is the harder to make again."""
        if self.target.suffix.lower() not in _MP4_ENDINGS:
            return {}
        free = [key for key in self._source.metadata if key.lower() not in MP4_TAGS]
        if not free and _PLAIN_TAGS.intersection(map(str.lower, self._source.metadata)):
            self._tags.clear()  # free tags would move the others to where fewer players look for them
        if self._tags and any(is_cover_art(stream) for stream in self._source.streams.video):
            self._tags.clear()
        if free and any(is_cover_art(stream) for stream in self._source.streams.video):
            self.losses.append(Loss(what=f"tags {', '.join(free)}", why="MP4 can't hold them beside cover art"))
            return {}
        return {"movflags": "use_metadata_tags"} if free or self._tags else {}

    def _check_streams(self) -> None:
        """Finds out what the container can't hold before anything is decoded, by adding it all to a trial file."""
        self._wanted: list[Stream] = []
        trial = av.open(os.devnull, "w", format=self.container.format.name)
        for stream in self._source.streams:
            if stream.index == self._picture.index:
                self._wanted.append(stream)
                continue
            if is_carried_otherwise(stream, container=self._source):
                continue
            if is_unknown(stream):
                self.losses.append(Loss(what=describe(stream), why="the file announces it and says nothing of it"))
                continue
            try:
                copy_stream(stream, output=trial)
            except CannotHold as error:
                if not self._drop_unsupported:
                    raise CannotHold(f"{self.target}: {error}") from error
                self.losses.append(Loss(what=describe(stream), why=f"{self.container.format.name} can't hold it"))
            else:
                self._wanted.append(stream)
        trial.close()

    def _begin(self, frame: VideoFrame) -> None:
        self._look = self._appearance() or appearance_of(frame)
        self._film = Film(
            codec=self._picture.codec_context.codec.canonical_name,
            size=(frame.width, frame.height),
            pixel_format=frame.format.name,
            rate=self._rate,
            time_base=self._time_base,
            hdr=self._look.hdr,
            is_hdr=self._look.tags.is_hdr,
        )
        self.choice = choose_encoder(self._encode, container=self.container, film=self._film)
        self._note_losses()
        self._add_streams(frame)
        self._mux_early()

    def _add_streams(self, first: VideoFrame | None) -> None:
        """Adds every stream in the source's order, so that indices stay what they were."""
        for stream in self._wanted:
            if stream.index != self._picture.index or first is None:
                cover = self._cover(stream)
                copy = copy_stream(stream, output=self.container, cover=cover)
                self._copies[stream.index] = copy
                if stream.index == self._picture.index and isinstance(copy.target, VideoStream):
                    self._on_copy(copy.target)
            else:
                self._encoder = self._add_picture(first)
        self._take_metadata()
        self.container.start_encoding()

    def _add_picture(self, frame: VideoFrame) -> VideoStream:
        assert self.choice is not None
        stream = add_encoder(self.container, self.choice, film=self._film)
        context, tags = stream.codec_context, self._look.tags
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.color_range
        aspect = self._picture.codec_context.sample_aspect_ratio or self._picture.sample_aspect_ratio
        if aspect:
            context.sample_aspect_ratio = aspect
        if context.codec.canonical_name == "hevc" and self.container.format.name in ("mp4", "mov"):
            context.codec_tag = HVC1
        open_encoder(stream, self.choice)
        if self._look.rotation:
            stream.set_display_rotation(self._look.rotation)
        ours = ("encoder", "duration", "number_of_frames", "number_of_bytes", "bps")
        stale = {key for key in self._picture.metadata if key.lower().startswith(("_statistics", *ours))}
        stream.metadata.update({k: v for k, v in self._picture.metadata.items() if k not in stale})
        stream.disposition = self._picture.disposition
        return stream

    def _mux_early(self) -> None:
        for packet in self._early:
            self._mux_copied(packet)
        self._early.clear()

    def _cover(self, stream: Stream) -> bytes:
        """The picture of cover art that becomes an attachment; empty for other streams."""
        if not becomes_attachment(stream, output=self.container):
            return b""
        return next((bytes(packet) for packet in self._early if packet.stream_index == stream.index), b"")

    def _take_metadata(self) -> None:
        own = ["major_brand", "minor_version", "compatible_brands", "encoder"]
        if self._tags or not self._copy_picture:
            own.append(TAG)  # the source's map is of the source's frames
        self.container.metadata.update({k: v for k, v in self._source.metadata.items() if k.lower() not in own})
        self.container.metadata.update(self._tags)
        if chapters := [self._moved(chapter) for chapter in self._source.chapters()]:
            self.container.set_chapters(chapters)
            if self.container.format.name in ("mpegts", "avi", "mpeg"):
                self.losses.append(Loss(what="chapters", why=f"{self.container.format.name} keeps none"))

    def _moved(self, chapter: Chapter) -> Chapter:
        ticks = round_half_up(self.offset / (chapter["time_base"] or Fraction(1)))
        start, end = (max(chapter[edge] + ticks, 0) for edge in ("start", "end"))
        return {**chapter, "start": start, "end": end}

    def _note_losses(self) -> None:
        for name in self._look.dynamic:
            self.losses.append(Loss(what=f"{name} metadata", why="no encoder here writes it; the base layer stays"))
        form, codec = self.container.format.name, self._picture.codec_context.codec.canonical_name
        aspect = self._picture.sample_aspect_ratio
        assert self.choice is not None
        made = av.codec.Codec(self.choice.name, "w").canonical_name
        if aspect and aspect != 1 and form in _ASPECT_LOST_IN and made not in _ASPECT_IN_BITSTREAM:
            why = f"{made} in {form} can't carry it through FFmpeg's muxer; write to .mp4, or encode {codec} as H.264"
            self.losses.append(Loss(what=f"sample aspect ratio {aspect.numerator}:{aspect.denominator}", why=why))

    def _mux_encoded(self, frame: VideoFrame | None) -> None:
        assert self._encoder is not None
        self._encoded += frame is not None
        for packet in self._encoder.encode(frame):
            if self._encoded == 1:
                # x265 takes a stream's decode times from its second frame; of a single one the time is whatever
                # lay in its memory.
                packet.dts = packet.pts
            noted = self._noted(packet)
            shift(noted, self.offset)
            self.container.mux(noted)

    def _noted(self, packet: AnyPacket) -> AnyPacket:
        assert self.choice is not None  # there is a packet, so there was a frame
        note = None if packet.pts is None else self._side_notes.pop(packet.pts, None)
        codec = av.codec.Codec(self.choice.name, "w").canonical_name
        if note is None or not carries_notes(codec):
            return packet
        return with_note(packet, note, codec=codec, length_size=0)

    def _mux_copied(self, packet: AnyPacket) -> None:
        copy = self._copies.get(packet.stream_index)
        if copy is None or not self._is_kept(packet):
            return
        shift(packet, self.offset)
        if not packet.duration and packet.stream_index == self._picture.index and packet.time_base:
            # MP4 ends its edit list where the last packet ends, and would hide one that lasts no time at all.
            packet.duration = round_half_up(1 / (self._rate * packet.time_base))
        for converted in copy.convert(packet):
            self.container.mux(converted)

    def _is_kept(self, packet: AnyPacket) -> bool:
        """Pre-roll that an edit list hides would be shown by a container without edit lists."""
        return not packet.is_discard or self.container.format.name in ("mp4", "mov")

    def _discard(self) -> None:
        # It is thrown away; what went wrong with it was raised before.
        with suppress(av.error.FFmpegError, ValueError, OSError):
            self.container.close()
        self._part.unlink(missing_ok=True)
