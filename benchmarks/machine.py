"""The machine and the versions that a result was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from codec_plugin.benching.machine import cpu_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a number can't be compared without."""

    cpu: str
    """Its model name."""
    cores: int
    """Those that this process may use."""
    python: str
    """Version."""
    av: str
    """PyAV's version."""
    ffmpeg: str
    """Versions of FFmpeg's libraries, as PyAV was built with."""
    numpy: str
    """Version."""
    opencv: str
    """Version."""
    commit: str
    """The git commit, with -dirty where files were changed; "unknown" without git."""


def this_machine() -> Machine:
    """Describes where this process runs."""
    libraries = (f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items()))
    return Machine(
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        av=av.__version__,
        ffmpeg=", ".join(libraries),
        numpy=np.__version__,
        opencv=cv2.__version__,
        commit=_commit(),
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return ran.stdout.strip()
