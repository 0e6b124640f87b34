"""`codec-plugin bench`: how fast a film is decoded, filled and encoded here, and the whole job."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from codec_plugin.benching.bench import bench, runtime_option
from codec_plugin.benching.meters import Stage, StageResult
from codec_plugin.benching.results import ROUNDS_RANGE, SIDE_RANGE, BenchResult, BenchSettings, SizeResult
from codec_plugin.cli.choices import (
    ENCODING,
    ENGINE,
    RUNTIME,
    TimeType,
    default_of,
    encode_options,
    engine_options,
    window,
)
from codec_plugin.cli.console import folded
from codec_plugin.cli.engine_flags import ENGINE_FLAGS, flagged_options
from codec_plugin.cli.files import write_json
from codec_plugin.job import Job
from codec_plugin.media.target import check_place
from codec_plugin.options import FACTOR_RANGE, RestoreOptions

_STRETCH_S = Fraction(2)


class SizeType(click.ParamType[tuple[int, int]]):
    """A picture size: 1280x720."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        words = str(value).lower().split("x")
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            self.fail(f"{value!r} is not a size; write 1280x720", param, ctx)
        width, height = (int(word) for word in words)
        if not all(SIDE_RANGE.least <= side <= SIDE_RANGE.most for side in (width, height)):
            self.fail(f"{value}: a side has {SIDE_RANGE.least:g} to {SIDE_RANGE.most:g} pixels", param, ctx)
        return width, height


@click.command("bench")
@click.argument("source", metavar="IN")
@ENGINE
@ENGINE_FLAGS
@RUNTIME
@click.option(
    "--size", "sizes", type=SizeType(), multiple=True, metavar="WxH", help="Scale the film first; may be repeated."
)
@click.option(
    "--factor",
    type=click.IntRange(int(FACTOR_RANGE.least), int(FACTOR_RANGE.most)),
    default=default_of(BenchSettings, "factor"),
    show_default=True,
    help="So many times the frame rate.",
)
@click.option(
    "--rounds",
    type=click.IntRange(int(ROUNDS_RANGE.least), int(ROUNDS_RANGE.most)),
    default=default_of(BenchSettings, "rounds"),
    show_default=True,
    help="After one that warms up and isn't counted.",
)
@ENCODING
@click.option("--start", type=TimeType(), metavar="TIME", help="Begin here.")
@click.option(
    "--duration", type=TimeType(), default=_STRETCH_S, show_default=True, metavar="TIME", help="Stop after this long."
)
@click.option("--json", "json_file", metavar="FILE", help='Write every round as JSON; "-": standard output.')
@click.option("-y", "--yes", is_flag=True, help="Overwrite.")
def bench_command(
    source: str,
    engine: str,
    engine_option_texts: tuple[str, ...],
    fallback: str | None,
    runtime: str | None,
    sizes: tuple[tuple[int, int], ...],
    factor: int,
    rounds: int,
    start: Fraction | None,
    duration: Fraction,
    json_file: str | None,
    yes: bool,
    drop_unsupported: bool,
    **rest: Any,
) -> None:
    """Measure how fast IN is decoded, filled and encoded here.

    Each stage runs alone on frames that lie in memory, then the job from file to file; medians over several rounds in
    which they take turns. Without --size the film's own. Nothing but --json is written.
    """
    flagged, encoding = flagged_options(rest), rest
    chosen = {} if runtime is None else runtime_option(engine, runtime)
    if json_file not in (None, "-"):
        check_place(Path(str(json_file)), source=Path(source), overwrite=yes)  # now, not after the work
    options = RestoreOptions(
        engine=engine,
        engine_options=flagged | chosen | engine_options(engine_option_texts, engine=engine),
        fallback=fallback,
    )
    job = Job(
        encode=encode_options(**encoding),
        window=window(start, duration),
        drop_unsupported=drop_unsupported,
        look_inside=False,
    )
    settings = BenchSettings(sizes=sizes, factor=factor, rounds=rounds)
    with Console(stderr=True).status("measuring") as status:
        result = bench(source, settings=settings, options=options, job=job, tell=status.update)
    if json_file is not None:
        write_json(json_file, bench_to_json(result))
    if json_file != "-":
        _show(result)


