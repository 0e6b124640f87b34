"""`CodedFilm`: a film's H.264 or HEVC packets in decode order, as far as cutting between them needs to know them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from codec_plugin.media.nal import (
    NAL_CODECS,
    PictureKind,
    is_framing,
    is_parameter_set,
    is_picture_part,
    length_size_of,
    nal_units,
    picture_kind,
)
from codec_plugin.media.packets import AnyPacket, is_flush
from codec_plugin.media.parameters import Sets, sets_in, sets_out_of_band
from codec_plugin.media.sideinfo import SideNote, note_of
from codec_plugin.media.source import films_of, open_input, packets_of, pick_video
from codec_plugin.timing import Ticks, round_half_up

_NO_TIME = -(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """One packet of the picture stream."""

    pts: int | None
    """When it is shown, in ticks; None where the container doesn't say."""
    dts: int | None
    """When it is decoded, in ticks."""
    size: int
    """Bytes."""
    kind: PictureKind | None
    """What its first slice says; None where none was found."""
    is_key: bool
    """Whether the container marks it as a key frame."""
    is_hidden: bool
    """Whether an edit list hides it."""
    digest: bytes
    """Of what it is made of, whatever its framing: equal for two packets that decode alike."""
    sets: Sets = field(default_factory=dict)
    """The parameter sets that it brings along."""
    note: SideNote | None = None
    """What its note of ours says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFilm:
    """The packets of one picture stream, in decode order."""

    codec: str
    """FFmpeg's name."""
    time_base: Fraction
    """Seconds a tick."""
    length_size: int
    """Bytes of the length fields; 0 for start codes."""
    sets: Sets
    """The parameter sets in the container's header."""
    pictures: tuple[CodedPicture, ...]
    """Every packet, hidden ones included."""

    @property
    def times(self) -> Ticks:
        """The presentation times in decode order, (n,); the least int64 where there is none."""
        return np.asarray([_NO_TIME if p.pts is None else p.pts for p in self.pictures], dtype=np.int64)

    def sets_in_force(self, stop: int) -> Sets:
        """The parameter sets that a decoder has once it has read the packets before `stop`."""
        force = dict(self.sets)
        for picture in self.pictures[:stop]:
            force |= picture.sets
        return force


def coded_film(path: str | os.PathLike[str], *, video: int | None = None, ordinal: int | None = None) -> CodedFilm:
    """Reads a file's picture packets; decodes nothing.

    Args:
        path: the file.
        video: the stream's index; None for the film's own.
        ordinal: which of the films in place of `video`, from 0: for a file of ours, read back.
    """
    with open_input(path) as container:
        stream = films_of(container)[ordinal] if ordinal is not None else pick_video(container, video)
        return read_coded(container, video=stream)


def read_coded(container: InputContainer, *, video: VideoStream) -> CodedFilm:
    """Reads the packets of a stream to the end of the file."""
    codec = video.codec_context.codec.canonical_name
    extradata = video.codec_context.extradata
    length_size = length_size_of(extradata, codec=codec)
    pictures: list[CodedPicture] = []
    with suppress(av.error.FFmpegError):  # a file that breaks off ends there
        pictures.extend(
            coded_picture(packet, codec=codec, length_size=length_size)
            for packet in packets_of(container, [video])
            if not is_flush(packet) and packet.size
        )
    assert video.time_base is not None  # FFmpeg gives every stream of an open input one
    return CodedFilm(
        codec=codec,
        time_base=video.time_base,
        length_size=length_size,
        sets=sets_out_of_band(extradata, codec=codec),
        pictures=tuple(_with_decode_times(pictures, video=video)),
    )


def coded_picture(packet: AnyPacket, *, codec: str, length_size: int) -> CodedPicture:
    """What there is to know of a packet."""
    data = memoryview(packet)
    units = list(nal_units(data, length_size=length_size)) if codec in NAL_CODECS else []
    return CodedPicture(
        pts=packet.pts,
        dts=packet.dts,
        size=packet.size,
        kind=picture_kind(data, codec=codec, length_size=length_size),
        is_key=packet.is_keyframe,
        is_hidden=packet.is_discard,
        digest=_digest(units, data, codec=codec),
        sets=sets_in(units, codec=codec),
        note=note_of(packet, codec=codec, length_size=length_size),
    )


def _digest(units: Iterable[memoryview], data: memoryview, *, codec: str) -> bytes:
    """Over the units that make the picture: framing and parameter sets may change on the way, slices and SEI not."""
    digest = hashlib.blake2b(digest_size=16)
    slices = 0
    for unit in units:
        if len(unit) and not is_parameter_set(unit, codec=codec) and not is_framing(unit, codec=codec):
            digest.update(len(unit).to_bytes(4, "big"))
            digest.update(unit)
            slices += is_picture_part(unit, codec=codec)
    if not slices:
        digest.update(data)
    return digest.digest()


def _with_decode_times(pictures: list[CodedPicture], *, video: VideoStream) -> list[CodedPicture]:
    """Matroska tells no decode time of the first reordered pictures: each is one frame before the next."""
    first = next((index for index, picture in enumerate(pictures) if picture.dts is not None), None)
    if not first:
        return pictures
    known = pictures[first].dts
    assert known is not None
    assert video.time_base is not None
    step = max(1, round_half_up(1 / ((video.base_rate or video.average_rate or Fraction(25)) * video.time_base)))
    early = [replace(picture, dts=known - (first - index) * step) for index, picture in enumerate(pictures[:first])]
    return [*early, *pictures[first:]]
