"""Making native planes from a `Midway`: both neighbours moved, mixed, and faded to the dissolve."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import cv2
import numpy as np

from codec_plugin.picture import Picture, Plane
from flowfill.midway import Midway
from flowfill.parallel import Crew
from flowfill.sample import sample
from flowfill.scratch import Field, Scratch

_BAND_ROWS = 96


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
    cubic: bool
    """How to read between pixels; subsampled chroma is smooth enough for linear (0.3 dB at 50 dB, a third of the
    time)."""


def render(left: Picture, right: Picture, *, plan: Midway, position: Fraction, crew: Crew, scratch: Scratch) -> Picture:
    """Makes the picture at a position, every plane in its own depth.

    Sums are float32 and rounded once, so that 16 bits keep their precision; cubic samples that overshoot are
    clipped to the depth.

    Args:
        left: Of any layout; read only.
        right: Of the same size and layout; read only.
        plan: From `midway` for the same position.
        position: 0 is left, 1 is right.
        crew: Works on bands of rows side by side.
        scratch: Where everything but the new picture is kept while it is made.
    """
    shapes = list(dict.fromkeys((plane.shape[0], plane.shape[1]) for plane in left.planes))
    recipes = {
        shape: _recipe(plan, shape, float(position), cubic=shape == shapes[0], crew=crew, scratch=scratch)
        for shape in shapes
    }
    made: list[Plane] = [np.empty(plane.shape, dtype=plane.dtype) for plane in left.planes]
    tasks = []
    for index, target in enumerate(made):
        rows, columns = target.shape
        sources = scratch.array(f"sources {index}", (2, rows, columns))
        np.copyto(sources[0], left.planes[index])
        np.copyto(sources[1], right.planes[index])
        tasks += [
            partial(_fill_band, target, recipes[rows, columns], sources, band, left.layout.peak, scratch)
            for band in crew.bands(rows, most=_BAND_ROWS)
        ]
    crew.run(*tasks)
    return Picture(planes=tuple(made), layout=left.layout, color=left.color)


def _recipe(
    plan: Midway, size: tuple[int, int], position: float, *, cubic: bool, crew: Crew, scratch: Scratch
) -> _Recipe:
    height, width = size
    rows, columns = plan.left_share.shape[:2]
    fields = scratch.array(f"recipe {size}", (4, height, width))
    in_pixels = cv2.multiply(plan.motion, np.array([width / columns, height / rows, 0.0, 0.0]))
    motion, left_share, dissolve_share = crew.run(
        partial(_resized, np.asarray(in_pixels, dtype=np.float32), fields[:2].reshape(height, width, 2)),
        partial(_resized, plan.left_share, fields[2]),
        partial(_resized, plan.dissolve_share, fields[3]),
    )
    return _Recipe(motion=motion, left_share=left_share, dissolve_share=dissolve_share, position=position, cubic=cubic)


def _resized(field: Field, into: Field) -> Field:
    cv2.resize(field, (into.shape[1], into.shape[0]), dst=into, interpolation=cv2.INTER_LINEAR)
    return into


def _fill_band(
    target: Plane, recipe: _Recipe, sources: Field, band: tuple[int, int], peak: float, scratch: Scratch
) -> None:
    """Makes rows [start, stop) of a plane. `sources` are the whole planes (2, height, width): motion crosses bands."""
    start, stop = band
    left, right = sources
    size = (stop - start, left.shape[1])
    offsets = scratch.array("offsets", (*size, 2))
    moved_left, moved_right, mixed = scratch.array("band", (3, *size))
    for source, into, factor in ((left, moved_left, -recipe.position), (right, moved_right, 1.0 - recipe.position)):
        np.multiply(recipe.motion[start:stop], np.float32(factor), out=offsets)
        if start:
            # A relative map counts from the band's own first row.
            offsets[..., 1] += np.float32(start)
        sample(source, offsets, cubic=recipe.cubic, into=into)
    _fade(moved_left, moved_right, recipe.left_share[start:stop])
    cv2.addWeighted(left[start:stop], 1.0 - recipe.position, right[start:stop], recipe.position, 0.0, dst=mixed)
    _fade(mixed, moved_left, recipe.dissolve_share[start:stop])
    np.clip(mixed, 0.0, peak, out=mixed)
    if target.dtype != np.float32:
        np.rint(mixed, out=mixed)
    np.copyto(target[start:stop], mixed, casting="unsafe")


def _fade(first: Field, second: Field, share: Field) -> None:
    """Sets `first` to second + share * (first - second)."""
    cv2.subtract(first, second, dst=first)
    cv2.multiply(first, share, dst=first)
    cv2.add(first, second, dst=first)
