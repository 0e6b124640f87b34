"""`GlueStickMatcher`: lines matched by the paper's means: SuperPoint, LSD, and GlueStick over both."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fcvg.conditions.gluestick.assignment import Assignment
from fcvg.conditions.gluestick.loading import Networks
from fcvg.conditions.gluestick.scored import Detector, ScoredSegments, detector, find_scored
from fcvg.conditions.gluestick.wireframe import MOST_POINTS, Wireframe, make_wireframe
from fcvg.conditions.matching import Matches, in_reading_order, with_ends_as
from fcvg.conditions.segments import Gray, Segments

LEAST_SIDE = 16
"""Pixels: in smaller pictures nothing is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """Two pictures' wireframes, and what belongs together."""

    left: Wireframe
    """Of the left picture."""
    right: Wireframe
    """Of the right picture."""
    nodes: Assignment
    """Points and junctions."""
    lines: Assignment
    """Lines."""


class GlueStickMatcher:
    """Matches the lines of two pictures: a `LineMatcher`.

    Two pictures of 1024x576 with 1100 nodes each take 6.5 s on one thread of a CPU (3.5 s SuperPoint, 2.7 s GlueStick,
    0.2 s LSD), measured on AMD EPYC.
    """

    def __init__(self, networks: Networks, *, detect: Detector | None = None, most_points: int = MOST_POINTS) -> None:
        """Args:
        networks: with weights, where they are to run.
        detect: finds segments; None for pytlsd's LSD where it is installed, else OpenCV's.
        most_points: points of a picture besides its junctions.
        """
        name, found = detector()
        self.name = f"GlueStick on {name if detect is None else 'given segments'}"
        """For the report."""
        self._networks, self._detect, self._most_points = networks, detect or found, most_points

    def __call__(self, left: Gray, right: Gray) -> Matches:
        """Pairs the lines of two pictures of one size. Swapping the pictures swaps the result, exactly."""
        if left.tobytes() > right.tobytes():  # one order of work, so that rounding can't tell the two calls apart
            swapped = self(right, left)
            return Matches(left=swapped.right, right=swapped.left)
        none = np.empty((0, 2, 2))
        if min(left.shape) < LEAST_SIDE:
            return Matches(left=none, right=none)
        segments = [find_scored(gray, detect=self._detect) for gray in (left, right)]
        if not all(len(found) for found in segments):
            return Matches(left=none, right=none)
        matched = self.match(left, right, segments=(segments[0], segments[1]))
        pairs = matched.lines.pairs()
        first, second = _inside(matched.left, pairs[:, 0]), _inside(matched.right, pairs[:, 1])
        return in_reading_order(Matches(left=first, right=with_ends_as(second, first)))

    def match(self, left: Gray, right: Gray, *, segments: tuple[ScoredSegments, ScoredSegments]) -> Matched:
        """Matches points and lines of two pictures, each at least `LEAST_SIDE` to each side.

        Args:
            left: one picture.
            right: the other one.
            segments: of both, found beforehand.
        """
        with torch.inference_mode(), _exact(self._networks.device):
            ours, theirs = (self._wireframe(gray, found) for gray, found in zip((left, right), segments, strict=True))
            nodes, lines = self._networks.gluestick(ours, theirs)
        return Matched(left=ours, right=theirs, nodes=nodes, lines=lines)

    def _wireframe(self, gray: Gray, segments: ScoredSegments) -> Wireframe:
        seen = torch.from_numpy(gray.astype(np.float32) / 255)[None, None].to(self._networks.device)
        features = self._networks.superpoint(seen)
        size = (gray.shape[1], gray.shape[0])
        return make_wireframe(features, segments, size=size, most_points=self._most_points)


def _exact(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions in whole float32: TF32, cuDNN's own choice, would cost three of the descriptors' digits."""
    if device.type != "cuda":
        return nullcontext()
    cudnn = torch.backends.cudnn
    exact: AbstractContextManager[None] = cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )
    return exact


def _inside(one: Wireframe, chosen: Tensor) -> Segments:
    """Lines of a wireframe, their ends inside the picture."""
    width, height = one.size
    ends = one.lines[chosen].cpu().numpy().astype(np.float64)
    return np.clip(ends, 0, (width - 1, height - 1))
