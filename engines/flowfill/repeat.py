"""`repeat`: shows the left picture again. The baseline below which no engine may fall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.picture import Picture


class RepeatEngine:
    """Repeats the left picture at every position, without a copy of its pixels."""

    info = EngineInfo(name="repeat", summary="repeats the frame on the left")

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Nothing: no pixel is touched.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.
        """
        return Estimate(seconds=0.0, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields the left picture's own planes, once for each position."""
        for _ in request.positions:
            yield replace(request.left, key=None)

    def close(self) -> None:
        """Does nothing: there is nothing to free."""
