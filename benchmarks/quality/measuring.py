"""Runs every peer over a clip's gaps and scores what they made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Protocol

from benchmarks.cases import Case, Gap, whole_gaps
from benchmarks.footage import picture_frame, read_excerpt
from benchmarks.peers import TICK, Peer, Ran, threads
from benchmarks.quality.dataset import read_clip
from benchmarks.score import MOST_DB, Score, score
from codec_plugin.errors import CodecPluginError
from codec_plugin.media.similarity import Similarity
from codec_plugin.picture import Picture
from flowfill.blend import cross_dissolve


@dataclass(slots=True, kw_only=True)
class Tally:
    """One peer on one clip at one gap, gap by gap."""

    gaps: list[list[Score]] = field(default_factory=list)
    """The frames' scores of each gap that counted; the same gaps for every peer that has any."""
    held: int = 0
    """Frames among them that show a neighbour again."""
    by_fallback: int = 0
    """Frames among them that the engine's fallback made."""
    because: str | None = None
    """Why the first of those was not made by the engine itself."""
    missing: str | None = None
    """Why there are no scores."""


Tallies = dict[tuple[int, str], Tally]
"""By frames dropped and peer."""


class Watcher(Protocol):
    """Looks at what was made: sheets, pictures for other programs, networks."""

    def see(
        self, case: Case, frames: Sequence[Picture], gaps: Sequence[Gap], made: Mapping[str, Mapping[int, Picture]]
    ) -> None:
        """Takes what every peer made in an excerpt's gaps.

        Args:
            case: the clip.
            frames: the excerpt, with the frames that were dropped.
            gaps: those that every peer filled, all alike in length.
            made: by peer, by index in the excerpt.
        """
        ...


def measure_case(
    case: Case,
    *,
    peers: Sequence[Peer],
    gaps: Sequence[int],
    tell: Callable[[str], None],
    watchers: Sequence[Watcher] = (),
) -> Tallies:
    """Measures every peer on one clip.

    Only those gaps count which lie within one shot, move enough for the case, and were filled by every peer. A peer
    that can't run, or fills none of an excerpt's gaps, has no scores at that gap, and its tally says why; it takes
    nothing from the others.

    Args:
        case: The clip.
        peers: Who competes; each sees the same frames.
        gaps: How many frames to drop between two kept ones, one measurement each.
        tell: Hears of progress.
        watchers: See the pictures.

    Raises:
        UnusableClip: the clip is a folder whose frames can't be read.
    """
    tallies: Tallies = {(dropped, peer.name): Tally() for dropped in gaps for peer in peers}
    for start_s in case.starts_s:
        frames = _read(case, start_s)
        for dropped in gaps:
            chosen = [
                gap for gap in whole_gaps(frames, dropped=dropped, one_shot=case.one_shot) if _moves(frames, gap, case)
            ]
            tell(f"{case.name} from {start_s:.0f} s, {dropped} dropped: {len(chosen)} gaps")
            running = [peer for peer in peers if tallies[dropped, peer.name].missing is None]
            if not chosen or not running:
                continue
            for name, reason in _count(tallies, frames, chosen, running, dropped, case, watchers).items():
                tallies[dropped, name] = Tally(missing=reason)
                tell(f"{case.name}, {dropped} dropped: no numbers for {name}: {reason}")
    for tally in tallies.values():
        if not tally.gaps and tally.missing is None:
            tally.missing = (
                "no gap counts: the clip is too short or still, has a cut there, or not every peer filled one"
            )
    return tallies


def _count(
    tallies: Tallies,
    frames: list[Picture],
    chosen: list[Gap],
    running: list[Peer],
    dropped: int,
    case: Case,
    watchers: Sequence[Watcher],
) -> dict[str, str]:
    """Has the gaps made and adds the scores to the tallies; returns who couldn't, with reasons."""
    with ThreadPoolExecutor(threads()) as pool:
        results = list(pool.map(lambda peer: _ran(peer, frames, chosen), running))
    ran = {peer.name: each for peer, each in zip(running, results, strict=True)}
    failed = {name: each for name, each in ran.items() if isinstance(each, str)}
    made = {name: each for name, each in ran.items() if isinstance(each, Ran)}
    for name, each in list(made.items()):
        if not any(_filled(each, gap) for gap in chosen):
            failed[name] = f"it filled none of {len(chosen)} gaps"
            del made[name]
    if not made:
        return failed
    common = [gap for gap in chosen if all(_filled(each, gap) for each in made.values())]
    for watcher in watchers:
        watcher.see(case, frames, common, {name: each.pictures for name, each in made.items()})
    indices = {index for gap in common for index in gap.dropped}
    for name, each in made.items():
        tally = tallies[dropped, name]
        tally.gaps += [_scores(frames, gap, each.pictures) for gap in common]
        tally.held += len(each.held & indices)
        tally.by_fallback += len(each.by_fallback & indices)
        tally.because = tally.because or each.because
    return failed


def _read(case: Case, start_s: float) -> list[Picture]:
    if case.path.is_dir():
        return read_clip(case.path, frames=case.frames)
    return read_excerpt(case.path, start_s=start_s, frames=case.frames)


def _ran(peer: Peer, frames: list[Picture], gaps: list[Gap]) -> Ran | str:
    """What the peer made, or why it can't."""
    try:
        return peer.make(frames, gaps)
    except CodecPluginError as error:
        return str(error)


def _filled(ran: Ran, gap: Gap) -> bool:
    return ran.pictures.keys() >= set(gap.dropped)


def _scores(frames: list[Picture], gap: Gap, made: Mapping[int, Picture]) -> list[Score]:
    """The gap's frames; XPSNR weighs errors by the original's motion, so it sees the kept frame before them first."""
    similarity = Similarity(rate=1 / TICK)
    left = picture_frame(frames[gap.left], pts=gap.left, time_base=TICK)
    similarity.score(left, left)
    scores = []
    for index in gap.dropped:
        plain = score(made[index].planes[0], frames[index].planes[0])
        pair = (picture_frame(each, pts=index, time_base=TICK) for each in (frames[index], made[index]))
        xpsnr = similarity.score(*pair).xpsnr
        scores.append(
            Score(
                psnr_db=plain.psnr_db, ssim=plain.ssim, xpsnr_db=None if xpsnr is None else min(MOST_DB, float(xpsnr))
            )
        )
    return scores


def _moves(frames: list[Picture], gap: Gap, case: Case) -> bool:
    if case.moving_below_db is None:
        return True
    left, right = frames[gap.left].planes[0], frames[gap.right].planes[0]
    dissolved = (
        cross_dissolve(left, right, position=Fraction(index - gap.left, gap.right - gap.left)) for index in gap.dropped
    )
    scores = (score(plane, frames[index].planes[0]) for plane, index in zip(dissolved, gap.dropped, strict=True))
    return fmean(each.psnr_db for each in scores) < case.moving_below_db
