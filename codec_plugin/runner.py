"""Runs a plan from file to file: decode, fill and encode side by side. The one orchestrator."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np

from codec_plugin.budget import Purse
from codec_plugin.copying import CopyDiffers, copy_film, uncopyable
from codec_plugin.engine import AUTO, engine_parts, engine_status, generative_candidate, pick_engine
from codec_plugin.errors import OptionError, PlanError, UnsupportedInput
from codec_plugin.grids import Resample, Restore, Verb, output_parts, verb_factor
from codec_plugin.job import Job, Progress
from codec_plugin.maptag import made_tags
from codec_plugin.media.packets import Packet
from codec_plugin.media.readback import check_times
from codec_plugin.media.reader import Reader, jumped_back
from codec_plugin.media.sideinfo import SideNote
from codec_plugin.media.source import Source, is_seekable
from codec_plugin.media.writer import Writer, check_target
from codec_plugin.options import Duplicates, Repair, RestoreOptions
from codec_plugin.plan import RestorePlan, make_plan
from codec_plugin.preflight import check_engines
from codec_plugin.report import Note, RestoreReport, resolve
from codec_plugin.schedule import LiveSchedule, PlanSchedule, Schedule
from codec_plugin.stages import ahead
from codec_plugin.survey import surveyed
from codec_plugin.timeline.inspect import Look
from codec_plugin.timeline.scan import Scan, scan
from codec_plugin.timing import FrameClock, Ticks, believed_rate, show_rate
from codec_plugin.weave import Outcome, Weaver, WeaveSettings

_DEPTH = 8  # items between stages: enough to ride out a slow frame, little enough to keep memory small
_FALLBACK_RATE = Fraction(25)


def plan_file(
    source: Source, *, verb: Verb, options: RestoreOptions | None = None, job: Job | None = None
) -> tuple[Scan, RestorePlan]:
    """Scans a file and plans it; writes nothing.

    Raises:
        InputError: the file can't be read.
        UnsupportedInput: it is interlaced, or its times jump back.
        EngineError: the engine isn't usable here.
    """
    options, job = options or RestoreOptions(), job or Job()
    look = Look(taint=options.repair is Repair.TAINTED, repeats=options.duplicates is Duplicates.FILL)
    found = _scan(source, options, job, decode=look != Look(), look=look)
    check_source(found, options)
    return found, _planned(source, found, verb, options, job)


def run_file(
    source: Source,
    target: str | os.PathLike[str],
    *,
    verb: Verb,
    options: RestoreOptions | None = None,
    job: Job | None = None,
    plan: RestorePlan | None = None,
) -> RestoreReport:
    """Restores, doubles or resamples a file into another one.

    Args:
        source: a path, "-", or an open binary file; one that can't be read twice is worked on in one pass.
        target: the output; its ending says the format.
        verb: what is to be done; a given plan's own verb wins.
        options: how gaps are found and filled.
        job: everything else.
        plan: run this instead of planning.

    Raises:
        InputError, OutputError: on either side; nothing is left under the output's name.
        PlanError: the plan is for another stream, or its promise was not kept.
        EngineError: an engine isn't usable, or broke its promise.
    """
    options, job = (plan.options if plan else options) or RestoreOptions(), job or Job()
    started = time.monotonic()
    path = Path(target)
    check_target(path, source=_path_of(source), overwrite=job.overwrite)
    if not is_seekable(source):
        return _run_live(source, path, verb, options, job, started=started)
    given = plan is not None
    if plan is None:
        found, plan = plan_file(source, verb=verb, options=options, job=job)
    else:
        found = _scan(source, options, job)
        check_source(found, options)
        check_plan(plan, found)
    if plan.changes_nothing and isinstance(plan.verb, Restore) and job.window.is_whole:
        if not given:
            found, plan = looked_inside(source, found, plan, options, job)
        if plan.changes_nothing:
            obstacle = uncopyable(source, path, found, job)
            if obstacle is None:
                try:
                    return copy_film(source, path, found, plan, job, started=started)
                except CopyDiffers as error:
                    obstacle = str(error)
            notes = [Note(kind="choice", text=f"no gaps found, and yet encoded again: {obstacle}")]
            return _run_planned(source, path, found, plan, job, notes=notes, started=started)
    return _run_planned(source, path, found, plan, job, notes=[], started=started)


def _path_of(source: Source) -> Path | None:
    return Path(source) if isinstance(source, (str, os.PathLike)) and str(source) != "-" else None


def _scan(source: Source, options: RestoreOptions, job: Job, *, decode: bool = False, look: Look | None = None) -> Scan:
    return scan(
        source,
        options=options,
        decode=decode,
        video=job.video,
        window=job.window,
        look=look,
        progress=lambda frames: job.progress(Progress(stage="look", frames=frames, total=None, made=0)),
    )


def _planned(source: Source, found: Scan, verb: Verb, options: RestoreOptions, job: Job) -> RestorePlan:
    plan = make_plan(
        found.timeline,
        verb=verb,
        options=options,
        engine=_engine_for(found, options, job),
        source=found.info.name,
        digest=found.digest,
        bad=found.bad(options),
    )
    return surveyed(source, plan, info=found.info, video=job.video, cancelled=job.cancelled)


def _engine_for(found: Scan, options: RestoreOptions, job: Job) -> str:
    """The engine asked for; "auto" takes the one that a drop map names, for that is known to make its frames well."""
    name, side = engine_name(options, job), found.side
    if name != AUTO or side.engine is None or side.objections:
        return name
    usable = all(engine_status(part).missing is None for part in engine_parts(side.engine))
    return side.engine if usable else name


def check_source(found: Scan, options: RestoreOptions) -> None:
    """Refuses what can't be written as one stream: fields (unless they are to be woven), times that jump back."""
    name, video = found.info.name, found.info.video
    if video.is_interlaced and not options.deinterlace:
        raise UnsupportedInput(f"{name}: the video is interlaced; --deinterlace makes whole frames of it first")
    if found.timeline.backward_jumps:
        raise UnsupportedInput(jumped_back(name, found.timeline.backward_jumps[0], found.timeline.time_base))


