"""`python -m benchmarks COMMAND`; --help lists the commands."""

from __future__ import annotations

import os
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
from benchmarks.machine import Machine, this_machine
from benchmarks.network_commands import NETWORK_COMMANDS
from benchmarks.peers import Peer, peers
from benchmarks.quality.command import quality
from benchmarks.results import RESULTS, SpeedResult, check_place, load_speed, merged_speed, save
from benchmarks.smart import KEYINTS, SmartResult, gapped_film, measure_smart, save_smart
from benchmarks.speed import SIZES, SpeedRow, measure_speed
from benchmarks.survey import SurveyResult, save_survey
from benchmarks.survey import survey as survey_clips
from benchmarks.tables import refresh
from benchmarks.thin import measure_thin, save_thin
from benchmarks.typed import command_on, tell
from codec_plugin import EncodeOptions, Window
from codec_plugin.cli.bench import SizeType
from codec_plugin.thinning.candidates import Quality

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


for _each in (quality, *NETWORK_COMMANDS):
    main.add_command(_each)


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
            case, peers=everyone, sizes=sizes, dropped=dropped, rounds=rounds or (2 if quick else 5), tell=tell
        )
    result = SpeedResult(command=command_on(clips), machine=machine, rows=tuple(rows))
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
            tell=tell,
        )
        kept = [row for row in kept if (row.width, row.height) != size] + new
        result = DoublingResult(
            command=command_on(film),
            machine=machine,
            load=load,
            ffmpeg=whose(ffmpeg),
            encoder=encoder(preset),
            seconds=seconds,
            rows=tuple(kept),
        )
        save_doubling(result, output)
    click.echo(doubling_table(result))


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
            rows.append(measure_smart(source, preset=preset, folder=Path(scratch), tell=tell))
            typed = f"python -m benchmarks smart --film {film.name} --preset {preset}"
            save_smart(SmartResult(command=typed, machine=this_machine(), rows=tuple(rows)), output)


@main.command()
@_CLIPS
@click.option("--seconds", type=float, default=30.0, show_default=True, help="How much of a longer film is looked at.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "smart_survey.json")
def survey(clips: Path, seconds: float, output: Path) -> None:
    """Drops a few pictures of every clip, restores it with --smart, and tells where that can't be done."""
    rows = survey_clips(clips, seconds=seconds, tell=tell)
    save_survey(SurveyResult(command=command_on(clips), machine=this_machine(), rows=rows), output)


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
        command=command_on(film),
        tell=tell,
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
    tell(run(cases, command=command_on(clips), output=output, tell=tell))


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
        tell("skipped: MVTools and MVUtensils; --vapoursynth PYTHON names a Python that has them")
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


if __name__ == "__main__":
    main()
