"""`bench`: decode, fill, encode and the whole job of one film, in turns, at each size asked for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.benching.energy import energy_meters
from codec_plugin.benching.machine import this_machine
from codec_plugin.benching.piece import scaled_piece
from codec_plugin.benching.results import BenchResult, BenchSettings, SizeResult
from codec_plugin.benching.stretch import Stretch, gap_sizes
from codec_plugin.benching.watched import device_of, watched
from codec_plugin.engine import AUTO, CHOICES, Engine, engine_option_fields, load_engine
from codec_plugin.engine_work import CountsOperations, Operations
from codec_plugin.errors import OptionError
from codec_plugin.grids import Multiply
from codec_plugin.job import Job
from codec_plugin.media.reader import Window
from codec_plugin.media.source import Source, is_seekable, source_name
from codec_plugin.options import RestoreOptions
from codec_plugin.plan import RestorePlan
from codec_plugin.preflight import check_engines
from codec_plugin.runner import plan_file
from codec_plugin.timeline.scan import Scan

_HELD_BYTES = 1 << 30  # source frames and made ones lie in memory while stages run alone
_BYTES_A_PIXEL = 3  # 4:2:0 of more than 8 bits, or 4:4:4 of 8


def runtime_option(engine: str, runtime: str) -> dict[str, str]:
    """`{"engine.runtime": text}`.

    Raises:
        OptionError: the engine has no choice of runtime.
        EngineError: there is no such engine.
    """
    if engine in CHOICES or "+" in engine:
        raise OptionError(f"--runtime {runtime}: name one engine with --engine; {engine} may be several")
    if not any(option.name == "runtime" for option in engine_option_fields(engine)):
        raise OptionError(f"--runtime {runtime}: engine {engine} has no choice of runtime")
    return {f"{engine}.runtime": runtime}


def bench(
    source: Source,
    *,
    settings: BenchSettings | None = None,
    options: RestoreOptions | None = None,
    job: Job | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> BenchResult:
    """Measures how fast a stretch of a film is decoded, filled and encoded, and the whole job.

    Stages run alone on frames that lie in memory, and then the job from file to file; all of them once to warm up, then
    in turns. A stretch that would take more than about a gigabyte of memory is cut, and that is noted.

    Args:
        source: a path or an open, seekable file.
        settings: sizes, factor, rounds.
        options: the engine.
        job: window, stream and encoder.
        tell: hears of progress.

    Raises:
        InputError: the film can't be read, or is interlaced.
        OptionError: a pipe, a size that the pixel format can't have, a stretch in which nothing is to be made.
        EngineError: the engine isn't usable here.
    """
    settings, options, job = settings or BenchSettings(), options or RestoreOptions(), job or Job()
    if not is_seekable(source):
        raise OptionError("bench reads the film many times, which a pipe doesn't allow; save it to a file first")
    machine = this_machine()
    notes = []
    if machine.is_busy:
        notes.append(
            f"the machine was busy before this began (load {machine.load} on {machine.cores} cores): "
            "believe CPU seconds more than frames a second"
        )
    sizes = []
    for size in settings.sizes or (None,):
        with tempfile.TemporaryDirectory(prefix="codec-plugin-bench-") as folder:
            sizes.append(
                _measured(source, size, settings, options, job, folder=Path(folder), tell=tell, note=notes.append)
            )
    return BenchResult(
        source=source_name(source),
        engine=options.engine,
        engine_options=dict(options.engine_options),
        settings=settings,
        machine=machine,
        sizes=tuple(sizes),
        notes=tuple(dict.fromkeys(notes)),
    )


def _measured(
    source: Source,
    size: tuple[int, int] | None,
    settings: BenchSettings,
    options: RestoreOptions,
    job: Job,
    *,
    folder: Path,
    tell: Callable[[str], None],
    note: Callable[[str], None],
) -> SizeResult:
    verb = Multiply(settings.factor)
    found, plan = plan_file(source, verb=verb, options=options, job=job)
    job = replace(job, window=_bounded(found, job.window, size=size, factor=settings.factor, note=note))
    shown = size or found.info.video.size
    if size is not None and size != found.info.video.size:
        tell(f"{size[0]}x{size[1]}: writing the stretch at this size")
        piece = folder / "piece.mkv"
        encoder = scaled_piece(source, piece, size=size, job=job)
        note(f"{size[0]}x{size[1]}: the stretch was scaled and encoded with {encoder}")
        source, job = piece, replace(job, window=Window(), video=None)
    found, plan = plan_file(source, verb=verb, options=options, job=job)
    for objection in check_engines(plan, shown):
        note(objection)
    with _engine_of(plan, options) as engine:
        meters = energy_meters(gpu=engine is not None and device_of(engine).startswith("cuda"))
        for reason in meters.missing:
            note(reason)
        stretch = Stretch(
            source,
            plan,
            options=options,
            job=job,
            folder=folder,
            meters=meters,
            engine=None if engine is None else watched(engine),
        )
        with closing(stretch):
            warm_up_s = _run(stretch, rounds=settings.rounds, tell=lambda what: tell(f"{shown[0]}x{shown[1]}: {what}"))
            return SizeResult(
                width=shown[0],
                height=shown[1],
                decoded=stretch.decoded,
                made=stretch.made,
                held=stretch.held,
                device="cpu" if engine is None else device_of(engine),
                encoder=stretch.encoder,
                warm_up_s=warm_up_s,
                stages=stretch.results(operations=_operations(engine, plan, shown)),
            )


def _run(stretch: Stretch, *, rounds: int, tell: Callable[[str], None]) -> float:
    """Warms up, then runs the rounds; gives the warm-up's wall time."""
    tell("warming up")
    stretch.begin()
    begun = time.perf_counter()
    stretch.once()
    warm_up_s = time.perf_counter() - begun
    stretch.begin()
    for turn in range(rounds):
        tell(f"round {turn + 1} of {rounds}")
        stretch.once()
    return warm_up_s


def _bounded(
    found: Scan, window: Window, *, size: tuple[int, int] | None, factor: int, note: Callable[[str], None]
) -> Window:
    """The window, cut to what fits memory."""
    width, height = size or found.info.video.size
    most = max(2, _HELD_BYTES // (width * height * _BYTES_A_PIXEL * factor))
    frames = found.timeline.frame_count
    if frames <= most:
        return window
    note(f"{width}x{height}: only the stretch's first {most} of {frames} frames: more would not lie in a gigabyte")
    length = window.duration if window.duration is not None else found.timeline.duration
    return replace(window, duration=Fraction(length) * most / frames)


@contextmanager
def _engine_of(plan: RestorePlan, options: RestoreOptions) -> Iterator[Engine | None]:
    """The plan's one engine, loaded to be watched; None where it names several or leaves it open."""
    names = {task.engine for task in plan.tasks if task.engine}
    name = names.pop() if len(names) == 1 else AUTO
    if name in CHOICES or "+" in name:
        yield None
        return
    engine = load_engine(name, options.engine_options)
    try:
        yield engine
    finally:
        engine.close()


def _operations(engine: Engine | None, plan: RestorePlan, size: tuple[int, int]) -> Operations | None:
    """Of all the plan's gaps, where the engine counts them."""
    if not isinstance(engine, CountsOperations):
        return None
    gaps = [(engine.operations(size, positions=frames), count) for frames, count in gap_sizes(plan).items()]
    flops = sum(each.flops * count for each, count in gaps)
    return Operations(flops=flops, flops_per_s=gaps[0][0].flops_per_s) if gaps else None