def check_plan(plan: RestorePlan, found: Scan) -> None:
    if plan.digest is not None and plan.digest != found.digest:
        raise PlanError(
            f"the plan was made for {plan.source}, and {found.info.name} is another stream "
            "(or was changed since); make a new plan with --save-plan"
        )
    if plan.time_base != found.timeline.time_base:
        raise PlanError(f"the plan counts in {plan.time_base} s, {found.info.name} in {found.timeline.time_base} s")
    there = {int(pts) for segment in found.timeline.segments for pts in segment.pts}
    for task in plan.tasks:
        for pts in (task.left_pts, task.right_pts):
            if pts is not None and pts not in there:
                raise PlanError(f"task {task.id} stands beside a source frame at pts {pts}, and there is none")


def looked_inside(
    source: Source, found: Scan, plan: RestorePlan, options: RestoreOptions, job: Job
) -> tuple[Scan, RestorePlan]:
    """No frame is missing by its time; only decoding tells whether one is damaged."""
    if not job.look_inside or found.inspection is not None or plan.tasks:
        return found, plan
    deeper = _scan(source, options, job, decode=True, look=Look())
    return deeper, _planned(source, deeper, plan.verb, options, job)


def _run_planned(
    source: Source, path: Path, found: Scan, plan: RestorePlan, job: Job, *, notes: list[Note], started: float
) -> RestoreReport:
    promised = plan.promised_pts(found.timeline)
    told = [("scan", text) for text in found.notes]
    told += [("engine", text) for text in check_engines(plan, found.info.video.size, given=job.engine)]
    notes = [*(Note(kind=kind, text=text) for kind, text in told), *notes]
    with open_reader(source, plan.options, job) as reader:
        return _write(reader, path, PlanSchedule(plan), plan, job, promised=promised, notes=notes, started=started)


