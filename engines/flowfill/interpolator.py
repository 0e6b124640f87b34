"""The work behind `dis`: motion searched once for a gap, pictures rendered along it. Needs OpenCV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codec_plugin.engine import FillRequest
from codec_plugin.errors import Cancelled
from codec_plugin.picture import Picture
from flowfill.blend import blend_pictures
from flowfill.guide import Guide, guide_of, guide_size
from flowfill.midway import midway
from flowfill.motion import MotionSearch, PairMotion
from flowfill.parallel import Crew, opencv_single_threaded
from flowfill.scratch import Scratch
from flowfill.warp import render


class Interpolator:
    """Makes pictures between two others along OpenCV's DIS flow."""

    def __init__(self, *, threads: int) -> None:
        """Starts nothing yet.

        Args:
            threads: How many to work with.

        Raises:
            ValueError: Fewer than one thread.
        """
        self._crew = Crew(threads)
        self._search = MotionSearch()
        self._scratch = Scratch()
        self._last: tuple[Picture, Guide] | None = None

    def pictures(self, request: FillRequest) -> Iterator[Picture]:
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
        """Ends the threads and forgets the last picture; a later request starts them again."""
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
