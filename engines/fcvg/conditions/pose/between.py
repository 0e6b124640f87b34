"""People on their way from one picture to another: who is who, and where they are in between."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fcvg.conditions.pose.people import BODY, People

Pairs = tuple[tuple[int, int], ...]
"""(index on the left, index on the right) of each person that is in both."""


def pair_people(left: People, right: People) -> Pairs:
    """Pairs people whose bodies' centres are nearest, the nearest first; as many as the picture with fewer has.

    Swapping the pictures swaps the pairs.
    """
    if not len(left) or not len(right):
        return ()
    ours, theirs = (people.points[:, BODY].mean(axis=1) for people in (left, right))
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    pairs = []
    for _ in range(min(distances.shape)):
        i, j = np.unravel_index(np.argmin(distances), distances.shape)
        pairs.append((int(i), int(j)))
        distances[i, :] = distances[:, j] = np.inf
    return tuple(sorted(pairs))


def people_at(left: People, right: People, pairs: Pairs, progress: Fraction) -> People:
    """The people when so much of the way is done: points and scores go in straight lines.

    At 0 and at 1 everyone who is in that picture is there; in between only those who are in both.
    """
    if progress in (0, 1):
        return right if progress else left
    first, second = [i for i, _ in pairs], [j for _, j in pairs]
    # Both weights from the exact number, so that a clip and its mirror image round alike.
    near, far = float(1 - progress), float(progress)
    return People(
        points=left.points[first] * near + right.points[second] * far,
        scores=left.scores[first] * near + right.scores[second] * far,
    )