def _run_live(
    source: Source, path: Path, verb: Verb, options: RestoreOptions, job: Job, *, started: float
) -> RestoreReport:
    """One pass over a stream that can't be read twice: the headers' rate is believed, and said to be."""
    with open_reader(source, options, job) as reader:
        schedule, plan = live_plan(reader, verb=verb, options=options, engine=engine_name(options, job))
        shown = show_rate(plan.rate) if plan.rate else "unknown, each interval by itself"
        notes = [Note(kind="rate", text=f"read once, so the clock is the headers' word: output rate {shown}")]
        return _write(reader, path, schedule, plan, job, promised=None, notes=notes, started=started)


def live_plan(
    reader: Reader,
    *,
    verb: Verb,
    options: RestoreOptions,
    engine: str,
    repeated: MutableMapping[int, str] | None = None,
) -> tuple[LiveSchedule, RestorePlan]:
    """The schedule of a stream that is read once, and the empty plan that its report will fill.

    Args:
        reader: what the frames will come from.
        verb: what is to be done.
        options: how.
        engine: the engine for every gap.
        repeated: where a `RepeatWatch` ahead of the schedule notes frozen repeats; None where nobody looks.
    """
    video = reader.info.video
    reader.jumps_are_fine = False  # no scan will have said so
    if (options.duplicates is Duplicates.FILL and repeated is None) or options.repair is Repair.TAINTED:
        raise OptionError(
            f"{reader.info.name}: --duplicates fill and --repair tainted read the film twice, "
            "which a pipe doesn't allow; save it to a file first"
        )
    if options.budget is not None:
        raise OptionError(
            f"{reader.info.name}: a budget is spent where it helps most, and that takes a look at the whole film, "
            "which a pipe doesn't allow; save it to a file first"
        )
    rate = options.rate or believed_rate(codec=video.rate_from_codec, header=video.rate_from_header)
    clock = FrameClock(origin=Fraction(0), time_base=video.time_base, rate=rate) if rate else None
    parts = output_parts(verb, clock=clock, time_base=video.time_base)
    schedule = LiveSchedule(
        verb=verb,
        engine=engine,
        time_base=video.time_base,
        parts=parts,
        rate=rate,
        max_gap=options.max_gap,
        bad=repeated,
    )
    plan = RestorePlan(
        source=reader.info.name,
        digest=None,
        verb=verb,
        options=options,
        time_base=video.time_base,
        output_time_base=video.time_base / parts,
        rate=verb.rate if isinstance(verb, Resample) else rate * verb_factor(verb) if rate else None,
        frame_count=0,
        tasks=(),
    )
    return schedule, plan


def open_reader(source: Source, options: RestoreOptions, job: Job) -> Reader:
    """A reader as a job wants it."""
    return Reader(
        source,
        video=job.video,
        threads=job.encode.threads,
        window=job.window,
        deinterlace=options.deinterlace,
    )


def engine_name(options: RestoreOptions, job: Job) -> str:
    if job.engine:
        return job.engine.info.name
    return pick_engine(options.engine, options.engine_options, fallback=options.fallback)


def weave_settings(
    reader: Reader, options: RestoreOptions, *, engine: str, purse: Purse | None = None
) -> WeaveSettings:
    """What a weaver must know, from a reader and the options; one purse for all weavers of a job."""
    return WeaveSettings(
        time_base=reader.info.video.time_base,
        engine=engine,
        scene_threshold=options.scene_threshold,
        max_gap=options.max_gap,
        repair=options.repair,
        name=reader.info.name,
        engine_options=options.engine_options,
        fallback=options.fallback,
        purse=purse or Purse(options.budget),
    )


