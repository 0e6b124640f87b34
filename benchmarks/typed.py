"""What was typed, and what is said meanwhile: the same for every command."""

from __future__ import annotations

import sys
from pathlib import Path

import click


def command_on(clips: Path) -> str:
    """What was typed, without the names of folders on somebody's machine; `clips` is a folder or a film."""
    typed = sys.argv[1:]
    words = [
        (clips.name if clips.is_file() else "CLIPS")
        if Path(word) == clips
        else Path(word).name
        if before in ("--output", "--vapoursynth", "--film", "--keep", "--weights", "--ffmpeg")
        else word
        for before, word in zip(["", *typed], typed, strict=False)
    ]
    return " ".join(["python -m benchmarks", *words])


def tell(line: str) -> None:
    """Says how it goes, where no result is written to."""
    click.echo(line, err=True)
