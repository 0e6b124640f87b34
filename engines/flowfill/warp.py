"""Making native planes from a `Midway`: both neighbours moved, mixed, and faded to the dissolve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

from codec_plugin.picture import Picture, Plane
from flowfill.motion import Midway
from flowfill.parallel import Crew
from flowfill.sample import Field, sample

_BAND_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """A `Midway` at the size of a plane."""

    motion: Field
    """(height, width, 2) in the plane's own pixels."""
    left_share: Field
    """(height, width)."""
    dissolve_share: Field
    """(height, width)."""
    position: float
    """0 is left, 1 is right."""


def render(left: Picture, right: Picture, *, plan: Midway, position: Fraction, crew: Crew) -> Picture:
    """Makes the picture at a position, every plane in its own depth.

    Sums are float32 and rounded once, so that 16 bits keep their precision; cubic samples that overshoot are
    clipped to the depth.

    Args:
        left: Of any layout; read only.
        right: Of the same size and layout; read only.
        plan: From `midway` for the same position.
        position: 0 is left, 1 is right.
        crew: Works on bands of rows side by side.
    """
    shapes = list(dict.fromkeys((plane.shape[0], plane.shape[1]) for plane in left.planes))
    recipes = crew.run(*(partial(_recipe, plan, size=shape, position=float(position)) for shape in shapes))
    by_shape = dict(zip(shapes, recipes, strict=True))
    made: list[Plane] = [np.empty(plane.shape, dtype=plane.dtype) for plane in left.planes]
    tasks = []
    for before, after, target in zip(left.planes, right.planes, made, strict=True):
        sources = before.astype(np.float32), after.astype(np.float32)
        for start, stop in _bands(int(target.shape[0]), crew.threads):
            recipe = by_shape[target.shape[0], target.shape[1]]
            tasks.append(partial(_fill_band, target, recipe, sources, start, stop, left.layout.peak))
    crew.run(*tasks)
    return Picture(planes=tuple(made), layout=left.layout, color=left.color)


def _recipe(plan: Midway, *, size: tuple[int, int], position: float) -> _Recipe:
    height, width = size
    rows, columns = plan.left_share.shape[:2]
    motion = np.asarray(cv2.multiply(plan.motion, (width / columns, height / rows, 0.0, 0.0)), dtype=np.float32)
    return _Recipe(
        motion=_resized(motion, width, height),
        left_share=_resized(plan.left_share, width, height),
        dissolve_share=_resized(plan.dissolve_share, width, height),
        position=position,
    )


def _resized(field: Field, width: int, height: int) -> Field:
    if field.shape[:2] == (height, width):
        return field
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _bands(rows: int, threads: int) -> Iterator[tuple[int, int]]:
    """Cuts rows into half-open bands, enough of them for every thread, none over `_BAND_ROWS`."""
    count = min(rows, max(threads, -(-rows // _BAND_ROWS)))
    edges = [rows * index // count for index in range(count + 1)]
    yield from pairwise(edges)


def _fill_band(
    target: Plane, recipe: _Recipe, sources: tuple[Plane, Plane], start: int, stop: int, peak: float
) -> None:
    """Makes rows [start, stop) of a plane. `sources` are whole planes as float32, since motion crosses bands."""
    left, right = sources
    motion = recipe.motion[start:stop]
    moved_left = _moved(left, motion, -recipe.position, first_row=start)
    moved_right = _moved(right, motion, 1.0 - recipe.position, first_row=start)
    moved = _between(moved_right, moved_left, recipe.left_share[start:stop])
    plain = cv2.addWeighted(left[start:stop], 1.0 - recipe.position, right[start:stop], recipe.position, 0.0)
    mixed = _between(moved, np.asarray(plain, dtype=np.float32), recipe.dissolve_share[start:stop])
    if target.dtype == np.float32:
        target[start:stop] = mixed
        return
    np.clip(mixed, 0.0, peak, out=mixed)
    np.rint(mixed, out=mixed)
    target[start:stop] = mixed


def _moved(source: Plane, motion: Field, factor: float, *, first_row: int) -> Field:
    """Cubic samples of `source` at each pixel of a band plus `factor` times its motion."""
    offsets = motion * np.float32(factor)
    if first_row:
        # A relative map counts from the band's own first row.
        offsets[..., 1] += np.float32(first_row)
    return sample(source, offsets, cubic=True)


def _between(first: Field, second: Field, share: Field) -> Field:
    """first + share * (second - first), in the memory of `second`."""
    cv2.subtract(second, first, dst=second)
    cv2.multiply(second, share, dst=second)
    cv2.add(second, first, dst=second)
    return second
