"""`dis`: moves both neighbours along dense optical flow and mixes them. Fast, and without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator

from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.errors import EngineError
from codec_plugin.picture import Picture

_SECONDS_A_SEARCH = 4e-3
_SECONDS_A_PIXEL = 3e-8
_BYTES_A_PIXEL = 48


class DisEngine:
    """Fills gaps along OpenCV's DIS flow.

    Motion is searched both ways on small 8-bit luma, once for all positions of a gap; the native planes are then
    sampled along it in their own depth. Where motion explains the two pictures no better than standing still, the
    result is the plain dissolve. Pictures of less than 12 pixels in a direction are too small for a search:
    they are dissolved as a whole. Equal neighbours give back their own pixels.

    A frame depends on its two neighbours and its position alone: not on `threads`, nor on the order of requests.
    """

    info = EngineInfo(name="dis", summary="moves pixels along optical flow (DIS): fast, no network")

    def __init__(self, *, threads: int | None = None) -> None:
        """Starts nothing yet.

        Args:
            threads: How many to work with; None for one for each core.

        Raises:
            EngineError: OpenCV isn't installed; the message says how to install it.
            ValueError: Fewer than one thread.
        """
        try:
            from flowfill.interpolator import Interpolator  # here, for OpenCV is no part of the base install
        except ImportError as error:
            raise EngineError(
                f'dis needs OpenCV ({error}); install it with: pip install "codec-plugin[dis]"'
            ) from error
        self._threads = threads if threads is not None else os.cpu_count() or 1
        self._interpolator = Interpolator(threads=self._threads)

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Time and memory of one gap.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.
        """
        pixels = size[0] * size[1]
        seconds = (_SECONDS_A_SEARCH + positions * pixels * _SECONDS_A_PIXEL) / min(self._threads, 4)
        return Estimate(seconds=seconds, bytes=pixels * _BYTES_A_PIXEL)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields one picture for each position; the motion is searched before the first.

        Raises:
            Cancelled: The request's `cancelled` said so.
        """
        return self._interpolator.pictures(request)

    def close(self) -> None:
        """Ends the threads and forgets the last picture; a later `fill` starts them again."""
        self._interpolator.close()
