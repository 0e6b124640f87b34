"""`Wireframe`: points and segments of a picture as one graph: near ends of segments are one junction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fcvg.conditions.gluestick.scored import ScoredSegments
from fcvg.conditions.gluestick.superpoint import DenseFeatures, descriptors_at, find_points
from fcvg.conditions.segments import Segments

MOST_POINTS = 1000
"""Points of a picture besides its junctions."""
_JUNCTION_RADIUS = 3.0  # pixels: ends no further apart are one junction
_POINT_RADIUS = 4.0  # pixels: a point that is nearer to a segment's end gives way to it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wireframe:
    """What is matched: nodes with descriptors, and lines between some of them."""

    size: tuple[int, int]
    """(width, height) of the picture."""
    places: Tensor
    """(node, 2): x, y in pixels; the junctions come first."""
    scores: Tensor
    """(node,)."""
    descriptors: Tensor
    """(256, node)."""
    ends: Tensor
    """(line, 2): the nodes at its ends."""
    line_scores: Tensor
    """(line,)."""

    @property
    def lines(self) -> Tensor:
        """(line, 2, 2): the places of the ends. A line may have both at one junction."""
        return self.places[self.ends]


def make_wireframe(
    features: DenseFeatures, segments: ScoredSegments, *, size: tuple[int, int], most_points: int = MOST_POINTS
) -> Wireframe:
    """Joins what SuperPoint and LSD found.

    Args:
        features: of the picture.
        segments: of the picture.
        size: (width, height) of the picture.
        most_points: how many points besides the junctions.
    """
    device = features.scores.device
    points = find_points(features.scores, most=most_points)
    corners = torch.from_numpy(segments.ends.reshape(-1, 2)).to(device, torch.float32)
    near = torch.linalg.vector_norm(points.places[:, None] - corners[None], dim=-1) < _POINT_RADIUS
    kept = ~near.any(dim=1)
    owner = junctions_of(segments.ends)
    places = torch.from_numpy(_means(segments.ends.reshape(-1, 2), owner)).to(device, torch.float32)
    line_scores = torch.from_numpy(segments.scores).to(device)
    junction_scores = torch.from_numpy(_means(segments.scores.repeat(2)[:, None], owner)[:, 0]).to(
        device, torch.float32
    )
    nodes = torch.cat([places, points.places[kept]])
    return Wireframe(
        size=size,
        places=nodes,
        scores=torch.cat([junction_scores, points.scores[kept]]),
        descriptors=descriptors_at(nodes, features.descriptors),
        ends=torch.from_numpy(owner.reshape(-1, 2)).to(device),
        line_scores=line_scores,
    )


def junctions_of(segments: Segments) -> npt.NDArray[np.int64]:
    """Which junction each end belongs to, (segment · 2,): chains of near ends, numbered by their first one."""
    ends = segments.reshape(-1, 2)
    if not len(ends):
        return np.empty(0, np.int64)
    near = ((ends[:, None] - ends[None]) ** 2).sum(axis=-1) <= _JUNCTION_RADIUS**2
    first = np.arange(len(ends))
    while True:  # each end takes the lowest number beside it, until that changes nothing
        lowest = np.where(near, first[None], len(ends)).min(axis=1)
        if np.array_equal(lowest, first):
            break
        first = lowest
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def _means(values: npt.NDArray[np.generic], owner: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Means of the values of each owner, (owner, number)."""
    shares = np.zeros((owner.max(initial=-1) + 1, len(owner)))
    shares[owner, np.arange(len(owner))] = 1
    means: npt.NDArray[np.float64] = shares @ values.astype(np.float64) / shares.sum(axis=1, keepdims=True)
    return means
