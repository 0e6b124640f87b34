"""`codec-plugin export`: an engine's networks as ONNX graphs, each compared with torch on the spot."""

from __future__ import annotations

from pathlib import Path

import click

from codec_plugin.cli.choices import default_of
from codec_plugin.cli.console import Voice
from codec_plugin.exports import (
    CHUNK_RANGE,
    FRAMES_RANGE,
    ExportCheck,
    ExportPrecision,
    ExportRequest,
    graph_exporter,
)


@click.command("export")
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--engine", metavar="NAME", required=True, help="Whose networks: fcvg or rife.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="fcvg: its weights folder. rife: flownet.pkl.",
)
@click.option(
    "--graphs", "graph_names", metavar="NAME,…", help="Only these graphs; a wrong name is answered with all of them."
)
@click.option("--size", metavar="WxH", help="fcvg: what the networks see, multiples of 64.  [default: 1024x576]")
@click.option(
    "--frames",
    type=click.IntRange(int(FRAMES_RANGE.least), int(FRAMES_RANGE.most)),
    multiple=True,
    metavar="N",
    help="fcvg: frames of a clip; may be repeated.  [default: 9, 17 and 25]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4),
    metavar="N",
    help="fcvg: rows of the UNet's batch, 1, 2 or 4; vibid and mpd run no more than 2.  [default: 2]",
)
@click.option(
    "--decode-chunk",
    type=click.IntRange(int(CHUNK_RANGE.least), int(CHUNK_RANGE.most)),
    metavar="N",
    help="fcvg: frames decoded together.  [default: 2]",
)
@click.option(
    "--precision",
    type=click.Choice([str(value) for value in ExportPrecision]),
    default=str(default_of(ExportRequest, "precision")),
    show_default=True,
    help="What the graphs compute in; for rife, fp16 is how the weights lie on disk.",
)
@click.option(
    "--check",
    type=click.Choice([str(value) for value in ExportCheck]),
    default=str(default_of(ExportRequest, "check")),
    show_default=True,
    help="Compare each graph with torch: where it runs here in a minute or so, always, or never.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def export_command(
    folder: Path,
    engine: str,
    weights: Path | None,
    graph_names: str | None,
    size: str | None,
    frames: tuple[int, ...],
    batch: int | None,
    decode_chunk: int | None,
    precision: str,
    check: str,
    quiet: bool,
) -> None:
    """Write an engine's networks into OUT as ONNX.

    Each has a manifest of shapes, hashes, versions and parity. A graph that gives other numbers than its network is
    deleted, and is an error. One that is too large to run here is written as unverified.
    """
    voice = Voice(verbosity=-1 if quiet else 0)
    request = ExportRequest(
        folder=folder,
        weights=weights,
        graphs=tuple(name.strip() for name in graph_names.split(",") if name.strip()) if graph_names else (),
        size=size,
        frames=frames,
        batch=batch,
        decode_chunk=decode_chunk,
        precision=ExportPrecision(precision),
        check=ExportCheck(check),
    )
    exporter = graph_exporter(engine)
    exporter.check(request)
    done = exporter.export(request, say=voice.say)
    open_ones = [graph for graph in done if graph.unverified is not None]
    size_mb = sum(graph.bytes for graph in done) / 1e6
    voice.say(f"{folder}: {len(done)} graphs, {size_mb:.1f} MB")
    if open_ones:
        voice.say(
            f"  {len(open_ones)} unverified: nothing runs them until parity has passed where they are to run",
            style="yellow",
        )
