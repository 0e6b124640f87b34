"""`verify`: what of a restored film is the source's own, and what is not: every packet and frame, by hash."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from codec_plugin.errors import InputError, VerificationFailed
from codec_plugin.media.gops import CodedFilm, CodedPicture, coded_film
from codec_plugin.media.prints import Print, prints
from codec_plugin.media.source import open_input, pick_video
from codec_plugin.media.streams import StreamDigest, stream_digests
from codec_plugin.timing import show_time

_MOST_FINDINGS = 50
_ANOTHER_PICTURE_LEVELS = 16.0  # in the mean of a field, 1/144 of the picture: coding alone stays far below
_ENOUGH = 48  # frames from the beginning on without one that the source shows: the rest isn't looked at
_REWRAPPED = ("subrip", "mov_text", "text")


class Origin(StrEnum):
    """Where a packet or a frame of the restored film comes from."""

    COPIED = "copied"
    """The source's, by hash: a packet's slices bit for bit, a frame's samples."""
    REENCODED = "re-encoded"
    """There is one in the source at this time, and it is another."""
    MADE = "made"
    """There is none in the source at this time, or a note in the stream says that it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One packet or frame of the restored film."""

    pts: int
    """When it is shown, in the restored film's ticks."""
    origin: Origin
    """Where it comes from."""
    made_by: str | None = None
    """Who made it, as the note in the stream says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found."""

    source: str
    """The source's name."""
    restored: str
    """The restored film's name."""
    time_base: Fraction
    """Seconds a tick of the restored film."""
    offset: Fraction
    """Seconds that its times are later than the source's."""
    packets: tuple[Piece, ...]
    """Every packet of the picture, in decode order."""
    frames: tuple[Piece, ...]
    """Every frame, in the order shown."""
    streams: tuple[tuple[str, bool], ...]
    """The source's other streams, in words, and whether each is there packet for packet."""
    failures: tuple[str, ...]
    """What a restored film must not have: frames lost, times repeated, copied packets that decode otherwise …"""
    notes: tuple[str, ...]
    """What else there is to know."""

    def count(self, pieces: tuple[Piece, ...]) -> dict[Origin, int]:
        """How many there are of each origin."""
        counts = Counter(piece.origin for piece in pieces)
        return {origin: counts[origin] for origin in Origin}

    @property
    def made_by(self) -> dict[str, int]:
        """Packets that a note marks as made, by who made them."""
        return dict(Counter(piece.made_by for piece in self.packets if piece.made_by))


def verify(
    source: str | Path,
    restored: str | Path,
    *,
    video: int | None = None,
    progress: Callable[[int], None] = lambda frames: None,
) -> Verification:
    """Holds a restored film against its source; both are decoded once, side by side.

    Args:
        source: the film that was restored.
        restored: what came of it.
        video: index of the source's picture stream; None for its own.
        progress: called with the number of frames of the restored film so far.

    Raises:
        InputError: one of them can't be read, or is a pipe.
        VerificationFailed: they are different films, so that a list of faults would say nothing.
    """
    paths = Path(source), Path(restored)
    if any(str(path) == "-" for path in paths):
        raise InputError("verify reads both films twice, which a pipe doesn't allow; save it to a file first")
    sizes = _size(paths[0], video), _size(paths[1], None)
    if sizes[0] != sizes[1]:
        one, other = (f"{width}x{height}" for width, height in sizes)
        raise VerificationFailed(f"{source} and {restored} are different films: one is {one}, the other {other}")
    old, new = coded_film(paths[0], video=video), coded_film(paths[1])
    offset = _first(new) - _first(old)
    failures = list(_time_failures(new))
    packets = _packets(old, new, offset)
    frames = _Frames(old, new, offset, {piece.pts: piece for piece in packets})
    for count, piece in enumerate(frames.walk(prints(paths[0], video=video), prints(paths[1])), start=1):
        frames.pieces.append(piece)
        progress(count)
        if frames.strangers == count == _ENOUGH:
            break
    if frames.are_strangers:
        told = f"{frames.strangers} of {frames.pairs} frames at the same times are different pictures"
        raise VerificationFailed(
            f"{source} and {restored} are different films: {told if frames.pairs else 'they share not one time'}"
        )
    streams = tuple(_streams(*map(stream_digests, paths)))
    failures += frames.failures
    failures += [f"{name} is not there packet for packet" for name, is_same in streams if not is_same]
    return Verification(
        source=str(source),
        restored=str(restored),
        time_base=new.time_base,
        offset=offset,
        packets=packets,
        frames=tuple(frames.pieces),
        streams=streams,
        failures=tuple(failures[:_MOST_FINDINGS]),
        notes=tuple(frames.notes),
    )


def _size(path: Path, video: int | None) -> tuple[int, int]:
    with open_input(path) as container:
        context = pick_video(container, video).codec_context
        return context.width, context.height


def _first(film: CodedFilm) -> Fraction:
    times = [picture.pts for picture in film.pictures if picture.pts is not None and not picture.is_hidden]
    if not times:
        raise InputError("one of the films has no packet with a presentation time")
    return min(times) * film.time_base


def _time_failures(film: CodedFilm) -> Iterator[str]:
    shown = sorted(p.pts for p in film.pictures if p.pts is not None and not p.is_hidden)
    for one, other in pairwise(shown):
        if one == other:
            yield f"two packets are shown at pts {one} ({show_time(one * film.time_base)})"
    decoded = [picture.dts for picture in film.pictures if picture.dts is not None]
    if any(one >= other for one, other in pairwise(decoded)):
        yield "decode times don't rise"


