"""Colours that differ in hue alone: evenly spaced hues of HSLuv (hsluv.org, revision 4; CIELUV as in ISO 11664-5)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_FIRST_HUE = 0.01
_SATURATION, _LIGHTNESS = 0.9, 65.0  # the usual ones for lines on black
# Linear sRGB from CIE XYZ, and the white point D65 in u', v'.
_FROM_XYZ = np.array(
    [
        [3.240969941904521, -1.537383177570093, -0.498610760293],
        [-0.96924363628087, 1.87596750150772, 0.041555057407175],
        [0.055630079696993, -0.20397695888897, 1.056971514242878],
    ]
)
_WHITE_U, _WHITE_V = 0.19783000664283, 0.46831999493879
_KAPPA, _EPSILON = 903.2962962, 0.0088564516


def palette(count: int, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Colours (count, 3), R, G, B from 0 to 255: one lightness, evenly spaced hues, in an order of the seed."""
    hues = (np.arange(count) / max(count, 1) + _FIRST_HUE) % 1 * 360
    colours = np.array([_rgb(float(hue)) for hue in hues]).reshape(-1, 3)
    colours = np.random.default_rng(seed).permutation(colours)
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def _rgb(hue: float, saturation: float = _SATURATION, lightness: float = _LIGHTNESS) -> npt.NDArray[np.float64]:
    """sRGB in [0, 1] of an HSLuv colour; hue in degrees, lightness 0 to 100 (exclusive), saturation 0 to 1."""
    angle = math.radians(hue)
    chroma = _most_chroma(lightness, angle) * saturation
    u = chroma * math.cos(angle) / (13 * lightness) + _WHITE_U
    v = chroma * math.sin(angle) / (13 * lightness) + _WHITE_V
    y = _luminance(lightness)
    x = y * 9 * u / (4 * v)
    z = y * (12 - 3 * u - 20 * v) / (4 * v)
    linear = _FROM_XYZ @ np.array([x, y, z])
    encoded: npt.NDArray[np.float64] = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )
    return encoded


def _luminance(lightness: float) -> float:
    return float(((lightness + 16) / 116) ** 3) if lightness > _KAPPA * _EPSILON else lightness / _KAPPA


def _most_chroma(lightness: float, angle: float) -> float:
    """The largest chroma inside sRGB at a lightness and hue: the nearest of the six lines that bound it in (u, v)."""
    y = _luminance(lightness)
    lengths = []
    for m1, m2, m3 in _FROM_XYZ:
        for bound in (0, 1):
            top = (284517 * m1 - 94839 * m3) * y
            level = (838422 * m3 + 769860 * m2 + 731718 * m1) * lightness * y - 769860 * bound * lightness
            bottom = (632260 * m3 - 126452 * m2) * y + 126452 * bound
            slope, intercept = top / bottom, level / bottom
            length = intercept / (math.sin(angle) - slope * math.cos(angle))
            if length >= 0:
                lengths.append(length)
    return min(lengths)
