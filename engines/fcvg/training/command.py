"""The command `python -m fcvg.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from codec_plugin.errors import CodecPluginError, EngineError, OptionError
from fcvg.training.options import Place, Precision, TrainOptions, Trains
from fcvg.training.sizes import Size
from fcvg.weights.keeper import require_packages
from fcvg.weights.layout import COMPONENTS, SCHEDULER_CONFIG, find_svd

_DEFAULTS = {field.name: field.default for field in fields(TrainOptions)}


class _Pair(click.ParamType[tuple[float, float]]):
    """Two numbers with a sign between."""

    def __init__(self, sign: str, shown: str, *, whole: bool = False) -> None:
        self._sign, self.name, self._number = sign, shown, int if whole else float

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        first, _, second = str(value).partition(self._sign)
        try:
            return self._number(first), self._number(second)
        except ValueError:
            self.fail(f"{value!r} is not {self.name}", param, ctx)


def _option(name: str, kind: Any, told: str) -> Callable[[Any], Any]:
    """An option of a field of `TrainOptions`, with that field's default."""
    default = _DEFAULTS[name]
    flag = f"--{name.replace('_', '-')}"
    if isinstance(default, bool):
        return click.option(flag, is_flag=True, help=told)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        kind = click.Choice([str(value) for value in kind])
    if default is None:
        return click.option(flag, type=kind, help=told)
    return click.option(flag, type=kind, default=str(default), show_default=True, help=told)


_OPTIONS = (
    _option("size", Size, "svd goes on from public weights; tiny and small begin from nothing."),
    _option("weights", click.Path(path_type=Path), "For svd: the folder of public weights, as restore takes it."),
    _option("crop", _Pair("x", "WxH", whole=True), "What is trained on; the paper's 512x320, less for small sizes."),
    _option("frames", int, "Of a clip; the paper's 25, or 9 for small sizes."),
    _option("stride", int, "Every how manieth frame of the film."),
    _option("place", Place, "Where pictures are cropped."),
    _option("part", _Pair(":", "START:STOP"), "Seconds of each film; all of it by default."),
    _option("compress", _Pair(":", "FROM:TO"), "x264 crf that the ends of each clip go through."),
    _option("steps", int, "Of FCVG's stage; the paper's 70,000, or fewer for small sizes."),
    _option("vae_steps", int, "Of the VAE's stage, for small sizes."),
    _option("base_steps", int, "Of the UNet's stage without control, for small sizes."),
    _option("minutes", float, "In place of steps: all stages together."),
    _option("rate", float, "Learning rate of FCVG's stage; the paper's 1e-6, more for small sizes."),
    _option("weight_decay", float, "AdamW's."),
    _option("batch", int, "Clips that go through the networks together."),
    _option("accumulate", int, "Batches before a step."),
    _option("clip_norm", float, "The gradients' norm is held below; 0 leaves it alone."),
    _option("ema", float, "Decay of the average of the weights; 0 for none."),
    _option("dropout", float, "Share of clips whose image and lines are blanked."),
    _option("sigma_mean", float, "Mean of ln sigma."),
    _option("sigma_std", float, "Standard deviation of ln sigma."),
    _option("trains", Trains, "Which parameters FCVG's stage trains; attention for svd, unet for small sizes."),
    _option("precision", Precision, "What the networks compute in."),
    _option("device", str, "As torch names it, or auto."),
    _option("checkpointing", None, "Less memory for a third more time."),
    _option("seed", int, "Of everything that is drawn."),
    _option("workers", int, "Threads that read clips ahead."),
    _option("cache_mb", int, "Memory for decoded footage, and as much for latents."),
    _option("checkpoint_every", int, "Steps from one checkpoint to the next."),
    _option("measure_every", int, "Steps from one held-out loss to the next."),
    _option("measured", int, "Clips that the held-out loss is measured on."),
)


def _with_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("videos", metavar="VIDEOS", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path, file_okay=False))
@_with_options
def main(videos: Path, out: Path, **given: Any) -> None:
    """Train FCVG on a folder of VIDEOS (or one film), and write a weights folder OUT.

    Killed at any moment, the same command goes on from the last checkpoint in OUT.
    """
    click.echo(f"looking through {videos}")
    try:
        report = _train(videos, out, TrainOptions(**_typed(given)))
    except CodecPluginError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from the last checkpoint", err=True)
        raise SystemExit(130) from None
    for line in report:
        click.echo(line)


def _train(videos: Path, out: Path, options: TrainOptions) -> list[str]:
    """All that is cheap comes first; then torch is loaded."""
    from fcvg.training.footage import survey

    require_packages()
    if not options.is_from_nothing:
        _require_svd(options)
    was_there = out.exists()
    _require_writable(out)
    try:
        split = survey(videos, crop=options.cropped, part=options.part)
    except CodecPluginError:
        if not was_there:  # nothing to train on: what a misspelt name asked for doesn't stay
            out.rmdir()
        raise
    for reason in split.left_out:
        click.echo(f"left out: {reason}")
    click.echo(
        f"pieces of film: {len(split.training)} to train on, {len(split.held_out)} held out; files left out: "
        f"{len(split.left_out)}; loading torch"
    )
    from fcvg.training.run import train

    report = train(split, out, options, tell=click.echo)
    lines = [
        f"{name}: {made.steps} steps in {made.seconds:.0f} s, held-out loss {made.loss_before:.4f} to "
        f"{made.loss_after:.4f}"
        for name, made in report.stages.items()
    ]
    if report.undecodable:
        lines.append(f"{report.undecodable} pieces could not be decoded")
    width, height = options.cropped
    how = (
        f"--fcvg-size {width}x{height}"  # such a model knows no other
        if options.is_from_nothing
        else f"--engine-option fcvg.svd={find_svd(options.weights or out)}"
    )
    return [*lines, f"try it: codec-plugin restore IN OUT --engine fcvg --weights {out} {how}"]


def _require_svd(options: TrainOptions) -> None:
    if options.weights is None:
        raise OptionError(
            "size svd goes on from public weights: name their folder with --weights DIR (`codec-plugin weights fetch "
            "DIR` gets them), or train a small model from nothing with --size small"
        )
    svd = find_svd(options.weights)
    needed = [svd / SCHEDULER_CONFIG]
    needed += [path for part in COMPONENTS for path in (part.config_in(svd), part.weights_in(svd))]
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise EngineError(
            f"{missing[0]} is missing{f', and {len(missing) - 1} more' if len(missing) > 1 else ''}; "
            f"`codec-plugin weights check {options.weights}` says everything"
        )


def _require_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{out} can't be made: {error.strerror}") from error


def _typed(given: dict[str, Any]) -> dict[str, Any]:
    kinds = {"size": Size, "place": Place, "trains": Trains, "precision": Precision}
    return {name: kinds[name](value) if name in kinds and value is not None else value for name, value in given.items()}
