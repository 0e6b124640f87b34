"""One stretch of film at one size, and its stages, each run alone and then all together."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.benching.energy import EnergyMeters
from codec_plugin.benching.meters import Stage, StageResult, Tally
from codec_plugin.benching.watched import Watched
from codec_plugin.engine_work import Operations
from codec_plugin.errors import OptionError
from codec_plugin.filling import Filler
from codec_plugin.job import Job
from codec_plugin.media.reader import Frame, Reader
from codec_plugin.media.source import Source, source_name
from codec_plugin.media.writer import Writer
from codec_plugin.options import RestoreOptions
from codec_plugin.plan import Action, RestorePlan
from codec_plugin.runner import open_reader, run_file, weave_settings
from codec_plugin.schedule import PlanSchedule
from codec_plugin.weave import Outcome, OutputFrame, Weaver

_SUFFIX = ".mkv"  # it holds what any film has
_FALLBACK_RATE = Fraction(25)
_WITHOUT = "repeat"


class Stretch:
    """A stretch whose decoded frames lie in memory, so that no stage waits for another."""

    def __init__(
        self,
        source: Source,
        plan: RestorePlan,
        *,
        options: RestoreOptions,
        job: Job,
        folder: Path,
        meters: EnergyMeters,
        engine: Watched | None,
    ) -> None:
        """Decodes the stretch.

        Args:
            source: the film.
            plan: of the job's window.
            options: what it was made with.
            job: window, stream, encoder.
            folder: for the files that stages write.
            meters: read around each round.
            engine: the plan's engine, loaded; None where it has several or leaves it open.
        """
        self._source, self._plan, self._options = source, plan, options
        self._job = replace(job, overwrite=True, drop_unsupported=True)
        self._target = folder / f"out{_SUFFIX}"
        self._engine = engine
        self._filler = Filler(
            source=source_name(source), time_base=plan.time_base, engine=engine, options=options.engine_options
        )
        self._meters = meters
        self._tallies: dict[Stage, Tally] = {}
        self._frames: dict[Stage, int] = {}
        self._outcomes: list[Outcome] = []
        self.encoder = ""
        """What the encoder is told, in words."""
        with open_reader(source, options, self._job) as reader:
            self._held = [(frame, frame.pts) for frame in reader.frames()]

    @property
    def decoded(self) -> int:
        """Source frames."""
        return len(self._held)

    @property
    def made(self) -> dict[str, int]:
        """Frames that the last round made, by engine."""
        counts: Counter[str] = Counter()
        for outcome in self._outcomes:
            if outcome.engine is not None:
                counts[outcome.engine] += len(outcome.target_pts)
        return dict(counts)

    @property
    def held(self) -> int:
        """Frames that it held."""
        return sum(len(outcome.target_pts) for outcome in self._outcomes if outcome.engine is None)

    def begin(self) -> None:
        """Forgets the rounds so far: they warmed up."""
        self._tallies = {stage: Tally(meters=self._meters) for stage in Stage}

    def once(self) -> None:
        """Each stage once.

        Raises:
            OptionError: there is nothing to make in this stretch.
        """
        with open_reader(self._source, self._options, self._job) as reader, self._tallies[Stage.DECODE].round():
            self._frames[Stage.DECODE] = sum(1 for _ in reader.frames())
        with open_reader(self._source, self._options, self._job) as reader:
            output = self._filled(reader)
            self._encoded(reader, output)
        output.clear()
        self._whole(Stage.JOB, self._options)
        self._whole(Stage.NO_FILL, replace(self._options, engine=_WITHOUT, engine_options={}, fallback=None))

    def results(self, *, operations: Operations | None) -> tuple[StageResult, ...]:
        """What the rounds since `begin` say; `operations` are those of all gaps."""
        results = {
            stage: StageResult(stage=stage, frames=self._frames[stage], rounds=tuple(self._tallies[stage].rounds))
            for stage in Stage
        }
        if operations is not None:
            results[Stage.FILL] = replace(results[Stage.FILL], floor_s=operations.seconds)
        alone = [results[stage] for stage in (Stage.DECODE, Stage.FILL, Stage.ENCODE)]
        floor_s = max(max(each.wall_s for each in alone), sum(each.cpu_s for each in alone) / _cores())
        results[Stage.JOB] = replace(results[Stage.JOB], floor_s=floor_s)
        return tuple(results.values())

    def close(self) -> None:
        """Lets go of frames and engines."""
        self._held.clear()
        self._filler.close()
        if self._engine is not None:
            self._engine.close()

    def _again(self) -> list[Frame]:
        """The frames as the reader gave them: a writer puts its own times on those that it encodes."""
        for frame, pts in self._held:
            frame.pts = pts
        return [frame for frame, _ in self._held]

    def _filled(self, reader: Reader) -> list[OutputFrame]:
        self._outcomes = []
        engine = self._plan.unforeseen_engine or self._options.engine
        weaver = Weaver(
            PlanSchedule(self._plan),
            weave_settings(reader, self._options, engine=engine),
            outcome=self._outcomes.append,
            filler=self._filler,
        )
        frames = self._again()
        on_device = (lambda: None) if self._engine is None else self._engine.device_s
        with self._tallies[Stage.FILL].round(on_device):
            output = [item for item in weaver.weave(iter(frames)) if isinstance(item, OutputFrame)]
        self._frames[Stage.FILL] = sum(self.made.values())
        if not self._frames[Stage.FILL]:
            reasons = sorted({outcome.held_because or outcome.reason for outcome in self._outcomes})
            raise OptionError(
                f"{source_name(self._source)}: no frame was made in this stretch of {self.decoded} frames "
                f"({'; '.join(reasons) or 'nothing is missing'}); choose another with --start and --duration"
            )
        return output

    def _encoded(self, reader: Reader, output: list[OutputFrame]) -> None:
        self._frames[Stage.ENCODE] = len(output)
        with Writer(
            self._target,
            source=reader.container,
            picture=reader.stream,
            encode=self._job.encode,
            rate=self._plan.rate or reader.info.video.rate_from_header or _FALLBACK_RATE,
            time_base=self._plan.output_time_base,
            drop_unsupported=True,
        ) as writer:
            with self._tallies[Stage.ENCODE].round():
                for item in output:
                    writer.write_frame(item.frame, pts=item.pts)
                writer.finish()
            self.encoder = writer.choice.describe() if writer.choice else ""

    def _whole(self, stage: Stage, options: RestoreOptions) -> None:
        with self._tallies[stage].round():
            done = run_file(self._source, self._target, verb=self._plan.verb, options=options, job=self._job)
        self._frames[stage] = done.frame_count


def gap_sizes(plan: RestorePlan) -> Counter[int]:
    """How many gaps there are to fill, by the number of frames in them."""
    return Counter(len(task.target_pts) for task in plan.tasks if task.action is Action.FILL)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
