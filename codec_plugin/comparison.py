"""Two films, frame by frame: which frames have a partner at their time, and how alike the partners are.

Frames pair by presentation time, after the common offset of the two films is taken off: two that are each
other's nearest, and less than half of the reference's local frame distance apart, or no further than both
containers round (a tick each). What is then without a partner is missing or extra.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import isinf
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from codec_plugin.errors import InputError
from codec_plugin.media.reader import Reader
from codec_plugin.media.similarity import (
    FrameScores,
    Scores,
    ScoreSheet,
    Similarity,
    Thumbnail,
    beginning,
    timed_frames,
)
from codec_plugin.media.source import Source

Picture = TypeVar("Picture")
Partner = TypeVar("Partner")

_LONE_GAP = Fraction(1, 25)  # the frame distance of a film with one frame
_LEAD_FRAMES, _PAIRS_TO_TRUST = 24, 4  # to find the offset by: a film may lack 20 of the other's first frames
# A film may have passed through Matroska on its way; a tick coarser than two of its is the frame distance itself.
_LEAST_ROUNDING, _MOST_ROUNDING = Fraction(1, 1000), Fraction(1, 500)
_NOT_ALIKE_LEVELS = 12.0  # thumbnails of the same picture, however coarsely coded, differ by less than this
_DOUBT = (
    "the films begin with different pictures, so frames may be paired wrongly; "
    "state the offset, restored less reference, if you know it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A frame that is there, but not at its time."""

    at: Fraction
    """When the reference shows it, seconds."""
    by: Fraction
    """How much later the restored film does, after the common offset, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two films have in common."""

    reference: str
    """What to call the reference in messages."""
    restored: str
    """What to call the restored film."""
    reference_frames: int
    """Frames of the reference that could be decoded."""
    restored_frames: int
    """Frames of the restored film that could be decoded."""
    offset: Fraction
    """What was taken off the restored film's times, seconds."""
    missing: tuple[Fraction, ...]
    """When the reference shows frames that have no partner, seconds."""
    extra: tuple[Fraction, ...]
    """When the restored film shows frames that have none, seconds in the reference's time."""
    moved: tuple[Moved, ...]
    """Pairs further apart than both containers' rounding, a tick each, and than 1 ms."""
    overall: Scores | None
    """All pairs; None where there are none."""
    made: Scores | None
    """The pairs whose restored frame was made; None without a report, or where none was."""
    kept: Scores | None
    """The pairs whose restored frame is a source frame; None without a report, or where none is."""
    notes: tuple[str, ...] = ()
    """What else must be known: conversions, measures that aren't there, damage, doubts."""

    def to_json(self) -> str:
        """The comparison as a JSON object: times in seconds, an infinite value as the string "inf"."""
        content = {"kind": "codec-plugin comparison", "version": 1, **asdict(self), "offset": str(self.offset)}
        return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrames:
    """Which frames of a restored film were made, as its restore report says."""

    times: tuple[Fraction, ...]
    """When they are shown, rising, seconds in the restored film."""
    tick: Fraction
    """What those times were rounded to, seconds."""
    offset: Fraction
    """What `restore` added to the source's times, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Generic[Picture]):
    """A picture and its place in time."""

    time: Fraction
    """When it is shown, seconds."""
    gap: Fraction
    """How far its nearer neighbour is, seconds."""
    picture: Picture
    """A frame, or what stands for one."""


def compare(
    reference: Source,
    restored: Source,
    *,
    report: str | os.PathLike[str] | None = None,
    offset: Fraction | None = None,
    deinterlace: bool = False,
    progress: Callable[[int, Fraction], None] | None = None,
) -> Comparison:
    """Compares a restored film with the one it should be.

    Both are decoded side by side, with a few frames of each in memory; before that their first 24 frames are
    decoded, to find the common offset.

    Args:
        reference: the film as it should be.
        restored: the film to judge, of the same size.
        report: the JSON report of `restore`, which says which frames were made; without it nobody knows.
        offset: the common offset (restored less reference) in seconds; found by itself where None.
        deinterlace: whether the reference is made whole first, as `restore --deinterlace` makes its source.
        progress: called for each pair with the number of pairs so far and its time in the reference.

    Raises:
        InputError: a film or the report can't be read, is a pipe, or the films differ in size.
        UnsupportedInput: a film is interlaced, changes its size, or has a pixel format FFmpeg can't compare.
    """
    made = read_made(report) if report is not None else None
    leads = (
        list(spaced(beginning(reference, frames=_LEAD_FRAMES, deinterlace=deinterlace))),
        list(spaced(beginning(restored, frames=_LEAD_FRAMES))),
    )
    with Reader(reference, deinterlace=deinterlace) as one, Reader(restored) as other:
        ticks = one.info.video.time_base, other.info.video.time_base
        rounding, difference = max(ticks[0] + ticks[1], _LEAST_ROUNDING), 0.0
        if offset is None:
            hints = () if made is None else (made.offset,)
            offset, difference = find_offset(*leads, rounding=rounding, hints=hints)
        walk = _Walk(offset, made=made, ticks=ticks)
        similarity = Similarity(rate=one.info.video.rate_from_header)
        for left, right in pair_frames(
            spaced(timed_frames(one)), spaced(timed_frames(other)), offset=offset, rounding=rounding
        ):
            if left is None or right is None:
                walk.note_lone(left, right)
                continue
            walk.note_pair(left, right, similarity.score(left.picture, right.picture))
            if progress is not None:
                progress(len(walk.sheet), left.time)
        doubts = (_DOUBT,) if difference > _NOT_ALIKE_LEVELS else ()
        notes = (*doubts, *similarity.notes, *walk.doubts(), *_damage(one), *_damage(other))
        return walk.result(names=(one.info.name, other.info.name), notes=notes)


def read_made(report: str | os.PathLike[str]) -> MadeFrames:
    """Reads from a restore report which frames were made.

    The report is a JSON object with "output_time_base" (a fraction, "1/60000"), "made" (time stamps in it, on
    the source's timeline) and "offset" (a fraction of seconds, which the output adds to them).

    Raises:
        InputError: it can't be read, or isn't such a report.
    """
    name = os.fspath(report)
    try:
        content = json.loads(Path(report).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{name}: can't read the report: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{name}: not a JSON report of restore ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise InputError(f"{name}: not a report of restore, which is a JSON object with an integer 'version'")
    made = content.get("made")
    if not isinstance(made, list) or not all(type(pts) is int for pts in made):
        raise InputError(f"{name}: 'made' must be a list of integer time stamps; is this restore's report?")
    tick = _fraction(content.get("output_time_base"), f"{name}: 'output_time_base'")
    if tick <= 0:
        raise InputError(f"{name}: 'output_time_base' must be above 0, not {tick}")
    offset = _fraction(content.get("offset", "0"), f"{name}: 'offset'")
    return MadeFrames(times=tuple(pts * tick + offset for pts in sorted(made)), tick=tick, offset=offset)


def spaced(timed: Iterable[tuple[Fraction, Picture]]) -> Iterator[Shown[Picture]]:
    """Pictures with the distance to their nearer neighbour; holds two of them.

    Args:
        timed: (seconds, picture), times strictly rising.
    """
    before: Fraction | None = None
    held: tuple[Fraction, Picture] | None = None
    for time, picture in timed:
        if held is not None:
            after = time - held[0]
            yield Shown(time=held[0], gap=min(after, before or after), picture=held[1])
            before = after
        held = time, picture
    if held is not None:
        yield Shown(time=held[0], gap=before or _LONE_GAP, picture=held[1])


def pair_frames(
    reference: Iterable[Shown[Picture]],
    restored: Iterable[Shown[Partner]],
    *,
    offset: Fraction,
    rounding: Fraction,
) -> Iterator[tuple[Shown[Picture] | None, Shown[Partner] | None]]:
    """Pairs two films, each in presentation order, by time; holds two pictures of each.

    Args:
        reference: one film.
        restored: the other.
        offset: what is taken off the restored film's times, seconds.
        rounding: how far apart a pair may be in any case, seconds; no more than 2 ms count.

    Yields:
        (reference, restored) for a pair, (reference, None) where missing, (None, restored) where extra.
    """
    left, right = _Heads(reference), _Heads(restored)
    while left.head is not None and right.head is not None:
        lateness = right.head.time - offset - left.head.time
        distance = abs(lateness)
        if right.next is not None and abs(right.next.time - offset - left.head.time) < distance:
            yield None, right.take()
        elif left.next is not None and abs(right.head.time - offset - left.next.time) < distance:
            yield left.take(), None
        elif 2 * distance < left.head.gap or distance <= min(rounding, _MOST_ROUNDING):
            yield left.take(), right.take()
        elif lateness > 0:
            yield left.take(), None
        else:
            yield None, right.take()
    while left.head or right.head:
        yield (left.take(), None) if left.head else (None, right.take())


def find_offset(
    reference: Sequence[Shown[Thumbnail]],
    restored: Sequence[Shown[Thumbnail]],
    *,
    rounding: Fraction,
    hints: Sequence[Fraction] = (),
) -> tuple[Fraction, float]:
    """Finds the common offset of two films by the beginning of each.

    Tried are the hints, 0, first frame on first frame, and each beginning lacking some of the other's frames.
    The pictures decide; where they look equally alike (a still, black), the first in that order is taken.

    Args:
        reference: the first frames of the reference, at least one.
        restored: the first frames of the restored film, at least one.
        rounding: how far a frame may be off its time by the containers' fault, seconds.
        hints: offsets that somebody claims, seconds.

    Returns:
        The offset, restored less reference, in seconds, and the median difference of the thumbnails there.
    """

    def aligned_at(offset: Fraction) -> list[tuple[Shown[Thumbnail], Shown[Thumbnail]]]:
        both = pair_frames(reference, restored, offset=offset, rounding=rounding)
        pairs = [(one, other) for one, other in both if one and other]
        return [(one, other) for one, other in pairs if abs(other.time - offset - one.time) <= rounding]

    stated = (*hints, Fraction(0))
    tried = dict.fromkeys((*stated, *(frame.time - reference[0].time for frame in restored)))
    tried |= dict.fromkeys(restored[0].time - frame.time for frame in reference)
    aligned = {offset: aligned_at(offset) for offset in tried}
    needed = min(_PAIRS_TO_TRUST, max(len(pairs) for pairs in aligned.values()))
    differences = {
        offset: float(np.median([np.abs(one.picture - other.picture).mean() for one, other in pairs]))
        for offset, pairs in aligned.items()
        if len(pairs) >= needed
    }
    limit = min(differences.values()) * 1.2 + 0.1  # coding noise: less than this is no difference
    offset, difference = next(item for item in differences.items() if item[1] <= limit)
    if offset not in stated:  # the difference of two rounded times; the middle of many is nearer the truth
        steps = [other.time - one.time for one, other in aligned[offset]]
        offset = (min(steps) + max(steps)) / 2
    return offset, difference


class _Heads(Generic[Picture]):
    """An iterator whose next two items can be seen."""

    def __init__(self, items: Iterable[Shown[Picture]]) -> None:
        self._items = iter(items)
        self.head, self.next = next(self._items, None), next(self._items, None)

    def take(self) -> Shown[Picture]:
        taken = self.head
        assert taken is not None  # the callers look first
        self.head, self.next = self.next, next(self._items, None)
        return taken


class _Walk:
    """What is found on the way through two films."""

    def __init__(self, offset: Fraction, *, made: MadeFrames | None, ticks: Sequence[Fraction]) -> None:
        self.sheet = ScoreSheet(tick=ticks[0])
        self._offset, self._made = offset, made
        self._rounding = max(sum(ticks), _LEAST_ROUNDING)
        self._made_rounding = ticks[1] + (made.tick if made else 0)
        self._missing, self._extra, self._moved = list[Fraction](), list[Fraction](), list[Moved]()
        self._made_found = self._made_alone = 0

    def note_pair(self, left: Shown[Any], right: Shown[Any], scores: FrameScores) -> None:
        by = right.time - self._offset - left.time
        if abs(by) > self._rounding:
            self._moved.append(Moved(at=left.time, by=by))
        self.sheet.add(scores, at=left.time, is_made=self._is_made(right))

    def note_lone(self, left: Shown[Any] | None, right: Shown[Any] | None) -> None:
        if left is not None:
            self._missing.append(left.time)
        if right is not None:
            self._extra.append(right.time - self._offset)
            self._made_alone += self._is_made(right)

    def doubts(self) -> Iterator[str]:
        """What the report says that the restored film doesn't bear out, or the reference can't judge."""
        if self._made is None:
            return
        told, shift = len(self._made.times), self._made.offset
        if told and abs(shift - self._offset) > self._rounding:
            yield f"made frames are taken by the report's offset, {shift} s; the films' is {self._offset} s"
        if told and not self._made_found:
            yield f"none of the report's {told} made frames is in the restored film; is it another film's?"
        elif self._made_found != told:
            yield f"{told - self._made_found} of the report's {told} made frames aren't in the restored film"
        if self._made_alone:
            yield f"{self._made_alone} made frames have no partner in the reference and aren't measured"

    def result(self, *, names: tuple[str, str], notes: tuple[str, ...]) -> Comparison:
        known = self._made is not None
        return Comparison(
            reference=names[0],
            restored=names[1],
            reference_frames=len(self.sheet) + len(self._missing),
            restored_frames=len(self.sheet) + len(self._extra),
            offset=self._offset,
            missing=tuple(self._missing),
            extra=tuple(self._extra),
            moved=tuple(self._moved),
            overall=self.sheet.summary(),
            made=self.sheet.summary(made=True) if known else None,
            kept=self.sheet.summary(made=False) if known else None,
            notes=notes,
        )

    def _is_made(self, shown: Shown[Any]) -> bool:
        if self._made is None:
            return False
        times = self._made.times
        index = bisect_left(times, shown.time)
        distances = [abs(time - shown.time) for time in times[max(index - 1, 0) : index + 1]]
        # Nearer than any other frame of the film: a coarse tick must not mark a made frame's neighbours too.
        found = any(near <= self._made_rounding and 2 * near < shown.gap for near in distances)
        self._made_found += found
        return found


def _damage(reader: Reader) -> Iterator[str]:
    counts = ((what, count) for what, count in reader.counts.items() if what != "frames")
    return (f"{reader.info.name}: {count} {what}" for what, count in counts)


def _fraction(value: object, what: str) -> Fraction:
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f'{what} must be a fraction such as "1/60000", not {value!r}') from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Fraction):
        return round(float(value), 9)
    return "inf" if isinstance(value, float) and isinf(value) else value
