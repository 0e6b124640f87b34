"""An engine under watch: how long its work takes by the GPU's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from codec_plugin.engine import Engine, EngineInfo, Estimate, FillRequest
from codec_plugin.engine_work import OnDevice
from codec_plugin.picture import Picture


class DeviceClock(Protocol):
    """Times what is queued on a device."""

    def around(self) -> AbstractContextManager[None]:
        """Marks the device's queue at the beginning and at the end of a piece of work."""
        ...

    def taken_s(self) -> float:
        """Waits for all that was marked, and gives the seconds since this was last asked."""
        ...


class CudaClock:
    """CUDA events on torch's current stream."""

    def __init__(self, device: str) -> None:
        """Imports torch, which an engine on a GPU has done already."""
        import torch

        self._torch: Any = torch
        self._device = torch.device(device)
        self._pairs: list[tuple[Any, Any]] = []

    def around(self) -> AbstractContextManager[None]:
        """See `DeviceClock`."""
        return _Marked(self._torch, self._device, self._pairs)

    def taken_s(self) -> float:
        """See `DeviceClock`."""
        self._torch.cuda.synchronize(self._device)
        taken = sum(begun.elapsed_time(ended) for begun, ended in self._pairs)
        self._pairs.clear()
        return float(taken) / 1e3


class _Marked(AbstractContextManager[None]):
    def __init__(self, torch: Any, device: Any, pairs: list[tuple[Any, Any]]) -> None:
        self._torch, self._device, self._pairs = torch, device, pairs

    def __enter__(self) -> None:
        self._begun = self._mark()

    def __exit__(self, *_: object) -> None:
        self._pairs.append((self._begun, self._mark()))

    def _mark(self) -> Any:
        event = self._torch.cuda.Event(enable_timing=True)
        event.record(self._torch.cuda.current_stream(self._device))
        return event


class Watched:
    """Passes everything on to an engine, and keeps the device's time of its fills."""

    def __init__(self, engine: Engine, *, clock: DeviceClock | None) -> None:
        """Watches an engine.

        Args:
            engine: who works.
            clock: the device's; None where there is nothing to ask.
        """
        self.info: EngineInfo = engine.info
        self._engine, self._clock = engine, clock

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """As the engine says."""
        return self._engine.estimate(size, positions=positions)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """The engine's own pictures."""
        if self._clock is None:
            yield from self._engine.fill(request)
            return
        pictures = iter(self._engine.fill(request))
        while True:
            with self._clock.around():
                picture = next(pictures, None)
            if picture is None:
                return
            yield picture

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()

    def device_s(self) -> float | None:
        """Seconds on the device since this was last asked; None where there is no clock."""
        return None if self._clock is None else self._clock.taken_s()


def device_of(engine: Engine) -> str:
    """Where an engine computes: "cpu", "cuda:0" …; "cpu" where it doesn't say."""
    return engine.device if isinstance(engine, OnDevice) else "cpu"


def watched(engine: Engine) -> Watched:
    """An engine under its device's clock, where it says that it has one."""
    device = device_of(engine)
    return Watched(engine, clock=CudaClock(device) if device.startswith("cuda") else None)
