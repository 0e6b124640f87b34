"""`PoseConditioner`: people found in both ends of a clip, followed from one to the other and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from fcvg.conditions.conditioner import Conditions, Count, Rgb8
from fcvg.conditions.pose.between import pair_people, people_at
from fcvg.conditions.pose.drawing import draw_people
from fcvg.conditions.pose.people import People

Estimates = Callable[[Rgb8], People]
"""Finds the people in a picture; `PoseEstimator` does."""


class PoseConditioner:
    """Draws people: limbs, joints, hands and faces on black."""

    def __init__(self, people_in: Estimates) -> None:
        """Args:
        people_in: finds them.
        """
        self._people_in = people_in

    def __call__(self, left: Rgb8, right: Rgb8, times: Sequence[Fraction]) -> Conditions:
        """See `Conditioner`."""
        first, last = self._people_in(left), self._people_in(right)
        pairs = pair_people(first, last)
        height, width = left.shape[:2]
        pictures = np.zeros((len(times), 3, height, width), np.float32)
        for picture, time in zip(pictures, times, strict=True):
            drawn = draw_people(people_at(first, last, pairs, time), size=(width, height))
            picture[:] = drawn.transpose(2, 0, 1).astype(np.float32) / 255
        counts = (
            Count(name="people in the left frame", number=len(first)),
            Count(name="people in the right frame", number=len(last)),
            Count(name="people followed", number=len(pairs)),
        )
        return Conditions(pictures=pictures, matched=len(pairs), counts=counts, notes=_notes(first, last))


def _notes(first: People, last: People) -> tuple[str, ...]:
    if not len(first) and not len(last):
        return ("no person was found in either frame; nobody is drawn",)
    if not len(first) or not len(last):
        return ("people were found in one frame only; they are drawn there, and nobody in between",)
    if len(first) != len(last):
        return (f"{len(first)} people were found on the left and {len(last)} on the right; who is in both is followed",)
    return ()
