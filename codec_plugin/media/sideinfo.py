"""Notes of ours that travel in a stream: which frames were made, and how many were left out after which.

In H.264 and HEVC a note is a user_data_unregistered SEI message (H.264 D.1.7, H.265 D.2.7) before the first slice of
its picture; in AV1 a metadata OBU (AV1 5.8.2) before the first frame, as ITU-T T.35 data of a country that doesn't
exist: of the private types that the standard has for this, decoders warn. They pass over both in silence. A note says
only what is true around its own picture, so that cutting and joining can't make it wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from av.packet import Packet

from codec_plugin.media.nal import (
    NAL_CODECS,
    escaped,
    is_picture_part,
    join_units,
    nal_units,
    unescaped,
    unit_type,
)

AnyPacket: TypeAlias = "Packet[Any]"

NOTE_UUID = bytes.fromhex("44d7076185064f7396f97abb19241f0c")
"""Names a note as ours."""
TAG = "codec_plugin"
"""The container tag with the whole film's map."""

_USER_DATA = 5
_SEI = {"h264": (6, b"\x06"), "hevc": (39, b"\x4e\x01")}
_VERSION = "1"
_OBU_METADATA, _OBU_HAS_SIZE, _OBU_EXTENDED = 5, 2, 4
_OBU_HEADERS = (1, 2)  # sequence header, temporal delimiter: they go before everything else
_METADATA_HEAD = b"\x04\xff\x00"  # ITU-T T.35, country code 255: the next byte extends it; none is given out
_MOST_BYTES = 1024  # of a note, and of the beginning of a packet that is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class SideNote:
    """What a picture's note says."""

    made_by: str | None = None
    """The picture isn't the source's own: the engine that made it, or "hold"."""
    dropped: int = 0
    """Frames that were left out right after it."""
    rate: Fraction | None = None
    """The clock of the film that they were left out of, frames a second."""
    engine: str | None = None
    """Who is to make them again: the engine that the drops were chosen with."""

    def to_bytes(self) -> bytes:
        """The note as text."""
        fields = (("made", self.made_by), ("drop", self.dropped or None), ("rate", self.rate), ("engine", self.engine))
        return ";".join([_VERSION, *(f"{key}={value}" for key, value in fields if value is not None)]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SideNote | None:
        """A note out of its text; None for one that can't be read so."""
        try:
            version, *fields = data.decode("ascii").split(";")
            if version != _VERSION:
                return None
            values = dict(field.split("=", 1) for field in fields)
            note = cls(
                made_by=values.get("made"),
                dropped=int(values.get("drop", 0)),
                rate=Fraction(values["rate"]) if "rate" in values else None,
                engine=values.get("engine"),
            )
        except (ValueError, ZeroDivisionError):
            return None
        return note if note.dropped >= 0 and (note.rate is None or note.rate > 0) else None


def carries_notes(codec: str) -> bool:
    """Whether a codec's stream can carry notes."""
    return codec in NAL_CODECS or codec == "av1"


def note_unit(note: SideNote, *, codec: str) -> bytes:
    """A note as a whole NAL unit."""
    payload = NOTE_UUID + note.to_bytes()
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    return _SEI[codec][1] + escaped(bytes([_USER_DATA]) + size + payload + b"\x80")


def with_note_unit(units: Iterable[bytes | memoryview], note: SideNote, *, codec: str) -> list[bytes | memoryview]:
    """NAL units of a picture with a note before the first slice."""
    whole = list(units)
    place = next((i for i, unit in enumerate(whole) if len(unit) and is_picture_part(unit, codec=codec)), len(whole))
    return [*whole[:place], note_unit(note, codec=codec), *whole[place:]]


def with_note(packet: AnyPacket, note: SideNote, *, codec: str, length_size: int) -> AnyPacket:
    """A packet with a note in it; everything else about it stays."""
    data = memoryview(packet)
    if codec == "av1":
        noted = _with_obu(bytes(data), note)
    else:
        units = nal_units(data, length_size=length_size)
        noted = join_units(with_note_unit(units, note, codec=codec), length_size=length_size)
    made = Packet(noted)
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.is_keyframe = packet.is_keyframe
    if packet.time_base is not None:
        made.time_base = packet.time_base
    if packet.stream is not None:
        made.stream = packet.stream
    for side in packet.iter_sidedata():
        made.set_sidedata(side)
    return made


def note_of(packet: AnyPacket, *, codec: str, length_size: int) -> SideNote | None:
    """The note in a packet; None where there is none of ours, or none that can be read."""
    if not carries_notes(codec) or not packet.size:
        return None
    data = memoryview(packet)
    payloads = (
        _obu_payloads(bytes(data[: 2 * _MOST_BYTES])) if codec == "av1" else _sei_payloads(data, codec, length_size)
    )
    for payload in payloads:
        if payload.startswith(NOTE_UUID):
            return SideNote.from_bytes(payload[len(NOTE_UUID) :])
    return None


def _sei_payloads(data: memoryview, codec: str, length_size: int) -> Iterator[bytes]:
    """The user data of the SEI units before the first slice."""
    # Start codes are searched for, so a part is enough; length fields jump, and want the whole.
    for unit in nal_units(data if length_size else data[: 4 * _MOST_BYTES], length_size=length_size):
        if not len(unit) or is_picture_part(unit, codec=codec):
            return
        if unit_type(unit, codec=codec) == _SEI[codec][0]:
            yield from _messages(unescaped(unit[len(_SEI[codec][1]) :]))


def _messages(data: bytes) -> Iterator[bytes]:
    """The user_data_unregistered payloads of one SEI unit (H.264 7.3.2.3.1)."""
    position = 0
    while position + 2 < len(data):
        kind, position = _sized(data, position)
        size, position = _sized(data, position)
        if kind == _USER_DATA and position + size <= len(data):
            yield data[position : position + size]
        position += size


def _sized(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    while position < len(data):
        value += data[position]
        position += 1
        if data[position - 1] != 255:
            break
    return value, position


def _with_obu(data: bytes, note: SideNote) -> bytes:
    place = 0
    for kind, start, stop in _obus(data):
        if kind not in _OBU_HEADERS:
            place = start
            break
        place = stop
    payload = _METADATA_HEAD + NOTE_UUID + note.to_bytes() + b"\x80"
    obu = bytes([_OBU_METADATA << 3 | _OBU_HAS_SIZE]) + _leb128(len(payload)) + payload
    return data[:place] + obu + data[place:]


def _obu_payloads(data: bytes) -> Iterator[bytes]:
    for kind, start, stop in _obus(data):
        if kind == _OBU_METADATA:
            body = data[start:stop]
            _, head = _read_leb128(body, 1 + bool(body[0] & _OBU_EXTENDED))
            if body[head : head + len(_METADATA_HEAD)] == _METADATA_HEAD:
                yield body[head + len(_METADATA_HEAD) :].rstrip(b"\0")[:-1]
        elif kind not in _OBU_HEADERS:
            return


def _obus(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(Type, start, stop) of each OBU that says its size; the walk ends at one that doesn't."""
    start = 0
    while start < len(data) and data[start] & _OBU_HAS_SIZE:
        size, body = _read_leb128(data, start + 1 + bool(data[start] & _OBU_EXTENDED))
        yield data[start] >> 3 & 15, start, body + size
        start = body + size


def _leb128(value: int) -> bytes:
    made = bytearray()
    while True:
        value, low = value >> 7, value & 127
        made.append(low | (128 if value else 0))
        if not value:
            return bytes(made)


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 56, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if not byte & 128:
            break
    return value, position
