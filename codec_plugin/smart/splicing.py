"""Which packets of a film must be encoded anew for its gaps to be filled, and when those are decoded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from codec_plugin.errors import CannotSplice
from codec_plugin.media.gops import CodedFilm
from codec_plugin.plan import FillTask
from codec_plugin.timing import Ticks

MOST_PICTURES = 6000
"""A run's coded pictures are held in memory, and one that is longer saves nobody anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Packets that give way to newly encoded ones: from a point where time and coding order part, to a cut."""

    start: int
    """The first packet that goes, in decode order; those of its GOP before it stay."""
    stop: int
    """The cut that follows: the first packet that stays, or the number of packets at the end."""
    leading: int
    """Packets right behind the cut that go too: HEVC's leading pictures, which refer to pictures before it."""
    after_pts: int | None
    """The last time shown before the run, in source ticks; None where it begins the film."""
    before_pts: int | None
    """The first time shown after the run; None where it ends the film."""
    decode_from: int
    """The packet that decoding must begin with for the run's first left neighbour to be whole."""
    ends_at_open: bool
    """Whether an HEVC random-access point that is no IDR follows.

    Behind an end of sequence a decoder takes it for a beginning; it then forgets what it had still to show (H.265,
    C.5.2.2), so that nothing may be left over: such a run must not reorder its pictures.
    """
    tasks: tuple[FillTask, ...]
    """What is made in it."""

    def drops(self, index: int) -> bool:
        """Whether a packet gives way."""
        return self.start <= index < self.stop or self.stop < index <= self.stop + self.leading

    def shows(self, pts: int) -> bool:
        """Whether a time, in source ticks, is shown within the run."""
        after, before = self.after_pts, self.before_pts
        return (after is None or pts > after) and (before is None or pts < before)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where a film can be cut."""

    times: Ticks
    """Presentation times in decode order."""
    highest: Ticks
    """The highest time up to each packet."""
    lowest: Ticks
    """The lowest time from each packet on."""
    cuts: tuple[int, ...]
    """Packets that decoding can begin with: IDR; HEVC's CRA and BLA too."""
    leading: dict[int, int]
    """Of the cuts, those whose leading pictures refer to what was before: how many of them follow it."""

    not_idr: frozenset[int]
    """Of the cuts, those that are no IDR."""

    def is_parting(self, index: int) -> bool:
        """Whether everything before a packet is shown before everything from it on."""
        return index == 0 or int(self.highest[index - 1]) < int(self.lowest[index])

    def shown_from(self, cut: int) -> int:
        """The first time that belongs to a cut's own pictures, those without need of what was before."""
        return int(self.times[cut] if cut in self.leading else self.lowest[cut])


def find_runs(film: CodedFilm, tasks: Iterable[FillTask]) -> tuple[Run, ...]:
    """The runs that tasks need, in order; tasks that share a GOP share a run.

    Raises:
        CannotSplice: there is no place to cut, or a run would be too long.
    """
    places = _places(film)
    count = len(film.pictures)
    spans: list[tuple[int, int, list[FillTask]]] = []
    for task in tasks:
        start, stop = _span(places, task, count=count)
        if spans and start <= _end(places, spans[-1][1]):
            first, last, together = spans.pop()
            start, stop = min(first, start), max(last, stop)
            spans.append((start, stop, [*together, task]))
        else:
            spans.append((start, stop, [task]))
    runs = tuple(_run(places, start, stop, together, count=count) for start, stop, together in spans)
    longest = max((run.stop - run.start for run in runs), default=0)
    if longest > MOST_PICTURES:
        raise CannotSplice(
            f"the gap after pts {runs[0].after_pts} has no closed random-access point within {MOST_PICTURES} pictures"
        )
    return runs


