"""`codec-plugin rd`: what leaving frames out saves, and what it costs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from codec_plugin.cli.choices import TimeType, window
from codec_plugin.cli.console import folded
from codec_plugin.cli.files import write_json, write_text
from codec_plugin.errors import OptionError
from codec_plugin.media.source import is_seekable
from codec_plugin.media.target import check_place
from codec_plugin.media.vmaf import find_vmaf
from codec_plugin.rd.bjontegaard_rate import need_library
from codec_plugin.rd.measuring import CRFS, FULL, Point, RdResult, measure_rd
from codec_plugin.rd.page import rd_page, show_delta


@click.command("rd")
@click.argument("source", metavar="IN")
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    type=click.Choice(list(CRFS)),
    default=tuple(CRFS),
    show_default=True,
    help="May be repeated.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("repeat", "blend", "dis"),
    show_default=True,
    metavar="NAME",
    help="Who makes the frames; may be repeated.",
)
@click.option(
    "--keep-every", type=click.IntRange(2), default=2, show_default=True, help="Frames that the stream keeps."
)
@click.option("--minterpolate/--no-minterpolate", default=True, show_default=True, help="FFmpeg's own filter too.")
@click.option("--ffmpeg", metavar="PROGRAM", help="An FFmpeg with libvmaf, which PyAV's lacks: VMAF is measured too.")
@click.option("--start", type=TimeType(), metavar="TIME", help="Begin here.")
@click.option("--duration", type=TimeType(), metavar="TIME", help="Stop after this long.")
@click.option("--json", "json_file", metavar="FILE", help='Write every point as JSON; "-": standard output.')
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write curves and pictures as one page.")
@click.option("-y", "--yes", is_flag=True, help="Overwrite.")
def rd_command(
    source: str,
    encoders: tuple[str, ...],
    engines: tuple[str, ...],
    keep_every: int,
    minterpolate: bool,
    ffmpeg: str | None,
    start: Fraction | None,
    duration: Fraction | None,
    json_file: str | None,
    html: Path | None,
    yes: bool,
) -> None:
    """Measure what IN saves as a thinned stream that is restored.

    Thins, encodes, decodes and restores at four qualities of each encoder, beside IN itself at full rate; prints
    BD-rates (PSNR, SSIM, XPSNR, with --ffmpeg VMAF, over all frames). Takes minutes for seconds of film: --duration 4
    is a start.
    """
    if not is_seekable(source):
        raise OptionError("rd reads the film many times, which a pipe doesn't allow; save it to a file first")
    need_library()  # now, not after the work
    vmaf = find_vmaf(ffmpeg) if ffmpeg is not None else None
    for place in filter(None, (None if json_file in (None, "-") else Path(str(json_file)), html)):
        check_place(place, source=Path(source), overwrite=yes)
    with Console(stderr=True).status("measuring") as status:
        result = measure_rd(
            source,
            encoders=encoders,
            engines=engines,
            keep_every=keep_every,
            window=window(start, duration),
            with_minterpolate=minterpolate,
            vmaf=vmaf,
            tell=status.update,
        )
    if json_file is not None:
        write_json(json_file, rd_to_json(result))
    if html is not None:
        write_text(html, rd_page(result))
    if json_file != "-":
        _show(result)


def rd_to_json(result: RdResult) -> dict[str, Any]:
    """A result as plain JSON values."""
    return {
        "kind": "codec-plugin rd",
        "version": 1,
        "source": result.source,
        "frames": result.frames,
        "keep_every": result.keep_every,
        "presets": dict(result.presets),
        "notes": list(result.notes),
        "bd_rate": [
            {"encoder": encoder, "method": method, "metric": metric, **_delta_json(result, encoder, method, metric)}
            for encoder in result.encoders
            for method in result.methods
            if method != FULL
            for metric in result.metrics
        ],
        "points": [_point_json(point, result.metrics) for point in result.points],
    }


def _delta_json(result: RdResult, encoder: str, method: str, metric: str) -> dict[str, float | None]:
    delta = result.delta(encoder, method, metric)
    if delta is None:
        return {"percent": None, "overlap": None}
    return {"percent": round(delta.percent, 2), "overlap": round(delta.overlap, 3)}


def _point_json(point: Point, metrics: tuple[str, ...]) -> dict[str, Any]:
    def values(*, only_made: bool) -> dict[str, float | None]:
        found = {metric: point.quality(metric, only_made=only_made) for metric in metrics}
        return {metric: None if value is None else round(value, 4) for metric, value in found.items()}

    return {
        "encoder": point.encoder,
        "crf": point.crf,
        "method": point.method,
        "bytes": point.byte_count,
        "bits_per_second": round(point.bits_per_second),
        "seconds": point.seconds,
        "all": values(only_made=False),
        "made": values(only_made=True) if point.made else None,
    }


def _show(result: RdResult) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("encoder", "made by"):
        table.add_column(title)
    for metric in result.metrics:
        table.add_column(metric.upper(), justify="right")
    table.add_column("s", justify="right")
    for encoder in result.encoders:
        for method in result.methods:
            found = [point for point in result.points if (point.encoder, point.method) == (encoder, method)]
            seconds = f"{sum(point.seconds for point in found):.1f}"
            if method == FULL:
                table.add_row(encoder, method, *("0 %" for _ in result.metrics), seconds)
            else:
                table.add_row(
                    encoder, method, *(show_delta(result.delta(encoder, method, m)) for m in result.metrics), seconds
                )
        table.add_section()
    kept = f"{result.source}: {result.frames} frames, one in {result.keep_every} kept"
    console.print(f"{kept}. BD-rate: bits for the same quality over all frames, below 0 is a gain.", soft_wrap=True)
    console.print("* The full rate reaches less than three quarters of the curve's qualities.", soft_wrap=True)
    console.print(table)
    for note in result.notes:
        console.print(folded(f"note: {note}", console), soft_wrap=True)
