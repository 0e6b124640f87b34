"""From tallies to rows: means, intervals, differences; a clip's own, and those over all clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from benchmarks.quality.bootstrap import Difference, Interval, Values, difference_of, interval_of
from benchmarks.quality.measuring import Tallies, Tally
from benchmarks.quality.rows import Against, Intervals, QualityRow
from benchmarks.score import Score, summary

Groups = Sequence[Sequence[Score]]
"""The frames' scores of each gap, or of each clip."""


def clip_rows(clip: str, tallies: Tallies, *, against: str | None, seed: int) -> list[QualityRow]:
    """The rows of one clip, whose gaps are resampled.

    Args:
        clip: its name.
        tallies: as `measure_case` gives them.
        against: the peer that the others are set beside.
        seed: of the resampling.
    """
    rows = []
    for (dropped, peer), tally in tallies.items():
        other = tallies.get((dropped, against)) if against and against != peer else None
        beside = other.gaps if other is not None and other.gaps else None
        rows.append(_row(clip, dropped, peer, tally, tally.gaps, beside=beside, against=against, seed=seed))
    return rows


def pooled_rows(clips: Mapping[str, Tallies], *, against: str | None, seed: int) -> list[QualityRow]:
    """Rows over all clips, which are resampled whole; a peer without numbers on one clip has none here.

    Args:
        clips: the tallies of each clip.
        against: the peer that the others are set beside.
        seed: of the resampling.
    """
    rows: list[QualityRow] = []
    for dropped, peer in dict.fromkeys(chain.from_iterable(clips.values())):
        measured = {name: each for name, each in clips.items() if _counts(each, dropped)}
        whole = f"all of {len(measured)} clips"
        own = [each[dropped, peer] for each in measured.values()]
        lacking = [name for name, tally in zip(measured, own, strict=True) if not tally.gaps]
        if lacking or not own:
            reason = f"no numbers on {len(lacking)} of {len(own)} clips" if own else "no clip is long enough"
            rows.append(_row(whole, dropped, peer, Tally(missing=reason), [], beside=None, against=against, seed=seed))
            continue
        other = [each[dropped, against] for each in measured.values()] if against and against != peer else []
        beside = [_flat(tally) for tally in other] if other and all(tally.gaps for tally in other) else None
        pooled = Tally(
            gaps=list(chain.from_iterable(tally.gaps for tally in own)),
            held=sum(tally.held for tally in own),
            by_fallback=sum(tally.by_fallback for tally in own),
            because=next((tally.because for tally in own if tally.because), None),
        )
        groups = [_flat(tally) for tally in own]
        rows.append(_row(whole, dropped, peer, pooled, groups, beside=beside, against=against, seed=seed))
    return [replace(row, pooled=True) for row in rows]


def _counts(tallies: Tallies, dropped: int) -> bool:
    """Whether anyone has numbers on a clip at a gap."""
    return any(tally.gaps for (gap, _), tally in tallies.items() if gap == dropped)


def _flat(tally: Tally) -> list[Score]:
    return list(chain.from_iterable(tally.gaps))


def _row(
    clip: str,
    dropped: int,
    peer: str,
    tally: Tally,
    groups: Groups,
    *,
    beside: Groups | None,
    against: str | None,
    seed: int,
) -> QualityRow:
    everyone = _flat(tally)
    if not everyone:
        return QualityRow(clip=clip, dropped=dropped, peer=peer, gaps=0, summary=None, missing=tally.missing)
    return QualityRow(
        clip=clip,
        dropped=dropped,
        peer=peer,
        gaps=len(tally.gaps),
        summary=summary(everyone),
        intervals=Intervals(
            psnr_db=interval_of(_psnr(groups), seed=seed),
            ssim=interval_of(_ssim(groups), seed=seed),
            xpsnr_db=_interval(_xpsnr(groups), seed=seed),
        ),
        against=_against(groups, beside, peer=against, seed=seed) if beside is not None and against else None,
        held=tally.held,
        by_fallback=tally.by_fallback,
        because=tally.because if tally.held or tally.by_fallback else None,
    )


def _against(groups: Groups, beside: Groups, *, peer: str, seed: int) -> Against:
    ours, theirs = _xpsnr(groups), _xpsnr(beside)
    xpsnr: Difference | None = None
    if ours is not None and theirs is not None:
        xpsnr = difference_of(ours, theirs, seed=seed)
    return Against(
        peer=peer,
        psnr_db=difference_of(_psnr(groups), _psnr(beside), seed=seed),
        ssim=difference_of(_ssim(groups), _ssim(beside), seed=seed),
        xpsnr_db=xpsnr,
    )


def _interval(values: Sequence[Values] | None, *, seed: int) -> Interval | None:
    return None if values is None else interval_of(values, seed=seed)


def _psnr(groups: Groups) -> list[Values]:
    return [np.array([each.psnr_db for each in group]) for group in groups]


def _ssim(groups: Groups) -> list[Values]:
    return [np.array([each.ssim for each in group]) for group in groups]


def _xpsnr(groups: Groups) -> list[Values] | None:
    """None where a frame has none: a plane too small for the filter has none in any frame."""
    values = [[each.xpsnr_db for each in group] for group in groups]
    if any(value is None for group in values for value in group):
        return None
    return [np.array(group, dtype=np.float64) for group in values]
