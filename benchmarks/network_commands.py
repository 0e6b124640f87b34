"""The commands that measure networks: FCVG's speed, profiles, runtimes, exports and training, and TensorRT for RTX."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.export import export_result, measure_export, save_export
from benchmarks.fcvg_runtimes import measure_runtimes, save_runtimes
from benchmarks.profiles import Job, measure_profiles, save_profiles
from benchmarks.results import RESULTS
from benchmarks.typed import command_on, tell
from codec_plugin.cli.bench import SizeType

_LONG_GAP = Path(__file__).parents[1] / "examples" / "city_with_a_long_gap.mp4"


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def fcvg(arguments: tuple[str, ...]) -> None:
    """FCVG at full size on an NVIDIA GPU, beside the public code; --help says more."""
    from benchmarks import fcvg_gpu

    fcvg_gpu.main(arguments)


@click.command()
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
    save_profiles(measure_profiles(job, command=command_on(film), tell=tell), output)


@click.command()
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp16", show_default=True)
@click.option("--size", type=SizeType(), default="1024x576", show_default=True, metavar="WxH", help="Of the pictures.")
@click.option("--frames", type=click.IntRange(3, 25), default=25, show_default=True, help="Of a clip.")
@click.option("--batch", type=click.IntRange(1, 4), default=2, show_default=True, help="Rows.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "export.json")
def export(precision: str, size: tuple[int, int], frames: int, batch: int, output: Path) -> None:
    """Exports FCVG's full-size UNet with random weights: seconds, and the most memory."""
    row = measure_export(precision=precision, size=size, frames=frames, batch=batch, tell=tell)
    typed = f"python -m benchmarks export --precision {precision} --size {size[0]}x{size[1]} --frames {frames}"
    save_export(export_result((row,), command=f"{typed} --batch {batch}"), output)
    tell(f"{row.wall_s:.0f} s, {row.cpu_s:.0f} of the processor, {row.peak_bytes / 1e9:.1f} GB at the peak")


@click.command("fcvg-runtimes")
@click.option("--threads", multiple=True, type=click.IntRange(1), default=(1, 2), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "fcvg_runtimes.json")
def fcvg_runtimes(threads: tuple[int, ...], rounds: int, output: Path) -> None:
    """A middling UNet of FCVG's on every runtime that is here, in turns: seconds a call, and how near to torch."""
    words = " ".join(f"--threads {count}" for count in threads)
    command = f"python -m benchmarks fcvg-runtimes {words} --rounds {rounds}"
    save_runtimes(measure_runtimes(threads=threads, rounds=rounds, command=command, tell=tell), output)


@click.command("tensorrt-rtx")
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
    tell(
        f"{row.model}: parsed in {row.parse_s:.1f} s, built in {row.build_s:.1f} s, {row.engine_bytes / 1e6:.1f} MB, "
        f"peak {row.peak_rss_bytes / 1e9:.1f} GB"
    )


@click.command()
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
    save_training(measure_training(job, command=command_on(film), tell=tell), output)


NETWORK_COMMANDS = (fcvg, profiles, export, fcvg_runtimes, tensorrt_rtx, training)
"""All of them."""
