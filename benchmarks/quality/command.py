"""`python -m benchmarks quality`: the command."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.cases import GAPS, Case, find_cases
from benchmarks.machine import this_machine
from benchmarks.peers import Peer, peers
from benchmarks.quality.dataset import UnusableClip, find_dataset
from benchmarks.quality.film import FilmPeer
from benchmarks.quality.measuring import Tallies, Watcher, measure_case
from benchmarks.quality.networks import NetworkFiles, Networks
from benchmarks.quality.pictures import PictureWriter, absent_measures
from benchmarks.quality.rows import LeftOut, Measure
from benchmarks.quality.sheet import SheetWriter
from benchmarks.quality.summing import clip_rows, pooled_rows
from benchmarks.results import RESULTS, QualityResult, load_quality, save
from codec_plugin.errors import EngineError, OptionError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_NEW_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TABLE_FILES = ("quality.json", "quality_long.json")
_PLACES = {"--clips": "CLIPS", "--dataset": "DATASET", "--sheets": "SHEETS", "--pictures": "PICTURES"}


@click.command()
@click.option("--clips", type=_FOLDER, help="Folder of video files.")
@click.option("--dataset", type=_FOLDER, help="Folder of folders of numbered PNGs or JPEGs, one a clip.")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("auto", "rife", "dis", "blend", "repeat"),
    show_default=True,
    help="NAME or NAME:OPTION=VALUE,OPTION=VALUE; repeatable.",
)
@click.option("--only", multiple=True, help="Only this clip; repeatable.")
@click.option("--quick", is_flag=True, help="Few frames: to see that it runs, not to quote.")
@click.option("--gap", "gaps", multiple=True, type=click.IntRange(1), default=GAPS, show_default=True)
@click.option("--against", help="A peer, as in the tables, whose frames the others' are set beside.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
@click.option("--no-minterpolate", is_flag=True, help="Without FFmpeg's filter.")
@click.option(
    "--vapoursynth",
    type=_FILE,
    help="A Python (3.12 or newer) with vapoursynth, vapoursynth-mvtools and vapoursynth-mvutensils.",
)
@click.option("--film-model", type=_FILE, help="FILM as TorchScript.")
@click.option("--lpips", type=_FILE, help="LPIPS as TorchScript, (a, b) in [-1, 1] to a distance.")
@click.option("--fid", type=_FILE, help="Inception as TorchScript, bytes to features.")
@click.option("--fvd", type=_FILE, help="I3D as TorchScript, videos to features.")
@click.option("--sheets", type=_NEW_FOLDER, help="Folder for a contact sheet a clip and gap.")
@click.option("--pictures", type=_NEW_FOLDER, help="Folder for what is made, as FVMD's and VBench's programs take it.")
@click.option("--add", is_flag=True, help="Keep the other rows of the output; only of the same commit and machine.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Result file; results/quality.json, and for --dataset none."
)
def quality(
    clips: Path | None,
    dataset: Path | None,
    engines: tuple[str, ...],
    only: tuple[str, ...],
    quick: bool,
    gaps: tuple[int, ...],
    against: str | None,
    seed: int,
    no_minterpolate: bool,
    vapoursynth: Path | None,
    film_model: Path | None,
    lpips: Path | None,
    fid: Path | None,
    fvd: Path | None,
    sheets: Path | None,
    pictures: Path | None,
    add: bool,
    output: Path | None,
) -> None:
    """Drops frames, has them made again, and compares."""
    if (clips is None) == (dataset is None):
        raise click.UsageError("give --clips or --dataset, one of them")
    output = _output(output, of_dataset=dataset is not None)
    everyone = _everyone(engines, vapoursynth=vapoursynth, minterpolate=not no_minterpolate, film=film_model)
    if against is not None and against not in [peer.name for peer in everyone]:
        raise click.UsageError(f"--against {against}: the peers are {', '.join(peer.name for peer in everyone)}")
    files = NetworkFiles(lpips=lpips, fid=fid, fvd=fvd)
    cases, left_out = _clips(clips, dataset, only, quick=quick)
    result = _begun(output, add=add)
    try:
        networks = Networks(files) if any((lpips, fid, fvd)) else None
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    sheet_writer, writer = SheetWriter(sheets) if sheets else None, PictureWriter(pictures) if pictures else None
    measures = (*_always(), *files.measures(), *(writer.measures() if writer else absent_measures()))
    watchers: list[Watcher] = [each for each in (networks, sheet_writer, writer) if each is not None]

    measured: dict[str, Tallies] = {}
    result = replace(result, measures=measures)
    for case in cases:
        try:
            measured[case.name] = measure_case(case, peers=everyone, gaps=gaps, tell=_tell, watchers=watchers)
        except UnusableClip as error:
            left_out.append(LeftOut(clip=case.name, why=f"left out: {error}"))
            continue
        except EngineError as error:
            raise click.ClickException(f"{case.name}: {error}") from error
        rows = clip_rows(case.name, measured[case.name], against=against, seed=seed)
        result = result.with_rows(networks.added(rows) if networks else rows)
        if add:
            save(result, output)
    if dataset is not None or networks is not None:
        rows = pooled_rows(measured, against=against, seed=seed)
        result = result.with_rows(networks.added(rows) if networks else rows)
    for each in left_out:
        _tell(f"{each.clip}: {each.why}")
    for measure in measures:
        if not measure.taken:
            _tell(f"not measured: {measure.name}: {measure.how}")
    if not measured:
        raise click.ClickException("no clip could be measured; the reasons stand above")
    save(result.with_left_out(left_out), output)
    for path in sheet_writer.write() if sheet_writer else ():
        _tell(f"sheet: {path}")


def _output(given: Path | None, *, of_dataset: bool) -> Path:
    """Where the result goes; a dataset's never where the READMEs' tables come from."""
    tables = [(RESULTS / name).resolve() for name in _TABLE_FILES]
    if of_dataset and (given is None or given.resolve() in tables):
        raise click.UsageError(
            "a dataset's result needs an --output FILE of its own: the READMEs' tables come from the default one"
        )
    return given or RESULTS / _TABLE_FILES[0]


def _everyone(
    engines: tuple[str, ...], *, vapoursynth: Path | None, minterpolate: bool, film: Path | None
) -> list[Peer]:
    if vapoursynth is None:
        _tell("skipped: MVTools and MVUtensils; --vapoursynth PYTHON names a Python that has them")
    if film is None:
        _tell("skipped: FILM; --film-model FILE names its TorchScript file")
    try:
        everyone = peers(engines, vapoursynth=vapoursynth, minterpolate=minterpolate)
    except (EngineError, OptionError) as error:
        raise click.UsageError(str(error)) from error
    return [*everyone, *([FilmPeer(file=film)] if film else [])]


def _clips(
    clips: Path | None, dataset: Path | None, only: tuple[str, ...], *, quick: bool
) -> tuple[list[Case], list[LeftOut]]:
    """The clips that are asked for, and what of the folder isn't one."""
    left_out: list[LeftOut] = []
    if dataset is not None:
        try:
            found = find_dataset(dataset, quick=quick)
        except UnusableClip as error:
            raise click.UsageError(str(error)) from error
        every, left_out = list(found.cases), list(found.left_out)
    else:
        assert clips is not None  # one of them is there, by the command
        every = find_cases(clips, quick=quick)
    cases = [case for case in every if not only or case.name in only]
    unknown = sorted(set(only) - {case.name for case in every})
    if unknown or not cases:
        raise click.UsageError(f"no clip{' called ' + ', '.join(unknown) if unknown else ''} in {dataset or clips}")
    return cases, left_out


