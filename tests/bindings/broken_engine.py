"""An engine that works for a while and then throws, as other people's may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from codec_plugin.engine import EngineInfo, Estimate, FillRequest, Take
from codec_plugin.picture import Picture


class BrokenEngine:
    """Repeats the left picture so often, then divides by zero. It wants RGB, and keeps what it saw first."""

    info = EngineInfo(name="broken", summary="throws", take=Take.RGB)

    def __init__(self, *, after: int = 0) -> None:
        self._left = after
        self.seen: list[npt.NDArray[np.float32]] = []

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Nothing."""
        return Estimate(seconds=0.0, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """The left picture, or an error."""
        if not self.seen:
            self.seen.append(np.stack(request.left.planes))
        for _ in request.positions:
            if not self._left:
                raise ZeroDivisionError("it broke")
            self._left -= 1
            yield replace(request.left, key=None)

    def close(self) -> None:
        """Nothing to free."""


class Throws(BrokenEngine):
    """The same without options, to be loaded by name."""


class LacksWeights(BrokenEngine):
    """Says at once that something is missing."""

    def __init__(self) -> None:
        from codec_plugin.errors import EngineError  # here, beside its only use

        raise EngineError("the weights of lacking are missing; fetch them with: lacking download")
