"""The commands that say what is usable here: engines and doctor."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codec_plugin.engine import (
    AUTO,
    CHOICES,
    EngineStatus,
    auto_candidates,
    engine_names,
    engine_option_fields,
    engine_parts,
    engine_status,
    generative_candidate,
)
from codec_plugin.errors import EngineError
from codec_plugin.media.versions import encoder_states, library_versions

_PACKAGES = ("av", "numpy", "openvino", "opencv-python-headless", "click", "rich")


@click.command("engines")
@click.argument("name", required=False)
def engines_command(name: str | None) -> None:
    """List the engines and what they lack here, or NAME's options."""
    console = Console(highlight=False)
    if name is not None:
        for part in (*auto_candidates(), *_generative(name)) if name in CHOICES else engine_parts(name):
            _show_options(console, part)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for column in ("engine", "here", ""):
        table.add_column(column)
    statuses = [engine_status(name) for name in engine_names()]
    for status in statuses:
        table.add_row(status.name, *_row(status))
    console.print(table)
    try:
        candidates = auto_candidates()
        how = "takes" if len(candidates) == 1 else "tries on known frames, and takes the best of"
        last = "".join(f", and {other} where flow is lost" for other in _generative(AUTO))
        console.print(f"--engine auto {how} {', '.join(candidates)}{last}", markup=False)
    except EngineError as error:
        console.print(str(error), style="yellow", markup=False)


def _generative(name: str) -> tuple[str, ...]:
    """The generative engine, where the name means it too and it is usable."""
    status = generative_candidate()
    return (status.name,) if name == AUTO and status.missing is None else ()


def _show_options(console: Console, name: str) -> None:
    status = engine_status(name)
    known = engine_option_fields(name)
    console.print(f"{name}: {status.missing or status.summary}", markup=False)
    console.print(f"--engine-option {name}.K=V, with K one of:" if known else "no options", markup=False)
    for field in known:
        console.print(f"  {field.name}: {field.values} (by default {field.default})", markup=False)


def _row(status: EngineStatus) -> tuple[str, str]:
    if status.missing is None:
        return "[green]yes[/green]", escape(status.summary)
    return "[yellow]no[/yellow]", escape(status.missing)  # codec-plugin[dis] is no markup


def _marked(lines: Iterable[tuple[bool, str]]) -> Table:
    """Lines with what is well and what isn't before them."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for is_well, text in lines:
        table.add_row("", "[green]ok[/green]" if is_well else "[yellow]no[/yellow]", escape(text))
    return table


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@click.command("doctor")
def doctor_command() -> None:
    """Show versions, encoders and engines, for a bug report. Exits with 1 where something needed is missing."""
    console = Console(highlight=False)
    console.print(
        f"codec-plugin {metadata.version('codec-plugin')}, Python {sys.version.split()[0]}, {platform.platform()}"
    )
    console.print(f"{os.cpu_count()} cores, {platform.machine()}")
    console.print(", ".join(f"{name} {_version(name)}" for name in _PACKAGES), markup=False)
    console.print(", ".join(f"{name} {version}" for name, version in library_versions().items()), markup=False)
    console.print()
    encoders = encoder_states()
    console.print(_marked((state.usable, f"{state.name}: {state.detail}") for state in encoders))
    console.print()
    engines = [engine_status(name) for name in engine_names()]
    console.print(_marked((not one.missing, f"engine {one.name}: {one.missing or one.summary}") for one in engines))
    if not all(state.usable or not state.needed for state in encoders):
        console.print(
            "Something that the plugin needs is missing; reinstall PyAV with `pip install --force-reinstall av`."
        )
        raise click.exceptions.Exit(1)
