"""One stream through: read, fill and write side by side, each stage a few frames ahead of the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from codec_plugin.engine import Engine, pick_engine
from codec_plugin.grids import Verb
from codec_plugin.job import Progress
from codec_plugin.media.pipes import PipeSource
from codec_plugin.media.reader import Reader
from codec_plugin.media.y4m import Y4mHeader, Y4mInput, Y4mWriter
from codec_plugin.options import Duplicates, RestoreOptions
from codec_plugin.picture import Matrix
from codec_plugin.runner import live_plan, weave_settings
from codec_plugin.schedule import Schedule
from codec_plugin.stages import ahead
from codec_plugin.timeline.watch import RepeatWatch
from codec_plugin.weave import Outcome, OutputFrame, Weaver

_DEPTH = 8  # frames between stages: enough to ride out a slow one, little enough to keep memory small


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeReport:
    """What became of a stream. Its size doesn't grow with the stream's."""

    frames: int
    """Frames written."""
    made: Mapping[str, int]
    """Of these, frames made: how many by which engine, or "hold" for a neighbour shown again."""
    held: Mapping[str, int]
    """Frames that were to be made and were held instead: how many for which reason."""
    dropped: int
    """Source frames left out, for they are off the new rate's grid."""
    header: Y4mHeader
    """The first line written."""


class _Tally:
    """Counts outcomes; keeps none."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.held: Counter[str] = Counter()

    def frame(self, item: OutputFrame) -> None:
        if item.made_by is not None:
            self.made[item.made_by] += 1

    def outcome(self, outcome: Outcome) -> None:
        if outcome.held_because is not None:
            self.held[outcome.held_because.partition(" (")[0]] += len(outcome.target_pts)


def pipe(
    source: PipeSource | BinaryIO,
    sink: BinaryIO,
    *,
    verb: Verb,
    options: RestoreOptions | None = None,
    matrix: Matrix | None = None,
    engine: Engine | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> PipeReport:
    """Reads a YUV4MPEG2 stream, writes another one with the missing frames or at a higher rate.

    A frame waits until the next one is there, and those between them are made; what a slow reader of `sink` doesn't
    take isn't read from `source` either. With `Duplicates.FILL` a stretch without motion is held back for up to two
    seconds, to see whether its frames only repeat what was lost.

    Args:
        source: an open binary file.
        sink: an open binary file; every frame is flushed.
        verb: what is to be done.
        options: how; `rate` is believed over the header.
        matrix: how the samples were made, which the format can't say; None for what players take for the size.
        engine: an engine to use in place of `options.engine`.
        progress: called after each frame.
        cancelled: asked often; True stops the job.

    Raises:
        InputError: the source isn't YUV4MPEG2, or its header gives no rate.
        DamagedInput: it breaks off within a frame; all whole frames were written.
        UnsupportedInput: it is interlaced (and `options.deinterlace` is off).
        EngineError: the engine isn't usable, or broke its promise.
        BrokenPipeError: nobody reads the sink any more.
    """
    options = options or RestoreOptions()
    name = engine.info.name if engine else _picked(options)
    watch = RepeatWatch() if options.duplicates is Duplicates.FILL else None
    tally = _Tally()
    with closing(Y4mInput(source, rate=options.rate, matrix=matrix)) as stream:
        reader = Reader(stream.container, deinterlace=options.deinterlace, name=stream.name)
        reader.on_packet = stream.note
        repeated = watch.bad if watch else None
        schedule, plan = live_plan(reader, verb=verb, options=options, engine=name, repeated=repeated)
        assert plan.rate is not None  # the header has one
        header = stream.header.with_rate(plan.rate)
        header = header.progressive() if options.deinterlace else header
        weaver = _weaver(reader, schedule, options, name=name, engine=engine, tally=tally, cancelled=cancelled)
        with closing(Y4mWriter(sink, header=header)) as writer:
            _pump(stream, reader, weaver, writer, watch=watch, tally=tally, progress=progress)
        stream.check_end()
    return PipeReport(
        frames=writer.frames, made=tally.made, held=tally.held, dropped=len(weaver.dropped), header=header
    )


def _picked(options: RestoreOptions) -> str:
    return pick_engine(options.engine, options.engine_options, fallback=options.fallback)


def _weaver(
    reader: Reader,
    schedule: Schedule,
    options: RestoreOptions,
    *,
    name: str,
    engine: Engine | None,
    tally: _Tally,
    cancelled: Callable[[], bool],
) -> Weaver:
    settings = weave_settings(reader, options, engine=name)
    return Weaver(schedule, settings, engine=engine, outcome=tally.outcome, cancelled=cancelled)


def _pump(
    stream: Y4mInput,
    reader: Reader,
    weaver: Weaver,
    writer: Y4mWriter,
    *,
    watch: RepeatWatch | None,
    tally: _Tally,
    progress: Callable[[Progress], None],
) -> None:
    decoded = ahead(reader.items(), depth=_DEPTH)
    items = watch.watched(decoded) if watch else decoded
    with closing(decoded), closing(ahead(weaver.weave(items), depth=_DEPTH, abandon=stream.give_up)) as woven:
        for item in woven:
            assert isinstance(item, OutputFrame)  # the format has no other streams
            writer.write_frame(item.frame)
            tally.frame(item)
            made = tally.made.total()
            progress(Progress(stage="restore", frames=writer.frames, total=None, made=made))
