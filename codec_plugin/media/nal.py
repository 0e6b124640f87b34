"""H.264 and HEVC packets as NAL units: what kind of picture is inside, and units taken apart and put together.

Reads nothing beyond NAL headers. Both framings are known: length fields (MP4, Matroska) and start codes (Annex B).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# ITU-T H.264 table 7-1 and H.265 table 7-1.
_H264_SLICE, _H264_IDR = 1, 5
_HEVC_FIRST_IRAP, _HEVC_LAST_IRAP = 16, 23
_HEVC_LAST_VCL = 31
_HEVC_LAST_SUB_LAYER = 15
_HEVC_LEADING, _HEVC_SKIPPED_LEADING = range(6, 10), (8, 9)
_H264_SETS, _HEVC_SETS = (7, 8), (32, 33, 34)
_H264_DELIMITERS, _HEVC_DELIMITERS = (9, 10, 11, 12), (35, 36, 37, 38)

NAL_CODECS = frozenset({"h264", "hevc"})
"""FFmpeg's names of the codecs whose packets are NAL units."""
END_OF_SEQUENCE = {"hevc": b"\x48\x01", "h264": b"\x0a"}
"""The unit after which a decoder takes the next random-access point for a beginning (HEVC 36, H.264 10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureKind:
    """What the first slice of a packet says of its picture."""

    is_idr: bool
    """Nothing after it refers to anything before it."""
    is_random_access: bool
    """Decoding can begin here: IDR, and HEVC's CRA and BLA."""
    is_reference: bool
    """Others may refer to it."""
    is_leading: bool = False
    """HEVC: shown before the random-access point that it follows (RADL, RASL)."""
    is_skipped_leading: bool = False
    """HEVC: such a one that can't be decoded where decoding begins at that point (RASL)."""


def nal_units(data: memoryview, *, length_size: int) -> Iterator[memoryview]:
    """The NAL units of a packet; damaged lengths end the walk.

    Args:
        data: the packet's bytes.
        length_size: bytes of the length field before each unit (MP4, Matroska); 0 for start codes (Annex B).
    """
    yield from _length_prefixed(data, length_size) if length_size else _start_coded(data)


def picture_kind(data: memoryview, *, codec: str, length_size: int) -> PictureKind | None:
    """What kind of picture a packet holds; None for other codecs, or where no slice is found."""
    read = {"h264": _h264_kind, "hevc": _hevc_kind}.get(codec)
    if read is None:
        return None
    for unit in nal_units(data, length_size=length_size):
        if len(unit) and (kind := read(unit[0])):
            return kind
    return None


def unit_type(unit: memoryview | bytes, *, codec: str) -> int:
    """The type of a NAL unit, by its first byte."""
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def is_picture_part(unit: memoryview | bytes, *, codec: str) -> bool:
    """Whether a unit is a slice: what the picture is made of."""
    kind = unit_type(unit, codec=codec)
    return _H264_SLICE <= kind <= _H264_IDR if codec == "h264" else kind <= _HEVC_LAST_VCL


def is_parameter_set(unit: memoryview | bytes, *, codec: str) -> bool:
    """Whether a unit is a parameter set (H.264 SPS, PPS; HEVC VPS, SPS, PPS)."""
    return unit_type(unit, codec=codec) in (_H264_SETS if codec == "h264" else _HEVC_SETS)


def is_framing(unit: memoryview | bytes, *, codec: str) -> bool:
    """Whether a unit only delimits: access unit delimiter, end of sequence or stream, filler."""
    return unit_type(unit, codec=codec) in (_H264_DELIMITERS if codec == "h264" else _HEVC_DELIMITERS)


def join_units(units: Iterable[memoryview | bytes], *, length_size: int) -> bytes:
    """NAL units as a packet's bytes.

    Args:
        units: whole units, header and emulation prevention included.
        length_size: bytes of the length field before each; 0 for start codes.
    """
    parts: list[memoryview | bytes] = []
    for unit in units:
        parts += [len(unit).to_bytes(length_size, "big") if length_size else b"\0\0\0\1", unit]
    return b"".join(parts)


def escaped(payload: bytes) -> bytes:
    """A unit's bytes with emulation prevention (H.264 7.4.1): no start code can be read into them."""
    made = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(made)


def unescaped(unit: memoryview | bytes) -> bytes:
    """A unit's bytes without emulation prevention."""
    return bytes(unit).replace(b"\0\0\3", b"\0\0")


def length_size_of(extradata: bytes | None, *, codec: str) -> int:
    """Bytes of the length fields, from avcC (ISO/IEC 14496-15, 5.3.3) or hvcC (8.3.3); 0 for Annex B."""
    if not extradata or extradata[0] != 1:
        return 0
    if codec == "h264" and len(extradata) > 4:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 21:
        return (extradata[21] & 3) + 1
    return 0


def _h264_kind(header: int) -> PictureKind | None:
    kind = header & 31
    if not _H264_SLICE <= kind <= _H264_IDR:
        return None
    idr = kind == _H264_IDR
    return PictureKind(is_idr=idr, is_random_access=idr, is_reference=header >> 5 & 3 > 0)


def _hevc_kind(header: int) -> PictureKind | None:
    kind = header >> 1 & 63
    if kind > _HEVC_LAST_VCL:
        return None
    irap = _HEVC_FIRST_IRAP <= kind <= _HEVC_LAST_IRAP
    reference = kind > _HEVC_LAST_SUB_LAYER or kind % 2 == 1
    return PictureKind(
        is_idr=kind in (19, 20),
        is_random_access=irap,
        is_reference=reference,
        is_leading=kind in _HEVC_LEADING,
        is_skipped_leading=kind in _HEVC_SKIPPED_LEADING,
    )


def _length_prefixed(data: memoryview, length_size: int) -> Iterator[memoryview]:
    position = 0
    while position + length_size < len(data):
        size = int.from_bytes(data[position : position + length_size], "big")
        position += length_size
        if size == 0 or position + size > len(data):
            return
        yield data[position : position + size]
        position += size


def _start_coded(data: memoryview) -> Iterator[memoryview]:
    whole = bytes(data)
    start = whole.find(b"\0\0\1")
    while start >= 0:
        following = whole.find(b"\0\0\1", start + 3)
        stop = following if following >= 0 else len(data)
        while stop > start + 3 and not whole[stop - 1]:  # zeros before a start code belong to no unit
            stop -= 1
        yield data[start + 3 : stop]
        start = following
