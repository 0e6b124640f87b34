"""The first words of H.264 and HEVC packets: what kind of picture is inside. Reads nothing beyond NAL headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# ITU-T H.264 table 7-1 and H.265 table 7-1.
_H264_SLICE, _H264_IDR = 1, 5
_HEVC_FIRST_IRAP, _HEVC_LAST_IRAP = 16, 23
_HEVC_LAST_VCL = 31
_HEVC_LAST_SUB_LAYER = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureKind:
    """What the first slice of a packet says of its picture."""

    is_idr: bool
    """Nothing after it refers to anything before it."""
    is_random_access: bool
    """Decoding can begin here: IDR, and HEVC's CRA and BLA."""
    is_reference: bool
    """Others may refer to it."""


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
    unit_type = header & 31
    if not _H264_SLICE <= unit_type <= _H264_IDR:
        return None
    idr = unit_type == _H264_IDR
    return PictureKind(is_idr=idr, is_random_access=idr, is_reference=header >> 5 & 3 > 0)


def _hevc_kind(header: int) -> PictureKind | None:
    unit_type = header >> 1 & 63
    if unit_type > _HEVC_LAST_VCL:
        return None
    irap = _HEVC_FIRST_IRAP <= unit_type <= _HEVC_LAST_IRAP
    reference = unit_type > _HEVC_LAST_SUB_LAYER or unit_type % 2 == 1
    return PictureKind(is_idr=unit_type in (19, 20), is_random_access=irap, is_reference=reference)


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
        yield data[start + 3 : following if following >= 0 else len(data)]
        start = following
