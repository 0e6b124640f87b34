"""`PacketTable`: the times and flags of every packet of the picture stream, read without decoding."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet as Packet
from av.video.stream import VideoStream

from codec_plugin.media.nal import length_size_of
from codec_plugin.media.probe import TimeKeeping, VideoInfo, probe_video
from codec_plugin.media.sideinfo import SideNote, note_of
from codec_plugin.media.source import films_of, open_input, packets_of
from codec_plugin.timing import Ticks, round_half_up

UNTIMED = "packets without a time"
HIDDEN = "packets not to be shown (edit list)"
EARLY = "pictures before the first random-access point"
TWICE = "second pictures at one time"

AnyPacket: TypeAlias = "Packet[Any]"
"""A packet of any kind of stream."""

_NO_TIME = -(2**63)
_VP8_SHOW_FRAME = 0x10  # RFC 6386, 9.1: bit 4 of the frame tag


def is_flush(packet: AnyPacket) -> bool:
    """Whether this is the empty packet that ends every demux; Theora's and AVI's empty ones have a time."""
    return not packet.size and packet.pts is None and packet.dts is None


def is_invisible(packet: AnyPacket, *, codec: str) -> bool:
    """Whether a packet holds a picture that is only referred to and never shown (VP8's golden and alt-ref)."""
    if codec != "vp8" or not packet.size:
        return False
    return not memoryview(packet)[0] & _VP8_SHOW_FRAME


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketTable:
    """Every shown packet of a video stream, in presentation order."""

    pts: Ticks
    """Presentation times in ticks, strictly rising, (n,)."""
    is_key: npt.NDArray[np.bool_]
    """Which are marked as random-access points, (n,)."""
    breaks: npt.NDArray[np.intp]
    """Indices before which the stream jumps back in decode order; empty for a sound stream."""
    time_base: Fraction
    """Seconds a tick."""
    digest: str
    """SHA-256 over the packets' times, sizes and flags, in file order: which stream a plan is for."""
    skipped: Counter[str]
    """What was left out, by reason: a count each."""
    packet_count: int
    """Packets in the file, shown or not."""
    byte_count: int
    """Bytes of them all."""
    notes: tuple[tuple[int, SideNote], ...]
    """The notes of ours that travel in the stream, each with its picture's time, rising."""
    ended_early: str | None
    """FFmpeg's words where the file broke off; None where it ended as it should."""


@dataclass(slots=True)
class _Rows:
    """What the pass over the file collects."""

    pts: list[int]
    dts: list[int]
    key: list[bool]
    skipped: Counter[str]
    notes: list[tuple[int, SideNote]]
    count: int = 0
    byte_count: int = 0
    first_key: int | None = None


def packet_table(path: str | os.PathLike[str], *, ordinal: int) -> PacketTable:
    """The packet table of a file of ours, read back; `ordinal` says which of its films, from 0."""
    with open_input(path) as container:
        stream = films_of(container)[ordinal]
        info = probe_video(stream, container=container)
        return read_packets(container, video=stream, info=info)


def read_packets(container: InputContainer, *, video: VideoStream, info: VideoInfo) -> PacketTable:
    """Reads the packet table in one pass over the file; decodes nothing.

    Left out, and counted: packets that the container says are not to be shown (edit lists), empty packets (repeats in
    Theora, dropped frames in AVI), pictures before the first random-access point, second pictures at one time.
    """
    digest = hashlib.sha256()
    rows = _Rows([], [], [], Counter(), [])
    length_size = length_size_of(video.codec_context.extradata, codec=info.codec)
    ended_early = None
    count = 0
    try:
        for packet in packets_of(container, [video], counts=rows.skipped):
            if is_flush(packet):
                continue
            row = (packet.pts, packet.dts, packet.size, packet.is_keyframe, packet.is_discard)
            count += 1
            digest.update(repr(row).encode())
            rows.byte_count += packet.size
            if packet.pts is not None and (note := note_of(packet, codec=info.codec, length_size=length_size)):
                rows.notes.append((packet.pts, note))
            if rows.first_key is None and packet.is_keyframe:
                rows.first_key = packet.pts
            _add(rows, packet, codec=info.codec)
    except av.error.FFmpegError as error:
        ended_early = error.strerror or str(error)
    rows.count = count
    return _table(rows, info=info, digest=digest.hexdigest(), ended_early=ended_early)


def _add(rows: _Rows, packet: AnyPacket, *, codec: str) -> None:
    if not packet.size:
        rows.skipped["empty packets"] += 1
    elif packet.is_discard:
        rows.skipped[HIDDEN] += 1
    elif is_invisible(packet, codec=codec):
        rows.skipped["reference-only pictures"] += 1
    else:
        rows.pts.append(_NO_TIME if packet.pts is None else packet.pts)
        rows.dts.append(_NO_TIME if packet.dts is None else packet.dts)
        rows.key.append(packet.is_keyframe)


def _table(rows: _Rows, *, info: VideoInfo, digest: str, ended_early: str | None) -> PacketTable:
    times = _presentation_times(rows, info=info)
    key = np.asarray(rows.key, dtype=np.bool_)
    timed = times != _NO_TIME
    rows.skipped[UNTIMED] += int((~timed).sum())
    times, key = times[timed], key[timed]
    runs = _runs(times, key)
    pts: list[Ticks] = []
    keys: list[npt.NDArray[np.bool_]] = []
    breaks: list[int] = []
    for start, stop in runs:
        first_key = rows.first_key if start == 0 and info.time_keeping is TimeKeeping.PTS else None
        run_pts, run_key = _in_order(times[start:stop], key[start:stop], first_key=first_key, skipped=rows.skipped)
        breaks.append(sum(part.size for part in pts))
        pts.append(run_pts)
        keys.append(run_key)
    return PacketTable(
        pts=np.concatenate(pts) if pts else np.empty(0, np.int64),
        is_key=np.concatenate(keys) if keys else np.empty(0, np.bool_),
        breaks=np.asarray(breaks[1:], dtype=np.intp),
        time_base=info.time_base,
        digest=digest,
        skipped=+rows.skipped,
        packet_count=rows.count,
        byte_count=rows.byte_count,
        notes=tuple(sorted(rows.notes, key=lambda timed: timed[0])),
        ended_early=ended_early,
    )


def _presentation_times(rows: _Rows, *, info: VideoInfo) -> Ticks:
    if info.time_keeping is TimeKeeping.PTS:
        return np.asarray(rows.pts, dtype=np.int64)
    if info.time_keeping is TimeKeeping.DECODER_ORDER:
        order = DecoderOrder(info)
        times = [time for dts in rows.dts for time in order.sent(dts)]
        return np.asarray([*times, *order.rest()], dtype=np.int64)
    return np.asarray([ordinal_time(i, video=info) for i in range(len(rows.pts))], dtype=np.int64)


class DecoderOrder:
    """Presentation times of reordered pictures out of decode times alone (AVI).

    With d pictures held back, an encoder's first d decode times are invented so that the others can be the
    presentation times, in order, d pictures late. So the k-th picture shown has the (k+d)-th decode time; all are
    moved by one offset, so that the film begins where the file does. The last d pictures' times were never written:
    each comes one step later, as long as the last step that is known.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._depth = info.reorder_depth
        rate = info.rate_from_header or Fraction(25)
        self._step = max(1, round_half_up(1 / (rate * info.time_base)))
        self._first: int | None = None
        self._offset = 0
        self._count = 0
        self._last = 0

    def sent(self, dts: int) -> Iterator[int]:
        """The presentation time that one more decode time reveals, if it does."""
        self._count += 1
        if self._first is None:
            self._first = dts
        if self._count <= self._depth:
            return
        if self._count == self._depth + 1:
            self._offset = self._first - dts
        time = dts + self._offset
        if self._count > self._depth + 1:
            self._step = time - self._last
        self._last = time
        yield time

    def rest(self) -> Iterator[int]:
        """The times of the last pictures."""
        if self._count <= self._depth and self._first is not None:
            self._last = self._first - self._step
        owed, self._depth = min(self._depth, self._count), 0
        for _ in range(owed):
            self._last += self._step
            yield self._last


def ordinal_time(ordinal: int, *, video: VideoInfo) -> int:
    """The invented time of the n-th picture of a stream that has none: on its rate's own lattice from 0, in ticks."""
    rate = video.rate_from_codec or video.rate_from_header or Fraction(25)
    return round_half_up(ordinal / (rate * video.time_base))


def _runs(times: Ticks, key: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges between backward jumps: a random-access point is shown after all that is decoded before it."""
    if times.size == 0:
        return []
    starts, read, highest = [0], 0, int(times[0])
    for index in (np.flatnonzero(key[1:]) + 1).tolist():
        highest = max(highest, int(times[read:index].max()))
        read = index
        if int(times[index]) < highest:
            starts.append(index)
            highest = int(times[index])
    return list(zip(starts, (*starts[1:], int(times.size)), strict=True))


def _in_order(
    times: Ticks, key: npt.NDArray[np.bool_], *, first_key: int | None, skipped: Counter[str]
) -> tuple[Ticks, npt.NDArray[np.bool_]]:
    """One run in presentation order, without what no decoder shows: pictures before the first random-access point."""
    if first_key is not None:
        shown = times >= first_key
        skipped[EARLY] += int((~shown).sum())
        times, key = times[shown], key[shown]
    order = np.argsort(times, kind="stable")
    times, key = times[order], key[order]
    new = np.concatenate(([True], np.diff(times) > 0))[: times.size]
    skipped[TWICE] += int((~new).sum())
    return times[new], key[new]
