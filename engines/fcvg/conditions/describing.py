"""What a segment's surroundings look like: a small upright patch along it, compared by normalised correlation."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.segments import Gray, Segments

_ALONG, _ACROSS = 16, 9
_REACH = 8.0  # pixels to each side at a 640-wide picture; in proportion elsewhere
_REACH_WIDTH = 640
_LEAST_CONTRAST = 1e-3


def describe(gray: Gray, segments: Segments) -> npt.NDArray[np.float32]:
    """A patch of each segment's surroundings, (segment, along · across), of mean 0 and length 1.

    Rows go along the segment from its first end to its second, columns across it from left to right.
    """
    if not len(segments):
        return np.empty((0, _ALONG * _ACROSS), np.float32)
    reach = max(3.0, _REACH * gray.shape[1] / _REACH_WIDTH)
    blurred = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), reach / 8)
    start, stop = segments[:, 0], segments[:, 1]
    direction = stop - start
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    along = (np.arange(_ALONG) + 0.5) / _ALONG
    across = np.linspace(-reach, reach, _ACROSS)
    places = (
        start[:, None, None]
        + direction[:, None, None] * along[None, :, None, None]
        + normal[:, None, None] * across[None, None, :, None]
    ).astype(np.float32)
    flat = places.reshape(len(segments), _ALONG * _ACROSS, 2)
    patches = cv2.remap(blurred, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    patches = patches - patches.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(patches, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = patches / np.maximum(lengths, _LEAST_CONTRAST)
    return unit


def likeness(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Correlation of every pair of patches, (ours, theirs), -1 to 1: the better of both directions of a segment."""
    turned = theirs[:, ::-1]  # half a turn: both ends swapped, both sides too
    found: npt.NDArray[np.float32] = np.maximum(ours @ theirs.T, ours @ turned.T)
    return found
