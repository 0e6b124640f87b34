"""What an engine may say of its work beside `Engine`, for `codec-plugin bench`: where it computes, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class OnDevice(Protocol):
    """An engine that says where it computes; on "cuda…" a benchmark times its work by the device's own events."""

    @property
    def device(self) -> str:
        """As torch names it: "cpu", "cuda", "cuda:1"."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What a gap takes in arithmetic: the time that no implementation of the same networks goes below."""

    flops: float
    """Floating-point operations, a multiplication and an addition counting as two."""
    flops_per_s: float
    """What a large matrix product reaches here, measured, in the type that the engine computes in."""

    @property
    def seconds(self) -> float:
        """One over the other."""
        return self.flops / self.flops_per_s


@runtime_checkable
class CountsOperations(Protocol):
    """An engine that can say how many operations its gaps take."""

    def operations(self, size: tuple[int, int], *, positions: int) -> Operations:
        """Of one gap of `positions` frames at `size` (width, height) pixels.

        Raises:
            EngineError: as `Engine.estimate` does.
        """
        ...
