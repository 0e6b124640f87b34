"""Energy counters, where the system lets us read them: the processor's (RAPL) and an NVIDIA GPU's (NVML)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

POWERCAP = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


class EnergyCounter(Protocol):
    """A counter that only rises, but for a wrap at `range_j`."""

    @property
    def name(self) -> str:
        """What it counts: "package-0", "GPU 0"."""
        ...

    @property
    def range_j(self) -> float | None:
        """Where it begins again at 0, in joules; None for never."""
        ...

    def read(self) -> float:
        """Joules since some moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RaplCounter:
    """A processor package, as Linux's powercap files count it: the whole machine's use, not this process's."""

    name: str
    """As the kernel calls it."""
    path: Path
    """Its `energy_uj`."""
    range_j: float | None
    """From `max_energy_range_uj`."""

    def read(self) -> float:
        """Joules."""
        return int(self.path.read_text(encoding="ascii")) * _MICRO


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlCounter:
    """A GPU, as its driver counts it."""

    name: str
    """"GPU" and its number."""
    library: ctypes.CDLL
    """libnvidia-ml, initialised."""
    handle: ctypes.c_void_p
    """Of the device."""
    range_j: float | None = None
    """It never wraps."""

    def read(self) -> float:
        """Joules."""
        counted = ctypes.c_ulonglong()
        _nvml_ok(self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle, ctypes.byref(counted)))
        return counted.value * _MILLI


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMeters:
    """What can be read here, and why not more."""

    counters: tuple[EnergyCounter, ...]
    """Each read once already."""
    missing: tuple[str, ...]
    """For each kind that is not there, the reason."""

    def read(self) -> tuple[float, ...]:
        """Every counter, in joules."""
        return tuple(counter.read() for counter in self.counters)

    def spent(self, before: tuple[float, ...], after: tuple[float, ...]) -> dict[str, float]:
        """Joules between two readings, by counter."""
        return {
            counter.name: end - start + (counter.range_j or 0.0 if end < start else 0.0)
            for counter, start, end in zip(self.counters, before, after, strict=True)
        }


def energy_meters(*, gpu: bool, powercap: Path = POWERCAP) -> EnergyMeters:
    """Looks for counters.

    Args:
        gpu: whether the work is done on an NVIDIA GPU.
        powercap: the kernel's folder.
    """
    counters: list[EnergyCounter] = []
    missing = []
    try:
        counters += _packages(powercap)
    except OSError as error:
        missing.append(f"the processor's energy can't be read ({error.strerror}: {error.filename}); root may")
    else:
        if not counters:
            missing.append(f"the processor's energy isn't counted here: no intel-rapl under {powercap}")
    if gpu:
        try:
            counters.append(_gpu())
        except OSError as error:
            missing.append(f"the GPU's energy can't be read: {error}")
    return EnergyMeters(counters=tuple(counters), missing=tuple(missing))


def _packages(powercap: Path) -> Iterator[RaplCounter]:
    # intel-rapl:0 is a package (AMD's too); intel-rapl:0:0 is a part of it, and would count twice.
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") == 1 and (folder / "energy_uj").exists():
            most = folder / "max_energy_range_uj"
            counter = RaplCounter(
                name=(folder / "name").read_text(encoding="ascii").strip(),
                path=folder / "energy_uj",
                range_j=int(most.read_text(encoding="ascii")) * _MICRO if most.exists() else None,
            )
            counter.read()
            yield counter


def _gpu() -> NvmlCounter:
    """The first GPU that CUDA shows this process; NVML counts all of the machine's."""
    library = ctypes.CDLL("libnvidia-ml.so.1")
    _nvml_ok(library.nvmlInit_v2())
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    handle = ctypes.c_void_p()
    if shown.isdigit():
        _nvml_ok(library.nvmlDeviceGetHandleByIndex_v2(int(shown), ctypes.byref(handle)))
    else:
        _nvml_ok(library.nvmlDeviceGetHandleByUUID(shown.encode("ascii"), ctypes.byref(handle)))
    counter = NvmlCounter(name=f"GPU {shown}", library=library, handle=handle)
    counter.read()
    return counter


def _nvml_ok(code: int) -> None:
    if code:
        raise OSError(f"NVML answered with error {code}")
