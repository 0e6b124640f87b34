"""`RestorePlan`: which frames to make, where, from which neighbours, with what. Pure; versioned JSON."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

import numpy as np

from codec_plugin.engine import AUTO, CHOICES
from codec_plugin.grids import Claims, Grid, Restore, Verb, grid_for, output_parts, output_rate
from codec_plugin.options import RestoreOptions
from codec_plugin.timeline.segments import Segment, Timeline
from codec_plugin.timing import Ticks

VERSION = 1


class Action(StrEnum):
    """What to do at the targets of a task."""

    FILL = "fill"
    """Make frames between the neighbours."""
    HOLD = "hold"
    """Show the nearer neighbour again."""
    DROP = "drop"
    """Leave source frames out (`--fps`); the targets are theirs."""


class Guard(StrEnum):
    """What is looked at once the pictures are there; if it strikes, the task becomes a hold."""

    SCENE_CUT = "scene_cut"
    """There is a cut between the neighbours."""
    DISTANCE = "distance"
    """The neighbours are further apart than `max_gap` (others between them turned out damaged)."""
    CANNOT_FILL = "cannot_fill"
    """The engine says that it can't."""
    BUDGET = "budget"
    """What is left of the budget isn't enough; then flow makes the frames."""


GUARDS = (Guard.SCENE_CUT, Guard.DISTANCE, Guard.CANNOT_FILL)
"""Those of every gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillTask:
    """Frames to make (or hold, or drop) between two source frames."""

    id: int
    """Its number in the plan."""
    left_pts: int | None
    """The source frame before, in source ticks; None where there is none."""
    right_pts: int | None
    """The source frame after, in source ticks; None where there is none."""
    target_pts: tuple[int, ...]
    """When the frames are to be shown, in output ticks, rising. A source frame at such a time is replaced."""
    action: Action
    """What to do."""
    engine: str | None = None
    """Which engine makes them."""
    guards: tuple[Guard, ...] = ()
    """What is looked at first."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """Everything that will be made of one stream; the rest of it stays as it is."""

    version: int = VERSION
    """Of this format."""
    source: str
    """The source's name, for people."""
    digest: str | None
    """Of its packet table; None for a stream that can be read only once."""
    verb: Verb
    """What is to be done."""
    options: RestoreOptions
    """How."""
    time_base: Fraction
    """Seconds a source tick."""
    output_time_base: Fraction
    """Seconds an output tick: a whole part of a source tick, so that source frames keep their exact times."""
    rate: Fraction | None
    """Frames a second of the output, where it has such a rate."""
    frame_count: int
    """Frames that will come out."""
    tasks: tuple[FillTask, ...]
    """In order of their targets."""

    @property
    def parts(self) -> int:
        """Output ticks a source tick."""
        return int(self.time_base / self.output_time_base)

    def count(self, action: Action) -> int:
        """Frames with an action."""
        return sum(len(task.target_pts) for task in self.tasks if task.action is action)

    @property
    def unforeseen_engine(self) -> str | None:
        """Who makes what turns out damaged on the way: "auto" or "flow" where any task left it open, else the first."""
        named = [task.engine for task in self.tasks if task.engine]
        chosen = any(Guard.BUDGET in task.guards for task in self.tasks)
        return AUTO if chosen else next((name for name in (*CHOICES, *named) if name in named), None)

    @property
    def changes_nothing(self) -> bool:
        """Whether the output would have the very frames of the source."""
        return not self.tasks

    def promised_pts(self, timeline: Timeline) -> Ticks:
        """The times of all output frames, in output ticks, rising, (frame_count,)."""
        source = [segment.pts * self.parts for segment in timeline.segments]
        dropped = _targets(self.tasks, actions=(Action.DROP,))
        made = _targets(self.tasks, actions=(Action.FILL, Action.HOLD))
        every = np.concatenate([*source, made]) if source else made
        return np.setdiff1d(np.unique(every), dropped)


