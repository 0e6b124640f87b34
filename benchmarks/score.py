"""How near a made frame comes to the one that was dropped; PSNR and SSIM of luma, XPSNR of all planes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from codec_plugin.picture import Plane

_WINDOW = (7, 7)
MOST_DB = 80.0
"""What stands for equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One frame's likeness."""

    psnr_db: float
    """Of 8-bit luma; 80 at most, which stands for equal."""
    ssim: float
    """Mean over all windows of 7 x 7 pixels, all alike in weight (Wang et al. 2004; scikit-image's default)."""
    xpsnr_db: float | None = None
    """Of all planes, by FFmpeg's filter; 80 at most; None where it can't be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Many frames' likeness."""

    frames: int
    """How many."""
    psnr_db: float
    """Mean of the frames' PSNR."""
    psnr_db_worst: float
    """Mean over the worst tenth of the frames."""
    ssim: float
    """Mean of the frames' SSIM."""
    ssim_worst: float
    """Mean over the worst tenth of the frames."""
    xpsnr_db: float | None = None
    """Mean of the frames' XPSNR; None where it wasn't measured."""


def score(made: Plane, original: Plane) -> Score:
    """Compares two 8-bit planes of one size."""
    a, b = made.astype(np.float32), original.astype(np.float32)
    error = float(np.mean(np.square(a - b), dtype=np.float64))
    psnr_db = min(MOST_DB, 10.0 * math.log10(255.0**2 / error)) if error else MOST_DB
    return Score(psnr_db=psnr_db, ssim=_ssim(a, b))


def summary(scores: list[Score]) -> Summary:
    """Means, and means of the worst tenth; scores must not be empty."""
    psnr = np.sort([each.psnr_db for each in scores])
    ssim = np.sort([each.ssim for each in scores])
    xpsnr = [each.xpsnr_db for each in scores if each.xpsnr_db is not None]
    worst = max(1, len(scores) // 10)
    return Summary(
        frames=len(scores),
        psnr_db=round(float(psnr.mean()), 3),
        psnr_db_worst=round(float(psnr[:worst].mean()), 3),
        ssim=round(float(ssim.mean()), 5),
        ssim_worst=round(float(ssim[:worst].mean()), 5),
        xpsnr_db=round(float(np.mean(xpsnr)), 3) if len(xpsnr) == len(scores) else None,
    )


def _ssim(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    mean_a, mean_b = cv2.blur(a, _WINDOW), cv2.blur(b, _WINDOW)
    variance_a = cv2.blur(a * a, _WINDOW) - mean_a * mean_a
    variance_b = cv2.blur(b * b, _WINDOW) - mean_b * mean_b
    covariance = cv2.blur(a * b, _WINDOW) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2)
    return float(np.mean(above / below, dtype=np.float64))