class _Nearest:
    """Finds the source's packets beside the restored film's times, give or take what both containers round."""

    def __init__(self, old: CodedFilm, new: CodedFilm, offset: Fraction) -> None:
        shown = [p for p in old.pictures if p.pts is not None and not p.is_hidden]
        self._pictures = sorted(shown, key=lambda picture: picture.pts or 0)
        self._seconds = [(picture.pts or 0) * old.time_base for picture in self._pictures]
        self._offset, self._tick = offset, new.time_base
        self._slack = slack(old, new)

    def at(self, pts: int) -> list[CodedPicture]:
        """What the source shows at a time of the restored film: one packet, or none."""
        wanted = pts * self._tick - self._offset
        start = bisect_left(self._seconds, wanted - self._slack)
        stop = bisect_right(self._seconds, wanted + self._slack)
        return self._pictures[start:stop]


def slack(old: CodedFilm, new: CodedFilm) -> Fraction:
    """Seconds that containers with other ticks may move a frame by."""
    return old.time_base + new.time_base if old.time_base != new.time_base else Fraction(0)


def _packets(old: CodedFilm, new: CodedFilm, offset: Fraction) -> tuple[Piece, ...]:
    nearest = _Nearest(old, new, offset)
    pieces = []
    for picture in new.pictures:
        if picture.pts is None or picture.is_hidden:
            continue
        made_by = picture.note.made_by if picture.note else None
        there = nearest.at(picture.pts)
        if any(picture.digest == own.digest for own in there):
            origin = Origin.COPIED
        elif made_by is None and there:
            origin = Origin.REENCODED
        else:
            origin = Origin.MADE
        pieces.append(Piece(pts=picture.pts, origin=origin, made_by=made_by))
    return tuple(pieces)


class _Frames:
    """The walk through both films' frames."""

    def __init__(self, old: CodedFilm, new: CodedFilm, offset: Fraction, packets: dict[int, Piece]) -> None:
        self._old, self._new, self._offset, self._packets = old, new, offset, packets
        self._slack = slack(old, new)
        self.pairs = self.strangers = 0
        self.pieces: list[Piece] = []
        self.failures: list[str] = []
        self.notes: list[str] = []

    @property
    def are_strangers(self) -> bool:
        """Whether most of what both films show at the same times are different pictures, or they share no time."""
        return self.strangers * 2 > self.pairs or not self.pairs

    def walk(self, before: Iterator[Print], after: Iterator[Print]) -> Iterator[Piece]:
        """Both in the order shown; a frame of the source without a partner is a failure."""
        waiting = next(before, None)
        lost_in_source = 0
        for found in after:
            at = found.pts * self._new.time_base - self._offset
            while waiting is not None and self._seconds(waiting) < at - self._slack:
                self._lost(waiting)
                waiting = next(before, None)
            own = None
            if waiting is not None and self._seconds(waiting) <= at + self._slack:
                own, waiting = waiting, next(before, None)
            if own is not None:
                lost_in_source += own.is_damaged
                self.pairs += 1
                is_sound = not (own.is_damaged or found.is_damaged)
                self.strangers += is_sound and own.differs_most(found) > _ANOTHER_PICTURE_LEVELS
            yield self._piece(found, own)
        while waiting is not None:
            self._lost(waiting)
            waiting = next(before, None)
        if lost_in_source:
            self.notes.append(f"{lost_in_source} of the source's own pictures don't decode cleanly")

    def _piece(self, found: Print, own: Print | None) -> Piece:
        packet = self._packets.get(found.pts)
        where = f"the frame at pts {found.pts} ({show_time(found.pts * self._new.time_base)})"
        if found.is_damaged and not (own is not None and own.is_damaged):
            self.failures.append(f"{where} doesn't decode cleanly")
        is_same = own is not None and not found.is_damaged and found.digest == own.digest
        if (
            packet is not None
            and packet.origin is Origin.COPIED
            and own is not None
            and not own.is_damaged
            and not is_same
        ):
            self.failures.append(f"{where} has the source's own packet and decodes otherwise")
        made_by = packet.made_by if packet else None
        if is_same:
            return Piece(pts=found.pts, origin=Origin.COPIED)
        if own is not None and made_by is None:
            if not (own.is_damaged or found.is_damaged) and own.differs_most(found) > _ANOTHER_PICTURE_LEVELS:
                self.failures.append(f"{where} was encoded again and shows another picture than the source's")
            return Piece(pts=found.pts, origin=Origin.REENCODED)
        return Piece(pts=found.pts, origin=Origin.MADE, made_by=made_by)

    def _lost(self, own: Print) -> None:
        if not own.is_damaged:
            self.failures.append(f"the source's frame at pts {own.pts} ({show_time(self._seconds(own))}) is missing")

    def _seconds(self, own: Print) -> Fraction:
        return own.pts * self._old.time_base


def _streams(old: list[StreamDigest], new: list[StreamDigest]) -> Iterator[tuple[str, bool]]:
    """Each other stream of the source, and whether one of the restored film's has its very packets."""
    there = Counter(stream.digest for stream in new)
    codecs = {stream.codec for stream in new}
    for stream in old:
        if stream.codec not in codecs and stream.codec in _REWRAPPED:
            continue  # its text is there in another wrapping, which no hash can tell
        is_same = there[stream.digest] > 0
        there[stream.digest] -= is_same
        yield stream.name, is_same