def fit_decode_times(
    pts: Sequence[int], wished: Sequence[int], *, after: int | None, before: int | None, step: int
) -> list[int]:
    """Decode times for newly encoded packets between two that stay.

    Args:
        pts: their presentation times in decode order, in ticks.
        wished: the encoder's own decode times, rising.
        after: the decode time of the packet before; None where there is none.
        before: the decode time of the packet after; None where there is none.
        step: ticks that two must be apart for the output to tell them apart.

    Returns:
        Times that rise, strictly between both, none later than its picture is shown, as near to the wish as can be.

    Raises:
        CannotSplice: there is no room.
    """
    latest = list(pts)
    limit = None if before is None else before - step
    for index in range(len(pts) - 1, -1, -1):
        latest[index] = latest[index] if limit is None else min(latest[index], limit)
        limit = latest[index] - step
    fitted: list[int] = []
    for wish, late in zip(wished, latest, strict=True):
        early = None if not fitted and after is None else (fitted[-1] if fitted else after or 0) + step
        if early is not None and early > late:
            raise CannotSplice(f"there are too few ticks before pts {pts[len(fitted)]} for the frames to be made there")
        fitted.append(min(wish if early is None else max(wish, early), late))
    return fitted


def _places(film: CodedFilm) -> _Places:
    times = film.times
    if not times.size or any(picture.pts is None for picture in film.pictures):
        raise CannotSplice("some of its packets have no presentation time")
    if any(picture.dts is None for picture in film.pictures):
        raise CannotSplice("some of its packets have no decode time")
    if any(one.dts >= other.dts for one, other in pairwise(film.pictures)):  # type: ignore[operator]  # none is None
        raise CannotSplice("its packets' decode times don't rise")
    cuts = [index for index, picture in enumerate(film.pictures) if picture.kind and picture.kind.is_random_access]
    if not cuts:
        raise CannotSplice("it has no closed random-access point (IDR) to cut at")
    lowest = np.minimum.accumulate(times[::-1])[::-1]
    highest: npt.NDArray[np.int64] = np.maximum.accumulate(times)
    leading = {cut: count for cut in cuts if (count := _open_leading(film, cut))}
    not_idr = frozenset(cut for cut in cuts if not (kind := film.pictures[cut].kind) or not kind.is_idr)
    return _Places(times=times, highest=highest, lowest=lowest, cuts=tuple(cuts), leading=leading, not_idr=not_idr)


def _open_leading(film: CodedFilm, cut: int) -> int:
    """How many leading pictures follow a cut, if one of them refers to what was before."""
    count, is_open = 0, False
    for picture in film.pictures[cut + 1 :]:
        if picture.kind is None or not picture.kind.is_leading:
            break
        count += 1
        is_open |= picture.kind.is_skipped_leading
    return count if is_open else 0


def _span(places: _Places, task: FillTask, *, count: int) -> tuple[int, int]:
    """The packets [start, stop) that a task replaces."""
    stop = count
    if task.right_pts is not None:
        right = task.right_pts
        stop = next((cut for cut in places.cuts if places.shown_from(cut) >= right), count)
    if task.left_pts is None:
        return 0, stop
    # The highest time before a packet only rises: the last place whose past is all shown by the left neighbour.
    start = min(int(np.searchsorted(places.highest, task.left_pts, side="right")), stop)
    while not places.is_parting(start):
        start -= 1
    return start, stop


def _end(places: _Places, stop: int) -> int:
    """The first packet behind a run that stays for good."""
    return stop + places.leading.get(stop, 0)


def _run(places: _Places, start: int, stop: int, tasks: Sequence[FillTask], *, count: int) -> Run:
    first = tasks[0].left_pts
    left = 0 if first is None else int(np.flatnonzero(places.times == first)[0])
    leading = places.leading.get(stop, 0)
    return Run(
        start=start,
        stop=stop,
        leading=leading,
        after_pts=int(places.highest[start - 1]) if start else None,
        before_pts=None if stop == count else places.shown_from(stop),
        decode_from=_whole_from(places, left),
        ends_at_open=stop in places.not_idr,
        tasks=tuple(tasks),
    )


def _whole_from(places: _Places, index: int) -> int:
    """The cut to decode from so that a packet's picture is whole."""
    cut = max((cut for cut in places.cuts if cut <= index), default=0)
    if index <= cut + places.leading.get(cut, 0) and index != cut:
        cut = max((other for other in places.cuts if other < cut), default=0)
    return cut
