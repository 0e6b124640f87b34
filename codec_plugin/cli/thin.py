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
from codec_plugin.errors import OptionError
from codec_plugin.job import Job
from codec_plugin.media.source import is_seekable
from codec_plugin.options import RestoreOptions
from codec_plugin.thinning import DropRanges, KeepEvery, KeepRate, Pattern, thin


@click.command("thin")
@input_path()
@output_path()
@click.option("--keep-every", type=click.IntRange(2), metavar="N", help="Keep every N-th frame.")
@click.option("--fps", type=RATE, metavar="R", help="Keep about so many frames a second.")
@click.option("--drop", metavar="RANGES", help="Drop these frames: 10:14,30 is 10, 11, 12, 13 and 30 (from 0).")
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
    pattern = _pattern(keep_every, fps, drop)
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
        done = thin(source, target, pattern=pattern, job=job, options=RestoreOptions(deinterlace=deinterlace))
    voice.say(
        f"{target}: {done.frames - len(done.dropped)} of {done.frames} frames kept, re-encoded with {done.encoder}"
    )
    for note in done.notes:
        voice.say(f"  {note.text}", style="yellow" if note.kind in ("lost", "counted") else None)


def _pattern(keep_every: int | None, fps: Fraction | None, drop: str | None) -> Pattern:
    if sum(choice is not None for choice in (keep_every, fps, drop)) != 1:
        raise click.UsageError("give exactly one of --keep-every N, --fps R, --drop RANGES")
    if keep_every is not None:
        return KeepEvery(n=keep_every)
    return KeepRate(rate=fps) if fps is not None else DropRanges.parse(drop or "")
