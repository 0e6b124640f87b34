"""`thin`: a low-rate stream that keeps its original clock. The other half of the round trip."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from codec_plugin.errors import Cancelled, OptionError
from codec_plugin.job import Job, Progress
from codec_plugin.media.packets import Packet, packet_table
from codec_plugin.media.readback import check_times
from codec_plugin.media.reader import Frame, Reader
from codec_plugin.media.sideinfo import SideNote
from codec_plugin.media.source import Source
from codec_plugin.media.writer import Writer, check_target
from codec_plugin.options import RATE_RANGE, RestoreOptions
from codec_plugin.report import Note
from codec_plugin.runner import check_source, happened
from codec_plugin.stages import ahead
from codec_plugin.thinning.dropmap import drop_notes, drop_tags
from codec_plugin.timeline.scan import Scan, scan
from codec_plugin.timing import Ticks, round_half_up

_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepEvery:
    """Every n-th slot stays."""

    n: int
    """At least 2."""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise OptionError(f"--keep-every must be at least 2, not {self.n}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRate:
    """About this many frames a second stay: those nearest to the rate's own grid."""

    rate: Fraction
    """Frames a second, below the source's."""

    def __post_init__(self) -> None:
        RATE_RANGE.check("--fps", self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRanges:
    """Named frames go."""

    ranges: tuple[tuple[int, int], ...]
    """Half-open ranges [start, stop) of frame numbers; the first frame is 0."""

    @classmethod
    def parse(cls, text: str) -> DropRanges:
        """Ranges from text: "10:14,30" drops frames 10, 11, 12, 13 and 30.

        Raises:
            OptionError: it can't be read so.
        """
        ranges = []
        for part in text.split(","):
            start, colon, stop = part.strip().partition(":")
            try:
                first = int(start)
                ranges.append((first, int(stop) if colon else first + 1))
            except ValueError as error:
                raise OptionError(f"--drop takes ranges like 10:14,30 (stop not included), not {text!r}") from error
        if any(not 0 <= a < b for a, b in ranges):
            raise OptionError(f"--drop: each range must rise from 0 on, as in 10:14, not {text!r}")
        return cls(ranges=tuple(ranges))


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTimes:
    """Frames named by their times go."""

    pts: tuple[int, ...]
    """In source ticks."""
    engine: str | None = None
    """Who was seen to make them again well; goes into the stream's notes."""


Pattern = KeepEvery | KeepRate | DropRanges | DropTimes
"""Which frames go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning:
    """What `thin` did."""

    frames: int
    """Frames of the source."""
    dropped: tuple[int, ...]
    """Times of the frames left out, in source ticks."""
    encoder: str
    """The encoder and what it was told: the quality that the rest was re-encoded with."""
    offset: Fraction
    """Seconds that all times were moved by."""
    byte_count: int
    """Bytes of the picture stream that was written."""
    notes: tuple[Note, ...]
    """What else there is to know: the scan's notes, what was counted, what the container could not hold."""


def choose_dropped(found: Scan, pattern: Pattern) -> tuple[int, ...]:
    """The times of the frames that go, in source ticks; never the first or the last of a segment. Pure.

    Raises:
        OptionError: a range is outside the film.
    """
    dropped: list[int] = []
    number, count = 0, found.timeline.frame_count
    if isinstance(pattern, DropRanges) and max(stop for _, stop in pattern.ranges) > count:
        raise OptionError(f"--drop: {found.info.name} has {count} frames (0 to {count - 1})")
    for segment in found.timeline.segments:
        pts = [int(p) for p in segment.pts]
        if isinstance(pattern, KeepEvery):
            slots = [segment.clock.slot_of(p) - segment.clock.slot_of(pts[0]) for p in pts] if segment.clock else None
            kept = {p for i, p in enumerate(pts) if (slots[i] if slots else i) % pattern.n == 0}
        elif isinstance(pattern, DropTimes):
            kept = set(pts).difference(pattern.pts)
        elif isinstance(pattern, KeepRate):
            kept = _nearest(pts, period=1 / (pattern.rate * found.timeline.time_base))
        else:
            gone = {i for start, stop in pattern.ranges for i in range(start, stop)}
            kept = {p for i, p in enumerate(pts, start=number) if i not in gone}
        dropped += [p for p in pts[1:-1] if p not in kept]
        number += len(pts)
    return tuple(dropped)


def thin(
    source: Source,
    target: str | os.PathLike[str],
    *,
    pattern: Pattern,
    job: Job | None = None,
    options: RestoreOptions | None = None,
) -> Thinning:
    """Re-encodes a film without some of its frames; the rest keep their exact times.

    Args:
        source: a path or an open, seekable file.
        target: the output; its ending says the format.
        pattern: which frames go; the first and the last always stay.
        job: encoder, window and the like.
        options: `rate`, `max_gap` and `deinterlace` are used.

    Raises:
        InputError, OutputError: on either side; nothing is left under the target's name.
        OptionError: the pattern doesn't fit the film.
    """
    job, path = job or Job(), Path(target)
    as_path = Path(source) if isinstance(source, (str, os.PathLike)) else None
    check_target(path, source=as_path, overwrite=job.overwrite)
    options = options or RestoreOptions()
    found = scan(source, options=options, video=job.video, window=job.window)
    check_source(found, options)
    dropped = choose_dropped(found, pattern)
    engine = pattern.engine if isinstance(pattern, DropTimes) else None
    main = found.timeline.main
    clock = main.clock if main else None
    rate = (clock.rate if clock else main.fit.rate_from_content if main else None) or Fraction(25)
    with (
        Reader(
            source, video=job.video, threads=job.encode.threads, window=job.window, deinterlace=options.deinterlace
        ) as reader,
        Writer(
            path,
            source=reader.container,
            picture=reader.stream,
            encode=job.encode,
            rate=rate,
            time_base=found.timeline.time_base,
            offset=-max(job.window.bounds(reader.info)[0], Fraction(0)),
            drop_unsupported=job.drop_unsupported,
            appearance=lambda: reader.appearance,
            tags=drop_tags(found, dropped, engine=engine),
        ) as writer,
    ):
        side_notes = drop_notes(found, dropped, engine=engine)
        written = _copy_kept(reader, writer, set(dropped), side_notes, job, total=found.timeline.frame_count)
        writer.finish()
        offset = check_times(writer, written, time_base=found.timeline.time_base)
        byte_count = packet_table(writer.part, ordinal=writer.picture_ordinal).byte_count
        writer.commit()
    notes = [Note(kind="scan", text=text) for text in found.notes]
    notes += [Note(kind="lost", text=str(loss)) for loss in writer.losses]
    notes += happened(reader, offset)
    assert writer.choice is not None  # at least the first frame was written
    return Thinning(
        frames=found.timeline.frame_count,
        dropped=dropped,
        encoder=writer.choice.describe(),
        offset=offset,
        byte_count=byte_count,
        notes=tuple(notes),
    )


def _copy_kept(
    reader: Reader, writer: Writer, dropped: set[int], notes: Mapping[int, SideNote], job: Job, *, total: int
) -> Ticks:
    seen = 0
    times = array("q")
    with closing(ahead(reader.items(copied=writer.copied_indices), depth=_DEPTH)) as items:
        for item in items:
            if isinstance(item, Packet):
                writer.write_packet(item)
            elif job.cancelled():
                raise Cancelled(f"{reader.info.name}: stopped as asked")
            elif isinstance(item, Frame) and item.pts is not None:
                seen += 1
                if item.pts not in dropped:
                    times.append(item.pts)
                    writer.write_frame(item, pts=item.pts, note=notes.get(item.pts))
                job.progress(Progress(stage="thin", frames=seen, total=total, made=0))
    return np.asarray(times, dtype=np.int64)


def _nearest(pts: Sequence[int], *, period: Fraction) -> set[int]:
    """For each place of a grid from the first frame on, the frame nearest to it."""
    best: dict[int, int] = {}
    for p in pts:
        place = round_half_up((p - pts[0]) / period)
        off = abs(p - pts[0] - place * period)
        if place not in best or off < abs(best[place] - pts[0] - place * period):
            best[place] = p
    return set(best.values())
