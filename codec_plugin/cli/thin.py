"""The command that makes a low-rate stream: the other half of the round trip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from codec_plugin.cli.choices import (
    ENCODING,
    MANNERS,
    PREVIEW,
    RATE,
    encode_options,
    input_path,
    output_path,
    window,
)
from codec_plugin.cli.console import Voice, ticking
from codec_plugin.engine import AUTO
from codec_plugin.errors import OptionError
from codec_plugin.job import Job
from codec_plugin.media.source import is_seekable
from codec_plugin.options import RestoreOptions
from codec_plugin.thinning.closedloop import ClosedLoop, parse_quality, thin_to_budget, thin_to_quality
from codec_plugin.thinning.thin import DropRanges, KeepEvery, KeepRate, Pattern, thin


@click.command("thin")
@input_path()
@output_path()
@click.option("--keep-every", type=click.IntRange(2), metavar="N", help="Keep every N-th frame.")
@click.option("--fps", type=RATE, metavar="R", help="Keep about so many frames a second.")
@click.option("--drop", metavar="RANGES", help="Drop these frames: 10:14,30 is 10, 11, 12, 13 and 30 (from 0).")
@click.option(
    "--quality",
    metavar="Q",
    help="Drop only frames that --engine makes again at this quality or better, measured from the encoded files: "
    "0.96 is SSIM, 38dB is PSNR. Restore with the same encoder options.",
)
@click.option(
    "--save", metavar="P%", help="Drop the frames that come back best, as few as save this share of the bits."
)
@click.option("--engine", default=AUTO, show_default=True, metavar="NAME", help="For --quality and --save.")
@click.option("--video", type=int, metavar="INDEX", help="Which video stream, by its index (see scan).")
@click.option("--deinterlace", is_flag=True, help="Make whole frames of fields first.")
@ENCODING
@PREVIEW
@MANNERS
def thin_command(
    source: str,
    target: Path,
    keep_every: int | None,
    fps: Fraction | None,
    drop: str | None,
    quality: str | None,
    save: str | None,
    engine: str,
    video: int | None,
    start: Fraction | None,
    duration: Fraction | None,
    deinterlace: bool,
    drop_unsupported: bool,
    yes: bool,
    verbose: int,
    quiet: bool,
    **encoding: Any,
) -> None:
    """Leave frames out; the others keep their exact times. First and last stay."""
    if not is_seekable(source):
        raise OptionError("thin reads the file twice, which a pipe doesn't allow; save it to a file first")
    chosen = (keep_every, fps, drop, quality, save)
    if sum(choice is not None for choice in chosen) != 1:
        raise click.UsageError("give exactly one of --keep-every N, --fps R, --drop RANGES, --quality Q, --save P%")
    wanted, share = parse_quality(quality) if quality else None, _share(save) if save else None
    voice = Voice(verbosity=-1 if quiet else verbose)
    with ticking(voice, hint="Faster: --preset veryfast.") as ticker:
        job = Job(
            encode=encode_options(**encoding),
            window=window(start, duration),
            video=video,
            overwrite=yes,
            drop_unsupported=drop_unsupported,
            progress=ticker,
        )
        options = RestoreOptions(deinterlace=deinterlace, engine=engine)
        loop = None
        if wanted is not None:
            loop = thin_to_quality(source, target, quality=wanted, job=job, options=options)
        elif share is not None:
            loop = thin_to_budget(source, target, save=share, job=job, options=options)
        done = (
            loop.thinning
            if loop
            else thin(source, target, pattern=_pattern(keep_every, fps, drop), job=job, options=options)
        )
    voice.say(
        f"{target}: {done.frames - len(done.dropped)} of {done.frames} frames kept, re-encoded with {done.encoder}"
    )
    if loop is not None:
        voice.say(f"  {_loop_line(loop)}")
    for note in done.notes:
        voice.say(f"  {note.text}", style="yellow" if note.kind in ("lost", "counted") else None)


def _loop_line(loop: ClosedLoop) -> str:
    """What the closed loop came to, in one line."""
    bits = f"{loop.thinned_bytes / 1000:.0f} of {loop.full_bytes / 1000:.0f} kB: {loop.saved:.1%} saved"
    if loop.worst is None or loop.mean is None:
        return f"nothing comes back at {loop.quality}; {bits}"
    measure, digits = (" dB PSNR", 2) if loop.quality.measure == "psnr" else (" SSIM", 4)
    values = f"worst made frame {loop.worst:.{digits}f}{measure}, mean {loop.mean:.{digits}f}"
    often = "once" if loop.rounds == 1 else f"{loop.rounds} times"
    return f"{bits}; {values}; encoded thinned {often}"


def _share(text: str) -> Fraction:
    try:
        return Fraction(text.strip().removesuffix("%")) / 100
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(f"--save takes a share such as 30%, not {text!r}") from error


def _pattern(keep_every: int | None, fps: Fraction | None, drop: str | None) -> Pattern:
    if keep_every is not None:
        return KeepEvery(n=keep_every)
    return KeepRate(rate=fps) if fps is not None else DropRanges.parse(drop or "")
