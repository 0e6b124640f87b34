"""Whether a spliced film shows what it should, found out before it gets its final name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from codec_plugin.errors import CannotSplice
from codec_plugin.media.gops import CodedFilm, coded_film
from codec_plugin.media.prints import Print, prints
from codec_plugin.media.writer import Writer
from codec_plugin.options import Check
from codec_plugin.smart.splicing import Run
from codec_plugin.smart.stretch import window_between

_NOT_ALIKE_LEVELS = 16.0  # mean difference of 16x9 thumbnails, of 255; coarse coding stays below a quarter of it
_BEHIND = 48  # pictures looked at behind a run, up to its second cut: a decoder that went astray shows it at once


def check_splices(
    writer: Writer, source: Path, *, film: CodedFilm, runs: Sequence[Run], video: int | None, check: Check
) -> None:
    """Holds a finished file against its source: all packets by hash, and the pictures around each splice decoded.

    A packet that stays decodes as it did if everything that it refers to does, and a random-access point refers to
    nothing before it. So the pictures that need a proof are those of the GOP before a run, of the run, and of the GOP
    behind it. `Check.ALL` trusts nobody and decodes both films from end to end, which takes longer than the splicing.

    Args:
        writer: after `finish`, before `commit`.
        source: the film it was made from.
        film: that film's packets.
        runs: what was encoded anew.
        video: index of the source's picture stream; None for its own.
        check: which pictures are decoded.

    Raises:
        CannotSplice: a packet or a picture isn't what it should be.
    """
    result = coded_film(writer.part, ordinal=writer.picture_ordinal)
    _check_packets(result, film, runs)
    offset = _offset(result, film)
    if check is Check.ALL:
        shift = _Shift(offset, film.time_base, result.time_base)
        _check_every(prints(source, video=video), prints(writer.part, ordinal=writer.picture_ordinal), runs, shift)
        return
    for run in runs:
        _check_pictures(writer, source, run, runs, film=film, result=result, offset=offset, video=video)


def _check_packets(result: CodedFilm, film: CodedFilm, runs: Sequence[Run]) -> None:
    """Every packet that stays is there, in order, and decode times rise."""
    kept = [p.digest for index, p in enumerate(film.pictures) if not any(run.drops(index) for run in runs)]
    there = iter(picture.digest for picture in result.pictures)
    lost = sum(digest not in there for digest in kept)  # `in` reads on to the digest: an ordered subset
    if lost:
        raise CannotSplice(f"{lost} of {len(kept)} packets that were to be kept came out of the container otherwise")
    times = [picture.dts for picture in result.pictures if picture.dts is not None]
    if any(one >= other for one, other in pairwise(times)):
        raise CannotSplice("the container's decode times don't rise")


def _offset(result: CodedFilm, film: CodedFilm) -> Fraction:
    """Seconds that the result's times are later than the film's."""
    first = min(p.pts for p in film.pictures if p.pts is not None and not p.is_hidden)
    shown = min(p.pts for p in result.pictures if p.pts is not None and not p.is_hidden)
    return shown * result.time_base - first * film.time_base


def _check_pictures(
    writer: Writer,
    source: Path,
    run: Run,
    runs: Sequence[Run],
    *,
    film: CodedFilm,
    result: CodedFilm,
    offset: Fraction,
    video: int | None,
) -> None:
    first = film.pictures[run.decode_from].pts if run.decode_from else None
    last = _behind(film, run)
    before = list(prints(source, window=window_between(source, film, first_pts=first, last_pts=last), video=video))
    shift = _Shift(offset, film.time_base, result.time_base)
    low = None if first is None else shift(first) - 1
    high = None if last is None else shift(last) + 1
    window = window_between(writer.part, result, first_pts=low, last_pts=high)
    after = {found.pts: found for found in prints(writer.part, window=window, ordinal=writer.picture_ordinal)}
    for picture in before:
        _check_one(
            picture, _near(after, shift(picture.pts)), is_kept=not any(other.shows(picture.pts) for other in runs)
        )
    damaged = [found for found in after.values() if found.is_damaged and run.shows(shift.back(found.pts))]
    if damaged:
        raise CannotSplice(f"{len(damaged)} new pictures decode with errors")


def _check_every(before: Iterator[Print], after: Iterator[Print], runs: Sequence[Run], shift: _Shift) -> None:
    """Walks through both films; what comes out between two pictures of the source must be new, and whole."""
    found = next(after, None)
    for picture in before:
        at = shift(picture.pts)
        while found is not None and found.pts < at - 1:
            _check_new(found, runs, shift)
            found = next(after, None)
        partner = found if found is not None and found.pts <= at + 1 else None
        is_kept = not any(run.shows(picture.pts) for run in runs)
        _check_one(picture, partner, is_kept=is_kept)
        if partner is not None:
            if not is_kept:
                _check_new(partner, runs, shift)
            found = next(after, None)
    while found is not None:
        _check_new(found, runs, shift)
        found = next(after, None)


def _check_new(found: Print, runs: Sequence[Run], shift: _Shift) -> None:
    if found.is_damaged:
        raise CannotSplice("a new picture decodes with errors")
    if not any(run.shows(shift.back(found.pts)) for run in runs):
        raise CannotSplice(f"a picture comes out at pts {found.pts} where the source has none and none was made")


def _check_one(source: Print, found: Print | None, *, is_kept: bool) -> None:
    if source.is_damaged and not is_kept:
        return  # it was made again, or left as it could be decoded
    if found is None:
        raise CannotSplice(f"the picture at pts {source.pts} doesn't come out of the spliced stream")
    if is_kept and (found.digest != source.digest or found.is_damaged > source.is_damaged):
        raise CannotSplice(f"the kept picture at pts {source.pts} decodes otherwise in the spliced stream")
    if not is_kept and source.differs(found) > _NOT_ALIKE_LEVELS:
        raise CannotSplice(f"the picture at pts {source.pts} was encoded anew and is no likeness of the source's")


class _Shift:
    """Times of the source as times of the result."""

    def __init__(self, offset: Fraction, source: Fraction, result: Fraction) -> None:
        self._offset, self._source, self._result = offset, source, result

    def __call__(self, pts: int) -> int:
        return round((pts * self._source + self._offset) / self._result)

    def back(self, pts: int) -> int:
        return round((pts * self._result - self._offset) / self._source)


def _near(found: dict[int, Print], pts: int) -> Print | None:
    """The print at a time, give or take the container's rounding."""
    return found.get(pts) or found.get(pts - 1) or found.get(pts + 1)


def _behind(film: CodedFilm, run: Run) -> int | None:
    """The last time to look at behind a run: of its next GOP's pictures."""
    if run.before_pts is None:
        return None
    rest = film.pictures[run.stop + 1 : run.stop + _BEHIND]
    stop = next((index for index, p in enumerate(rest) if p.kind and p.kind.is_random_access), len(rest))
    times = [p.pts for p in rest[:stop] if p.pts is not None and p.pts >= run.before_pts]
    return max(times, default=run.before_pts)
