"""What DWPose's networks are taken to have answered, the same on every machine, for both sides of a comparison.

This module imports nothing of ours but `small`, so that a script can run it beside another implementation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.fcvg import small

WIDTH, HEIGHT = 160, 112
"""Of the picture."""
CROP = (288, 384)
"""(width, height) of what the point network sees."""
Floats = npt.NDArray[np.float32]


def picture() -> npt.NDArray[np.uint8]:
    """(112, 160, 3)."""
    return np.ascontiguousarray(small.picture("people", WIDTH)[:HEIGHT])


def detections() -> Floats:
    """(1, 8400, 85): some dozens of boxes that are sure of a person or of something else, some over each other."""
    drawn = small.uniform("detections", 8400, 85)
    drawn[:, 2:4] = drawn[:, 2:4] * 2 + 1
    drawn[:, 4] **= 150
    return drawn[None].astype(np.float32)


def bins(person: int) -> tuple[Floats, Floats]:
    """(1, 133, 576) and (1, 133, 768): points of every sureness, and some that are nowhere."""
    made = []
    for axis, count in (("across", 2 * CROP[0]), ("down", 2 * CROP[1])):
        drawn = small.uniform(f"{axis}{person}", 133, count) ** 9
        sureness = small.uniform(f"sureness{person}", 133, 1) * 1.2 - 0.15
        made.append((drawn * sureness)[None].astype(np.float32))
    return made[0], made[1]


def people(name: str, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """People to be drawn, (person, 134, 2) in shares of the picture's sides and (person, 134): some points outside."""
    middles = small.uniform(f"{name}.middle", count, 1, 2)
    points = middles + (small.uniform(f"{name}.points", count, 134, 2) - 0.5) * 0.6
    return points, small.uniform(f"{name}.scores", count, 134)


def followed(side: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """As `people`, for three that are in both frames, "left" and "right", in another order: all points are seen."""
    order = {"left": [0, 1, 2], "right": [2, 0, 1]}[side]
    middles = np.array([[0.2, 0.3], [0.5, 0.7], [0.8, 0.4]])[order, None]
    points = middles + (small.uniform(f"{side}.points", 3, 134, 2) - 0.5) * 0.3
    return points, 0.35 + 0.65 * small.uniform(f"{side}.scores", 3, 134)
