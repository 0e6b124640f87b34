"""What `bench` is told, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codec_plugin.benching.machine import Machine
from codec_plugin.benching.meters import Stage, StageResult
from codec_plugin.options import FACTOR_RANGE, Range

ROUNDS_RANGE = Range(least=1, most=1000)
SIDE_RANGE = Range(least=16, most=16384)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """What is measured, and how often."""

    sizes: tuple[tuple[int, int], ...] = ()
    """(width, height) in pixels; none for the film's own."""
    factor: int = 2
    """So many times the frame rate."""
    rounds: int = 5
    """How often each stage runs after its warm-up; the stages take turns."""

    def __post_init__(self) -> None:
        ROUNDS_RANGE.check("rounds", self.rounds)
        FACTOR_RANGE.check("factor", self.factor)
        for side in (side for size in self.sizes for side in size):
            SIDE_RANGE.check("a side of size", side)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeResult:
    """All stages at one size."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    decoded: int
    """Source frames."""
    made: Mapping[str, int]
    """Frames that were made, by engine."""
    held: int
    """Frames that were to be made and held instead: at cuts, where an engine can't, after the last frame."""
    device: str
    """Where the engine computes, as it says; "cpu" where it says nothing."""
    encoder: str
    """The encoder and its options, in words."""
    warm_up_s: float
    """Wall time of the first run of all stages, which isn't counted: imports, compiling, caches."""
    stages: tuple[StageResult, ...]
    """In the order of `Stage`."""

    def stage(self, stage: Stage) -> StageResult:
        """One of them."""
        return next(each for each in self.stages if each.stage is stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """One run of `bench`."""

    source: str
    """The film's name."""
    engine: str
    """As it was asked for."""
    engine_options: Mapping[str, str]
    """As they were given."""
    settings: BenchSettings
    """As they were given."""
    machine: Machine
    """Where."""
    sizes: tuple[SizeResult, ...]
    """What came out."""
    notes: tuple[str, ...]
    """What one should know to believe it."""
