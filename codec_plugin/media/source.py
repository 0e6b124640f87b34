"""Opening an input, and finding its picture stream."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.container import InputContainer as InputContainer  # other modules take it from here
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from codec_plugin.errors import InputError
from codec_plugin.media.pipes import PipeSource, interruptible

_TEXT_FORMATS = ("tty", "bin", "adf", "idf", "xbin", "ansi")  # demuxers that take any text for a picture
_PIPE_BUFFER = 1 << 18  # bytes asked for at once; a pipe gives what it has, so a large one costs no waiting

Source = str | os.PathLike[str] | BinaryIO
"""A path, "-" for standard input, or an open binary file (seekable or not)."""


def source_name(source: Source | PipeSource) -> str:
    """What to call a source in messages."""
    if isinstance(source, (str, os.PathLike)):
        return "standard input" if str(source) == "-" else str(source)
    return str(getattr(source, "name", "the stream"))


@contextmanager
def input_errors(name: str) -> Iterator[None]:
    """Turns PyAV's and the system's errors into `InputError`s that name the file and say what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a directory, not a video file") from error
    except PermissionError as error:
        raise InputError(f"{name}: no permission to read it") from error
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise InputError(f"{name}: not a video file, or damaged beyond reading (FFmpeg finds no container)") from error
    except av.error.FFmpegError as error:
        raise InputError(f"{name}: FFmpeg can't read it: {error.strerror or error}") from error


def open_input(source: Source | PipeSource) -> InputContainer:
    """Opens a container for reading.

    Raises:
        InputError: it isn't there, isn't readable, or isn't a container that FFmpeg knows.
    """
    name = source_name(source)
    container = _opened(source, name)
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{name}: not a video file but text (FFmpeg would draw it: {container.format.name})")
    return container


def _opened(source: Source | PipeSource, name: str) -> InputContainer:
    with input_errors(name), interruptible():
        if isinstance(source, PipeSource):
            return _opened_pipe(source)
        if not isinstance(source, (str, os.PathLike)):
            if is_seekable(source):
                source.seek(0)
            return av.open(source, "r", metadata_errors="replace")
        if str(source) == "-":
            return _opened_standard_input()
        path = Path(source)
        if path.is_dir():
            raise IsADirectoryError(name)
        if path.exists() and path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{name}: the file is empty")
        return av.open(os.fspath(path), "r", metadata_errors="replace")


LATE = "packets of streams that appeared late"


def packets_of(
    container: InputContainer, streams: Sequence[Stream], *, counts: Counter[str] | None = None
) -> Iterator[Packet[Any]]:
    """Demuxes some streams, past one that appears late.

    PyAV knows the streams that were there when it opened the file. A broadcast may begin another one later, whose
    packets PyAV 18.1 meets with an IndexError; they are nobody's, so the demuxing goes on behind each. `counts`
    counts them.
    """
    while True:
        try:
            with interruptible():
                yield from container.demux(streams)
        except IndexError:
            if counts is not None:
                counts[LATE] += 1
            continue
        return


def standard_pipe(source: Source) -> PipeSource | None:
    """Standard input as something that can be interrupted, where the source is that and it is a pipe."""
    if not isinstance(source, (str, os.PathLike)) or str(source) != "-":
        return None
    try:
        descriptor = sys.stdin.fileno()
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except (OSError, ValueError, AttributeError):  # somebody put another object in its place
        return None
    return None if is_file else PipeSource(descriptor, name=source_name(source))


def _opened_standard_input() -> InputContainer:
    pipe = standard_pipe("-")
    if pipe is not None:
        return _opened_pipe(pipe)
    try:
        # Without Python's buffer: a thread that hangs in a read from it would keep the buffer's lock.
        plain = io.FileIO(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, ValueError):
        return av.open(sys.stdin.buffer, "r", metadata_errors="replace")
    return av.open(cast("BinaryIO", plain), "r", metadata_errors="replace")


def _opened_pipe(pipe: PipeSource) -> InputContainer:
    return av.open(cast("BinaryIO", pipe), "r", metadata_errors="replace", buffer_size=_PIPE_BUFFER)


def is_seekable(source: Source | PipeSource) -> bool:
    """Whether the source can be read twice: a regular file can, a pipe can't. Says nothing of its being there."""
    if isinstance(source, (str, os.PathLike)):
        return str(source) != "-" and not _is_special(Path(source))
    seekable = getattr(source, "seekable", None)
    return bool(seekable and seekable())


def late_index_hint(source: Source | PipeSource, *, container: str) -> str:
    """What may be behind an empty film in a pipe, to be put after a message; nothing for files and other formats."""
    if is_seekable(source) or "mp4" not in container.split(","):
        return ""
    return "; an MP4 with its index at the end can't be read from a pipe: name the file, or write it with +faststart"


def _is_special(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:  # a directory on the way may not be entered: opening the file will say so
        return False


def is_cover_art(stream: VideoStream) -> bool:
    """Whether a video stream is a still that belongs to the tags (an attached picture), not a film."""
    return bool(stream.disposition & Disposition.attached_pic)


def films_of(container: InputContainer) -> list[VideoStream]:
    """The video streams that aren't cover art."""
    return [stream for stream in container.streams.video if not is_cover_art(stream)]


def pick_video(container: InputContainer, index: int | None = None) -> VideoStream:
    """The video stream to work on: the one asked for, or the default one, or the first that isn't cover art.

    Args:
        container: an open input.
        index: the stream's index in the file, as `scan` shows it.

    Raises:
        InputError: there is none, or the index isn't a video stream.
    """
    videos = list(container.streams.video)
    if index is not None:
        chosen = next((stream for stream in videos if stream.index == index), None)
        if chosen is None:
            there = ", ".join(str(stream.index) for stream in videos) or "none"
            raise InputError(f"{container.name}: stream {index} is not a video stream (video streams: {there})")
        if chosen.codec_context is None:
            raise InputError(f"{container.name}: FFmpeg has no decoder for stream {index}")
        return chosen
    films = films_of(container)
    if not films:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        extra = "; its only picture is cover art" if videos else ""
        raise InputError(f"{container.name}: no video stream (it holds {kinds}{extra})")
    films = [stream for stream in films if stream.codec_context is not None]
    if not films:
        raise InputError(f"{container.name}: FFmpeg has no decoder for its video")
    defaults = [stream for stream in films if stream.disposition & Disposition.default]
    return (defaults or films)[0]
