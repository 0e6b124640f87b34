"""The machine and the versions that a figure was measured with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PACKAGES = ("codec-plugin", "av", "numpy", "openvino", "onnxruntime", "torch", "tensorrt", "opencv-python-headless")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a figure can't be compared without."""

    cpu: str
    """Its model name."""
    cores: int
    """Those that this process may use."""
    load: float | None
    """Processes that wanted to run, over the last minute, before anything was measured; None where nobody counts."""
    python: str
    """Version."""
    versions: dict[str, str]
    """Of the packages that are there."""

    @property
    def is_busy(self) -> bool:
        """Whether others were at work already, so that wall time says more of them than of us."""
        return self.load is not None and self.load > self.cores / 2


def this_machine() -> Machine:
    """Describes where this process runs."""
    return Machine(
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        python=platform.python_version(),
        versions={name: version for name in _PACKAGES if (version := _version(name)) is not None},
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
