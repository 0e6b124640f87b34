"""`SuperPoint`: interest points and descriptors (DeTone et al., CVPR workshops 2018, arXiv 1712.07629).

The parameters are named as in the published file `superpoint_v1.pth`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 8
"""Pixels to each side for which the network has one descriptor."""
WIDTH = 256
"""Numbers of a descriptor."""
_RADIUS = 4  # pixels: no two points are nearer to each other, nor any to the border
_LEAST_SCORE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseFeatures:
    """What the network sees of a picture."""

    scores: Tensor
    """(height, width), in whole cells: how much each pixel is a point; a cell's pixels and "none of them" sum to 1."""
    descriptors: Tensor
    """(WIDTH, height / 8, width / 8), each of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Points of a picture."""

    places: Tensor
    """(point, 2): x, y in pixels."""
    scores: Tensor
    """(point,)."""


class SuperPoint(nn.Module):
    """A VGG-like encoder with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1a, self.conv1b = _conv(1, 64), _conv(64, 64)
        self.conv2a, self.conv2b = _conv(64, 64), _conv(64, 64)
        self.conv3a, self.conv3b = _conv(64, 128), _conv(128, 128)
        self.conv4a, self.conv4b = _conv(128, 128), _conv(128, 128)
        self.convPa, self.convPb = _conv(128, 256), nn.Conv2d(256, CELL * CELL + 1, 1)
        self.convDa, self.convDb = _conv(128, 256), nn.Conv2d(256, WIDTH, 1)

    def forward(self, picture: Tensor) -> DenseFeatures:
        """Looks at one picture, (1, 1, height, width) in [0, 1], of at least a cell to each side."""
        seen = picture
        for first, second in (
            (self.conv1a, self.conv1b),
            (self.conv2a, self.conv2b),
            (self.conv3a, self.conv3b),
        ):
            seen = functional.max_pool2d(second(first(seen).relu_()).relu_(), 2)
        seen = self.conv4b(self.conv4a(seen).relu_()).relu_()
        chances = self.convPb(self.convPa(seen).relu_()).softmax(dim=1)[:, :-1]  # the last is "no point here"
        descriptors = self.convDb(self.convDa(seen).relu_())
        return DenseFeatures(
            scores=functional.pixel_shuffle(chances, CELL)[0, 0],
            descriptors=functional.normalize(descriptors, dim=1)[0],
        )


def find_points(scores: Tensor, *, most: int) -> Points:
    """The points of a picture: in reading order where there are no more than `most`, else the best, best first.

    Args:
        scores: (height, width), of every pixel.
        most: how many are kept.
    """
    height, width = scores.shape
    rows, columns = torch.nonzero(_peaks(scores) > _LEAST_SCORE, as_tuple=True)
    inside = (rows >= _RADIUS) & (rows < height - _RADIUS) & (columns >= _RADIUS) & (columns < width - _RADIUS)
    rows, columns = rows[inside], columns[inside]
    found = scores[rows, columns]
    if len(found) > most:
        best = found.argsort(descending=True, stable=True)[:most]
        rows, columns, found = rows[best], columns[best], found[best]
    return Points(places=torch.stack([columns, rows], dim=1).float(), scores=found)


def descriptors_at(places: Tensor, dense: Tensor) -> Tensor:
    """Descriptors (WIDTH, point) between the cells' own ones, of length 1.

    Args:
        places: (point, 2): x, y in pixels.
        dense: (WIDTH, rows, columns), the cells' own.
    """
    cells = places.new_tensor([dense.shape[2], dense.shape[1]])
    # A published quirk: the first cell's middle is at pixel 3.5, and the last one's taken for half a pixel further.
    spread = (places - (CELL / 2 - 0.5)) / (cells * CELL - CELL / 2 - 0.5) * 2 - 1
    found = functional.grid_sample(dense[None], spread[None, None], mode="bilinear", align_corners=True)
    return functional.normalize(found[0, :, 0], dim=0)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _peaks(scores: Tensor) -> Tensor:
    """The scores, 0 but where nothing near is higher. Twice more among what no peak found so far suppresses."""
    peaks = scores == _highest_near(scores)
    for _ in range(2):
        shadowed = _highest_near(peaks.float()) > 0
        rest = scores.masked_fill(shadowed, 0)
        peaks = peaks | ((rest == _highest_near(rest)) & ~shadowed)
    return scores.masked_fill(~peaks, 0)


def _highest_near(values: Tensor) -> Tensor:
    return functional.max_pool2d(values[None, None], 2 * _RADIUS + 1, stride=1, padding=_RADIUS)[0, 0]
