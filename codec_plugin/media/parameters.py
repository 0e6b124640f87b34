"""Parameter sets (H.264 SPS, PPS; HEVC VPS, SPS, PPS): their ids, their places in avcC and hvcC, which are in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from codec_plugin.media.nal import is_parameter_set, join_units, length_size_of, nal_units, unescaped, unit_type

SetKey: TypeAlias = tuple[int, int]
"""(NAL unit type, id)."""
Sets: TypeAlias = dict[SetKey, bytes]
"""Parameter sets by what a slice names them by, each a whole NAL unit."""

_SPS, _PPS = {"h264": 7, "hevc": 33}, {"h264": 8, "hevc": 34}
_VPS = 32
_AVCC_HEAD, _HVCC_HEAD = 5, 22
_H264_MOST_SPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedSort:
    """What a sequence parameter set says that a spliced-in GOP must match."""

    profile_idc: int
    """H.264 table A, HEVC annex A.3: 66, 77, 100 … or 1, 2, 4 …"""
    level_idc: int
    """H.264: ten times the level (9 and 11 for 1b and 1.1); HEVC: thirty times."""
    is_high_tier: bool
    """HEVC's tier."""


def key_of(unit: memoryview | bytes, *, codec: str) -> SetKey | None:
    """What a parameter set is called by; None for one too damaged to tell."""
    kind = unit_type(unit, codec=codec)
    plain = unescaped(bytes(unit[:64]))
    try:
        if codec == "h264":
            return kind, _exp_golomb(plain, bit=32 if kind == _SPS[codec] else 8)
        if kind == _VPS:
            return kind, plain[2] >> 4
        return kind, _exp_golomb(plain, bit=_hevc_sps_id_bit(plain) if kind == _SPS[codec] else 16)
    except IndexError:
        return None


def sets_in(units: Iterable[memoryview | bytes], *, codec: str) -> Sets:
    """The parameter sets among some NAL units."""
    found: Sets = {}
    for unit in units:
        if len(unit) > 1 and is_parameter_set(unit, codec=codec) and (key := key_of(unit, codec=codec)):
            found[key] = bytes(unit)
    return found


def sets_out_of_band(extradata: bytes | None, *, codec: str) -> Sets:
    """The parameter sets in a container's header: avcC (ISO/IEC 14496-15, 5.3.3), hvcC (8.3.3) or Annex B."""
    if not extradata:
        return {}
    if not length_size_of(extradata, codec=codec):
        return sets_in(nal_units(memoryview(extradata), length_size=0), codec=codec)
    units = _avcc_units(extradata) if codec == "h264" else _hvcc_units(extradata)
    return sets_in(units, codec=codec)


def with_more_sets(extradata: bytes, more: Sets, *, codec: str) -> bytes:
    """A header that holds more H.264 parameter sets; hvcC and Annex B are given back as they are.

    hvcC has its sets in the stream too from now on, and says so: its completeness marks are taken off.
    """
    if not length_size_of(extradata, codec=codec):
        return extradata
    if codec == "hevc":
        return _incomplete(extradata)
    kept = sets_out_of_band(extradata, codec=codec) | more
    sps = [unit for (kind, _), unit in kept.items() if kind == _SPS[codec]]
    pps = [unit for (kind, _), unit in kept.items() if kind == _PPS[codec]]
    rest = extradata[_avcc_end(extradata) :]
    parts = [extradata[:_AVCC_HEAD], bytes([0xE0 | len(sps)]), _sized(sps), bytes([len(pps)]), _sized(pps), rest]
    return b"".join(parts)


def sort_of(sets: Mapping[SetKey, bytes], *, codec: str) -> CodedSort | None:
    """Profile and level by the first sequence parameter set; None where there is none."""
    sps = next((unescaped(unit) for (kind, _), unit in sets.items() if kind == _SPS[codec]), None)
    if sps is None:
        return None
    if codec == "h264":
        return CodedSort(profile_idc=sps[1], level_idc=sps[3], is_high_tier=False)
    return CodedSort(profile_idc=sps[3] & 31, level_idc=sps[14], is_high_tier=bool(sps[3] >> 5 & 1))