def _write(
    reader: Reader,
    path: Path,
    schedule: Schedule,
    plan: RestorePlan,
    job: Job,
    *,
    promised: Ticks | None,
    notes: list[Note],
    started: float,
) -> RestoreReport:
    settings = weave_settings(reader, plan.options, engine=plan.unforeseen_engine or engine_name(plan.options, job))
    outcomes: list[Outcome] = []
    weaver = Weaver(schedule, settings, engine=job.engine, outcome=outcomes.append, cancelled=job.cancelled)
    with Writer(
        path,
        source=reader.container,
        picture=reader.stream,
        encode=job.encode,
        rate=plan.rate or reader.info.video.rate_from_header or _FALLBACK_RATE,
        time_base=plan.output_time_base,
        offset=-max(job.window.bounds(reader.info)[0], Fraction(0)),
        drop_unsupported=job.drop_unsupported,
        appearance=lambda: reader.appearance,
        tags=made_tags(plan, promised),
    ) as writer:
        written, made = _pump(reader, weaver, writer, job, total=None if promised is None else int(promised.size))
        writer.finish()
        if promised is not None and not np.array_equal(written, promised):
            raise PlanError(_broken_promise(reader.info.name, written, promised))
        offset = check_times(writer, written, time_base=plan.output_time_base)
        writer.commit()
    notes += [Note(kind="lost", text=str(loss)) for loss in writer.losses]
    notes += happened(reader, offset)
    if weaver.router.probes:
        count, seconds = weaver.router.probes, weaver.router.seconds
        text = f"{count} probe{'s' * (count > 1)} chose between the engines and took {seconds:.1f} s"
        notes.append(Note(kind="probes", text=text))
    notes += unserved(weaver.router.unserved)
    return RestoreReport(
        plan=resolve(plan, tuple(outcomes), dropped=weaver.dropped, frame_count=int(written.size)),
        output=str(path),
        encoder=writer.choice.describe() if writer.choice else None,
        offset=offset,
        source_frames=int(written.size) - made,
        outcomes=tuple(outcomes),
        notes=tuple(notes),
        seconds=time.monotonic() - started,
    )


def unserved(reasons: Mapping[str, int]) -> list[Note]:
    """Where flow was lost and made the frames all the same: how often, and why nothing else did."""
    if not reasons:
        return []  # to ask costs a fifth of a second: it imports what looks for weights
    status = generative_candidate()
    hint = f" ({status.missing})" if status.missing else ""
    return [
        Note(kind="choice", text=f"flow is lost in {count} gap{'s' * (count > 1)} and filled them: {reason}{hint}")
        for reason, count in reasons.items()
    ]


def happened(reader: Reader, offset: Fraction) -> list[Note]:
    """What the reader counted and by how much all times moved, as notes."""
    notes = [Note(kind="counted", text=f"{count} {what}") for what, count in reader.counts.items() if what != "frames"]
    if offset:
        notes.append(Note(kind="offset", text=f"all times moved by {float(offset):+.6f} s"))
    return notes


def _pump(reader: Reader, weaver: Weaver, writer: Writer, job: Job, *, total: int | None) -> tuple[Ticks, int]:
    """Decodes, fills and encodes side by side; the times of all frames written, and how many were made."""
    times = array("q")
    made = 0
    decoded = ahead(reader.items(copied=writer.copied_indices), depth=_DEPTH)
    with closing(decoded), closing(ahead(weaver.weave(decoded), depth=_DEPTH, abandon=reader.abandon)) as woven:
        for item in woven:
            if isinstance(item, Packet):
                writer.write_packet(item)
                continue
            note = SideNote(made_by=item.made_by) if item.made_by else None
            writer.write_frame(item.frame, pts=item.pts, note=note)
            times.append(item.pts)
            made += item.made_by is not None
            job.progress(Progress(stage="restore", frames=len(times), total=total, made=made))
    return np.asarray(times, dtype=np.int64), made


def _broken_promise(name: str, written: Ticks, promised: Ticks) -> str:
    missing, extra = np.setdiff1d(promised, written), np.setdiff1d(written, promised)
    where = f"; the first not written is {missing[0]}" if missing.size else ""
    where += f"; the first not planned is {extra[0]}" if extra.size else ""
    return f"{name}: the plan promises {promised.size} frames and {written.size} came out (output pts{where})"
