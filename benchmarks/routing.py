"""Does the rule know where flow is lost? `python -m benchmarks routing --clips DIR`.

Frames are dropped, `dis` makes them again, and its luma PSNR is held against what the rule of
`codec_plugin.evidence` said of the two frames at the ends. No other engine is needed: the question is where flow
fails, not who does better there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean, median

import numpy as np
from click import UsageError

from benchmarks.cases import Case, Gap, whole_gaps
from benchmarks.footage import read_excerpt, resized
from benchmarks.machine import Machine, this_machine
from benchmarks.results import save
from benchmarks.score import score
from codec_plugin.engine import Engine, FillRequest, load_engine
from codec_plugin.evidence import LEAST_MISSING, Evidence, judge
from codec_plugin.picture import Picture
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, likeness, thumbnail

GAPS = (3, 5, 7, 11, 23)
"""Frames dropped."""
POOR_DB = 23.0
"""A gap whose frames come out worse than this, by their mean luma PSNR, shows its faults to anyone."""
_WIDTH = 640
_PLACES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedGap:
    """One gap: what the rule was shown, what it said, and how flow did."""

    clip: str
    """The file's name."""
    dropped: int
    """Frames between the two kept ones."""
    psnr_db: float
    """Of what flow made, the mean over the gap."""
    loss: float
    """As in `Evidence`."""
    lost: bool
    """What the rule said."""

    @property
    def poor(self) -> bool:
        """Whether flow made it worse than `POOR_DB`."""
        return self.psnr_db < POOR_DB


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRow:
    """The gaps of one clip and length."""

    clip: str
    """The file's name."""
    dropped: int
    """Frames dropped."""
    gaps: int
    """How many."""
    poor: int
    """Those that flow made worse than `POOR_DB`."""
    flagged: int
    """Those that the rule says flow is lost in."""
    flagged_and_poor: int
    """Those that are both."""

    @classmethod
    def of(cls, gaps: list[RoutedGap]) -> RoutingRow:
        """Counts gaps of one clip and length."""
        return cls(
            clip=gaps[0].clip,
            dropped=gaps[0].dropped,
            gaps=len(gaps),
            poor=sum(gap.poor for gap in gaps),
            flagged=sum(gap.lost for gap in gaps),
            flagged_and_poor=sum(gap.poor and gap.lost for gap in gaps),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingResult:
    """All gaps, and how well the rule sorted them."""

    command: str
    """What was typed."""
    machine: Machine
    """Where."""
    poor_below_db: float
    """`POOR_DB`."""
    gaps: int
    """How many were measured."""
    poor: int
    """How many of them flow made worse than that."""
    poor_and_long: int
    """Of those, with as many frames to make as the rule asks for."""
    flagged: int
    """How many the rule says flow is lost in."""
    flagged_and_poor: int
    """How many of those are."""
    flagged_median_db: float | None
    """The middle one of what flow made of those."""
    area_under_curve: float | None
    """How often a poor gap has more loss than one that isn't (1 is perfect, 0.5 is chance)."""
    rows: tuple[RoutingRow, ...]
    """By clip and length."""


def run(cases: list[Case], *, command: str, output: Path, tell: Callable[[str], None]) -> str:
    """Measures all clips, writes the result, and gives it in a line."""
    flow = load_engine("dis")
    gaps = [gap for case in cases for gap in measure_routing(_more_of(case), flow=flow, tell=tell)]
    if not gaps:
        raise UsageError("no gap of these clips lies within one shot")
    poor, sound = [gap for gap in gaps if gap.poor], [gap for gap in gaps if not gap.poor]
    flagged = [gap for gap in gaps if gap.lost]
    groups: dict[tuple[str, int], list[RoutedGap]] = {}
    for gap in gaps:
        groups.setdefault((gap.clip, gap.dropped), []).append(gap)
    result = RoutingResult(
        command=command,
        machine=this_machine(),
        poor_below_db=POOR_DB,
        gaps=len(gaps),
        poor=len(poor),
        poor_and_long=sum(gap.dropped >= LEAST_MISSING for gap in poor),
        flagged=len(flagged),
        flagged_and_poor=sum(gap.poor for gap in flagged),
        flagged_median_db=round(median(gap.psnr_db for gap in flagged), 2) if flagged else None,
        area_under_curve=round(area_under_curve(poor, sound), 3) if poor and sound else None,
        rows=tuple(RoutingRow.of(group) for group in groups.values()),
    )
    save(result, output)
    return (
        f"{result.gaps} gaps, {result.poor} below {POOR_DB:g} dB ({result.poor_and_long} of them long); the rule flags "
        f"{result.flagged}, {result.flagged_and_poor} of them rightly; area under the curve {result.area_under_curve}"
    )


def _more_of(case: Case) -> Case:
    """A film is looked at in fifty places."""
    if len(case.starts_s) == 1:
        return case
    first, last = case.starts_s[0], case.starts_s[-1]
    starts = tuple(first + (last - first) * index / (_PLACES - 1) for index in range(_PLACES))
    return replace(case, starts_s=starts)


def measure_routing(case: Case, *, flow: Engine, tell: Callable[[str], None]) -> Iterator[RoutedGap]:
    """Every gap of a clip that lies in one shot, by sight and by the guard alike."""
    for start_s in case.starts_s:
        frames = [_small(frame) for frame in read_excerpt(case.path, start_s=start_s, frames=case.frames)]
        small = [thumbnail(frame) for frame in frames]
        for dropped in GAPS:
            tell(f"{case.name} from {start_s:.0f} s, {dropped} dropped")
            for gap in whole_gaps(frames, dropped=dropped):
                alike = likeness(small[gap.left], small[gap.right])
                if alike.cut_score >= DEFAULT_SCENE_THRESHOLD:
                    continue  # held, whoever would have made it
                evidence = Evidence.of(alike, missing=dropped)
                yield RoutedGap(
                    clip=case.name,
                    dropped=dropped,
                    psnr_db=round(_psnr(frames, gap, flow), 2),
                    loss=round(evidence.loss, 4),
                    lost=judge(evidence).lost,
                )


def area_under_curve(poor: list[RoutedGap], sound: list[RoutedGap]) -> float:
    """How often a poor gap has more loss than a sound one (the area under the ROC curve)."""
    losses, others = [gap.loss for gap in poor], np.sort([gap.loss for gap in sound])
    below = np.searchsorted(others, losses, side="left") + np.searchsorted(others, losses, side="right")
    return float(below.sum() / (2 * len(poor) * len(sound)))


def _psnr(frames: list[Picture], gap: Gap, flow: Engine) -> float:
    positions = tuple(Fraction(index - gap.left, gap.right - gap.left) for index in gap.dropped)
    request = FillRequest(
        left=frames[gap.left], right=frames[gap.right], positions=positions, interval=Fraction(gap.right - gap.left, 25)
    )
    made = zip(gap.dropped, flow.fill(request), strict=True)
    return fmean(score(picture.planes[0], frames[index].planes[0]).psnr_db for index, picture in made)


def _small(picture: Picture) -> Picture:
    if picture.width <= _WIDTH:
        return picture
    return resized(picture, width=_WIDTH, height=round(picture.height * _WIDTH / picture.width / 2) * 2)