def show_sort(sort: CodedSort, *, codec: str) -> str:
    """Profile, level and tier in words."""
    if codec == "h264":
        return f"profile {sort.profile_idc}, level {sort.level_idc / 10:.1f}"
    tier = "high" if sort.is_high_tier else "main"
    return f"profile {sort.profile_idc}, level {sort.level_idc / 30:.1f}, {tier} tier"


def sequence_sets(sets: Iterable[Mapping[SetKey, bytes]], *, codec: str) -> set[bytes]:
    """The different sequence parameter sets among some."""
    return {unit for some in sets for (kind, _), unit in some.items() if kind == _SPS[codec]}


def free_id(sets: Iterable[Mapping[SetKey, bytes]]) -> int | None:
    """An H.264 parameter-set id that none of some sets has; None where all 32 are taken."""
    taken = {number for some in sets for _, number in some}
    return next((number for number in range(1, _H264_MOST_SPS) if number not in taken), None)


def missing_sets(needed: Mapping[SetKey, bytes], *, known: Mapping[SetKey, bytes]) -> list[bytes]:
    """The sets that a decoder lacks or has otherwise, in the order that they must come in."""
    return [unit for key, unit in sorted(needed.items()) if known.get(key) != unit]


def annex_b(sets: Mapping[SetKey, bytes]) -> bytes:
    """Parameter sets behind start codes."""
    return join_units((unit for _, unit in sorted(sets.items())), length_size=0)


def _exp_golomb(data: bytes, *, bit: int) -> int:
    """ue(v) at a bit (H.264, 9.1)."""
    zeros = 0
    while not data[(bit + zeros) >> 3] >> (7 - (bit + zeros & 7)) & 1:
        zeros += 1
    value = 0
    for place in range(bit + zeros, bit + 2 * zeros + 1):
        value = value << 1 | (data[place >> 3] >> (7 - (place & 7)) & 1)
    return value - 1


def _hevc_sps_id_bit(sps: bytes) -> int:
    """Where sps_seq_parameter_set_id stands (H.265, 7.3.2.2 and 7.3.3)."""
    sub_layers = sps[2] >> 1 & 7
    bit = 24 + 96
    if sub_layers:
        present = sps[15] << 8 | sps[16]
        bit += 16
        for layer in range(sub_layers):
            flags = present >> (14 - 2 * layer) & 3
            bit += (88 if flags & 2 else 0) + (8 if flags & 1 else 0)
    return bit


def _avcc_units(extradata: bytes) -> Iterator[bytes]:
    position = _AVCC_HEAD
    for mask in (31, 255):
        if position >= len(extradata):
            return
        count = extradata[position] & mask
        position += 1
        for _ in range(count):
            size = int.from_bytes(extradata[position : position + 2], "big")
            yield extradata[position + 2 : position + 2 + size]
            position += 2 + size


def _avcc_end(extradata: bytes) -> int:
    """Where the parameter sets of an avcC end and, for some profiles, its chroma format follows."""
    return _AVCC_HEAD + 2 + sum(2 + len(unit) for unit in _avcc_units(extradata))


def _hvcc_units(extradata: bytes) -> Iterator[bytes]:
    for start, count in _hvcc_arrays(extradata):
        position = start + 3
        for _ in range(count):
            size = int.from_bytes(extradata[position : position + 2], "big")
            yield extradata[position + 2 : position + 2 + size]
            position += 2 + size


def _hvcc_arrays(extradata: bytes) -> Iterator[tuple[int, int]]:
    """(Place, count of units) of each array."""
    position = _HVCC_HEAD + 1
    for _ in range(extradata[_HVCC_HEAD]):
        if position + 3 > len(extradata):
            return
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        yield position, count
        position += 3
        for _ in range(count):
            position += 2 + int.from_bytes(extradata[position : position + 2], "big")


def _incomplete(hvcc: bytes) -> bytes:
    changed = bytearray(hvcc)
    for start, _ in _hvcc_arrays(hvcc):
        changed[start] &= 0x7F
    return bytes(changed)


def _sized(units: Iterable[bytes]) -> bytes:
    return b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
