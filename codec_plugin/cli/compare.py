"""`codec-plugin compare`: what a restored film has in common with the one it should be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from codec_plugin.cli.console import folded
from codec_plugin.comparison import Comparison, compare
from codec_plugin.errors import OptionError, OutputError
from codec_plugin.media.similarity import Metric, Scores
from codec_plugin.timing import show_time

_LISTED = 8  # times shown of each list; the JSON has them all
_PROGRESS_EVERY = 10


@click.command("compare")
@click.argument("reference")
@click.argument("restored")
@click.option("--report", metavar="FILE", help="Restore's report: tells made frames from source frames.")
@click.option("--json", "json_file", metavar="FILE", help='Write the result as JSON; "-": standard output.')
@click.option(
    "--offset",
    metavar="SECONDS",
    help='The common offset, restored less reference, such as "1.4" or "-7/5"; found by itself if not given.',
)
@click.option("--deinterlace", is_flag=True, help="Make whole frames of an interlaced REFERENCE first.")
def compare_command(
    reference: str,
    restored: str,
    report: str | None,
    json_file: str | None,
    offset: str | None,
    deinterlace: bool,
) -> None:
    """Compare RESTORED with REFERENCE, the film as it should be.

    Frames pair by presentation time. Shown are the frames that are missing, extra or moved, and PSNR, SSIM
    and XPSNR over all pairs and, with --report, over made and source frames apart.
    """
    _check_json_file(json_file, films=(reference, restored))
    shift = None if offset is None else _seconds(offset)
    with Console(stderr=True).status("comparing") as status:

        def progress(pairs: int, at: Fraction) -> None:
            if pairs % _PROGRESS_EVERY == 0:
                status.update(f"comparing: {pairs} pairs, at {show_time(at)}")

        comparison = compare(
            reference, restored, report=report, offset=shift, deinterlace=deinterlace, progress=progress
        )
    if json_file == "-":
        sys.stdout.write(comparison.to_json())
        return
    _show(comparison)
    if json_file is not None:
        _write(comparison.to_json(), Path(json_file))


def _check_json_file(json_file: str | None, *, films: tuple[str, ...]) -> None:
    if json_file is not None and any(Path(json_file).resolve() == Path(film).resolve() for film in films):
        raise OptionError(f"--json {json_file}: that is one of the films; give the result another name")
    """An hour of decoding shouldn't end in a typing error."""
    if json_file is not None and json_file != "-" and not Path(json_file).absolute().parent.is_dir():
        raise OptionError(f"--json {json_file}: its folder doesn't exist; make it first")


def _seconds(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(f'--offset {text}: not a number of seconds such as "1.4" or "-7/5"') from error


def _write(text: str, path: Path) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: can't write the JSON file: {error.strerror or error}") from error


def _show(comparison: Comparison) -> None:
    console = Console(highlight=False, markup=False)
    paired = comparison.reference_frames - len(comparison.missing)
    lines = [
        f"reference  {comparison.reference}: {comparison.reference_frames} frames",
        f"restored   {comparison.restored}: {comparison.restored_frames} frames, "
        f"offset {_milliseconds(comparison.offset)}",
        f"paired     {paired}",
        f"missing    {_listed([show_time(time) for time in comparison.missing])}",
        f"extra      {_listed([show_time(time) for time in comparison.extra])}",
        f"moved      {_listed([f'{show_time(m.at)} by {_milliseconds(m.by)}' for m in comparison.moved])}",
    ]
    console.print(folded("\n".join(lines), console), soft_wrap=True)
    if comparison.overall is None:
        console.print("\nNo frame has a partner: nothing could be measured.")
    else:
        console.print()
        console.print(_table(comparison))
    for note in comparison.notes:
        console.print(folded(f"note: {note}", console), soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    # Narrow: long films have six figures, terminals 80 columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("frames", "measure"):
        table.add_column(title)
    for title in ("pooled", "mean", "worst 10 %", "lowest", "at"):
        table.add_column(title, justify="right")
    groups = (("all", comparison.overall), ("made", comparison.made), ("source", comparison.kept))
    for name, scores in groups:
        if scores is not None:
            _add_group(table, name, scores)
    return table


def _add_group(table: Table, name: str, scores: Scores) -> None:
    labels = [f"{scores.frames} {name}", f"{scores.identical} identical", ""]
    metrics = (("PSNR dB", scores.psnr, 2), ("SSIM", scores.ssim, 4), ("XPSNR dB", scores.xpsnr, 2))
    for label, (measure, metric, digits) in zip(labels, metrics, strict=True):
        table.add_row(label, measure, *_cells(metric, digits))
    table.add_section()


def _cells(metric: Metric | None, digits: int) -> list[str]:
    if metric is None:
        return ["-"] * 5
    values = (metric.pooled, metric.mean, metric.worst_decile, metric.lowest)
    return [*(f"{value:.{digits}f}" for value in values), show_time(metric.lowest_at)]


def _milliseconds(seconds: Fraction) -> str:
    return f"{float(seconds * 1000):+.3f}".rstrip("0").rstrip(".") + " ms" if seconds else "0"


def _listed(times: Sequence[str]) -> str:
    shown = ", ".join(times[:_LISTED])
    rest = f" and {len(times) - _LISTED} more" if len(times) > _LISTED else ""
    return f"{len(times)}: {shown}{rest}" if times else "0"
