"""`restore_smart`: fills a film's gaps and keeps every packet that no gap touches, bit for bit."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.budget import Purse
from codec_plugin.copying import uncopyable
from codec_plugin.errors import CannotSplice
from codec_plugin.grids import Restore
from codec_plugin.job import Job, Progress
from codec_plugin.maptag import made_tags
from codec_plugin.media.gops import CodedFilm, coded_film
from codec_plugin.media.nal import NAL_CODECS
from codec_plugin.media.packets import is_flush
from codec_plugin.media.readback import check_times
from codec_plugin.media.sideinfo import SideNote, with_note_unit
from codec_plugin.media.source import (
    InputContainer,
    Source,
    input_errors,
    is_seekable,
    open_input,
    packets_of,
    pick_video,
)
from codec_plugin.media.splice import FORMATS, Encoded, SetsDiffer, Splicer, every_sets, least_step, matched, sets_of
from codec_plugin.media.writer import Writer, check_target
from codec_plugin.options import Check, RestoreOptions, Smart
from codec_plugin.plan import Action, RestorePlan
from codec_plugin.report import Note, RestoreReport, resolve
from codec_plugin.runner import check_plan, check_source, engine_name, looked_inside, plan_file, run_file
from codec_plugin.smart.splicecheck import check_splices
from codec_plugin.smart.splicing import Run, find_runs, fit_decode_times
from codec_plugin.smart.stretch import Stretch, Workshop
from codec_plugin.timeline.scan import Scan, scan
from codec_plugin.timing import round_half_up

_FALLBACK_RATE = Fraction(25)


def restore_smart(
    source: Source,
    target: str | os.PathLike[str],
    *,
    smart: Smart = Smart.ONLY,
    options: RestoreOptions | None = None,
    job: Job | None = None,
    plan: RestorePlan | None = None,
) -> RestoreReport:
    """Restores a film by encoding only the stretches that touch a gap; H.264 and HEVC in MP4, MOV, Matroska, MPEG-TS.

    Args:
        source: a path; pipes and open files can't be spliced.
        target: the output.
        smart: what to do where it can't be done.
        options: how gaps are found and filled.
        job: everything else.
        plan: run this instead of planning.

    Raises:
        CannotSplice: it can't be done, and why (not with `Smart.AUTO`).
        InputError, OutputError, PlanError, EngineError: as `restore` does.
    """
    options, job = (plan.options if plan else options) or RestoreOptions(), job or Job()
    note = None
    if smart is not Smart.OFF:
        try:
            done = _spliced(source, Path(target), options, job, plan)
            if isinstance(done, RestoreReport):
                return done
            plan = done
        except CannotSplice as error:
            if smart is not Smart.AUTO:
                raise CannotSplice(f"{error}; --smart=auto encodes everything anew where that is so") from error
            note = Note(kind="choice", text=f"everything was encoded anew: {error}")
    whole = run_file(source, target, verb=Restore(), options=options, job=job, plan=plan)
    return whole if note is None else replace(whole, notes=(note, *whole.notes))


def _spliced(
    source: Source, target: Path, options: RestoreOptions, job: Job, plan: RestorePlan | None
) -> RestoreReport | RestorePlan:
    """The report; the plan where there is nothing to make, so that a plain copy does it."""
    started = time.monotonic()
    if not is_seekable(source) or not isinstance(source, (str, os.PathLike)):
        raise CannotSplice("a pipe or an open file can't be read in several places at once; give a file's name")
    path = Path(source)
    check_target(target, source=path, overwrite=job.overwrite)
    if plan is None:
        found, plan = plan_file(source, verb=Restore(), options=options, job=job)
        if plan.changes_nothing and job.window.is_whole:
            found, plan = looked_inside(source, found, plan, options, job)
    else:
        found = scan(source, options=options, video=job.video, window=job.window)
        check_source(found, options)
        check_plan(plan, found)
    try:
        if plan.changes_nothing and isinstance(plan.verb, Restore):
            if obstacle := uncopyable(path, target, found, job):
                raise CannotSplice(obstacle)
            return plan
        _check_possible(path, target, found, plan, job)
        try:
            return _Smart(path, target, found, plan, job).run(started)
        except SetsDiffer:
            return _Smart(path, target, found, plan, job).run(started, sets_in_stream=True)
    except CannotSplice as error:
        raise CannotSplice(f"{found.info.name}: its packets can't be kept: {error}") from error


def _check_possible(path: Path, target: Path, found: Scan, plan: RestorePlan, job: Job) -> None:
    if not isinstance(plan.verb, Restore):
        raise CannotSplice(f"the plan is to {plan.verb}, and only restore leaves packets untouched")
    if found.info.video.codec not in NAL_CODECS:
        raise CannotSplice(f"only H.264 and HEVC can be spliced, not {found.info.video.codec}")
    if not job.window.is_whole:
        raise CannotSplice("a preview begins and ends inside GOPs")
    if plan.options.deinterlace:
        raise CannotSplice("every picture is to be deinterlaced")
    if plan.parts != 1:
        raise CannotSplice(f"its frames need finer ticks than its own ({plan.time_base} s)")
    if obstacle := uncopyable(path, target, found, job):
        raise CannotSplice(obstacle)


class _Smart:
    """One job: what stays and what is new, written side by side."""

    def __init__(self, path: Path, target: Path, found: Scan, plan: RestorePlan, job: Job) -> None:
        self._path, self._target, self._found, self._plan, self._job = path, target, found, plan, job
        self._film: CodedFilm = coded_film(path, video=job.video)
        self._runs = find_runs(self._film, [task for task in plan.tasks if task.action is not Action.DROP])
        self._promised = plan.promised_pts(found.timeline)
        self._written = self._made = self._again = 0
        self._stretches: list[Stretch] = []
        self._damage: Counter[str] = Counter()
        depth = found.info.video.reorder_depth
        self._workshop = Workshop(
            path=path,
            film=self._film,
            plan=plan,
            job=job,
            engine=plan.unforeseen_engine or engine_name(plan.options, job),
            splice=matched(job.encode, film=self._film, reorder_depth=depth, every_set=every_sets(self._film)),
            rate=plan.rate or found.info.video.rate_from_header or _FALLBACK_RATE,
            purse=Purse(plan.options.budget),
        )

    def run(self, started: float, *, sets_in_stream: bool = False) -> RestoreReport:
        """Writes the file and reports.

        Raises:
            SetsDiffer: it needs `sets_in_stream`.
            CannotSplice: there turns out to be no room, or the result doesn't show what it should.
        """
        container = open_input(self._path)
        with (
            closing(container),
            Writer(
                self._target,
                source=container,
                picture=(picture := pick_video(container, self._job.video)),
                encode=self._workshop.splice.options,
                rate=self._workshop.rate,
                time_base=self._plan.time_base,
                offset=-max(self._found.info.start, Fraction(0)),
                drop_unsupported=self._job.drop_unsupported,
                copy_picture=True,
                tags=made_tags(self._plan, self._promised),
                on_copy=lambda stream: splicer.shape(stream),
            ) as writer,
        ):
            if writer.container.format.name not in FORMATS:
                raise CannotSplice(f"no splice was ever seen to survive in {writer.container.format.name}")
            splicer = Splicer(writer, source=picture, film=self._film, sets_in_stream=sets_in_stream)
            first = self._encode(self._runs[0], writer)  # before the header, which may name its parameter sets
            splicer.expect(sets_of(first.pictures, codec=self._film.codec))
            with input_errors(self._found.info.name):
                self._write(container, writer, splicer, first)
            writer.finish()
            offset = check_times(writer, self._promised, time_base=self._plan.time_base)
            check_splices(
                writer,
                self._path,
                film=self._film,
                runs=self._runs,
                video=self._job.video,
                check=self._job.check,
            )
            writer.commit()
        return self._report(writer, splicer, offset, seconds=time.monotonic() - started)

    def _write(self, container: InputContainer, writer: Writer, splicer: Splicer, first: Stretch) -> None:
        picture = pick_video(container, self._job.video).index
        streams = [container.streams[index] for index in writer.copied_indices]
        due = list(self._runs)
        index = 0
        for packet in packets_of(container, streams):
            if packet.stream_index != picture or is_flush(packet) or not packet.size:
                if packet.stream_index != picture:
                    writer.write_packet(packet)
                continue
            if due and due[0].start == index:
                self._put(due.pop(0), writer, splicer, first)
            if any(run.drops(index) for run in self._runs):
                splicer.skip(index=index)
            else:
                splicer.keep(packet, index=index)
                self._tell(is_made=False)
            index += 1
        for run in due:
            self._put(run, writer, splicer, first)

    def _put(self, run: Run, writer: Writer, splicer: Splicer, first: Stretch) -> None:
        stretch = first if run is first.run else self._encode(run, writer)
        coded = self._film.pictures
        step = least_step(self._film.time_base, form=writer.container.format.name)
        before = coded[run.start - 1].dts if run.start else (coded[0].dts or 0) - step
        following = coded[run.stop] if run.stop < len(coded) else None
        dts = fit_decode_times(
            [picture.pts for picture in stretch.pictures],
            [picture.dts for picture in stretch.pictures],
            after=before,
            before=following.dts if following else None,
            step=step,
        )
        duration = round_half_up(1 / (self._workshop.rate * self._film.time_base))
        pictures = tuple(_marked(picture, stretch, codec=self._film.codec) for picture in stretch.pictures)
        splicer.put(pictures, dts, duration=duration, ends_at_open=run.ends_at_open)
        # Only what the report needs stays in memory.
        self._stretches.append(replace(stretch, pictures=()))
        self._again += len(stretch.pictures) - len(stretch.made_by)

    def _encode(self, run: Run, writer: Writer) -> Stretch:
        return self._workshop.encode(run, writer=writer, progress=lambda is_made: self._tell(is_made=is_made))

    def _tell(self, *, is_made: bool) -> None:
        self._written += 1
        self._made += is_made
        total = int(self._promised.size)
        self._job.progress(Progress(stage="restore", frames=self._written, total=total, made=self._made))

    def _report(self, writer: Writer, splicer: Splicer, offset: Fraction, *, seconds: float) -> RestoreReport:
        outcomes = tuple(outcome for stretch in self._stretches for outcome in stretch.outcomes)
        made = sum(len(stretch.made_by) for stretch in self._stretches)
        count = int(self._promised.size)
        return RestoreReport(
            plan=resolve(self._plan, outcomes, dropped=(), frame_count=count),
            output=str(self._target),
            encoder=self._stretches[0].choice.describe(),
            offset=offset,
            source_frames=count - made,
            outcomes=outcomes,
            notes=tuple(self._notes(writer, splicer, offset)),
            seconds=seconds,
        )

    def _notes(self, writer: Writer, splicer: Splicer, offset: Fraction) -> list[Note]:
        total = len(self._film.pictures)
        kept = total - sum(run.stop - run.start + run.leading for run in self._runs)
        notes = [
            Note(
                kind="smart",
                text=f"{kept} of {total} picture packets kept bit for bit; {len(self._runs)} stretches encoded, "
                f"with {self._again} of the source's frames in them",
            )
        ]
        if self._job.check is Check.ALL:
            notes.append(Note(kind="smart", text="every picture was decoded and held against the source's"))
        if splicer.mended:
            text = f"{splicer.mended} of the packets kept got parameter sets put before them"
            notes.append(Note(kind="smart", text=text))
        if splicer.is_hev1:
            text = "parameter sets stand in the stream (hev1): Apple's players want hvc1; re-encode for those"
            notes.append(Note(kind="smart", text=text))
        notes += [Note(kind="scan", text=text) for text in self._found.notes]
        notes += [Note(kind="lost", text=str(loss)) for loss in writer.losses]
        for stretch in self._stretches:
            self._damage.update(stretch.damage)
        notes += [Note(kind="counted", text=f"{count} {what}") for what, count in self._damage.items()]
        if offset:
            notes.append(Note(kind="offset", text=f"all times moved by {float(offset):+.6f} s"))
        return notes


def _marked(picture: Encoded, stretch: Stretch, *, codec: str) -> Encoded:
    """A picture with a note that says who made it, where that isn't the source."""
    made_by = stretch.made_by.get(picture.pts)
    if made_by is None:
        return picture
    units = with_note_unit(picture.units, SideNote(made_by=made_by), codec=codec)
    return replace(picture, units=tuple(bytes(unit) for unit in units))
