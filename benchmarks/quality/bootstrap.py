"""Intervals by resampling: how far a mean would move if other gaps, or other clips, had been drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
"""Share of the resampled means that lie inside an interval."""
_RESAMPLES = 2000

Values = npt.NDArray[np.float64]
"""One value a frame, (frame,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a mean lies, with 95 % confidence."""

    low: float
    """The lower end."""
    high: float
    """The upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better one peer is than another one on the same frames."""

    mean: float
    """Mean over the frames of its value less the other's."""
    interval: Interval | None
    """Of that mean; None with fewer than two groups."""


def interval_of(groups: Sequence[Values], *, seed: int) -> Interval | None:
    """The percentile bootstrap of the mean over all frames, whole groups drawn with replacement.

    Frames of one gap resemble each other, so a frame is never drawn alone (Efron and Tibshirani 1993, chapters 8 and
    13). With few groups such an interval is too narrow rather than too wide.

    Args:
        groups: the frames' values, an array for each gap or clip; none of them empty.
        seed: of the drawing; two series of as many groups are drawn alike.

    Returns:
        The interval; None with fewer than two groups, which say nothing of how groups differ.
    """
    if len(groups) < 2:
        return None
    sums = np.array([group.sum() for group in groups])
    counts = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(seed).integers(len(groups), size=(_RESAMPLES, len(groups)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (outside, 1 - outside))
    return Interval(low=round(float(low), 5), high=round(float(high), 5))


def difference_of(ours: Sequence[Values], theirs: Sequence[Values], *, seed: int) -> Difference:
    """The paired difference, group by group and frame by frame.

    Args:
        ours: as `interval_of` takes them.
        theirs: the same groups and frames of the other one.
        seed: of the drawing.
    """
    paired = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    return Difference(mean=round(float(np.concatenate(paired).mean()), 5), interval=interval_of(paired, seed=seed))
