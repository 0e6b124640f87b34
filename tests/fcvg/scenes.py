"""Ten pairs of pictures whose segments are known, and weights, the same on every machine: for GlueStick's two sides.

This module imports nothing of ours but `small`, which imports nothing either, so that a script can run it beside
another implementation.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

sys.path.insert(0, str(Path(__file__).parent))
try:
    from small import uniform
finally:
    sys.path.pop(0)

PAIRS = 10
SIDES = ("left", "right")
_SIZES = ((192, 144), (160, 120), (200, 150), (144, 144), (184, 136))  # one isn't in whole cells of 8 pixels
_BOXES = 11
_TEXTURE = 12  # pixels between the texture's random values

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is kept of a picture."""

    points: int
    """Points, at most."""
    lines: int
    """Lines, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One picture of a pair."""

    gray: npt.NDArray[np.uint8]
    """(height, width)."""
    edges: Floats
    """(edge, 2, 2): the boxes' edges that lie in the picture."""
    name: str
    """Which one it is."""


def limits_of(index: int) -> Limits:
    """A pair's limits: the published ones, but that the last three pairs run into theirs."""
    return Limits(points=1000, lines=300) if index < PAIRS - 3 else Limits(points=120, lines=20)


def pair_of(index: int) -> tuple[Side, Side]:
    """Boxes on a texture, and the same moved: by whole cells of 8 pixels in even pairs, turned in odd ones."""
    turn, scale, *shift = uniform(f"motion{index}", 4) * 2 - 1
    moved = (0.0, 1.0, 8.0 + 8.0 * round(shift[0]), 8.0 * round(2 * shift[1]))
    if index % 2:
        moved = (turn / 6, 1 + scale / 10, shift[0] * 12, shift[1] * 12)
    return _side(index, "left", 0.0, 1.0, (0.0, 0.0)), _side(index, "right", moved[0], moved[1], moved[2:])


def rows_of(side: Side, scale: float) -> npt.NDArray[np.float32]:
    """What an LSD might find of a picture at a scale, (segment, 5): edges a little off, in no order, and scraps."""
    count = len(side.edges)
    off, order, wide = (uniform(f"{side.name}{name}", count, 4) for name in ("off", "order", "wide"))
    ends = side.edges.reshape(count, 4) + off - 0.5
    ends = np.where(order[:, 1:2] < 0.5, ends, ends[:, [2, 3, 0, 1]])
    rows = np.concatenate([ends, np.where(wide[:, :1] < 0.2, 0.0625, 0.125)], axis=1)
    scraps = uniform(f"{side.name}scraps", 30, 5) * (side.gray.shape[1] - 12, side.gray.shape[0] - 12, 9, 9, 0)
    scraps[:, 2:4] += scraps[:, :2]
    scraps[:, 4] = 0.125
    rows = rows[np.argsort(order[:, 0])][: max(1, round(count * min(1.0, scale + 0.2)))]
    return np.concatenate([scraps, rows]).astype(np.float32)


def weighted(module: Any, name: str) -> Any:
    """The module, in evaluation mode, with numbers from their names that let much of a picture be told apart."""
    values = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for key, value in values.items():
            if not value.is_floating_point():
                continue
            drawn = np.resize(uniform(f"{name}.{key}", min(value.numel(), 65537)), value.numel())
            value.copy_(torch.from_numpy(_scaled(key, drawn * 2 - 1, tuple(value.shape))).reshape(value.shape))
    return module.eval()


_GAINS = {"gnn.": 0.06, "final_proj": 20, "final_line_proj": 16, "kenc.": 0.004, "lenc.": 1.0}
"""Of the last layer of each part: so that what the parts add is as large as what they add it to."""


def _scaled(key: str, drawn: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if "bin_score" in key:
        return np.full(1, 1.0, np.float32)
    if key.endswith("running_var"):
        return (1 + drawn / 4).astype(np.float32)
    if len(shape) == 1:
        return ((1 + drawn / 8) if key.endswith("weight") else drawn / 16).astype(np.float32)
    rows = drawn.reshape(shape[0], -1)
    if rows.shape[1] > 9:  # what all inputs have in common, being positive, says nothing
        rows = rows - rows.mean(axis=1, keepdims=True)
    drawn = rows.reshape(-1) * math.sqrt(6 / rows.shape[1])
    if key.startswith("final"):  # nearly a turn, so that nothing is most like what is merely large
        drawn = drawn / 8 + np.eye(shape[0]).reshape(-1)
    last = not key.startswith(("kenc", "lenc", "gnn")) or "mlp.3." in key or "encoder.12." in key
    gain = next((gain for start, gain in _GAINS.items() if key.startswith(start)), 1.0) if last else 1.0
    return (drawn * gain).astype(np.float32)


def _side(index: int, which: str, turn: float, scale: float, shift: tuple[float, float]) -> Side:
    width, height = _SIZES[index % len(_SIZES)]
    middle = np.array([width, height]) / 2
    matrix = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    y, x = np.mgrid[:height, :width]
    # Where each pixel was in the left picture.
    origin = (np.stack([x, y], -1) - middle - shift) @ np.linalg.inv(matrix).T + middle
    shade = _texture(f"texture{index}", origin)
    edges = []
    for number, (a, b, c, d, angle, tone) in enumerate(uniform(f"boxes{index}", _BOXES, 6)):
        centre, half = np.array([a * width, b * height]), np.array([12 + 26 * c, 12 + 26 * d])
        axes = np.array([[math.cos(angle * 3), math.sin(angle * 3)], [-math.sin(angle * 3), math.cos(angle * 3)]])
        inside = (np.abs((origin - centre) @ axes.T) <= half).all(-1)
        shade = np.where(inside, 0.75 * tone + 0.25 * _texture(f"box{index}.{number}", origin), shade)
        corners = centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ axes
        moved = (corners - middle) @ matrix.T + middle + shift
        edges += [(moved[k], moved[(k + 1) % 4]) for k in range(4)]
    found = np.array(edges)
    seen = ((found >= 1) & (found <= (width - 2, height - 2))).all((1, 2))
    return Side(gray=np.rint(shade * 255).astype(np.uint8), edges=found[seen], name=f"{index}.{which}.")


def _texture(name: str, places: Floats) -> Floats:
    """Random values on a grid, linearly between them, 0 to 1."""
    grid = uniform(name, 64, 64)
    at = np.clip(places / _TEXTURE + 16, 0, 62.999)
    cell = np.floor(at).astype(int)
    (u, v), (column, row) = np.moveaxis(at - cell, -1, 0), np.moveaxis(cell, -1, 0)
    top = grid[row, column] * (1 - u) + grid[row, column + 1] * u
    bottom = grid[row + 1, column] * (1 - u) + grid[row + 1, column + 1] * u
    mixed: Floats = top * (1 - v) + bottom * v
    return mixed
