"""Whether a file may be written, and can be, found out before anything is read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import OutputContainer

from codec_plugin.errors import CannotHold, OutputError
from codec_plugin.media.nal import length_size_of
from codec_plugin.media.passthrough import copy_stream
from codec_plugin.media.source import Source, open_input, pick_video


@contextmanager
def output_errors(name: str) -> Iterator[None]:
    """Turns PyAV's and the system's errors into `OutputError`s that name the file and say what to do."""
    try:
        yield
    except CannotHold as error:
        if str(error).startswith(name):
            raise
        raise CannotHold(f"{name}: {error}") from error
    except OutputError:
        raise
    except FileNotFoundError as error:
        raise OutputError(f"{name}: the directory does not exist") from error
    except PermissionError as error:
        raise OutputError(f"{name}: no permission to write there") from error
    except OSError as error:  # PyAV's errors with an errno are OSErrors too
        full = "; free some space, or write to another disk" if error.errno == 28 else ""
        raise OutputError(f"{name}: can't be written: {error.strerror or error}{full}") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(f"{name}: FFmpeg can't write it: {error}") from error


def check_target(target: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuses an output film that would destroy something or that FFmpeg can't write, before anything is read.

    Raises:
        OutputError: the output is the input, or exists and may not be overwritten, or has no known format.
    """
    check_place(target, source=source, overwrite=overwrite)
    _check_format(target)


def check_place(target: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuses a file of any kind that would destroy something.

    Raises:
        OutputError: it is the input, or exists and may not be overwritten, or its directory isn't there.
    """
    with output_errors(str(target)):
        target.exists()  # says so where a directory on the way may not be entered
    if source is not None and target.exists() and _is_same(source, target):
        raise OutputError(f"{target}: output and input are the same file; give the output another name")
    if target.is_dir():
        raise OutputError(f"{target}: is a directory; give the output a file name")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; --yes overwrites it")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the directory {target.parent} does not exist")


def _check_format(target: Path) -> None:
    if str(target) == "-":
        raise OutputError("standard output takes no film; name a file, or write YUV4MPEG2 with `codec-plugin pipe`")
    if not target.suffix:
        raise OutputError(f"{target}: the name has no ending to tell the format by; try {target}.mkv")
    try:
        _trial(target).close()
    except (ValueError, av.error.FFmpegError) as error:
        raise OutputError(
            f"{target}: FFmpeg knows no format with the ending {target.suffix}; "
            "try .mkv, .mp4, .mov, .ts, .webm or .avi"
        ) from error


def _trial(target: Path) -> OutputContainer:
    """An output of the target's format that goes nowhere; FFmpeg tells the format only by a file's name."""
    with tempfile.TemporaryDirectory() as folder, av.open(f"{folder}/trial{target.suffix}", "w") as named:
        return av.open(os.devnull, "w", format=named.format.name)


def _is_same(source: Path, target: Path) -> bool:
    try:
        return os.path.samefile(source, target)
    except OSError:  # the source isn't there or can't be reached: opening it will say so
        return False


def copies_picture(source: Source, target: Path, *, video: int | None) -> bool:
    """Whether a target's format can hold the picture stream's packets as they are."""
    with open_input(source) as container, _trial(target) as trial:
        picture = pick_video(container, video)
        if trial.format.name == "mpegts" and picture.codec_context.codec.canonical_name == "mpeg4":
            return False  # its header is outside the packets, and MPEG-TS has no outside
        if trial.format.name == "avi" and length_size_of(picture.codec_context.extradata, codec=picture.codec.name):
            return False  # FFmpeg's AVI muxer wants start codes and doesn't make them itself
        try:
            copy_stream(picture, output=trial)
        except CannotHold:
            return False
    return True
