"""Scene cuts: is there one between two pictures that may lie a second apart?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec_plugin.picture import Family, Matrix, Picture, Plane
from codec_plugin.timeline.blocks import block_sums
from codec_plugin.timeline.motion import (
    BlockMotion,
    Image,
    astray,
    blocks_found,
    halved,
    moved,
    shift_between,
    shifted,
    typical_distance,
)
from codec_plugin.timeline.seen import Seen, moments, windowed

DEFAULT_SCENE_THRESHOLD = 50.0
"""A `cut_score` from here on is a cut."""

_THUMBNAIL_SIDE = 160
_NOISE_VARIANCE = 8.0  # nearly three levels of noise: an area with less texture than that proves nothing
_TEXTURE_CEILING = 20.0  # one strong edge counts no more than ordinary texture
_FLAT_DEVIATION = 2.0  # a black or white picture with codec noise
_FLAT_DIFFERENCE = 60.0  # levels; further than a fade goes in a few pictures

# Logistic regression over Big Buck Bunny (126 cuts; distances 1 to 24; plain, darkened, brightened, faded and noisy
# pairs), shifted so that no cut of the plain pairs is missed at 50.
_MISMATCH_WEIGHT = 20.09
_ASTRAY_WEIGHT = 3.41
_BIAS = -17.72
_LUMA_WEIGHTS = {
    Matrix.BT601: (0.299, 0.587, 0.114),
    Matrix.BT709: (0.2126, 0.7152, 0.0722),
    Matrix.BT2020: (0.2627, 0.6780, 0.0593),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What two pictures have in common, as their thumbnails show it."""

    unexplained: float
    """Share of the texture that no motion carries over, 0 to 1, the mean of both ways."""
    disagreement: float
    """How far blocks that go there and back end from where they began, in samples of a picture 40 wide, 0 to 4."""
    motion: float
    """How far what is textured moves, as a share of the longer side."""

    @property
    def cut_score(self) -> float:
        """How sure it is that the two belong to different shots: 0 (one shot) to 100 (a cut)."""
        logit = _MISMATCH_WEIGHT * self.unexplained + _ASTRAY_WEIGHT * self.disagreement + _BIAS
        return 100.0 / (1.0 + math.exp(-logit))


_FLAT_LIKENESS = Likeness(unexplained=1.0, disagreement=0.0, motion=0.0)


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    """Shrinks a picture's luma to a size at which cuts are judged.

    Args:
        picture: Any layout; the luma plane is read as it is, in its own range; RGB is weighted by the
            picture's matrix.

    Returns:
        (height / k, width / k), 8 bits, where k is the integer that brings the longer side nearest to 160;
        each sample is the mean of k x k samples; last rows and columns that fill no block are left out.
    """
    layout = picture.layout
    if layout.family is Family.RGB:
        weights = _LUMA_WEIGHTS[picture.color.matrix]
        luma = sum(weight * _means(plane) for weight, plane in zip(weights, picture.planes, strict=False))
    else:
        luma = _means(picture.planes[0])
    scaled = np.asarray(luma, dtype=np.float64) * (255.0 / layout.peak)
    return np.asarray(np.clip(np.rint(scaled), 0.0, 255.0), dtype=np.uint8)


def cut_score(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """`likeness`'s cut score: 0 (the same shot) to 100 (a cut); compare with `DEFAULT_SCENE_THRESHOLD`."""
    return likeness(left, right).cut_score


def likeness(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Likeness:
    """What two pictures have in common.

    Blocks of each picture are looked for in the other. In one shot the picture so moved, or shifted as a whole,
    correlates with the other where there is texture, and blocks that go there and back end where they began; across a
    cut neither holds. Correlation in 5 x 5 windows of the thumbnails at half size doesn't see brightness or contrast,
    so fades and flashes stay one shot. A flat picture beside one that is 60 levels away is a cut.

    Args:
        left: (height, width) thumbnail of the earlier picture, from `thumbnail`.
        right: (height, width) thumbnail of the later one, of the same size.

    Raises:
        ValueError: The two differ in size.
    """
    return likeness_of(Seen(left), Seen(right))


def _means(plane: Plane) -> NDArray[np.float64]:
    height, width = plane.shape
    factor = max(1, round(max(height, width) / _THUMBNAIL_SIDE))
    rows, columns = min(factor, height), min(factor, width)
    return np.asarray(block_sums(plane, rows=rows, columns=columns) / (rows * columns), dtype=np.float64)


def likeness_of(left: Seen, right: Seen) -> Likeness:
    """`likeness`, of pictures of which some may be worked out already."""
    if left.thumbnail.shape != right.thumbnail.shape:
        raise ValueError(f"thumbnails must be of one size, not {left.thumbnail.shape} and {right.thumbnail.shape}")
    if min(left.deviation, right.deviation) < _FLAT_DEVIATION and _difference(left, right) > _FLAT_DIFFERENCE:
        return _FLAT_LIKENESS
    there, back = blocks_found(left.patches, right.patches)
    y, x = shift_between(left.spectrum, right.spectrum, size=left.image.shape)
    mismatch = (
        _mismatch(left, moved(right.half, there), halved(shifted(right.image, y=y, x=x)))
        + _mismatch(right, moved(left.half, back), halved(shifted(left.image, y=-y, x=-x)))
    ) / 2.0
    return Likeness(
        unexplained=mismatch,
        disagreement=(astray(there, back) + astray(back, there)) / 2.0,
        motion=_motion(there, back) / max(left.patches.size),
    )


def _motion(there: BlockMotion, back: BlockMotion) -> float:
    return (typical_distance(there) + typical_distance(back)) / 2.0


def _difference(left: Seen, right: Seen) -> float:
    return float(np.abs(left.image - right.image).mean())


def _mismatch(target: Seen, *guesses: Image) -> float:
    """How little of the target's texture is in the better of the guesses: 0 to 1."""
    mean, variance = target.moments
    best, texture = np.zeros_like(mean), variance
    for guess in guesses:
        guess_mean, guess_variance = moments(guess)
        covariance = windowed(target.half * guess) - mean * guess_mean
        spread = np.sqrt((variance + np.float32(_NOISE_VARIANCE)) * (guess_variance + np.float32(_NOISE_VARIANCE)))
        best = np.maximum(best, covariance / spread)
        texture = np.maximum(texture, guess_variance)
    weight = np.minimum(np.sqrt(texture), np.float32(_TEXTURE_CEILING))
    return float((weight * (np.float32(1.0) - best)).sum() / (weight + np.float32(1.0)).sum())
