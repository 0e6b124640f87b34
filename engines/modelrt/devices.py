"""Facts about where models run: a device's own name, and the memory that the machine has free."""

from __future__ import annotations

import platform
from pathlib import Path

from modelrt.options import CPU


def device_name(device: str) -> str:
    """A device by its own name, a GPU's with its compute capability."""
    if device != CPU:
        from modelrt.backends.torch_memory import gpu_identity

        name, capability = gpu_identity(device)
        return f"{name} ({capability})"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def free_host_bytes() -> int | None:
    """Memory of the machine that is to be had without swapping; None where the system doesn't say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    told = [int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:")]
    return told[0] if told else None
