"""Motion between two thumbnails: where each block went, and where the whole picture went."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Image = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

GRID = 2
"""Samples between two blocks, in both directions."""

_PATCH = 6  # samples square; smaller ones find a match anywhere, larger ones miss what is small
_NOISE_VARIANCE = 4.0  # two levels of noise: what has less texture than that matches nothing well
_PENALTY = 0.006  # of correlation for each sample of distance: the nearer of two equal matches is the likelier
_FARTHEST = 12.0  # samples
_TEXTURE_CEILING = 20.0  # levels; one strong edge counts no more than ordinary texture
_LEAST_WEIGHT = 0.01  # so that an area without texture takes its motion from around it, or keeps its own
_MOST_ASTRAY = 4.0  # samples; further astray is no worse
_WHITENING_FLOOR = 1e-3  # of the strongest frequency: what is weaker is noise
_BATCH = 4  # blocks a product: OpenBLAS starts threads for larger ones, and they cost more than they save
_KEPT_SIZES = 8  # tables of so many sizes are kept; a film needs those of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """A picture, ready to be looked for in another and to be searched."""

    rows: Image
    """(height * width, 36): the patch around each place, of zero mean and, but for noise, of length 1."""
    deviation: Image
    """(height * width,): the standard deviation of each, in levels."""
    size: tuple[int, int]
    """(height, width)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMotion:
    """Where the blocks of one picture are found in another."""

    offsets: Image
    """(2, rows, columns): y and x in samples, from a block's place to its match."""
    likeness: Image
    """(rows, columns): correlation of block and match, 0 to 1."""
    texture: Image
    """(rows, columns): standard deviation inside the block, in levels, up to 20."""


def halved(image: Image) -> Image:
    """(height // 2, width // 2) means of 2 x 2 samples."""
    rows, columns = image.shape[0] & ~1, image.shape[1] & ~1
    tall = image[0:rows:2, :columns] + image[1:rows:2, :columns]
    small: Image = tall[:, 0::2] + tall[:, 1::2]
    small *= np.float32(0.25)
    return small


def block_motion(left: Image, right: Image) -> tuple[BlockMotion, BlockMotion]:
    """Finds the blocks of each picture in the other.

    Every block of 6 x 6 samples is held against every place of the other picture at once, as a product of two
    matrices: with the mean taken off and the length made 1, the product is their correlation. Brightness and contrast
    change nothing.

    Args:
        left: (height, width), of any levels.
        right: The same size.

    Returns:
        The motion from left to right and from right to left, for blocks at every second row and column.
    """
    return blocks_found(patches_of(left), patches_of(right))


def blocks_found(left: Patches, right: Patches) -> tuple[BlockMotion, BlockMotion]:
    """`block_motion`, of pictures of one size whose patches are at hand."""
    return _best_matches(left, right), _best_matches(right, left)


def astray(there: BlockMotion, back: BlockMotion) -> float:
    """How far from where they began blocks end that go there and back.

    Args:
        there: From one picture to another.
        back: From the other to the one.

    Returns:
        The mean distance in samples, where there is texture: 0 to 4. What a picture shares with the other comes back;
        what has merely found something like it doesn't.
    """
    _, rows, columns = there.offsets.shape
    steps = np.rint(there.offsets / np.float32(GRID)).astype(np.intp)
    y = np.minimum(np.maximum(steps[0] + np.arange(rows)[:, None], 0), rows - 1)
    x = np.minimum(np.maximum(steps[1] + np.arange(columns), 0), columns - 1)
    missed = there.offsets + back.offsets[:, y, x]
    distances = np.minimum(np.sqrt((missed * missed).sum(axis=0)), np.float32(_MOST_ASTRAY))
    return float((there.texture * distances).sum() / (there.texture + np.float32(1.0)).sum())


def typical_distance(motion: BlockMotion) -> float:
    """How far blocks go, in samples: the mean over all of them, by their texture and how sure their match is."""
    weight = motion.texture * motion.likeness * motion.likeness
    distance = np.sqrt((motion.offsets * motion.offsets).sum(axis=0))
    return float((weight * distance).sum() / (weight.sum() + np.float32(1.0)))


def moved(image: Image, motion: BlockMotion) -> Image:
    """The picture as it looks from where the motion began.

    Args:
        image: (height, width), of twice the size that the motion was found at.
        motion: To this image; smoothed here, so that sure blocks speak for unsure ones beside them.

    Returns:
        The same size, sampled linearly; beyond the edges the outermost samples go on.
    """
    height, width = image.shape
    _, rows, columns = motion.offsets.shape
    weight = motion.likeness * motion.likeness * motion.texture + np.float32(_LEAST_WEIGHT)
    sums = _spreading(rows) @ np.concatenate((motion.offsets * weight, weight[None])) @ _spreading(columns).T
    field = _enlarging(height, rows) @ (np.float32(2.0) * sums[:2] / sums[2]) @ _enlarging(width, columns).T
    return _sampled(image, field[0], field[1])


def common_shift(left: Image, right: Image) -> tuple[int, int]:
    """The one shift that explains most of two pictures, by phase correlation.

    It sees what blocks don't: a long pan, and small print that rolls.

    Args:
        left: (height, width), of any levels.
        right: The same size.

    Returns:
        (y, x) in samples: what is at a place in left is at that place + (y, x) in right.
    """
    return shift_between(spectrum_of(left), spectrum_of(right), size=left.shape)


def spectrum_of(image: Image) -> Spectrum:
    """(height, width // 2 + 1): a picture's frequencies, its edges faded out."""
    return np.asarray(np.fft.rfft2((image - image.mean()) * _window(*image.shape)), dtype=np.complex64)


