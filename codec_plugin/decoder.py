"""`RestoringDecoder`: iterate over a container's frames as PyAV does, with the missing ones in their places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from codec_plugin.budget import Purse
from codec_plugin.engine import Engine, pick_engine
from codec_plugin.errors import InputError
from codec_plugin.grids import Restore, Verb, output_parts
from codec_plugin.job import Job
from codec_plugin.media.reader import Frame, Item, Lost, Reader
from codec_plugin.media.source import InputContainer, Source, is_seekable
from codec_plugin.options import RestoreOptions
from codec_plugin.preflight import check_engines
from codec_plugin.runner import live_plan, plan_file, weave_settings
from codec_plugin.schedule import LiveSchedule, PlanSchedule, Schedule
from codec_plugin.timing import FrameClock
from codec_plugin.weave import Outcome, OutputFrame, Weaver, WeaveSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a made frame carries in `frame.opaque`."""

    by: str
    """The engine's name, or "hold" for a repeat of a neighbour."""


def made_by(frame: Frame) -> str | None:
    """Who made a frame: an engine's name, "hold" for a repeat, or None for one of the source's own."""
    mark = frame.opaque
    return mark.by if isinstance(mark, Made) else None


class RestoringDecoder:
    """Wraps an open PyAV container, a file, a pipe, or frames, and yields `av.VideoFrame`s without gaps.

        with av.open("in.mp4") as container:
            for frame in RestoringDecoder(container):
                print(frame.pts, made_by(frame))

    Each frame's `pts` counts in `frame.time_base`, which is the source's time base or a whole part of it, and equals
    what the command line writes for the same verb and options (which may move all times by one common offset). Source
    frames are the decoder's own objects, untouched; made ones are marked, see `made_by`. What can be read twice (a
    path, or a container opened from one) is scanned first, and has the same plan as on the command line; everything
    else is worked on in one pass, with the rate from `options.rate` or the headers, and memory for a dozen frames.

    Attributes:
        outcomes: what became of each gap so far.
    """

    def __init__(
        self,
        source: InputContainer | Source | Iterable[Frame],
        *,
        verb: Verb | None = None,
        options: RestoreOptions | None = None,
        engine: Engine | None = None,
        video: int | None = None,
        threads: int = 0,
    ) -> None:
        """Nothing is read before the iteration begins.

        Args:
            source: an open container that nothing was read from yet; a path; an open binary file; or frames with
                rising pts and one time base.
            verb: `Restore()` (the default), `Multiply(k)` or `Resample(rate)`.
            options: how gaps are found and filled.
            engine: an engine to use in place of `options.engine`.
            video: index of the video stream; None for the film's own.
            threads: decoding threads; 0 for as many as there are cores.
        """
        self._source = source
        self._verb, self._options = verb or Restore(), options or RestoreOptions()
        self._engine, self._video, self._threads = engine, video, threads
        self.outcomes: list[Outcome] = []

    def __iter__(self) -> Iterator[Frame]:
        """The frames, in presentation order.

        Raises:
            InputError: there is nothing to read.
            EngineError: the engine isn't usable, or broke its promise.
        """
        if isinstance(self._source, (InputContainer, str, os.PathLike)) or hasattr(self._source, "read"):
            return self._from_container(cast("InputContainer | Source", self._source))
        return self._from_frames(self._source)

    @property
    def _engine_name(self) -> str:
        if self._engine:
            return self._engine.info.name
        options = self._options
        return pick_engine(options.engine, options.engine_options, fallback=options.fallback)

    def _from_container(self, source: InputContainer | Source) -> Iterator[Frame]:
        with Reader(source, video=self._video, threads=self._threads, deinterlace=self._options.deinterlace) as reader:
            schedule = self._schedule(reader, source)
            settings = weave_settings(reader, self._options, engine=self._engine_name)
            yield from self._woven(reader.items(), schedule, settings)

    def _schedule(self, reader: Reader, source: InputContainer | Source) -> Schedule:
        again = _read_again(source)
        if again is None:
            return live_plan(reader, verb=self._verb, options=self._options, engine=self._engine_name)[0]
        job = Job(video=reader.stream.index, engine=self._engine)
        found, plan = plan_file(again, verb=self._verb, options=self._options, job=job)
        check_engines(plan, found.info.video.size, given=self._engine)
        return PlanSchedule(plan)

    def _from_frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        stream = iter(frames)
        first = next(stream, None)
        if first is None:
            raise InputError("the frames: there is not one")
        if first.pts is None or first.time_base is None:
            raise InputError("the frames: each needs a pts and a time_base")
        rate, time_base = self._options.rate, first.time_base
        clock = FrameClock(origin=Fraction(0), time_base=time_base, rate=rate) if rate else None
        schedule = LiveSchedule(
            verb=self._verb,
            engine=self._engine_name,
            time_base=time_base,
            parts=output_parts(self._verb, clock=clock, time_base=time_base),
            rate=rate,
            max_gap=self._options.max_gap,
        )
        settings = WeaveSettings(
            time_base=time_base,
            engine=self._engine_name,
            scene_threshold=self._options.scene_threshold,
            max_gap=self._options.max_gap,
            repair=self._options.repair,
            name="the frames",
            engine_options=self._options.engine_options,
            fallback=self._options.fallback,
            purse=Purse(self._options.budget),
        )
        yield from self._woven(_rising(first, stream), schedule, settings)

    def _woven(self, items: Iterable[Item], schedule: Schedule, settings: WeaveSettings) -> Iterator[Frame]:
        weaver = Weaver(schedule, settings, engine=self._engine, outcome=self.outcomes.append)
        time_base = settings.time_base / schedule.parts
        with closing(weaver.weave(items)) as woven:
            for item in woven:
                if isinstance(item, OutputFrame):
                    yield _stamped(item, time_base)


def _stamped(item: OutputFrame, time_base: Fraction) -> Frame:
    item.frame.pts, item.frame.time_base = item.pts, time_base
    if item.made_by is not None:
        item.frame.opaque = Made(by=item.made_by)
    return item.frame


def _rising(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame | Lost]:
    last = first.pts
    yield first
    for frame in rest:
        if frame.pts is None or (last is not None and frame.pts <= last):
            raise InputError(f"the frames: pts must rise, and {frame.pts} comes after {last}")
        last = frame.pts
        yield frame


def _read_again(source: InputContainer | Source) -> Source | None:
    """The source as something that can be read beside what is being read, or None."""
    if isinstance(source, InputContainer):
        return source.name if source.file is None and Path(source.name).is_file() else None
    return source if isinstance(source, (str, Path)) and is_seekable(source) else None
