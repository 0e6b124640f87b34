"""Encoding a stretch of a film so that it fits between packets that stay, and writing both into one stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.errors import CannotHold, CannotSplice
from codec_plugin.media.color import Appearance
from codec_plugin.media.encoders import EncoderChoice, Film
from codec_plugin.media.gops import CodedFilm
from codec_plugin.media.nal import END_OF_SEQUENCE, is_parameter_set, join_units, nal_units, unit_type
from codec_plugin.media.packets import AnyPacket, Packet
from codec_plugin.media.parameters import (
    CodedSort,
    Sets,
    free_id,
    missing_sets,
    sequence_sets,
    sets_in,
    show_sort,
    sort_of,
    with_more_sets,
)
from codec_plugin.media.passthrough import HVC1
from codec_plugin.media.writer import Writer
from codec_plugin.options import EncodeOptions

_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_PARAMS_KEY = {"h264": "x264-params", "hevc": "x265-params"}
_H264_PROFILES = {66: "baseline", 77: "main", 100: "high", 110: "high10", 122: "high422", 244: "high444"}
_H264_LOSSLESS = 244
_HEVC_PROFILES = {1: "main", 2: "main10"}
_LEVEL_1B = 9
_H264_TOOLS = {77: "cabac=1", 100: "8x8dct=1"}  # x264 states the lowest profile that has its tools
_HIGH_TIER_FROM = 120  # HEVC level 4 (H.265 A.4.1)
_HEV1 = "hev1"
_DELIMITER = {"h264": 9, "hevc": 35}
FORMATS = ("mp4", "mov", "matroska", "mpegts")
"""What spliced streams were found to survive in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One newly encoded picture."""

    units: tuple[bytes, ...]
    """Its NAL units."""
    pts: int
    """When it is shown, in source ticks."""
    dts: int
    """When the encoder would have it decoded."""
    is_key: bool
    """Whether decoding can begin with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splice:
    """How a film's splices are encoded."""

    options: EncodeOptions
    """The encoder, and what it is told."""
    sorts: tuple[CodedSort, ...]
    """The profiles, levels and tiers that the film states, the first one's first."""

    @property
    def unordered(self) -> EncodeOptions:
        """The same, with every picture shown as soon as it is decoded."""
        return replace(self.options, extra={**self.options.extra, "bf": "0"})

    def check(self, made: Sets, *, codec: str) -> None:
        """Holds what an encoder states in its parameter sets against what it was told.

        Lossless HEVC may be of another level: no level's bit rate can be promised for it, and x265 takes no promise.

        Raises:
            CannotSplice: it is another profile, level or tier than the film's.
        """
        sort, profiles = sort_of(made, codec=codec), {one.profile_idc for one in self.sorts}
        if sort is None or (self.options.lossless and sort.profile_idc in profiles):
            return
        if sort not in self.sorts:
            ours, theirs = (show_sort(one, codec=codec) for one in (sort, self.sorts[0]))
            raise CannotSplice(f"the encoder states {ours} for its pictures, and the film is {theirs}")


def matched(options: EncodeOptions, *, film: CodedFilm, reorder_depth: int, every_set: Iterable[Sets]) -> Splice:
    """The encoding options for splices into a film: its own codec, profile and level, closed GOPs, ids of their own.

    Raises:
        CannotSplice: the options ask for what can't stand in this stream.
    """
    name = _ENCODERS.get(film.codec)
    if name is None:
        raise CannotSplice(f"only H.264 and HEVC can be spliced, not {film.codec}")
    if options.encoder not in (None, name, film.codec):
        raise CannotSplice(f"{options.encoder} doesn't make {film.codec} that is known to splice; {name} does")
    sets = [film.sets, *every_set]
    sorts = tuple(dict.fromkeys(found for some in sets if (found := sort_of(some, codec=film.codec))))
    if not sorts:
        raise CannotSplice("it has no sequence parameter set to match")
    sort = sorts[0]
    extra = dict(options.extra)
    own = ["open-gop=0"]
    if reorder_depth == 0 or len(sequence_sets(sets, codec=film.codec)) > 1:
        # A decoder that was told of no reordering shows pictures at once: those of a splice must then come in order.
        extra["bf"] = "0"
    if reorder_depth == 1:
        own.append("b-pyramid=0")
    if film.codec == "h264":
        number = free_id(sets)
        if options.lossless and sort.profile_idc != _H264_LOSSLESS:
            raise CannotSplice("lossless H.264 needs another profile than the film's")
        if number is None or sort.profile_idc not in _H264_PROFILES:
            raise CannotSplice(f"no parameter-set id is free, or its profile ({sort.profile_idc}) can't be encoded")
        own.append(f"sps-id={number}")
        own += filter(None, [_H264_TOOLS.get(sort.profile_idc)])
        extra["profile"] = _H264_PROFILES[sort.profile_idc]
        extra["level"] = "1b" if sort.level_idc == _LEVEL_1B else f"{sort.level_idc // 10}.{sort.level_idc % 10}"
    else:
        if not options.lossless:
            own.append(f"level-idc={sort.level_idc / 30:.1f}")
            own += [f"high-tier={int(sort.is_high_tier)}"] if sort.level_idc >= _HIGH_TIER_FROM else []
        if sort.profile_idc in _HEVC_PROFILES:
            extra["profile"] = _HEVC_PROFILES[sort.profile_idc]
    key = _PARAMS_KEY[film.codec]
    extra[key] = ":".join([*filter(None, [extra.get(key)]), *own])
    return Splice(options=replace(options, encoder=name, extra=extra), sorts=sorts)