def shift_between(left: Spectrum, right: Spectrum, *, size: tuple[int, ...]) -> tuple[int, int]:
    """`common_shift`, of pictures of one size (height, width) whose spectra are at hand."""
    height, width = size
    product = right * left.conj()
    strength = np.abs(product)
    product /= strength + (np.float32(_WHITENING_FLOOR) * strength.max() + np.float32(1e-9))
    y, x = divmod(int(np.fft.irfft2(product, s=(height, width)).argmax()), width)
    return (y - height if y > height // 2 else y), (x - width if x > width // 2 else x)


def shifted(image: Image, *, y: int, x: int) -> Image:
    """The picture read at every place + (y, x); beyond the edges the outermost samples go on."""
    height, width = image.shape
    rows = np.minimum(np.maximum(np.arange(height) + y, 0), height - 1)
    columns = np.minimum(np.maximum(np.arange(width) + x, 0), width - 1)
    return np.asarray(image.take(rows, axis=0).take(columns, axis=1))


def _best_matches(own: Patches, other: Patches) -> BlockMotion:
    height, width = own.size
    shape = (-(-height // GRID), -(-width // GRID))
    places = np.arange(height * width).reshape(height, width)[::GRID, ::GRID].ravel()
    padded = np.resize(places, (-(-len(places) // _BATCH), _BATCH))
    products = own.rows[padded] @ np.ascontiguousarray(other.rows.T)
    likeness = products.reshape(-1, height * width)[: len(places)]  # (blocks, places)
    likeness -= _distance_penalty(height, width)
    best = likeness.argmax(axis=1)
    offsets = np.stack(np.divmod(best, width)) - np.stack(np.divmod(places, width))
    return BlockMotion(
        offsets=offsets.astype(np.float32).reshape(2, *shape),
        likeness=np.maximum(likeness[np.arange(len(best)), best], np.float32(0.0)).reshape(shape),
        texture=np.minimum(own.deviation[places], np.float32(_TEXTURE_CEILING)).reshape(shape),
    )


def patches_of(image: Image) -> Patches:
    """Every patch of a picture (height, width) of any levels."""
    height, width = image.shape
    padded = image.take(_edge(height), axis=0).take(_edge(width), axis=1)
    rows = sliding_window_view(padded, (_PATCH, _PATCH)).reshape(-1, _PATCH * _PATCH)
    rows = rows - rows.mean(axis=1, keepdims=True)
    energy = np.einsum("ij,ij->i", rows, rows)
    rows *= (np.float32(1.0) / np.sqrt(energy + np.float32(_NOISE_VARIANCE * _PATCH * _PATCH)))[:, None]
    return Patches(rows=rows, deviation=np.sqrt(energy) / np.float32(_PATCH), size=(height, width))


def _sampled(image: Image, y: Image, x: Image) -> Image:
    """The image read at every place + (y, x), linearly."""
    height, width = image.shape
    y = np.minimum(np.maximum(y + np.arange(height, dtype=np.float32)[:, None], 0.0), np.float32(height - 1.001))
    x = np.minimum(np.maximum(x + np.arange(width, dtype=np.float32), 0.0), np.float32(width - 1.001))
    top, left = y.astype(np.intp), x.astype(np.intp)
    y -= top
    x -= left
    place, flat = top * width + left, image.ravel()
    upper, lower = (
        first + (second - first) * x
        for first, second in (
            (flat.take(place), flat.take(place + 1)),
            (flat.take(place + width), flat.take(place + (width + 1))),
        )
    )
    return np.asarray(upper + (lower - upper) * y, dtype=np.float32)


@lru_cache(_KEPT_SIZES)
def _edge(count: int) -> NDArray[np.intp]:
    # A block covers the samples of its cell of the grid, and as many on either side as make it a patch.
    before = (_PATCH - GRID) // 2
    return np.minimum(np.maximum(np.arange(-before, count + _PATCH - 1 - before), 0), count - 1)


@lru_cache(2)
def _distance_penalty(height: int, width: int) -> Image:
    """(blocks, places): what is taken off a match's correlation."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    own_y, own_x = y[::GRID, ::GRID].reshape(-1, 1), x[::GRID, ::GRID].reshape(-1, 1)
    distance = np.hypot(y.ravel() - own_y, x.ravel() - own_x)
    return np.asarray(np.where(distance > _FARTHEST, 2.0, _PENALTY * distance), dtype=np.float32)


@lru_cache(_KEPT_SIZES)
def _spreading(count: int) -> Image:
    """(count, count): sums of three neighbours; edges count twice."""
    sums = np.zeros((count, count), dtype=np.float32)
    for step in (-1, 0, 1):
        sums[np.arange(count), np.clip(np.arange(count) + step, 0, count - 1)] += 1.0
    return sums


@lru_cache(_KEPT_SIZES)
def _enlarging(samples: int, blocks: int) -> Image:
    """(samples, blocks): linear interpolation between blocks that stand 2 * GRID samples apart."""
    place = np.clip((np.arange(samples) - GRID + 0.5) / (2 * GRID), 0.0, blocks - 1.0)
    first = np.minimum(place.astype(np.intp), max(blocks - 2, 0))
    shares = np.zeros((samples, blocks), dtype=np.float32)
    shares[np.arange(samples), first] = 1.0 - (place - first)
    shares[np.arange(samples), np.minimum(first + 1, blocks - 1)] += place - first
    return shares


@lru_cache(2)
def _window(height: int, width: int) -> Image:
    """(height, width): Hann's window without its zeros."""
    return np.asarray(np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]), dtype=np.float32)
