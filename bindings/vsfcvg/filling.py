"""Makes the frames of one gap with the package's own weaver, whichever gap the host asks for first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock

from codec_plugin.filling import Filler
from codec_plugin.grids import Verb
from codec_plugin.media.reader import Frame
from codec_plugin.options import RestoreOptions
from codec_plugin.plan import GUARDS, Action, FillTask, RestorePlan
from codec_plugin.schedule import PlanSchedule
from codec_plugin.weave import OutputFrame, Weaver, WeaveSettings

_GAPS_KEPT = 4  # made frames wait here until the host has asked for each; VapourSynth keeps its own cache behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new frame."""

    frame: Frame
    """Its samples; a neighbour's where it is held."""
    made_by: str
    """The engine's name, or "hold"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapOrder:
    """A gap to be filled."""

    left: Frame
    """The frame before it."""
    right: Frame
    """The frame after it."""
    targets: tuple[int, ...]
    """Where the new frames stand, in output ticks."""
    parts: int
    """Output ticks a source tick."""
    is_cut: bool | None
    """What the host knows of a scene cut between the two; None to look at them."""


class GapFiller:
    """Fills gaps in any order, one at a time, and keeps the last few."""

    def __init__(self, filler: Filler, *, verb: Verb, options: RestoreOptions, time_base: Fraction, name: str) -> None:
        """Takes loaded engines, which are used by one thread at a time and never closed.

        Args:
            filler: the engines.
            verb: what is done with the clip, for the report.
            options: how; its engine is one that is named, not "auto".
            time_base: seconds a source tick.
            name: what to call the clip in messages.
        """
        self._filler, self._verb, self._options = filler, verb, options
        self._time_base, self._name = time_base, name
        self._lock = Lock()
        self._kept: OrderedDict[tuple[int | None, int | None], dict[int, Made]] = OrderedDict()

    def frame(self, order: GapOrder, target: int) -> Made:
        """One new frame; the others of its gap are made with it.

        Raises:
            EngineError: the engine broke its promise.
        """
        key = (order.left.pts, order.right.pts)
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= _GAPS_KEPT:
                    self._kept.popitem(last=False)
                self._kept[key] = self._filled(order)
            return self._kept[key][target]

    def _filled(self, order: GapOrder) -> dict[int, Made]:
        schedule = PlanSchedule(self._plan(order))
        threshold = {None: self._options.scene_threshold, False: 100.0, True: 0.0}[order.is_cut]
        settings = WeaveSettings(
            time_base=self._time_base,
            engine=self._options.engine,
            scene_threshold=threshold,
            max_gap=self._options.max_gap,
            repair=self._options.repair,
            name=self._name,
            engine_options=self._options.engine_options,
            fallback=self._options.fallback,
        )
        woven = Weaver(schedule, settings, filler=self._filler).weave([order.left, order.right])
        return {
            item.pts: Made(frame=item.frame, made_by=item.made_by)
            for item in woven
            if isinstance(item, OutputFrame) and item.made_by is not None
        }

    def _plan(self, order: GapOrder) -> RestorePlan:
        task = FillTask(
            id=0,
            left_pts=order.left.pts,
            right_pts=order.right.pts,
            target_pts=order.targets,
            action=Action.FILL,
            engine=self._options.engine,
            guards=GUARDS,
            reason=str(self._verb),
        )
        return RestorePlan(
            source=self._name,
            digest=None,
            verb=self._verb,
            options=self._options,
            time_base=self._time_base,
            output_time_base=self._time_base / order.parts,
            rate=None,
            frame_count=len(order.targets) + 2,
            tasks=(task,),
        )
