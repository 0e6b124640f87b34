"""`codec-plugin weights`: what an engine's weights folder lacks, and getting what may be fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from codec_plugin.errors import EngineError, OptionError
from codec_plugin.weights import WeightsKeeper, WeightsPart, WeightsReport, keeping, weights_keeper


@click.group("weights")
def weights_group() -> None:
    """Check and fetch the weights of engines that don't bring theirs."""


_ENGINE = click.option("--engine", metavar="NAME", help="Whose weights; needed only where several engines have some.")


@weights_group.command("check")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@_ENGINE
def check_command(folder: Path | None, engine: str | None) -> None:
    """Name every missing file, unknown key and wrong shape in DIR. Exits with 1 where there is one."""
    keeper = _keeper(engine)
    report = keeper.check(folder or keeper.default_folder())
    _show(Console(highlight=False, soft_wrap=True), report)
    if report.problems:
        raise click.exceptions.Exit(1)


@weights_group.command("fetch")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@_ENGINE
@click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="NAME",
    help="A licence that you have read and accept, in place of being asked; may be repeated.",
)
def fetch_command(folder: Path | None, engine: str | None, accepted: tuple[str, ...]) -> None:
    """Download into DIR what a hub offers. Says where the rest is to be had and where to put it."""
    console = Console(highlight=False, soft_wrap=True)
    keeper = _keeper(engine)
    target = folder or keeper.default_folder()
    parts = keeper.parts()
    _check_accepted(accepted, parts)
    for part in parts:
        if part.fetched:
            _consent(console, part, accepted)
            console.print(f"fetching {part.name} into {target / part.place}", markup=False)
            keeper.fetch(part, target, say=lambda text: console.print(text, markup=False))
    by_hand = [part for part in parts if not part.fetched and not (target / part.place).exists()]
    for needed in (True, False):
        listed = [part for part in by_hand if part.needed is needed]
        if listed:
            console.print("\nyours to get:" if needed else "\noptional:", markup=False)
        for part in listed:
            _describe(console, part, target)
    console.print(f"\nthen: codec-plugin weights check {target}", markup=False)


def _keeper(engine: str | None) -> WeightsKeeper:
    if engine is not None:
        return weights_keeper(engine)
    names = keeping()
    if len(names) != 1:
        raise EngineError(f"say whose weights with --engine: {', '.join(names) or 'no engine here has any'}")
    return weights_keeper(names[0])


def _check_accepted(accepted: tuple[str, ...], parts: tuple[WeightsPart, ...]) -> None:
    known = {part.licence.name for part in parts if part.fetched}
    for name in accepted:
        if name not in known:
            raise OptionError(f"--accept-licence {name}: what is fetched has: {', '.join(sorted(known))}")


def _consent(console: Console, part: WeightsPart, accepted: tuple[str, ...]) -> None:
    """The licence, shown always; fetching goes on only with a yes, here or on the command line."""
    console.print(f"{part.name}: {part.what}, from {part.source}", markup=False)
    console.print(f"  licence {part.licence.name}: {part.licence.summary}", markup=False)
    if part.licence.gated:
        console.print(
            "  gated: the hub lets it go only to accounts whose owner accepted these terms there", markup=False
        )
    if part.licence.name in accepted:
        console.print("  accepted with --accept-licence", markup=False)
        return
    if not _somebody_is_here():
        raise OptionError(
            f"nobody is here to accept the licence of {part.name}; once you have read it, "
            f"--accept-licence {part.licence.name} says so"
        )
    click.confirm("  have you read the licence, and do you accept it?", abort=True)


def _somebody_is_here() -> bool:
    return sys.stdin.isatty()


def _describe(console: Console, part: WeightsPart, folder: Path) -> None:
    console.print(f"  {folder / part.place}", markup=False)
    console.print(f"    {part.what}; from {part.source}", markup=False)
    console.print(f"    licence: {part.licence.summary}", markup=False)


def _show(console: Console, report: WeightsReport) -> None:
    absent = "" if report.folder.is_dir() else ": there is no such folder"
    console.print(f"{report.folder}{absent}", markup=False)
    for note in report.notes:
        console.print(f"  {note}", markup=False)
    for problem in report.problems:
        console.print(f"  {problem.file}: {problem.what}", style="red", markup=False)
        console.print(f"    {problem.remedy}", markup=False)
    for part in report.absent:
        console.print(f"  optional, not there: {part.place} ({part.what})", markup=False)
    if report.untrained:
        console.print(
            f"  random, never trained: {', '.join(report.untrained)}; use needs --allow-untrained",
            style="yellow",
            markup=False,
        )
    count = len(report.problems)
    console.print(
        f"{count} problem{'s' if count > 1 else ''}" if count else "all that is needed is there", markup=False
    )
