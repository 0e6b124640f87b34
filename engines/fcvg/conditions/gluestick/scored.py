"""`ScoredSegments`: what GlueStick starts from, LSD's segments, each with a score.

The published code takes LSD from pytlsd. That package carries LSD's own source, which is AGPL, so nothing here depends
on it: it is used where a user installed it, and OpenCV's LSD elsewhere. The two agree on most segments, not on all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.segments import Gray, Segments

MOST_LINES = 300
LEAST_LENGTH = 15.0
"""Pixels."""
SCALES = (0.3, 0.4, 0.5, 0.7, 0.8, 1.0)
"""The published ones, in the order in which they are tried."""

Rows = npt.NDArray[np.float32]
"""(segment, 5): x and y of one end, x and y of the other, angle tolerance as a share of half a turn."""
Detector = Callable[[Gray, float], Rows]
"""LSD at a scale; coordinates are those of the whole picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSegments:
    """Segments of a picture, best first."""

    ends: Segments
    """(segment, 2, 2)."""
    scores: npt.NDArray[np.float32]
    """(segment,): 1 for the best one, less for the others."""

    def __len__(self) -> int:
        return len(self.ends)


def find_scored(
    gray: Gray, *, most: int = MOST_LINES, least_length: float = LEAST_LENGTH, detect: Detector | None = None
) -> ScoredSegments:
    """The best segments of a picture. A coarser scale gives fewer and longer ones; the first that gives enough counts.

    Args:
        gray: the picture.
        most: how many are kept, and how many are enough.
        least_length: of a segment, in pixels.
        detect: finds the segments; None for the detector that `detector` names.
    """
    detect = detect or detector()[1]
    rows = np.empty((0, 5), np.float32)
    for scale in SCALES:
        rows = detect(gray, scale)
        if len(rows) >= most:
            break
    lengths = np.linalg.norm(rows[:, 2:4] - rows[:, :2], axis=1)
    long = lengths >= least_length
    # What both LSDs say of a segment last but its significance: nearly a constant, so that long segments are good ones.
    scores = rows[long, 4] * np.sqrt(lengths[long])
    order = np.argsort(-scores, kind="stable")[:most]
    ends, scores = rows[long, :4][order], scores[order]
    best = scores.max(initial=0) + np.float32(1e-8)
    return ScoredSegments(ends=ends.reshape(-1, 2, 2).astype(np.float64), scores=(scores / best).astype(np.float32))


def detector() -> tuple[str, Detector]:
    """The LSD that is to be had here, and its name."""
    if find_spec("pytlsd") is not None:
        return "pytlsd", _by_pytlsd
    return "OpenCV's LSD", _by_opencv


def _by_pytlsd(gray: Gray, scale: float) -> Rows:
    from pytlsd import lsd

    return np.asarray(lsd(gray, scale=scale), dtype=np.float32).reshape(-1, 5)


def _by_opencv(gray: Gray, scale: float) -> Rows:
    # The advanced refinement is what the authors' LSD does always.
    ends, _, tolerances, _ = cv2.createLineSegmentDetector(cv2.LSD_REFINE_ADV, scale).detect(gray)
    if ends is None:
        return np.empty((0, 5), np.float32)
    return np.concatenate([ends.reshape(-1, 4), tolerances.reshape(-1, 1)], axis=1).astype(np.float32)
