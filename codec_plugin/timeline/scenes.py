"""Scene cuts: is there one between two pictures that may lie a second apart?"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from codec_plugin.picture import Family, Matrix, Picture, Plane

DEFAULT_SCENE_THRESHOLD = 50.0
"""A `cut_score` from here on is a cut."""

_THUMBNAIL_SIDE = 160
_SMALLEST_SIDE = 16  # below 12 samples DISOpticalFlow finds no pyramid level
_WINDOW = (7, 7)
_NOISE_VARIANCE = 4.0  # two levels of noise: an area with less texture than that proves nothing
_TEXTURE_CEILING = 20.0  # one strong edge counts no more than ordinary texture
_BEND_CEILING = 4.0  # samples; the border of one moving thing must not outweigh the rest
_FLAT_DEVIATION = 2.0  # a black or white picture with codec noise
_FLAT_DIFFERENCE = 60.0  # levels; further than a fade goes in a few pictures

# Logistic regression over Big Buck Bunny (126 cuts; distances 1 to 24; plain, darkened, brightened and noisy
# pairs), shifted so that the recall at 50 is 0.99 at every distance.
_MISMATCH_WEIGHT = 11.9
_ROUGHNESS_WEIGHT = 5.0
_BIAS = -11.5
_LUMA_WEIGHTS = {
    Matrix.BT601: (0.299, 0.587, 0.114),
    Matrix.BT709: (0.2126, 0.7152, 0.0722),
    Matrix.BT2020: (0.2627, 0.6780, 0.0593),
}


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
        shrunk = sum(
            weight * _shrink(plane).astype(np.float32) for weight, plane in zip(weights, picture.planes, strict=False)
        )
    else:
        shrunk = _shrink(picture.planes[0])
        if layout.depth == 8:
            return np.asarray(shrunk, dtype=np.uint8)
    scaled = np.asarray(shrunk, dtype=np.float32) * np.float32(255.0 / layout.peak)
    return np.asarray(np.clip(np.rint(scaled), 0.0, 255.0), dtype=np.uint8)


def cut_score(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """How sure it is that two pictures belong to different shots.

    Dense motion (DIS optical flow, https://arxiv.org/abs/1603.03590) is found both ways. In one shot the
    moved picture correlates with the other where there is texture, and the motion is smooth; across a cut
    neither holds. Correlation in 7 x 7 windows doesn't see brightness or contrast, so fades and flashes
    stay one shot. A flat picture beside one that is 60 levels away is a cut.

    Args:
        left: (height, width) thumbnail of the earlier picture, from `thumbnail`.
        right: (height, width) thumbnail of the later one, of the same size.

    Returns:
        0 (the same shot) to 100 (a cut); compare with `DEFAULT_SCENE_THRESHOLD`.

    Raises:
        ValueError: The two differ in size.
    """
    if left.shape != right.shape:
        raise ValueError(f"thumbnails must be of one size, not {left.shape} and {right.shape}")
    mismatch, roughness = _evidence(_padded(left), _padded(right))
    logit = _MISMATCH_WEIGHT * mismatch + _ROUGHNESS_WEIGHT * roughness + _BIAS
    return 100.0 / (1.0 + math.exp(-logit))


def _shrink(plane: Plane) -> Plane:
    height, width = plane.shape
    factor = max(1, round(max(height, width) / _THUMBNAIL_SIDE))
    rows, columns = max(1, height // factor), max(1, width // factor)
    cropped = plane[: rows * factor, : columns * factor]
    return cv2.resize(cropped, (columns, rows), interpolation=cv2.INTER_AREA)


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = image.shape
    below, beside = max(0, _SMALLEST_SIDE - rows), max(0, _SMALLEST_SIDE - columns)
    if not below and not beside:
        return image
    padded = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)


def _evidence(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[float, float]:
    flattest = min(float(left.std()), float(right.std()))
    if flattest < _FLAT_DEVIATION and float(cv2.absdiff(left, right).mean()) > _FLAT_DIFFERENCE:
        return 1.0, 0.0
    matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    matcher.setFinestScale(1)
    forward, backward = _one_way(matcher, left, right), _one_way(matcher, right, left)
    return (forward[0] + backward[0]) / 2.0, (forward[1] + backward[1]) / 2.0


def _one_way(matcher: cv2.DISOpticalFlow, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = target.shape
    flow = matcher.calc(target, source, np.zeros((rows, columns, 2), dtype=np.float32))
    x = flow[..., 0] + np.arange(columns, dtype=np.float32)
    y = flow[..., 1] + np.arange(rows, dtype=np.float32)[:, None]
    warped = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # The flow is computed at half size and enlarged, so every second vector says all.
    bends = np.abs(cv2.Laplacian(flow[::2, ::2].copy(), cv2.CV_32F))
    roughness = float(np.minimum(bends, _BEND_CEILING).mean())
    return _mismatch(target.astype(np.float32), warped.astype(np.float32)), roughness


def _mismatch(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    first_mean, second_mean = cv2.blur(first, _WINDOW), cv2.blur(second, _WINDOW)
    first_variance = np.maximum(cv2.blur(first * first, _WINDOW) - first_mean * first_mean, 0.0)
    second_variance = np.maximum(cv2.blur(second * second, _WINDOW) - second_mean * second_mean, 0.0)
    covariance = cv2.blur(first * second, _WINDOW) - first_mean * second_mean
    correlation = covariance / np.sqrt((first_variance + _NOISE_VARIANCE) * (second_variance + _NOISE_VARIANCE))
    texture = np.minimum(np.sqrt(np.maximum(first_variance, second_variance)), _TEXTURE_CEILING)
    return float((texture * (1.0 - np.maximum(correlation, 0.0))).sum() / (texture + 1.0).sum())