def make_plan(
    timeline: Timeline,
    *,
    verb: Verb,
    options: RestoreOptions,
    engine: str,
    source: str,
    digest: str | None = None,
    bad: Mapping[int, str] | None = None,
) -> RestorePlan:
    """Plans a stream.

    Args:
        timeline: its times and clocks.
        verb: what is to be done.
        options: how.
        engine: the engine for every gap.
        source: the source's name, for people.
        digest: of its packet table.
        bad: source frames to be made again (in source ticks), each with the reason.
    """
    main = timeline.main
    clock = main.clock if main else None
    parts = output_parts(verb, clock=clock, time_base=timeline.time_base)
    tasks: list[FillTask] = []
    for segment in timeline.segments:
        grid = grid_for(verb, clock=segment.clock, first_pts=segment.first, time_base=timeline.time_base, parts=parts)
        for task in _segment_tasks(segment, grid, verb=verb, parts=parts, engine=engine, bad=bad or {}):
            tasks.append(replace(task, id=len(tasks)))
    plan = RestorePlan(
        source=source,
        digest=digest,
        verb=verb,
        options=options,
        time_base=timeline.time_base,
        output_time_base=timeline.time_base / parts,
        rate=output_rate(verb, main=main),
        frame_count=0,
        tasks=tuple(tasks),
    )
    return replace(plan, frame_count=int(plan.promised_pts(timeline).size))


def tail_step(pts: Collection[int] | Ticks, grid_period: Fraction | None) -> int:
    """How long a segment's last frame lasts, in source ticks: a slot of its clock, or as long as the one before."""
    if grid_period is not None:
        return max(1, round(grid_period))
    array = np.asarray(pts)
    return int(array[-1] - array[-2]) if array.size > 1 else 1


def _segment_tasks(
    segment: Segment, grid: Grid, *, verb: Verb, parts: int, engine: str, bad: Mapping[int, str]
) -> Iterator[FillTask]:
    stations = [int(pts) for pts in segment.pts]
    claims = Claims(grid)
    dropped = {pts for pts in stations if not claims.takes(pts)}
    yield from _drop_task(dropped, parts=parts)
    step = tail_step(segment.pts, segment.clock.period if segment.clock else None)
    tail = [] if isinstance(verb, Restore) else grid.after(segment.last, step)
    good = [pts for pts in stations if pts not in bad]
    edges: list[int | None] = [None, *good, None]
    for left, right in pairwise(edges):
        targets, reason = _targets_between(stations, grid, left, right, parts=parts, bad=bad, dropped=dropped)
        if right is None:
            targets, reason = (*targets, *tail), reason or "after the last frame"
        if not targets:
            continue
        if left is None or right is None:
            yield _task(left, right, targets, Action.HOLD, reason=reason, engine=None)
        else:
            why = reason or _why(verb, segment, left, right)
            yield _task(left, right, targets, Action.FILL, reason=why, engine=engine)


def _drop_task(dropped: Collection[int], *, parts: int) -> Iterator[FillTask]:
    if dropped:
        targets = tuple(sorted(pts * parts for pts in dropped))
        yield _task(None, None, targets, Action.DROP, reason="off the grid of the new rate", engine=None)


def _targets_between(
    stations: Sequence[int],
    grid: Grid,
    left: int | None,
    right: int | None,
    *,
    parts: int,
    bad: Mapping[int, str],
    dropped: Collection[int],
) -> tuple[tuple[int, ...], str]:
    """All targets between two good frames, bad ones between them included, and why the bad ones are bad.

    Without a good frame on one side the stretch reaches to that end of the segment.
    """
    low = 0 if left is None else bisect_left(stations, left)
    high = len(stations) if right is None else bisect_left(stations, right) + 1
    inside = stations[low:high]
    places = [place for a, b in pairwise(inside) for place in grid.between(a, b)]
    replaced = [pts for pts in inside if pts in bad and pts not in dropped]
    reason = bad[replaced[0]] if replaced else ""
    return tuple(sorted({*places, *(pts * parts for pts in replaced)})), reason


def _why(verb: Verb, segment: Segment, left: int, right: int) -> str:
    missing = 0
    if segment.clock is not None:
        missing = segment.clock.slot_of(right) - segment.clock.slot_of(left) - 1
    if missing:
        return f"{missing} dropped" if isinstance(verb, Restore) else f"{verb}, {missing} dropped"
    return str(verb)


def _task(
    left: int | None,
    right: int | None,
    targets: tuple[int, ...],
    action: Action,
    *,
    reason: str,
    engine: str | None,
) -> FillTask:
    return FillTask(
        id=0,
        left_pts=left,
        right_pts=right,
        target_pts=targets,
        action=action,
        engine=engine,
        guards=GUARDS if action is Action.FILL else (),
        reason=reason,
    )


def _targets(tasks: Collection[FillTask], *, actions: tuple[Action, ...]) -> Ticks:
    found = [pts for task in tasks if task.action in actions for pts in task.target_pts]
    return np.asarray(found, dtype=np.int64)
