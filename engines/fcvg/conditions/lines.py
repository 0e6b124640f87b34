"""`LineConditioner`: lines found in both ends of a clip, moved from one to the other and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.conditioner import Conditions, Count, Rgb8
from fcvg.conditions.matching import Matches, match_segments
from fcvg.conditions.palette import palette
from fcvg.conditions.segments import Gray


class LineMatcher(Protocol):
    """Finds lines that two pictures have in common. Its like: `MotionMatcher`, `GlueStickMatcher`."""

    @property
    def name(self) -> str:
        """By what means, for the report."""
        ...

    def __call__(self, left: Gray, right: Gray) -> Matches:
        """Pairs the lines of two pictures of one size. Swapping the pictures swaps the result."""
        ...


class MotionMatcher:
    """Matches by motion and looks, as in `matching`: needs no weights."""

    name = "motion and looks"

    def __call__(self, left: Gray, right: Gray) -> Matches:
        """See `LineMatcher`."""
        return match_segments(left, right)


class LineConditioner:
    """Draws matched segments, one colour each, one pixel wide, without anti-aliasing, on black."""

    def __init__(self, *, seed: int = 0, matcher: LineMatcher | None = None) -> None:
        """Args:
        seed: of the order in which the colours are dealt.
        matcher: finds the lines; None for the one that needs no weights.
        """
        self._seed, self._matcher = seed, matcher or MotionMatcher()

    def __call__(self, left: Rgb8, right: Rgb8, times: Sequence[Fraction]) -> Conditions:
        """See `Conditioner`."""
        matches = self._matcher(_gray(left), _gray(right))
        pictures = draw_lines(matches, times, size=(left.shape[1], left.shape[0]), seed=self._seed)
        notes = () if len(matches) else ("no line was found in both frames; the pictures between are made without any",)
        counts = (Count(name=f"lines matched by {self._matcher.name}", number=len(matches)),)
        return Conditions(pictures=pictures, matched=len(matches), counts=counts, notes=notes)


def draw_lines(
    matches: Matches, times: Sequence[Fraction], *, size: tuple[int, int], seed: int = 0
) -> npt.NDArray[np.float32]:
    """Pictures of the segments on their way, (time, 3, height, width), R, G, B in [0, 1].

    Args:
        matches: where they begin and end.
        times: 0 for the left places, 1 for the right ones; between, ends move on straight lines.
        size: (width, height) in pixels.
        seed: of the order of the colours.
    """
    width, height = size
    colours = palette(len(matches), seed=seed)
    pictures = np.zeros((len(times), 3, height, width), np.float32)
    for picture, time in zip(pictures, times, strict=True):
        canvas = np.zeros((height, width, 3), np.uint8)
        for ends, colour in zip(places_at(matches, time), colours, strict=True):
            (x0, y0), (x1, y1) = ends.tolist()
            cv2.line(canvas, (x0, y0), (x1, y1), colour.tolist(), thickness=1, lineType=cv2.LINE_8)
        picture[:] = canvas.transpose(2, 0, 1).astype(np.float32) / 255
    return pictures


def _gray(picture: Rgb8) -> Gray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def places_at(matches: Matches, time: Fraction) -> npt.NDArray[np.int64]:
    """Where the segments' ends are at a time, (segment, 2, 2), whole pixels."""
    # Both weights from the exact time, so that a clip and its mirror image round alike.
    places = matches.left * float(1 - time) + matches.right * float(time)
    return np.rint(places).astype(np.int64)