class SetsDiffer(CannotSplice):
    """New pictures need other parameter sets than those that the header was written with."""


class StretchEncoder:
    """Encodes one stretch, from a random-access point of its own on.

    Raises:
        CannotHold: the encoder refuses the frames or its options.
    """

    def __init__(self, choice: EncoderChoice, *, film: Film, look: Appearance, aspect: Fraction | None) -> None:
        context = CodecContext.create(choice.name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = film.size
        context.pix_fmt = film.pixel_format
        context.time_base, context.framerate = film.time_base, film.rate.limit_denominator(100_000)
        context.thread_count = choice.threads
        if choice.bitrate:
            context.bit_rate = choice.bitrate
        tags = look.tags
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.color_range
        if aspect:
            context.sample_aspect_ratio = aspect
        context.options = dict(choice.options)
        try:
            context.open(strict=False)
        except (av.error.FFmpegError, ValueError) as error:
            raise CannotHold(f"{choice.describe()} refuses these options or pictures") from error
        if context.options:
            unknown = ", ".join(f"{key}={value}" for key, value in context.options.items())
            raise CannotHold(f"{choice.name} knows no such option: {unknown}")
        self._context, self._time_base = context, film.time_base
        self._frames = 0

    def encode(self, frame: VideoFrame | None, *, pts: int = 0) -> Iterator[Encoded]:
        """The pictures that one more frame brings out; None for the last ones."""
        if frame is not None:
            self._frames += 1
            frame.pts, frame.time_base = pts, self._time_base
            frame.pict_type = 0  # else the source's picture types bind the encoder
        for packet in self._context.encode(frame):
            assert packet.pts is not None  # encoders time what they make
            assert packet.dts is not None
            lone = self._frames == 1  # of a single frame x265 leaves the decode time undefined
            yield Encoded(
                units=tuple(bytes(unit) for unit in nal_units(memoryview(packet), length_size=0)),
                pts=packet.pts,
                dts=packet.pts if lone else packet.dts,
                is_key=packet.is_keyframe,
            )


class Splicer:
    """Writes packets that stay and pictures that are new into one stream, each with the parameter sets it needs.

    Length-prefixed packets for MPEG-TS become start-coded ones here. Packets that stay are written as they are,
    unless a decoder could lack a parameter set, or have another of its id: then that goes before the packet's own
    units, at every random-access point. H.264 splices get ids of their own, so that this is for HEVC and MPEG-TS.
    """

    def __init__(self, writer: Writer, *, source: VideoStream, film: CodedFilm, sets_in_stream: bool = False) -> None:
        """Writes nothing yet.

        Args:
            writer: copies the picture's packets.
            source: the picture.
            film: its packets.
            sets_in_stream: whether HEVC in MP4 says hev1 in any case. Else it stays hvc1 where the first new pictures
                have the very parameter sets of the header.
        """
        self._writer, self._source, self._film = writer, source, film
        self._in_stream = sets_in_stream
        self._restates = writer.container.format.name == "mpegts"
        self._length_size = 0 if self._restates else film.length_size
        self._needed: Sets = dict(film.sets)
        self._known: Sets = {}
        self._header: Sets = {}
        self._more: Sets = {}
        self.mended = 0
        """Packets that stay and got parameter sets put before their own units."""

    def expect(self, more: Sets) -> None:
        """Tells which parameter sets the new pictures have, before anything is written."""
        self._more = dict(more)
        film, new = self._film, more.items() - self._film.sets.items()
        self._in_stream |= bool(new) or not film.length_size or any(picture.sets for picture in film.pictures)
        if self._film.length_size and not self._restates:
            self._header = dict(self._film.sets) | (self._more if self._film.codec == "h264" else {})
            self._known = dict(self._header)

    def shape(self, target: VideoStream) -> None:
        """Readies the output stream, before its header is written."""
        context = target.codec_context
        if self._film.length_size and not self._restates:
            header = self._source.codec_context.extradata or b""
            keep = self._film.codec == "hevc" and not self._in_stream
            context.extradata = header if keep else with_more_sets(header, self._more, codec=self._film.codec)
        if self._film.codec == "hevc" and self._writer.container.format.name in ("mp4", "mov"):
            context.codec_tag = _HEV1 if self.is_hev1 else HVC1

    @property
    def is_hev1(self) -> bool:
        """Whether the output is an HEVC film in MP4 whose parameter sets stand in the stream."""
        is_mp4 = self._writer.container.format.name in ("mp4", "mov")
        return self._film.codec == "hevc" and is_mp4 and self._in_stream

    def keep(self, packet: AnyPacket, *, index: int) -> None:
        """Writes a packet of the source."""
        picture = self._film.pictures[index]
        packet.dts = picture.dts
        self._needed |= picture.sets
        is_entry = picture.kind is not None and picture.kind.is_random_access
        clashes = any(self._more.get(key, unit) != unit for key, unit in self._needed.items())
        # Who seeks from a splice to here has the splice's sets in force, if they have the same ids.
        known = {} if self._restates or clashes else self._known
        lacking = missing_sets(self._needed, known=known | picture.sets) if is_entry else []
        self._known |= self._needed if is_entry else picture.sets
        if not lacking and self._length_size == self._film.length_size:
            self._writer.write_packet(packet)
            return
        units = list(nal_units(memoryview(packet), length_size=self._film.length_size))
        self.mended += bool(lacking)
        made = self._packet(_behind_delimiter(units, lacking, codec=self._film.codec), packet.pts, packet.dts)
        made.is_keyframe, made.duration = packet.is_keyframe, packet.duration
        self._writer.write_packet(made)

    def skip(self, *, index: int) -> None:
        """Notes the parameter sets of a packet that goes: those that stay may need them."""
        self._needed |= self._film.pictures[index].sets

    def put(self, pictures: Sequence[Encoded], dts: Sequence[int], *, duration: int, ends_at_open: bool) -> None:
        """Writes new pictures.

        Args:
            pictures: in decode order.
            dts: when each is decoded, in source ticks.
            duration: how long each lasts, in ticks.
            ends_at_open: whether an HEVC random-access point that stays and is no IDR comes next: the decoder must
                take it for a beginning.

        Raises:
            SetsDiffer: the file was begun as one with all parameter sets in its header, and these have others.
        """
        for number, (picture, time) in enumerate(zip(pictures, dts, strict=True)):
            codec = self._film.codec
            sets = sets_in(picture.units, codec=codec)
            spare = all(self._header.get(key) == unit for key, unit in sets.items())
            if not spare and not self._in_stream and self._film.codec == "hevc" and not self._restates:
                raise SetsDiffer("its new stretches have parameter sets that differ")
            units = [unit for unit in picture.units if not (spare and is_parameter_set(unit, codec=codec))]
            self._known |= sets
            if ends_at_open and number == len(pictures) - 1:
                units.append(END_OF_SEQUENCE[codec])
            made = self._packet(units, picture.pts, time)
            made.is_keyframe, made.duration = picture.is_key, duration
            self._writer.write_packet(made)

    def _packet(self, units: Iterable[bytes | memoryview], pts: int | None, dts: int | None) -> AnyPacket:
        made = Packet(join_units(units, length_size=self._length_size))
        made.stream = self._source
        made.time_base, made.pts, made.dts = self._film.time_base, pts, dts
        return made


def _behind_delimiter(
    units: Sequence[memoryview | bytes], sets: Sequence[bytes], *, codec: str
) -> list[memoryview | bytes]:
    """Parameter sets go before everything of an access unit but its delimiter."""
    delimited = bool(units) and unit_type(units[0], codec=codec) == _DELIMITER[codec]
    return [*units[:delimited], *sets, *units[delimited:]]


def sets_of(pictures: Iterable[Encoded], *, codec: str) -> Sets:
    """The parameter sets that newly encoded pictures bring along."""
    found: dict[tuple[int, int], bytes] = {}
    for picture in pictures:
        found |= sets_in(picture.units, codec=codec)
    return found


def least_step(time_base: Fraction, *, form: str) -> int:
    """Source ticks that two decode times must be apart to stay apart in a container's own ticks."""
    coarsest = {"matroska": Fraction(1, 1000), "mpegts": Fraction(1, 90_000)}.get(form)
    return 1 if coarsest is None else max(1, -(-coarsest // time_base))


def every_sets(film: CodedFilm) -> list[Sets]:
    """All parameter sets of a film that are in its packets, each version once."""
    versions = {tuple(sorted(picture.sets.items())): picture.sets for picture in film.pictures if picture.sets}
    return list(versions.values())
