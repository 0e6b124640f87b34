"""`codec-plugin build` and `codec-plugin cache`: engines for this machine, and what lies in the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click

from modelrt.building import Built, build, targets
from modelrt.cache import CompileCache, user_cache_dir
from modelrt.errors import ModelRuntimeError
from modelrt.inventory import UNKNOWN, CacheEntry, inventory, prune
from modelrt.options import CPU, Precision, Provider, Runtime, SessionOptions, ShapeRange

_AUTO = "auto"
_ONNX = "onnx"  # short for onnxruntime, as elsewhere on the command line
_MIB = 1 << 20
_DAY_S = 86400

_FOLDER = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="The cache's folder; by default the user's own.",
)


class _Said(click.ClickException):
    """An error of ours, in the words of the other commands."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"codec-plugin: error: {self.message}", file=file, err=True)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ModelRuntimeError as error:
        raise _Said(str(error)) from error


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(extent) for extent in text.split("x"))


def _named(what: str, parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """Reads NAME=VALUE options."""

    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for value in values:
            name, _, text = value.partition("=")
            try:
                found[name] = parse(text)
            except (ValueError, TypeError) as error:
                raise click.BadParameter(f"{value!r} isn't {what}") from error
        return found

    return read


def _span(text: str) -> ShapeRange:
    smallest, usual, largest = (_shape(part) for part in text.split(":"))
    return ShapeRange(smallest=smallest, usual=usual, largest=largest)


@click.command("build")
@click.argument("source", metavar="MODEL.onnx|EXPORT_DIR", type=click.Path(path_type=Path))
@click.option(
    "--runtime",
    default=_AUTO,
    show_default=True,
    type=click.Choice([_AUTO, _ONNX, *(str(runtime) for runtime in Runtime if runtime is not Runtime.TORCH)]),
    help="What compiles it; auto takes the fastest measured one that is here.",
)
@click.option(
    "--precision",
    type=click.Choice([str(precision) for precision in Precision]),
    help="What to compute in; by default what the graph is written in.",
)
@click.option("--device", default=CPU, show_default=True, help="cpu, or cuda:0, cuda:1 …")
@click.option(
    "--provider",
    default=str(Provider.CPU),
    show_default=True,
    type=click.Choice([str(provider) for provider in Provider]),
    help="Who computes for ONNX Runtime.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x64x64",
    callback=_named("NAME=1x3x64x64", _shape),
    help="Fixes an input's shape; repeatable.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=MIN:USUAL:MAX",
    callback=_named("NAME=1x3x8x8:1x3x64x64:1x3x128x128", _span),
    help="TensorRT's range of an input's shapes; repeatable.",
)
@click.option("--workspace", type=click.IntRange(min=1), metavar="MIB", help="The most scratch memory for TensorRT.")
@click.option("--verify", is_flag=True, help="Measure parity here first, and write it into the manifest.")
@click.option("--weights", type=click.Path(path_type=Path), help="The original network's weights, for --verify.")
@_FOLDER
def build_command(
    source: Path,
    runtime: str,
    precision: str | None,
    device: str,
    provider: str,
    shapes: dict[str, tuple[int, ...]],
    ranges: dict[str, ShapeRange],
    workspace: int | None,
    verify: bool,
    weights: Path | None,
    folder: Path | None,
) -> None:
    """Compile graphs for this machine into the cache.

    A graph whose manifest says that it is unverified is refused, until --verify has held it against its reference.
    """
    with _errors():
        options = SessionOptions(
            device=device,
            provider=Provider(provider),
            shapes=shapes,
            ranges=ranges,
            workspace_bytes=workspace * _MIB if workspace else None,
            cache=CompileCache(directory=folder or user_cache_dir(), kept=True),
        )
        named = None if runtime == _AUTO else Runtime.ONNXRUNTIME if runtime == _ONNX else Runtime(runtime)
        for target in targets(source):
            built = build(
                target,
                runtime=named,
                options=options,
                precision=Precision(precision) if precision else None,
                verify=verify,
                weights=weights,
            )
            _tell(built)


def _tell(built: Built) -> None:
    known = "nothing new" if built.runtime is Runtime.ONNXRUNTIME else "was there already"
    state = f"{sum(entry.bytes for entry in built.added) / 1e6:.1f} MB" if built.added else known
    click.echo(
        f"{built.target.path.name}: {built.runtime} {built.precision}, {built.wall_s:.1f} s, {state} ({built.reason})"
    )
    if built.parity is not None:
        click.echo(f"  parity {built.parity.relative:.1e} with {built.parity.reference} on {built.parity.device}")
    elif built.target.manifest is None:
        click.echo("  no manifest: nobody promises its numbers")


@click.group("cache")
def cache_group() -> None:
    """List and prune compiled engines."""


@cache_group.command("list")
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Everything that is known of each, as JSON.")
def list_command(folder: Path | None, as_json: bool) -> None:
    """List what is in the cache, the one used last first."""
    with _errors():
        entries = inventory(folder or user_cache_dir())
    if as_json:
        click.echo(json.dumps([{**asdict(entry), "path": str(entry.path)} for entry in entries], indent=1))
        return
    click.echo(_line("model", "runtime", "type", "MB", "used", "id"))
    for entry in entries:
        click.echo(_row(entry))
    if any(entry.model == UNKNOWN for entry in entries):
        click.echo(f"{UNKNOWN}: nothing beside the engine says what it was compiled from; safe to prune")
    click.echo(f"{len(entries)} in {folder or user_cache_dir()}, {sum(entry.bytes for entry in entries) / 1e6:.1f} MB")


@cache_group.command("prune")
@_FOLDER
@click.option("--unused-for", type=click.FloatRange(min=0), metavar="DAYS", help="Those that nobody used for so long.")
@click.option("--down-to", type=click.FloatRange(min=0), metavar="MB", help="Those used longest ago, down to so much.")
@click.option("--model", metavar="NAME", help="Those of this model.")
@click.option("--all", "everything", is_flag=True, help="All.")
def prune_command(
    folder: Path | None, unused_for: float | None, down_to: float | None, model: str | None, everything: bool
) -> None:
    """Delete engines; they are built again where they are needed."""
    if everything == (unused_for is not None or down_to is not None or model is not None):
        raise click.UsageError("say which: --unused-for DAYS, --down-to MB, --model NAME (or several), or --all")
    with _errors():
        gone = prune(
            folder or user_cache_dir(),
            unused_for_s=unused_for * _DAY_S if unused_for is not None else None,
            down_to_bytes=int(down_to * 1e6) if down_to is not None else None,
            model=model,
        )
    for entry in gone:
        click.echo(_row(entry))
    click.echo(f"{len(gone)} deleted, {sum(entry.bytes for entry in gone) / 1e6:.1f} MB")


def _row(entry: CacheEntry) -> str:
    used = datetime.fromtimestamp(entry.used).astimezone()
    day = used.strftime("%H:%M" if time.time() - entry.used < _DAY_S else "%Y-%m-%d")
    runtime = entry.runtime.partition("-")[0]
    return _line(entry.model, runtime, entry.precision, f"{entry.bytes / 1e6:.1f}", day, entry.digest[:8])


def _line(model: str, runtime: str, precision: str, size: str, used: str, digest: str) -> str:
    """One row of 80 columns at most."""
    short = [text if len(text) <= width else text[: width - 1] + "…" for text, width in ((model, 22), (runtime, 18))]
    return f"{short[0]:<22}  {short[1]:<18}  {precision:<4}  {size:>8}  {used:>10}  {digest:<8}"
