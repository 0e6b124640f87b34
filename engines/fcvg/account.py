"""`Account`: what was measured while a gap was filled, on its way into the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from codec_plugin.engine import Finding


class Account:
    """Times the stages of one gap and its memory."""

    def __init__(self, tell: Callable[[Finding], None], *, device: torch.device) -> None:
        """Starts the clock, and the GPU's record of its memory."""
        self._tell, self._device = tell, device
        self._stage: str | None = None
        self._since = time.perf_counter()
        self._seconds: dict[str, float] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def begin(self, stage: str | None) -> None:
        """The stage before ends; another one begins, or none."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # else one stage's work is counted in the next
        now = time.perf_counter()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    def tell(self, name: str, value: float, unit: str = "") -> None:
        """One more number."""
        self._tell(Finding(name=name, value=round(value, 4), unit=unit))

    def note(self, text: str) -> None:
        """Something in words, under "note"."""
        self._tell(Finding(name=f"note: {text}", value=1))

    def close(self) -> None:
        """Tells the stages' times and the memory."""
        self.begin(None)
        for stage, seconds in self._seconds.items():
            self.tell(f"time to {stage}", seconds, "s")
        peak = _peak_bytes(self._device)
        if peak is not None:
            name = "peak GPU memory" if self._device.type == "cuda" else "peak memory of the process so far"
            self.tell(name, peak, "bytes")


def _peak_bytes(device: torch.device) -> int | None:
    """Of the GPU since the account began; of the process, all its life, on a CPU; None where the system doesn't say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
