"""The command between two pipes: YUV4MPEG2 in, YUV4MPEG2 out."""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from codec_plugin.cli.choices import ENGINE, RATE, default_of, engine_options
from codec_plugin.cli.console import Voice, ticking
from codec_plugin.cli.engine_flags import ENGINE_FLAGS, flagged_options
from codec_plugin.grids import Multiply, Resample, Restore, Verb, describe
from codec_plugin.media.pipes import PipeSource
from codec_plugin.options import FACTOR_RANGE, SCENE_THRESHOLD_RANGE, Duplicates, RestoreOptions
from codec_plugin.picture import Matrix
from codec_plugin.timing import show_rate

if TYPE_CHECKING:
    from y4mfcvg import PipeReport


@click.command("pipe")
@click.option(
    "--factor",
    type=click.IntRange(int(FACTOR_RANGE.least), int(FACTOR_RANGE.most)),
    help="So many times the frame rate.",
)
@click.option("--fps", type=RATE, metavar="R", help="Frames a second, any rational rate: 60, 59.94, 24000/1001.")
@click.option("--rate", type=RATE, metavar="R", help="The true frame rate of the input, believed over its header.")
@click.option(
    "--matrix",
    type=click.Choice([str(value) for value in Matrix]),
    help="How the samples were made, which the format can't say; by default bt709 above 576 rows, else bt601.",
)
@ENGINE
@ENGINE_FLAGS
@click.option(
    "--duplicates",
    type=click.Choice([str(value) for value in Duplicates]),
    default=str(default_of(RestoreOptions, "duplicates")),
    show_default=True,
    help="Frozen repeats, such as ffmpeg puts into gaps: leave them, or make those frames again.",
)
@click.option(
    "--scene-threshold",
    type=click.FloatRange(SCENE_THRESHOLD_RANGE.least, SCENE_THRESHOLD_RANGE.most),
    default=default_of(RestoreOptions, "scene_threshold"),
    show_default=True,
    metavar="0-100",
    help="Cut score from which frames are held, not made; 100 makes frames across every cut.",
)
@click.option("--deinterlace", is_flag=True, help="Make whole frames of fields first.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def pipe_command(
    factor: int | None,
    fps: Fraction | None,
    rate: Fraction | None,
    matrix: str | None,
    engine: str,
    engine_option_texts: tuple[str, ...],
    fallback: str | None,
    duplicates: str,
    scene_threshold: float,
    deinterlace: bool,
    verbose: int,
    quiet: bool,
    **flags: Any,
) -> None:
    """Work on YUV4MPEG2 from standard input to standard output.

    ffmpeg -i IN -f yuv4mpegpipe -strict -1 - | codec-plugin pipe --factor 2 | ffmpeg -i - OUT
    """
    from y4mfcvg import pipe  # bindings stand above the package; only this command reaches up to one

    verb = _verb(factor, fps, Duplicates(duplicates))
    options = RestoreOptions(
        engine=engine,
        engine_options=flagged_options(flags) | engine_options(engine_option_texts, engine=engine),
        fallback=fallback,
        rate=rate,
        scene_threshold=scene_threshold,
        duplicates=Duplicates(duplicates),
        deinterlace=deinterlace,
    )
    voice = Voice(verbosity=-1 if quiet else verbose)
    source, sink = _standard_pipes()
    with sink, ticking(voice, hint="Faster: --engine dis.") as ticker:
        done = pipe(
            source, sink, verb=verb, options=options, matrix=Matrix(matrix) if matrix else None, progress=ticker
        )
    _tell(voice, verb, done)


def _verb(factor: int | None, fps: Fraction | None, duplicates: Duplicates) -> Verb:
    if factor is not None and fps is not None:
        raise click.UsageError("give either --factor N or --fps R")
    if factor is not None:
        return Multiply(factor)
    if fps is not None:
        return Resample(fps)
    if duplicates is Duplicates.KEEP:
        raise click.UsageError("give --factor N or --fps R for more frames, or --duplicates fill to fill gaps")
    return Restore()


def _standard_pipes() -> tuple[PipeSource, BinaryIO]:
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("nothing is piped in: ffmpeg -i FILM -f yuv4mpegpipe -strict -1 - | codec-plugin pipe …")
    if sys.stdout is None or sys.stdout.isatty():
        raise click.UsageError("the result goes to standard output: codec-plugin pipe … | ffmpeg -i - FILM")
    sink = cast("BinaryIO", io.FileIO(sys.stdout.fileno(), "wb", closefd=False))
    return PipeSource(sys.stdin.fileno(), name="standard input"), sink


def _tell(voice: Voice, verb: Verb, done: PipeReport) -> None:
    made = [f"{count} held" if name == "hold" else f"{count} made by {name}" for name, count in done.made.items()]
    rate = f" at {show_rate(done.header.rate)} fps" if done.header.rate else ""
    voice.say(f"standard output: {describe(verb)}: {done.frames} frames{rate}, {', '.join(made) or 'none made'}")
    for reason, count in done.held.items():
        voice.say(f"  {count} held: {reason}", style="yellow")
    if done.dropped:
        voice.say(f"  {done.dropped} source frames left out: off the grid of the new rate")
    voice.detail(f"  {done.header!s}")
