"""One run of a stream through the package's weaver, frame by frame, with times in nanoseconds. Knows no GStreamer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from codec_plugin.engine import CHOICES, engine_parts, pick_engine
from codec_plugin.filling import Filler
from codec_plugin.grids import Resample, Verb, output_parts, verb_factor
from codec_plugin.media.reader import Frame
from codec_plugin.options import Duplicates, RestoreOptions
from codec_plugin.schedule import LiveSchedule
from codec_plugin.timeline.duplicates import LONGEST_RUN, LOOK_AHEAD
from codec_plugin.timeline.watch import RepeatWatch
from codec_plugin.timing import FrameClock, round_half_up
from codec_plugin.weave import OutputFrame, Weaver, WeaveSettings

SECOND_NS = 10**9
_REMEMBERED = 2 * (LONGEST_RUN + LOOK_AHEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A frame of the output."""

    frame: Frame
    """The frame that was given, or a made one."""
    pts_ns: int
    """When it is shown; a source frame's own time."""
    duration_ns: int | None
    """For how long; None where nobody knows."""
    made_by: str | None
    """None for a source frame; an engine's name, or "hold"."""


class Run:
    """A stretch of a stream with one format and rising times.

    Frames stand on the slots of the rate that the caps say: a time is as many slots after the one before as it is
    nearest to, so that stamps which a container rounded, or a rate that isn't quite true, do no harm. Without a rate
    every interval is its own.
    """

    def __init__(
        self, verb: Verb, *, rate: Fraction | None, options: RestoreOptions, filler: Filler, name: str
    ) -> None:
        """Starts before the first frame.

        Args:
            verb: what is to be done.
            rate: frames a second; None where they vary.
            options: how.
            filler: loaded engines, which aren't closed at the end.
            name: what to call the stream in messages.
        """
        engine = pick_engine(options.engine, options.engine_options, fallback=options.fallback)
        self._verb, self._rate = verb, rate
        self._time_base = 1 / rate if rate else Fraction(1, SECOND_NS)
        clock = FrameClock(origin=Fraction(0), time_base=self._time_base, rate=rate) if rate else None
        self._parts = output_parts(verb, clock=clock, time_base=self._time_base)
        self._watch = RepeatWatch() if options.duplicates is Duplicates.FILL else None
        schedule = LiveSchedule(
            verb=verb,
            engine=engine,
            time_base=self._time_base,
            parts=self._parts,
            rate=rate,
            max_gap=options.max_gap,
            bad=self._watch.bad if self._watch else None,
        )
        settings = WeaveSettings(
            time_base=self._time_base,
            engine=engine,
            scene_threshold=options.scene_threshold,
            max_gap=options.max_gap,
            repair=options.repair,
            name=name,
            engine_options=options.engine_options,
            fallback=options.fallback,
        )
        self._weaver = Weaver(schedule, settings, filler=filler)
        self._times: OrderedDict[int, int] = OrderedDict()
        self._last: tuple[int, int] | None = None
        self._interval_ns: int | None = None

    def takes(self, pts_ns: int) -> bool:
        """Whether a frame at this time goes on with the run; else the run is over and another must begin."""
        return self._last is None or self._slot(pts_ns) > self._last[0]

    def push(self, frame: Frame, *, pts_ns: int, duration_ns: int | None) -> Iterator[Shown]:
        """Takes the next frame, gives what can be shown now.

        Raises:
            EngineError: the engine broke its promise.
        """
        slot = self._slot(pts_ns)
        if self._last is not None:
            self._interval_ns = pts_ns - self._last[1]
        elif duration_ns:
            self._interval_ns = duration_ns
        self._last = slot, pts_ns
        self._times[slot] = pts_ns
        while len(self._times) > _REMEMBERED:
            self._times.popitem(last=False)
        frame.pts = slot
        for item in self._watch.push(frame) if self._watch else (frame,):
            yield from self._shown(self._weaver.push(item))

    def finish(self) -> Iterator[Shown]:
        """What is left at the end."""
        for item in self._watch.finish() if self._watch else ():
            yield from self._shown(self._weaver.push(item))
        yield from self._shown(self._weaver.finish())

    def _slot(self, pts_ns: int) -> int:
        if self._rate is None:
            return pts_ns
        if self._last is None:
            return 0
        slot, before_ns = self._last
        return slot + round_half_up((pts_ns - before_ns) * self._rate / SECOND_NS)

    def _shown(self, items: Iterator[object]) -> Iterator[Shown]:
        for item in items:
            if isinstance(item, OutputFrame):
                yield Shown(
                    frame=item.frame,
                    pts_ns=self._time(item.pts),
                    duration_ns=self._duration(),
                    made_by=item.made_by,
                )

    def _time(self, pts: int) -> int:
        """When an output tick is: between the times that its neighbours really have."""
        slot, part = divmod(pts, self._parts)
        if not part and slot in self._times:
            return self._times[slot]
        before = max((known for known in self._times if known <= slot), default=None)
        after = min((known for known in self._times if known > slot), default=None)
        exact = Fraction(pts, self._parts)
        if before is not None and after is not None:
            span_ns = self._times[after] - self._times[before]
            return self._times[before] + round_half_up((exact - before) / (after - before) * span_ns)
        known = before if before is not None else after
        assert known is not None  # nothing comes out before a frame went in
        return self._times[known] + round_half_up((exact - known) * self._time_base * SECOND_NS)

    def _duration(self) -> int | None:
        if isinstance(self._verb, Resample):
            return round_half_up(SECOND_NS / self._verb.rate)
        if self._rate is not None:
            return round_half_up(SECOND_NS / (self._rate * verb_factor(self._verb)))
        return self._interval_ns // verb_factor(self._verb) if self._interval_ns else None


def delay_ns(verb: Verb, *, rate: Fraction | None, options: RestoreOptions) -> int:
    """How long a frame may wait for those that are needed to judge or make it, at this rate (25 where unknown)."""
    frames = 1 + (LONGEST_RUN + LOOK_AHEAD if options.duplicates is Duplicates.FILL else 0)
    return round_half_up(frames * SECOND_NS / (rate or Fraction(25)))


def loaded(options: RestoreOptions, *, name: str) -> Filler:
    """The engines that the options name, loaded; for "auto" those that it chooses from.

    Raises:
        EngineError: one isn't there, or something that it needs is missing.
    """
    filler = Filler(source=name, time_base=Fraction(1, SECOND_NS), options=options.engine_options)
    engine = pick_engine(options.engine, options.engine_options, fallback=options.fallback)
    for part in filler.candidates() if engine in CHOICES else engine_parts(engine):
        filler.engine(part)
    return filler