def bench_to_json(result: BenchResult) -> dict[str, Any]:
    """A result as plain JSON values: every round, and what the table shows of them."""
    return {
        "kind": "codec-plugin bench",
        "version": 1,
        "source": result.source,
        "engine": result.engine,
        "engine_options": dict(result.engine_options),
        "factor": result.settings.factor,
        "rounds": result.settings.rounds,
        "machine": asdict(result.machine),
        "notes": list(result.notes),
        "sizes": [_size_json(size) for size in result.sizes],
    }


def _size_json(size: SizeResult) -> dict[str, Any]:
    return {
        "width": size.width,
        "height": size.height,
        "decoded": size.decoded,
        "made": dict(size.made),
        "held": size.held,
        "device": size.device,
        "encoder": size.encoder,
        "warm_up_s": round(size.warm_up_s, 4),
        "stages": [_stage_json(stage) for stage in size.stages],
    }


def _stage_json(stage: StageResult) -> dict[str, Any]:
    low, high = stage.middle_half
    floor = stage.floor_frames_per_s
    return {
        "stage": str(stage.stage),
        "frames": stage.frames,
        "frames_per_s": round(stage.frames_per_s, 3),
        "frames_per_s_quartiles": [round(low, 3), round(high, 3)],
        "wall_s": round(stage.wall_s, 5),
        "cpu_s": round(stage.cpu_s, 5),
        "device_s": None if stage.device_s is None else round(stage.device_s, 5),
        "floor_frames_per_s": None if floor is None else round(floor, 3),
        "joules": {name: round(value, 3) for name, value in stage.joules.items()},
        "rounds": [asdict(each) for each in stage.rounds],
    }


def _show(result: BenchResult) -> None:
    console = Console(highlight=False, markup=False)
    machine = result.machine
    console.print(f"{result.source}, {result.settings.factor} times the frame rate with {result.engine}")
    console.print(f"{machine.cores} cores of {machine.cpu}, {result.settings.rounds} rounds after one that warms up")
    for size in result.sizes:
        made = ", ".join(f"{count} made by {name}" for name, count in size.made.items())
        held = f", {size.held} held" if size.held else ""
        console.print(f"\n{size.width}x{size.height}: {size.decoded} frames decoded, {made}{held}; {size.encoder}")
        console.print(_table(size))
    for note in result.notes:
        console.print(folded(f"note: {note}", console), soft_wrap=True)


def _table(size: SizeResult) -> Table:
    # Narrow: terminals have 80 columns.
    on_device = any(stage.device_s is not None for stage in size.stages)
    energy = sorted({name for stage in size.stages for name in stage.joules})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("stage")
    for title in ("frames/s", "middle half", "s", "CPU s", *(["GPU s"] if on_device else []), "floor", *energy):
        table.add_column(title, justify="right")
    for stage in size.stages:
        low, high = stage.middle_half
        cells = [_figure(stage.frames_per_s), f"{_figure(low)}–{_figure(high)}"]
        cells += [f"{stage.wall_s:.2f}", f"{stage.cpu_s:.2f}"]
        if on_device:
            cells.append("–" if stage.device_s is None else f"{stage.device_s:.2f}")
        cells.append("–" if stage.floor_frames_per_s is None else _figure(stage.floor_frames_per_s))
        cells += [f"{stage.joules[name]:.1f} J" if name in stage.joules else "–" for name in energy]
        table.add_row(str(stage.stage), *cells)
    table.caption = f"floor of {Stage.JOB}: its slowest stage, or all stages' CPU time over the cores"
    table.caption_justify = "left"
    return table


def _figure(value: float) -> str:
    """Three figures."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
