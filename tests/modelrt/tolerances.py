"""How far a runtime may be from the reference, and why. Nowhere else does a test name such a number."""

from __future__ import annotations

from modelrt import Precision

LARGEST_DIFFERENCE = {
    Precision.FP32: 2e-5,  # sums of 27 products in another order, and places rounded at 2**-24 of the width
    Precision.BF16: 6e-2,  # 8 bits of mantissa: 2**-8 of values up to about 5, a few roundings deep
    Precision.FP16: 8e-3,  # 11 bits of mantissa
}
"""Absolute, for the small graph on pictures in [0, 1]."""
