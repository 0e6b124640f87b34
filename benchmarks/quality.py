"""Quality: frames are dropped, made again by every peer, and compared with those that were dropped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean

from benchmarks.cases import Case, Gap, whole_gaps
from benchmarks.footage import read_excerpt
from benchmarks.peers import Peer, threads
from benchmarks.score import Score, Summary, score, summary
from codec_plugin.picture import Picture
from flowfill.blend import cross_dissolve


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One peer on one clip at one gap."""

    clip: str
    """The file's name."""
    dropped: int
    """Frames between two kept ones."""
    peer: str
    """Who made them."""
    gaps: int
    """How many gaps counted."""
    summary: Summary
    """How it did."""


def measure_case(
    case: Case, *, peers: list[Peer], gaps: tuple[int, ...], tell: Callable[[str], None]
) -> list[QualityRow]:
    """Measures every peer on one clip.

    Only those gaps count which lie within one shot, move enough for the case, and were filled by every peer.

    Args:
        case: The clip.
        peers: Who competes; each sees the same frames.
        gaps: How many frames to drop between two kept ones, one measurement each.
        tell: Hears of progress.
    """
    scores: dict[tuple[int, str], list[Score]] = {}
    counted = dict.fromkeys(gaps, 0)
    for start_s in case.starts_s:
        frames = read_excerpt(case.path, start_s=start_s, frames=case.frames)
        for dropped in gaps:
            tell(f"{case.name} from {start_s:.0f} s, {dropped} dropped")
            chosen = [gap for gap in whole_gaps(frames, dropped=dropped) if _moves(frames, gap, case)]
            if not chosen:
                continue
            common, made = _made_by_all(frames, chosen, peers)
            counted[dropped] += len(common)
            for peer in peers:
                scores.setdefault((dropped, peer.name), []).extend(_scores(frames, common, made[peer.name]))
    return [
        QualityRow(clip=case.name, dropped=dropped, peer=name, gaps=counted[dropped], summary=summary(each))
        for (dropped, name), each in scores.items()
        if each
    ]


def _made_by_all(
    frames: list[Picture], gaps: list[Gap], peers: list[Peer]
) -> tuple[list[Gap], dict[str, dict[int, Picture]]]:
    """The gaps that everyone filled (minterpolate keeps the last ones of a stream to itself), and the frames."""
    with ThreadPoolExecutor(threads()) as pool:
        ran = list(pool.map(lambda peer: peer.make(frames, gaps), peers))
    made = {peer.name: each.pictures for peer, each in zip(peers, ran, strict=True)}
    common = [gap for gap in gaps if all(made[name].keys() >= set(gap.dropped) for name in made)]
    return common, made


def _scores(frames: list[Picture], gaps: list[Gap], made: dict[int, Picture]) -> list[Score]:
    indices = [index for gap in gaps for index in gap.dropped]
    return [score(made[index].planes[0], frames[index].planes[0]) for index in indices]


def _moves(frames: list[Picture], gap: Gap, case: Case) -> bool:
    if case.moving_below_db is None:
        return True
    left, right = frames[gap.left].planes[0], frames[gap.right].planes[0]
    dissolved = (
        cross_dissolve(left, right, position=Fraction(index - gap.left, gap.right - gap.left)) for index in gap.dropped
    )
    scores = (score(plane, frames[index].planes[0]) for plane, index in zip(dissolved, gap.dropped, strict=True))
    return fmean(each.psnr_db for each in scores) < case.moving_below_db
