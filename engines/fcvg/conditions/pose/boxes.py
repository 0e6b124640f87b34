"""Boxes around people, by YOLOX (Ge et al., arXiv 2107.08430): the picture as the network wants it, and its answer."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fcvg.conditions.conditioner import Rgb8
from fcvg.conditions.pose.people import Floats

SIDE = 640
"""Width and height of what the network sees."""
ROWS = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
"""Boxes that it gives: one for each cell of three grids."""
COLUMNS = 85
"""Of a box: centre and size, whether there is anything, and 80 classes, people first."""
_STRIDES = (8, 16, 32)
_PADDING = 114  # the grey around the picture
_FURTHEST = 1e5  # pixels: beyond lies no box of a person, and what isn't a number
_LEAST_SCORE = 0.3
_MOST_OVERLAP = 0.45  # intersection over union


def letterboxed(picture: Rgb8) -> tuple[npt.NDArray[np.float32], float]:
    """The picture in the network's square: as large as fits, in its upper left corner, grey around it.

    Returns:
        (1, 3, 640, 640), 0 to 255, and what the picture's sides were multiplied by.
    """
    height, width = picture.shape[:2]
    ratio = min(SIDE / height, SIDE / width)
    size = max(1, int(width * ratio)), max(1, int(height * ratio))
    square = np.full((SIDE, SIDE, 3), _PADDING, np.uint8)
    square[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32), ratio


def people_boxes(raw: npt.NDArray[np.float32], *, ratio: float) -> Floats:
    """The people's boxes in a picture, surest first, (person, 4): left, top, right, bottom in pixels.

    Args:
        raw: (1, 8400, 85), from the network.
        ratio: from `letterboxed`.
    """
    scores = raw[0, :, 4] * raw[0, :, 5]
    sure = scores > _LEAST_SCORE
    cells, strides = (values[sure] for values in _grid())
    found, scores = raw[0, sure], scores[sure]
    middles = ((found[:, :2] + cells) * strides).astype(np.float32)
    with np.errstate(over="ignore"):  # a size that is no number is left out below
        halves = (np.exp(found[:, 2:4]) * strides).astype(np.float32) / 2
    boxes = (np.concatenate([middles - halves, middles + halves], axis=1) / ratio).astype(np.float32)
    usable = (np.abs(boxes) < _FURTHEST).all(axis=1)
    boxes, scores = boxes[usable], scores[usable]
    return boxes[_distinct(boxes, scores)].astype(np.float64)


def _grid() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(x, y) of every cell, (8400, 2), and the pixels from one to the next, (8400, 1)."""
    cells, strides = [], []
    for stride in _STRIDES:
        count = SIDE // stride
        y, x = np.divmod(np.arange(count * count), count)
        cells.append(np.stack([x, y], axis=1))
        strides.append(np.full((count * count, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


def _distinct(boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> list[int]:
    """Which boxes stay, surest first: none that overlaps a surer one too much (pixels counted with both borders)."""
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while len(waiting):
        first, waiting = int(waiting[0]), waiting[1:]
        kept.append(first)
        wide = np.minimum(right[first], right[waiting]) - np.maximum(left[first], left[waiting]) + 1
        high = np.minimum(bottom[first], bottom[waiting]) - np.maximum(top[first], top[waiting]) + 1
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        waiting = waiting[shared / (areas[first] + areas[waiting] - shared) <= _MOST_OVERLAP]
    return kept
