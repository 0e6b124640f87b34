"""The host programs that bindings are tested in, and the one clip that goes through all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

import codec_plugin
from tests.synth import MKV_FFV1, Clip, digest_of

ROOT = Path(codec_plugin.__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("", "engines", "bindings")),
}
PROGRAM = (sys.executable, "-m", "codec_plugin")

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program on this machine")
"""For tests with the real ffmpeg at both ends of a pipe."""


def y4m_of(clip: Clip, folder: Path, *, header: bytes | None = None) -> bytes:
    """A clip as a YUV4MPEG2 stream, written by PyAV; with another first line where one is given."""
    source = clip.write(folder / f"source{clip.kind.suffix}")
    path = folder / "source.y4m"
    with av.open(str(source)) as film, av.open(str(path), "w", options={"strict": "-1"}) as container:
        stream = container.add_stream("wrapped_avframe", rate=clip.rate)
        stream.width, stream.height = clip.size
        stream.pix_fmt = clip.pixel_format
        for number, frame in enumerate(film.decode(video=0)):
            frame.pts, frame.time_base = number, 1 / clip.rate
            container.mux(stream.encode(frame))
    data = path.read_bytes()
    path.unlink()
    line, _, rest = data.partition(b"\n")
    return (header or line.replace(b"A0:0", b"A1:1")) + b"\n" + rest


def y4m_frames(data: bytes, folder: Path) -> list[VideoFrame]:
    """The frames of a YUV4MPEG2 stream."""
    path = folder / "result.y4m"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def digests(frames: Sequence[VideoFrame]) -> list[str]:
    """Each frame's pixels, boiled down."""
    return [digest_of(frame) for frame in frames]


def run(
    arguments: Sequence[object], *, stdin: bytes | None = None, timeout_s: float = 120, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end."""
    return subprocess.run(
        [str(argument) for argument in arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout_s,
        env={**ENVIRONMENT, **more},
        check=False,
    )


def shell(line: str, *, folder: Path, timeout_s: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a line as a shell does, `codec-plugin` and `python` being this checkout's; a failure in a pipe counts."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    for name, words in (("codec-plugin", PROGRAM), ("python", PROGRAM[:1])):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        tool.chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{tools}:{os.environ['PATH']}", **more}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


CLIP = Clip(kind=MKV_FFV1, rate=Fraction(25), slots=12, size=(96, 64))
"""12 frames, small enough for every host."""
