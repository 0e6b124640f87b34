"""Timing a stage over several rounds: wall, CPU, device and energy; medians and how far they spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median, quantiles

from codec_plugin.benching.energy import EnergyMeters


class Stage(StrEnum):
    """What is timed."""

    DECODE = "decode"
    """Reading and decoding, nothing kept."""
    FILL = "fill"
    """Making the frames between those that lie decoded in memory: guards and conversions included."""
    ENCODE = "encode"
    """Encoding source frames and made ones that lie in memory, and writing the file."""
    JOB = "job"
    """All of it side by side, from file to file: scan, plan, loading the engine, reading the result back."""
    NO_FILL = "job, no fill"
    """The same job, each frame that is to be made held instead: the pipeline without an engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run of a stage."""

    wall_s: float
    """Wall time."""
    cpu_s: float
    """CPU time of all threads of this process."""
    device_s: float | None = None
    """Time between events on the GPU; None where nothing ran there or nobody looked."""
    joules: Mapping[str, float] = field(default_factory=dict)
    """What each energy counter counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage over all rounds."""

    stage: Stage
    """Which."""
    frames: int
    """Frames a round: decoded, made or encoded; of a job, those that came out."""
    rounds: tuple[Round, ...]
    """In the order they ran; the warm-up isn't among them."""
    floor_s: float | None = None
    """Wall time that arithmetic doesn't let it go below; None where nothing is known."""

    @property
    def wall_s(self) -> float:
        """The median."""
        return median(each.wall_s for each in self.rounds)

    @property
    def cpu_s(self) -> float:
        """The median."""
        return median(each.cpu_s for each in self.rounds)

    @property
    def device_s(self) -> float | None:
        """The median; None where it wasn't measured."""
        found = [each.device_s for each in self.rounds if each.device_s is not None]
        return median(found) if found else None

    @property
    def joules(self) -> dict[str, float]:
        """Medians by counter."""
        return {name: median(each.joules[name] for each in self.rounds) for name in self.rounds[0].joules}

    @property
    def frames_per_s(self) -> float:
        """The median."""
        return median(self._rates)

    @property
    def middle_half(self) -> tuple[float, float]:
        """The quartiles of the frames a second: half of the rounds lie between them."""
        if len(self.rounds) < 2:
            return self.frames_per_s, self.frames_per_s
        low, _, high = quantiles(self._rates, n=4, method="inclusive")
        return low, high

    @property
    def floor_frames_per_s(self) -> float | None:
        """What the floor allows."""
        return self.frames / self.floor_s if self.floor_s else None

    @property
    def _rates(self) -> list[float]:
        return [self.frames / each.wall_s for each in self.rounds]


@dataclass(slots=True)
class Tally:
    """Takes a stage's rounds while they run."""

    meters: EnergyMeters
    """Read around each round."""
    rounds: list[Round] = field(default_factory=list)
    """Those that ended well."""

    @contextmanager
    def round(self, device_s: Callable[[], float | None] = lambda: None) -> Iterator[None]:
        """Times what is inside; `device_s` is asked at its end, and may wait for the device."""
        energy = self.meters.read()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        on_device = device_s()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        joules = self.meters.spent(energy, self.meters.read())
        self.rounds.append(Round(wall_s=wall, cpu_s=cpu, device_s=on_device, joules=joules))
