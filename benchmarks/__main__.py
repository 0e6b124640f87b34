"""`python -m benchmarks COMMAND`; --help lists the commands."""

from __future__ import annotations

import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import click

from benchmarks.cases import Case, find_cases
from benchmarks.doubling import (
    DoublingResult,
    DoublingRow,
    doubling_table,
    encoder,
    load_doubling,
    measure_doubling,
    save_doubling,
    whose,
)
from benchmarks.export import export_result, measure_export, save_export
from benchmarks.fcvg_runtimes import measure_runtimes, save_runtimes
from benchmarks.machine import Machine, this_machine
from benchmarks.peers import Peer, peers
from benchmarks.profiles import Job, measure_profiles, save_profiles
from benchmarks.quality.command import quality
from benchmarks.results import RESULTS, SpeedResult, check_place, load_speed, merged_speed, save
from benchmarks.smart import KEYINTS, SmartResult, gapped_film, measure_smart, save_smart
from benchmarks.speed import SIZES, SpeedRow, measure_speed
from benchmarks.survey import SurveyResult, save_survey
from benchmarks.survey import survey as survey_clips
from benchmarks.tables import refresh
from benchmarks.thin import measure_thin, save_thin
from codec_plugin import EncodeOptions, Window
from codec_plugin.cli.bench import SizeType
from codec_plugin.thinning.candidates import Quality

_LONG_GAP = Path(__file__).parents[1] / "examples" / "city_with_a_long_gap.mp4"
_CLIPS = click.option(
    "--clips",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of video files.",
)
_ENGINES = click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("auto", "rife", "dis", "blend"),
    show_default=True,
    help="Repeatable.",
)
_VAPOURSYNTH = click.option(
    "--vapoursynth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python (3.12 or newer) with vapoursynth, vapoursynth-mvtools and vapoursynth-mvutensils.",
)
_QUICK = click.option("--quick", is_flag=True, help="Few frames: to see that it runs, not to quote.")
_SIZES = click.option(
    "--size", "sizes", type=SizeType(), multiple=True, metavar="WxH", help="Repeatable; all sizes if not given."
)
_ADD = click.option("--add", is_flag=True, help="Keep other sizes of a result of the same commit and machine.")
_ONLY = click.option("--only", multiple=True, help="Only this file of the folder; repeatable.")


@click.group()
def main() -> None:
    """Measures engines against each other and against FFmpeg's minterpolate."""


main.add_command(quality)


@main.command()
@_CLIPS
@_ENGINES
@_ONLY
@_QUICK
@_VAPOURSYNTH
@_SIZES
@click.option("--rounds", type=click.IntRange(1), help="How often each peer runs; 5, or 2 with --quick.")
@_ADD
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "speed.json")
def speed(
    clips: Path,
    engines: tuple[str, ...],
    only: tuple[str, ...],
    quick: bool,
    vapoursynth: Path | None,
    sizes: tuple[tuple[int, int], ...],
    rounds: int | None,
    add: bool,
    output: Path,
) -> None:
    """Counts new frames a second, on the first of the clips."""
    everyone = _everyone(engines, vapoursynth)
    case = _cases(clips, only, quick=False)[0]
    sizes = sizes or (SIZES[:1] if quick else SIZES)
    machine = this_machine()
    earlier = load_speed(output) if add and output.exists() else None
    if earlier is not None:
        _check_place(earlier.machine, machine, output)
    rows: list[SpeedRow] = []
    for dropped in (1, 3):
        rows += measure_speed(
            case, peers=everyone, sizes=sizes, dropped=dropped, rounds=rounds or (2 if quick else 5), tell=_tell
        )
    result = SpeedResult(command=_command(clips), machine=machine, rows=tuple(rows))
    save(result if earlier is None else merged_speed(earlier, result), output)


