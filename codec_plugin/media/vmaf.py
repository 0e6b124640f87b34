"""VMAF, measured by another FFmpeg: PyAV's has no libvmaf."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.errors import OptionError
from codec_plugin.media.similarity import in_measured_format

_ASKED_S, _MEASURED_S = 30, 3600
_FORMATS = frozenset(f"yuv{sampling}p{depth}" for sampling in ("420", "422", "444") for depth in ("", "10le", "12le"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VmafProgram:
    """An FFmpeg program that has the filter libvmaf; see `find_vmaf`."""

    path: str
    """Where it lies."""


def find_vmaf(program: str) -> VmafProgram:
    """Makes sure that a program is an FFmpeg with libvmaf.

    Args:
        program: a path, or a name to look for in PATH.

    Raises:
        OptionError: it isn't there, can't be run, or has no libvmaf.
    """
    path = shutil.which(program)
    if path is None:
        why = "is there and not executable" if os.path.isfile(program) else "isn't there"
        raise OptionError(f"--ffmpeg {program}: the program {why}; name an FFmpeg that has libvmaf")
    try:
        ran = subprocess.run(
            [path, "-hide_banner", "-filters"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASKED_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OptionError(f"--ffmpeg {program}: the program can't be run: {error}") from error
    if ran.returncode:
        raise OptionError(f"--ffmpeg {program}: asked for its filters it ends with {ran.returncode}; is it FFmpeg?")
    if " libvmaf " not in ran.stdout:
        raise OptionError(f"--ffmpeg {program}: it has no libvmaf; take one that was built with --enable-libvmaf")
    return VmafProgram(path=os.path.abspath(path))


class VmafMeter:
    """Takes pairs of frames, in the order shown, and has them measured at the end; they wait in files meanwhile."""

    def __init__(self, program: VmafProgram, *, folder: Path, rate: Fraction) -> None:
        """Measures nothing yet.

        Args:
            program: the FFmpeg.
            folder: where the frames wait, uncompressed; the files are removed on leaving the context.
            rate: frames a second.
        """
        self._program, self._folder, self._rate = program, folder, rate
        self._files = [folder / "vmaf_restored.y4m", folder / "vmaf_reference.y4m"]
        self._log = folder / "vmaf.json"
        self._open: list[tuple[OutputContainer, VideoStream]] = []
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> VmafMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for path in (*self._files, self._log):
            path.unlink(missing_ok=True)

    def add(self, reference: VideoFrame, restored: VideoFrame) -> None:
        """Adds a pair.

        Raises:
            OptionError: VMAF has no model for the frames' pixel format.
        """
        pair = in_measured_format(reference, restored)
        name = pair[0].format.name.replace("yuvj", "yuv")
        if name not in _FORMATS:
            raise OptionError(f"VMAF can't be measured on {reference.format.name} frames; leave out --ffmpeg")
        if not self._open:
            self._open = [self._begun(path, frame) for path, frame in zip(self._files, pair, strict=True)]
        for (container, stream), frame in zip(self._open, reversed(pair), strict=True):
            frame.pts, frame.time_base = self._count, 1 / self._rate
            container.mux(stream.encode(frame))
        self._count += 1

    def values(self) -> list[float]:
        """The VMAF of each pair, 0 to 100.

        Raises:
            OptionError: the program fails.
        """
        self._stack.close()
        if not self._count:
            return []
        inputs = [word for path in self._files for word in ("-i", path.name)]
        told = ["-lavfi", f"libvmaf=log_fmt=json:log_path={self._log.name}", "-f", "null", "-"]
        try:
            ran = subprocess.run(
                [self._program.path, "-v", "error", "-nostdin", *inputs, *told],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_MEASURED_S,
                check=False,
            )
            frames = json.loads(self._log.read_text(encoding="utf-8"))["frames"]
            found = [float(frame["metrics"]["vmaf"]) for frame in frames]
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
            raise OptionError(f"{self._program.path}: VMAF can't be measured: {error}") from error
        if ran.returncode or len(found) != self._count:
            raise OptionError(
                f"{self._program.path}: VMAF of {len(found)} of {self._count} frames, status {ran.returncode}: "
                f"{ran.stderr.strip()[-200:]}"
            )
        return found

    def _begun(self, path: Path, frame: VideoFrame) -> tuple[OutputContainer, VideoStream]:
        container = self._stack.enter_context(
            av.open(str(path), "w", format="yuv4mpegpipe", options={"strict": "-1"})  # more than 8 bits
        )
        stream = container.add_stream("wrapped_avframe", rate=self._rate.limit_denominator(100_000))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        stream.time_base = stream.codec_context.time_base = 1 / self._rate
        return container, stream


def mean_where(values: Sequence[float], marks: Sequence[bool]) -> float | None:
    """The mean of the marked values; None where none is marked."""
    chosen = [value for value, mark in zip(values, marks, strict=True) if mark]
    return sum(chosen) / len(chosen) if chosen else None