def _begun(output: Path, *, add: bool) -> QualityResult:
    """An empty result, or with --add the one that is there."""
    machine = this_machine()
    fresh = QualityResult(command=typed_command(sys.argv[1:]), machine=machine, rows=())
    if not add or not output.exists():
        return fresh
    there = load_quality(output)
    if there.machine != machine:
        raise click.UsageError(
            f"{output.name} was made with commit {there.machine.commit} on {there.machine.cpu}, and this is "
            f"{machine.commit} on {machine.cpu}: rows of the two don't belong in one table; leave out --add"
        )
    commands = dict.fromkeys((*there.command.split("; "), fresh.command))
    return replace(there, command="; ".join(commands))


def _always() -> tuple[Measure, ...]:
    return (
        Measure(name="PSNR", taken=True, how="luma, mean over frames"),
        Measure(name="SSIM", taken=True, how="luma, windows of 7 x 7, mean over frames"),
        Measure(name="XPSNR", taken=True, how="FFmpeg's xpsnr, planes weighted by their samples, mean over frames"),
    )


def typed_command(typed: Sequence[str]) -> str:
    """What was typed, without the names of folders on somebody's machine."""
    words = []
    before = ""
    for word in typed:
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "", word)
        shown = _PLACES.get(option) or re.sub(r"[^\s,=]*/", "", value)
        words.append(f"{option}={shown}" if equals else option if word.startswith("--") else shown)
        before = word if word.startswith("--") else ""
    return " ".join(["python -m benchmarks", *words])


def _tell(line: str) -> None:
    click.echo(line, err=True)