@main.command()
@click.option("--film", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--start", default=60, show_default=True, help="Seconds into the film.")
@click.option("--seconds", default=8, show_default=True, help="Of film.")
@_SIZES
@click.option("--engine", "engines", multiple=True, default=("dis",), show_default=True, help="Repeatable.")
@click.option("--preset", default="medium", show_default=True, help="Of x264, for all.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often each peer runs.")
@click.option(
    "--ffmpeg",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An ffmpeg whose minterpolate runs; without it PyAV's libraries do, decoder, filter and encoder side by side.",
)
@_ADD
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "doubling.json")
def doubling(
    film: Path,
    start: int,
    seconds: int,
    sizes: tuple[tuple[int, int], ...],
    engines: tuple[str, ...],
    preset: str,
    rounds: int,
    ffmpeg: Path | None,
    add: bool,
    output: Path,
) -> None:
    """Whole jobs: `double` beside FFmpeg's minterpolate, file to file, with one encoder."""
    machine = this_machine()
    kept: list[DoublingRow] = []
    if add and output.exists():
        earlier = load_doubling(output)
        _check_place(earlier.machine, machine, output)
        kept = list(earlier.rows)
    for size in sizes or (SIZES[1],):
        load = round(os.getloadavg()[0], 2)
        new = measure_doubling(
            film,
            size=size,
            start=start,
            seconds=seconds,
            engines=engines,
            preset=preset,
            rounds=rounds,
            ffmpeg=ffmpeg,
            tell=_tell,
        )
        kept = [row for row in kept if (row.width, row.height) != size] + new
        result = DoublingResult(
            command=_command(film),
            machine=machine,
            load=load,
            ffmpeg=whose(ffmpeg),
            encoder=encoder(preset),
            seconds=seconds,
            rows=tuple(kept),
        )
        save_doubling(result, output)
    click.echo(doubling_table(result))


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def fcvg(arguments: tuple[str, ...]) -> None:
    """FCVG at full size on an NVIDIA GPU, beside the public code; --help says more."""
    from benchmarks import fcvg_gpu

    fcvg_gpu.main(arguments)


@main.command()
@click.option(
    "--weights",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="FCVG's weights folder; a tiny random set, made for the run, if left out.",
)
@click.option("--film", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=_LONG_GAP)
@click.option("--left", type=click.IntRange(0), default=11, show_default=True, help="Number of the left end's frame.")
@click.option("--right", type=click.IntRange(0), default=12, show_default=True, help="Number of the right end's frame.")
@click.option("--gap", type=click.IntRange(1), default=7, show_default=True, help="Frames to make between them.")
@click.option("--size", default="64x64", show_default=True, help="What the networks see: auto, native or WxH.")
@click.option("--fusion", default="fcvg", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--allow-cpu", is_flag=True, help="Begin what takes hours without a GPU.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "profiles.json")
def profiles(
    weights: Path | None,
    film: Path,
    left: int,
    right: int,
    gap: int,
    size: str,
    fusion: str,
    rounds: int,
    allow_cpu: bool,
    output: Path,
) -> None:
    """FCVG's profiles of fewer operations beside the exact run: seconds, and what is lost."""
    job = Job(
        weights=weights,
        film=film,
        left=left,
        right=right,
        gap=gap,
        size=size,
        fusion=fusion,
        rounds=rounds,
        allow_cpu=allow_cpu,
    )
    save_profiles(measure_profiles(job, command=_command(film), tell=_tell), output)


