"""`RestoreReport`: what was done, frame by frame, and why. Running a report as a plan gives the same output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from codec_plugin.engine import Finding
from codec_plugin.plan import Action, FillTask, RestorePlan
from codec_plugin.planfile import REPORT_KIND, plan_to_json
from codec_plugin.weave import Outcome

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that did not go as one would assume."""

    kind: str
    """Which sort: "lost", "counted", "offset", "rounding", "copied", "rate", "choice", "probes", "engine"."""
    text: str
    """What, where and why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """The outcome of a job."""

    plan: RestorePlan
    """The plan as it was resolved: guards decided, damage found on the way included."""
    output: str | None
    """The file that was written; None where frames went to a caller."""
    encoder: str | None
    """The encoder and what it was told; None where nothing was encoded."""
    offset: Fraction
    """Seconds added to every time of the source."""
    source_frames: int
    """Frames of the output that are the source's own."""
    outcomes: tuple[Outcome, ...]
    """What became of each gap, in order."""
    notes: tuple[Note, ...]
    """What else there is to know."""
    seconds: float
    """Wall time of the job."""

    @property
    def made(self) -> tuple[int, ...]:
        """The times of every frame that isn't the source's own, in output ticks before `offset`, rising."""
        return tuple(pts for outcome in self.outcomes for pts in outcome.target_pts)

    @property
    def by_engine(self) -> dict[str, int]:
        """Frames made by each engine, and held ones under "hold"."""
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            counts[outcome.engine or "hold"] += len(outcome.target_pts)
        return dict(counts)

    @property
    def frame_count(self) -> int:
        """Frames of the output."""
        return self.source_frames + len(self.made)

    @property
    def held_reasons(self) -> dict[str, int]:
        """How many frames were held that were to be made, by reason (without its numbers)."""
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            if outcome.held_because:
                counts[outcome.held_because.partition(" (")[0]] += len(outcome.target_pts)
        return dict(counts)

    @property
    def fallback_reasons(self) -> dict[str, int]:
        """How many frames another engine than the planned one made, by reason (without its numbers)."""
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            if outcome.fallback_because:
                counts[outcome.fallback_because.partition(" (")[0]] += len(outcome.target_pts)
        return dict(counts)


def resolve(
    plan: RestorePlan, outcomes: tuple[Outcome, ...], *, dropped: Sequence[int], frame_count: int
) -> RestorePlan:
    """The plan with what really happened in place of what might have."""
    tasks = []
    if dropped:
        tasks.append(
            FillTask(
                id=0,
                left_pts=None,
                right_pts=None,
                target_pts=tuple(dropped),
                action=Action.DROP,
                reason="off the grid of the new rate",
            )
        )
    for outcome in outcomes:
        because = f"; held: {outcome.held_because}" if outcome.held_because else ""
        because += f"; instead: {outcome.fallback_because}" if outcome.fallback_because else ""
        tasks.append(
            FillTask(
                id=0,
                left_pts=outcome.left_pts,
                right_pts=outcome.right_pts,
                target_pts=outcome.target_pts,
                action=outcome.action,
                engine=outcome.engine,
                guards=(),
                reason=outcome.reason + because,
            )
        )
    numbered = tuple(replace(task, id=number) for number, task in enumerate(tasks))
    return replace(plan, tasks=numbered, frame_count=frame_count)


def report_to_json(report: RestoreReport) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "kind": REPORT_KIND,
        "version": VERSION,
        "output": report.output,
        "encoder": report.encoder,
        "frames": {
            "all": report.frame_count,
            "source": report.source_frames,
            "made": len(report.made),
            "dropped": report.plan.count(Action.DROP),
            "by_engine": report.by_engine,
            "held_because": report.held_reasons,
            "fallback_because": report.fallback_reasons,
        },
        "output_time_base": str(report.plan.output_time_base),
        "offset": str(report.offset),
        "made": list(report.made),
        "outcomes": [
            {
                "left_pts": outcome.left_pts,
                "right_pts": outcome.right_pts,
                "target_pts": list(outcome.target_pts),
                "action": str(outcome.action),
                "engine": outcome.engine,
                "reason": outcome.reason,
                "chosen_because": outcome.chosen_because,
                "held_because": outcome.held_because,
                "fallback_because": outcome.fallback_because,
                "cut_score": outcome.cut_score,
                "findings": [_finding_to_json(finding) for finding in outcome.findings],
            }
            for outcome in report.outcomes
        ],
        "notes": [{"kind": note.kind, "text": note.text} for note in report.notes],
        "seconds": round(report.seconds, 3),
        "plan": plan_to_json(report.plan),
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    position = None if finding.position is None else str(finding.position)
    return {"name": finding.name, "value": finding.value, "unit": finding.unit, "position": position}
