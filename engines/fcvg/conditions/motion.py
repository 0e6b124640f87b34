"""Where the points of one picture are in another one: a global motion first, then dense flow (DIS) on what remains."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.segments import Gray

Points = npt.NDArray[np.float64]
"""(..., 2): (x, y) in pixels."""
Similarity = npt.NDArray[np.float64]
"""(2, 3): turn, scale and shift, as OpenCV writes an affine map."""

_FEATURES = 1500
_RATIO = 0.8  # best to second best descriptor distance
_LEAST_INLIERS = 20
_LEAST_SIDE = 12  # DIS needs that many pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """The motion from one picture to another."""

    similarity: Similarity
    """What most of the picture does."""
    flow: npt.NDArray[np.float32] | None
    """(height, width, 2): what is left at each pixel of the other picture's frame; None for pictures too small."""

    def __call__(self, points: Points) -> Points:
        """Where points of the first picture are in the second."""
        moved = points @ self.similarity[:, :2].T + self.similarity[:, 2]
        if self.flow is None:
            return moved
        height, width = self.flow.shape[:2]
        places = np.clip(np.rint(moved), 0, (width - 1, height - 1)).astype(np.intp)
        return moved + self.flow[places[..., 1], places[..., 0]]


def find_motion(first: Gray, second: Gray) -> Motion:
    """The motion from the first picture to the second."""
    similarity = find_similarity(first, second)
    height, width = first.shape
    if min(height, width) < _LEAST_SIDE:
        return Motion(similarity=similarity, flow=None)
    carried = cv2.warpAffine(
        first, similarity, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    blank = np.zeros((height, width, 2), np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return Motion(similarity=similarity, flow=np.asarray(search.calc(carried, second, blank), dtype=np.float32))


def find_similarity(first: Gray, second: Gray) -> Similarity:
    """The turn, scale and shift that most of a picture makes; the identity where too few points agree on one."""
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    detector = cv2.ORB.create(_FEATURES)
    (points, texts), (others, other_texts) = (detector.detectAndCompute(picture, None) for picture in (first, second))
    if texts is None or other_texts is None or len(others) < 2:
        return identity
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(texts, other_texts, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if len(good) < _LEAST_INLIERS:
        return identity
    here = np.array([points[match.queryIdx].pt for match in good])
    there = np.array([others[match.trainIdx].pt for match in good])
    found, inliers = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=3)
    if found is None or int(inliers.sum()) < max(_LEAST_INLIERS, len(good) // 4):
        return identity
    return np.asarray(found, dtype=np.float64)