@main.command()
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp16", show_default=True)
@click.option("--size", type=SizeType(), default="1024x576", show_default=True, metavar="WxH", help="Of the pictures.")
@click.option("--frames", type=click.IntRange(3, 25), default=25, show_default=True, help="Of a clip.")
@click.option("--batch", type=click.IntRange(1, 4), default=2, show_default=True, help="Rows.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "export.json")
def export(precision: str, size: tuple[int, int], frames: int, batch: int, output: Path) -> None:
    """Exports FCVG's full-size UNet with random weights: seconds, and the most memory."""
    row = measure_export(precision=precision, size=size, frames=frames, batch=batch, tell=_tell)
    typed = f"python -m benchmarks export --precision {precision} --size {size[0]}x{size[1]} --frames {frames}"
    save_export(export_result((row,), command=f"{typed} --batch {batch}"), output)
    _tell(f"{row.wall_s:.0f} s, {row.cpu_s:.0f} of the processor, {row.peak_bytes / 1e9:.1f} GB at the peak")


@main.command("fcvg-runtimes")
@click.option("--threads", multiple=True, type=click.IntRange(1), default=(1, 2), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "fcvg_runtimes.json")
def fcvg_runtimes(threads: tuple[int, ...], rounds: int, output: Path) -> None:
    """A middling UNet of FCVG's on every runtime that is here, in turns: seconds a call, and how near to torch."""
    words = " ".join(f"--threads {count}" for count in threads)
    command = f"python -m benchmarks fcvg-runtimes {words} --rounds {rounds}"
    save_runtimes(measure_runtimes(threads=threads, rounds=rounds, command=command, tell=_tell), output)


@main.command()
@click.option("--film", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--preset", default="medium", show_default=True, help="Of x264, both times.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the films made on the way.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "smart.json")
def smart(film: Path, preset: str, keep: Path | None, output: Path) -> None:
    """Restores a film of ten minutes with five gaps, smart and whole; key frames every 60 and every 250 frames."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        rows = []
        for keyint in KEYINTS:
            source = gapped_film(film, keyint=keyint, folder=folder)
            rows.append(measure_smart(source, preset=preset, folder=Path(scratch), tell=_tell))
            typed = f"python -m benchmarks smart --film {film.name} --preset {preset}"
            save_smart(SmartResult(command=typed, machine=this_machine(), rows=tuple(rows)), output)


@main.command()
@_CLIPS
@click.option("--seconds", type=float, default=30.0, show_default=True, help="How much of a longer film is looked at.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "smart_survey.json")
def survey(clips: Path, seconds: float, output: Path) -> None:
    """Drops a few pictures of every clip, restores it with --smart, and tells where that can't be done."""
    rows = survey_clips(clips, seconds=seconds, tell=_tell)
    save_survey(SurveyResult(command=_command(clips), machine=this_machine(), rows=rows), output)


@main.command()
@click.option("--film", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--start", type=float, default=0.0, show_default=True, help="Seconds into the film.")
@click.option("--duration", type=float, help="Seconds; the rest of the film if left out.")
@click.option("--quality", type=float, required=True, help="The least that a made frame must reach.")
@click.option("--metric", type=click.Choice(["psnr", "ssim"]), default="psnr", show_default=True)
@click.option("--engine", default="dis", show_default=True)
@click.option("--preset", default=None, help="Of the encoder; its own name for a trade of speed for size.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "thin.json")
def thin(
    film: Path,
    start: float,
    duration: float | None,
    quality: float,
    metric: str,
    engine: str,
    preset: str | None,
    output: Path,
) -> None:
    """Drops what comes back well enough, restores the rest, and measures every made frame from the final files."""
    window = Window(start=Fraction(str(start)), duration=None if duration is None else Fraction(str(duration)))
    row = measure_thin(
        film,
        window=window,
        quality=Quality(measure=metric, least=quality),
        engine=engine,
        encode=EncodeOptions(preset=preset),
        command=_command(film),
        tell=_tell,
    )
    save_thin(row, output)
    if row.below:
        raise click.ClickException(f"{row.below} of {row.made} made frames are below {quality:g}")


@main.command()
@_CLIPS
@_ONLY
@_QUICK
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "routing.json")
def routing(clips: Path, only: tuple[str, ...], quick: bool, output: Path) -> None:
    """Whether the rule of auto knows where flow is lost."""
    from benchmarks.routing import run

    cases = _cases(clips, only, quick=quick)
    _tell(run(cases, command=_command(clips), output=output, tell=_tell))


@main.command("tensorrt-rtx")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--headers",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder include of NVIDIA's open repository TensorRT.",
)
@click.option(
    "--library",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of TensorRT for RTX; by default that of the installed wheel.",
)
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1x3x64x64", help="Fixes an input's shape; repeatable.")
@click.option("--note", default="", help="What a reader of the result must know, such as what weights these are.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "tensorrt_rtx.json")
def tensorrt_rtx(
    model: Path, headers: Path, library: Path | None, shapes: tuple[str, ...], note: str, output: Path
) -> None:
    """Has TensorRT for RTX parse a graph and build it ahead of time; needs no GPU."""
    from benchmarks.tensorrt_rtx import CannotBuild, measure_rtx, save_rtx

    try:
        row = measure_rtx(model, headers=headers, library=library, shapes=shapes, note=note)
    except CannotBuild as error:
        raise click.ClickException(str(error)) from error
    save_rtx(row, output)
    _tell(
        f"{row.model}: parsed in {row.parse_s:.1f} s, built in {row.build_s:.1f} s, {row.engine_bytes / 1e6:.1f} MB, "
        f"peak {row.peak_rss_bytes / 1e9:.1f} GB"
    )


@main.command()
@click.option("--film", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--part", default="60:150", show_default=True, help="START:STOP in seconds; a fifth of it is held out.")
@click.option("--minutes", type=float, default=25.0, show_default=True, help="All stages together, by the clock.")
@click.option("--keep", required=True, type=click.Path(file_okay=False, path_type=Path), help="Weights and picture.")
@click.option("--clips", type=click.IntRange(1), default=4, show_default=True, help="Held-out gaps to make again.")
@click.option("--steps", type=click.IntRange(2), default=6, show_default=True, help="Denoising steps.")
@click.option("--guidance", type=click.FloatRange(1), default=1.0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "training.json")
def training(
    film: Path, part: str, minutes: float, keep: Path, clips: int, steps: int, guidance: float, output: Path
) -> None:
    """Whether training learns: a small model on a piece of a film, and what it makes of gaps it never saw."""
    from benchmarks.training import TrainingJob, measure_training, save_training

    first, _, second = part.partition(":")
    job = TrainingJob(
        film=film,
        part=(float(first), float(second)),
        minutes=minutes,
        clips=clips,
        steps=steps,
        guidance=guidance,
        keep=keep,
    )
    save_training(measure_training(job, command=_command(film), tell=_tell), output)


@main.command()
@click.option("--check", is_flag=True, help="Fail where a table is stale, and write nothing.")
def tables(check: bool) -> None:
    """Writes the tables of the READMEs from the results."""
    stale = refresh(results=RESULTS, check=check)
    for page in stale:
        click.echo(f"{'stale' if check else 'written'}: {page}")
    if check and stale:
        raise click.ClickException("run python -m benchmarks tables")


def _everyone(engines: tuple[str, ...], vapoursynth: Path | None) -> list[Peer]:
    if vapoursynth is None:
        _tell("skipped: MVTools and MVUtensils; --vapoursynth PYTHON names a Python that has them")
    return peers(engines, vapoursynth=vapoursynth)


def _cases(clips: Path, only: tuple[str, ...], *, quick: bool) -> list[Case]:
    cases = [case for case in find_cases(clips, quick=quick) if not only or case.name in only]
    if not cases:
        raise click.UsageError(f"no video file{' of that name' if only else ''} in {clips}")
    return cases


def _check_place(earlier: Machine, now: Machine, output: Path) -> None:
    try:
        check_place(earlier, now, path=output)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _command(clips: Path) -> str:
    """What was typed, without the names of folders on somebody's machine; `clips` is a folder or a film."""
    typed = sys.argv[1:]
    words = [
        (clips.name if clips.is_file() else "CLIPS")
        if Path(word) == clips
        else Path(word).name
        if before in ("--output", "--vapoursynth", "--film", "--keep", "--weights", "--ffmpeg")
        else word
        for before, word in zip(["", *typed], typed, strict=False)
    ]
    return " ".join(["python -m benchmarks", *words])


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
