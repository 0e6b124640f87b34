"""`Conditioner`: makes one condition picture for each frame, from the two frames at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

Rgb8 = npt.NDArray[np.uint8]
"""A picture, (height, width, 3): R, G, B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Something that was counted while conditions were drawn."""

    name: str
    """What, in a word or two."""
    number: int
    """How many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Condition pictures for the frames of a clip, the two ends included."""

    pictures: npt.NDArray[np.float32]
    """(frame, 3, height, width): R, G, B in [0, 1] on black."""
    matched: int
    """How many things were found in both ends and drawn. 0 is an ordinary case: the pictures are black."""
    counts: tuple[Count, ...] = ()
    """What else was counted, for the report."""
    notes: tuple[str, ...] = ()
    """What the user should know of how they were found."""


class Conditioner(Protocol):
    """Makes condition pictures. Its like: `LineConditioner`."""

    def __call__(self, left: Rgb8, right: Rgb8, times: Sequence[Fraction]) -> Conditions:
        """Draws what lies between two frames.

        Args:
            left: the frame at time 0.
            right: the frame at time 1, of the same size.
            times: how far things have come in each picture, from 0 to 1, never falling.
        """
        ...
