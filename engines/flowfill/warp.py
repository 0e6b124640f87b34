"""Making native planes from a `Midway`: both neighbours moved, mixed, and faded to the dissolve."""

from __future__ import annotations

from collections.abc import Callable
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
    recipes: dict[tuple[int, ...], _Recipe] = {}
    sources: list[Field] = []
    prepare: list[Callable[[], None]] = []
    for index, (before, after) in enumerate(zip(left.planes, right.planes, strict=True)):
        if before.shape not in recipes:
            recipes[before.shape] = recipe = _recipe(before.shape, float(position), cubic=not recipes, scratch=scratch)
            prepare += _growth(plan, recipe)
        source = scratch.array(f"sources {index}", (2, *before.shape))
        sources.append(source)
        prepare += [partial(np.copyto, source[0], before), partial(np.copyto, source[1], after)]
    crew.run(*prepare)

    made: list[Plane] = [np.empty(plane.shape, dtype=plane.dtype) for plane in left.planes]
    crew.run(
        *(
            partial(_fill_band, target, recipes[target.shape], source, band, left.layout.peak, scratch)
            for target, source in zip(made, sources, strict=True)
            for band in crew.bands(len(target), most=_BAND_ROWS)
        )
    )
    return Picture(planes=tuple(made), layout=left.layout, color=left.color)


def _recipe(shape: tuple[int, ...], position: float, *, cubic: bool, scratch: Scratch) -> _Recipe:
    """The recipe for planes of a shape, still empty."""
    height, width = shape
    fields = scratch.array(f"recipe {shape}", (4, height, width))
    return _Recipe(
        motion=fields[:2].reshape(height, width, 2),
        left_share=fields[2],
        dissolve_share=fields[3],
        position=position,
        cubic=cubic,
    )


def _growth(plan: Midway, recipe: _Recipe) -> list[Callable[[], None]]:
    """The tasks that bring a `Midway` to a recipe's size."""
    return [
        partial(_grow_motion, plan.motion, recipe.motion),
        partial(_grow, plan.left_share, recipe.left_share),
        partial(_grow, plan.dissolve_share, recipe.dissolve_share),
    ]


def _grow_motion(motion: Field, into: Field) -> None:
    (rows, columns), (height, width) = motion.shape[:2], into.shape[:2]
    in_pixels = cv2.multiply(motion, np.array([width / columns, height / rows, 0.0, 0.0]))
    _grow(np.asarray(in_pixels, dtype=np.float32), into)


def _grow(field: Field, into: Field) -> None:
    cv2.resize(field, (into.shape[1], into.shape[0]), dst=into, interpolation=cv2.INTER_LINEAR)


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
