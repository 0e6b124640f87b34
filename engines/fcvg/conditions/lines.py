"""`LineConditioner`: lines found in both ends of a clip, moved from one to the other and drawn. No weights needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.conditioner import Conditions, Rgb8
from fcvg.conditions.matching import Matches, match_segments
from fcvg.conditions.palette import palette
from fcvg.conditions.segments import Gray


class LineConditioner:
    """Draws matched segments, one colour each, one pixel wide, without anti-aliasing, on black."""

    def __init__(self, *, seed: int = 0) -> None:
        """Args:
        seed: of the order in which the colours are dealt.
        """
        self._seed = seed

    def __call__(self, left: Rgb8, right: Rgb8, times: Sequence[Fraction]) -> Conditions:
        """See `Conditioner`."""
        matches = match_segments(_gray(left), _gray(right))
        pictures = draw_lines(matches, times, size=(left.shape[1], left.shape[0]), seed=self._seed)
        notes = () if len(matches) else ("no line was found in both frames; the pictures between are made without any",)
        return Conditions(pictures=pictures, matched=len(matches), notes=notes)


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
