"""Bjøntegaard's delta rate, by the library `bjontegaard` (extra `rd`)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import numpy as np

from codec_plugin.errors import OptionError

_LEAST_POINTS = 4
_METHOD = "akima"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRate:
    """How many bits more (above 0) or fewer a curve needs for the same quality."""

    percent: float
    """Of the anchor's bits, averaged over the qualities that both curves reach."""
    overlap: float
    """The share of the tested curve's qualities that the anchor reaches too, 0 to 1: below 0.75 it says little."""


def delta_rate(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> DeltaRate | None:
    """The delta rate of one curve against another; None where they reach no common quality, or don't rise.

    Args:
        anchor: (bits a second, quality) for each quality setting, at least four.
        test: the same of the other.

    Raises:
        OptionError: the library isn't there, or there are too few points.
    """
    try:
        import bjontegaard
    except ImportError as error:
        raise OptionError(
            "rd computes BD-rates with the library bjontegaard: pip install 'codec-plugin[rd]'"
        ) from error
    if min(len(anchor), len(test)) < _LEAST_POINTS:
        raise OptionError(f"a BD-rate needs at least {_LEAST_POINTS} qualities")
    one, other = sorted(anchor), sorted(test)
    if not (_rises(one) and _rises(other)):
        return None
    low, high = max(one[0][1], other[0][1]), min(one[-1][1], other[-1][1])
    if high <= low:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a small overlap, which is told beside the figure
        percent = bjontegaard.bd_rate(
            *zip(*one, strict=True),
            *zip(*other, strict=True),
            method=_METHOD,
            require_matching_points=False,
            min_overlap=0,
        )
    if not np.isfinite(percent):
        return None
    return DeltaRate(percent=float(percent), overlap=(high - low) / (other[-1][1] - other[0][1]))


def need_library() -> None:
    """Makes sure of the library, without loading it.

    Raises:
        OptionError: it isn't there.
    """
    if find_spec("bjontegaard") is None:
        raise OptionError("rd computes BD-rates with the library bjontegaard: pip install 'codec-plugin[rd]'")


def _rises(curve: Sequence[tuple[float, float]]) -> bool:
    return all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(curve))
