"""`dis`: moves both neighbours along dense optical flow and mixes them. Fast, and without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.errors import Cancelled
from codec_plugin.picture import Picture
from flowfill.blend import blend_pictures
from flowfill.guide import Guide, guide_of, guide_size
from flowfill.midway import midway
from flowfill.motion import MotionSearch, PairMotion
from flowfill.parallel import Crew, opencv_single_threaded
from flowfill.scratch import Scratch
from flowfill.warp import render

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
            ValueError: Fewer than one thread.
        """
        self._crew = Crew(threads if threads is not None else os.cpu_count() or 1)
        self._search = MotionSearch()
        self._scratch = Scratch()
        self._last: tuple[Picture, Guide] | None = None

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Time and memory of one gap.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.
        """
        pixels = size[0] * size[1]
        seconds = (_SECONDS_A_SEARCH + positions * pixels * _SECONDS_A_PIXEL) / min(self._crew.threads, 4)
        return Estimate(seconds=seconds, bytes=pixels * _BYTES_A_PIXEL)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields one picture for each position; the motion is searched before the first.

        Raises:
            Cancelled: The request's `cancelled` said so.
        """
        left, right = request.left, request.right
        size = guide_size(left.width, left.height)
        pair = None
        if size is not None and not _same_pixels(left, right):
            with opencv_single_threaded():
                pair = self._motion(left, right, size=size)
        for position in request.positions:
            if request.cancelled():
                raise Cancelled(f"stopped before the picture at {position} of the gap")
            if pair is None:
                yield blend_pictures(left, right, position=position)
                continue
            with opencv_single_threaded():
                plan = midway(pair, position=position, crew=self._crew, scratch=self._scratch)
                made = render(left, right, plan=plan, position=position, crew=self._crew, scratch=self._scratch)
            yield made

    def close(self) -> None:
        """Ends the threads and forgets the last picture; a later `fill` starts them again."""
        self._crew.close()
        self._scratch.clear()
        self._last = None

    def _motion(self, left: Picture, right: Picture, *, size: tuple[int, int]) -> PairMotion:
        guides = self._guide(left, size=size), self._guide(right, size=size)
        self._last = (right, guides[1])
        return self._search.between(guides[0], guides[1], crew=self._crew)

    def _guide(self, picture: Picture, *, size: tuple[int, int]) -> Guide:
        # Kept by the object and not by its key: a pts names a frame of one film, and an engine may see two.
        if self._last is not None and self._last[0] is picture:
            return self._last[1]
        return guide_of(picture, size=size)


def _same_pixels(left: Picture, right: Picture) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.planes, right.planes, strict=True))
