"""Line segments of a picture, by OpenCV's LSD (von Gioi et al., TPAMI 2010)."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Segments = npt.NDArray[np.float64]
"""(segment, 2, 2): two ends a segment, (x, y) each, in pixels; pixel centres are whole numbers."""
Gray = npt.NDArray[np.uint8]
"""(height, width)."""

MOST_SEGMENTS = 300
_LEAST_LENGTH = 15.0
_LENGTH_AREA = 576 * 1024


def least_length(width: int, height: int) -> float:
    """The shortest segment worth drawing: 15 pixels at 1024x576 (as published), in proportion elsewhere, at least 6."""
    return max(6.0, _LEAST_LENGTH * math.sqrt(width * height / _LENGTH_AREA))


def find_segments(gray: Gray, *, most: int = MOST_SEGMENTS) -> Segments:
    """The longest segments of a picture, longest first; none is an ordinary case."""
    height, width = gray.shape
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    if found is None:
        return np.empty((0, 2, 2))
    segments = np.asarray(found, dtype=np.float64).reshape(-1, 2, 2)
    segments = np.clip(segments, 0, (width - 1, height - 1))
    lengths = segment_lengths(segments)
    order = np.argsort(-lengths, kind="stable")
    kept = order[lengths[order] >= least_length(width, height)]
    return segments[kept[:most]]


def segment_lengths(segments: Segments) -> npt.NDArray[np.float64]:
    """Lengths in pixels, (segment,)."""
    lengths: npt.NDArray[np.float64] = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=-1)
    return lengths
