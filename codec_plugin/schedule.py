"""What to make next, asked frame by frame: from a finished plan, or worked out on the way for a live stream."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Protocol

from codec_plugin.grids import Claims, Grid, Restore, Verb, grid_for
from codec_plugin.plan import GUARDS, Action, FillTask, Guard, RestorePlan
from codec_plugin.timing import FrameClock, RateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One frame to be made or held."""

    pts: int
    """When it is to be shown, in output ticks."""
    action: Action
    """Fill or hold."""
    engine: str | None
    """Which engine makes it."""
    guards: tuple[Guard, ...]
    """What is looked at first."""
    reason: str
    """Why, in words."""
    at_left: bool = False
    """If held: from the frame before, however near the one after is (the end of a segment)."""


class Schedule(Protocol):
    """Answers for each source frame, in presentation order; every question is asked once."""

    parts: int
    """Output ticks a source tick."""

    def up_to(self, pts: int) -> list[Target]:
        """The targets before a source frame's time that were not given out yet."""
        ...

    def replacement(self, pts: int) -> Target | None:
        """What stands in a source frame's place, if it is to be replaced."""
        ...

    def keeps(self, pts: int) -> bool:
        """Whether a source frame's time is one of the output's."""
        ...

    def rest(self) -> list[Target]:
        """The targets after the last source frame."""
        ...


class PlanSchedule:
    """The schedule of a finished plan."""

    def __init__(self, plan: RestorePlan) -> None:
        self.parts = plan.parts
        self._dropped = {p for task in plan.tasks if task.action is Action.DROP for p in task.target_pts}
        targets = chain.from_iterable(_targets(t) for t in plan.tasks if t.action is not Action.DROP)
        self._targets = sorted(targets, key=lambda target: target.pts)
        self._next = 0

    def up_to(self, pts: int) -> list[Target]:
        return self._take(pts * self.parts)

    def replacement(self, pts: int) -> Target | None:
        here = self._take(pts * self.parts + 1)
        return here[0] if here else None

    def keeps(self, pts: int) -> bool:
        return pts * self.parts not in self._dropped

    def rest(self) -> list[Target]:
        return self._take(None)

    def _take(self, stop: int | None) -> list[Target]:
        start = self._next
        while self._next < len(self._targets) and (stop is None or self._targets[self._next].pts < stop):
            self._next += 1
        return self._targets[start : self._next]


class LiveSchedule:
    """The schedule of a stream that is read once: the same grids, laid from the first frame of each segment on.

    The rate is what the user or the headers say; nothing confirms it before the stream is over. A rate that is
    unknown makes every interval its own.
    """

    def __init__(
        self,
        *,
        verb: Verb,
        engine: str,
        time_base: Fraction,
        parts: int,
        rate: Fraction | None,
        max_gap: Fraction,
        bad: MutableMapping[int, str] | None = None,
    ) -> None:
        """Starts before the first frame; `bad` is filled ahead of it: frames to be made again, each with the reason."""
        self.parts = parts
        self._bad = {} if bad is None else bad
        self._verb, self._engine, self._time_base = verb, engine, time_base
        self._rate, self._max_gap = rate, max_gap
        self._grid: Grid | None = None
        self._claims: Claims | None = None
        self._last: int | None = None
        self._step = 1

    def up_to(self, pts: int) -> list[Target]:
        found: list[Target] = []
        if self._last is not None and (pts - self._last) * self._time_base > self._max_gap:
            found = self.rest()
            self._grid = None
        if self._grid is None or self._last is None:
            self._begin(pts)
        else:
            self._step = pts - self._last
            reason = str(self._verb)
            found = [self._target(place, Action.FILL, reason) for place in self._grid.between(self._last, pts)]
        self._last = pts
        return found

    def replacement(self, pts: int) -> Target | None:
        reason = self._bad.pop(pts, None)
        return None if reason is None else self._target(pts * self.parts, Action.FILL, reason)

    def keeps(self, pts: int) -> bool:
        assert self._claims is not None  # up_to has been asked for this frame
        return self._claims.takes(pts)

    def rest(self) -> list[Target]:
        if self._grid is None or self._last is None or isinstance(self._verb, Restore):
            return []
        step = self._step if self._rate is None else max(1, round(1 / (self._rate * self._time_base)))
        places = self._grid.after(self._last, step)
        return [self._target(place, Action.HOLD, "after the last frame") for place in places]

    def _begin(self, pts: int) -> None:
        clock = None
        if self._rate is not None:
            clock = FrameClock(
                origin=Fraction(pts), time_base=self._time_base, rate=self._rate, source=RateSource.HEADER
            )
        self._grid = grid_for(self._verb, clock=clock, first_pts=pts, time_base=self._time_base, parts=self.parts)
        self._claims = Claims(self._grid)

    def _target(self, pts: int, action: Action, reason: str) -> Target:
        is_fill = action is Action.FILL
        return Target(
            pts=pts,
            action=action,
            engine=self._engine if is_fill else None,
            guards=GUARDS if is_fill else (),
            reason=reason,
            at_left=not is_fill,
        )


def _targets(task: FillTask) -> list[Target]:
    first = Target(
        pts=0,
        action=task.action,
        engine=task.engine,
        guards=task.guards,
        reason=task.reason,
        at_left=task.right_pts is None and task.left_pts is not None,
    )
    return [replace(first, pts=pts) for pts in task.target_pts]
