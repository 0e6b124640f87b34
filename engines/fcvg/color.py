"""The colour offset that the networks leave, measured at both ends of a clip, where the truth is known, and removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcvg.canvas import Rgb

_MOST = 0.25  # of the range: beyond that the picture itself differs, and its mean says nothing of a colour offset


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorOffset:
    """How much too bright the made ends are, a number for each of R, G and B in [-1, 1]."""

    left: npt.NDArray[np.float32]
    """(3,), at the left end."""
    right: npt.NDArray[np.float32]
    """(3,), at the right end."""

    @classmethod
    def measured(cls, *, made: tuple[Rgb, Rgb], known: tuple[Rgb, Rgb]) -> ColorOffset:
        """Compares the means of the two ends as they were made with those of the frames that stand there."""
        left, right = (
            np.clip((ours - theirs).mean(axis=(0, 1)), -_MOST, _MOST).astype(np.float32)
            for ours, theirs in zip(made, known, strict=True)
        )
        return cls(left=left, right=right)

    def removed(self, rgb: Rgb, *, position: float) -> Rgb:
        """A made picture without the offset, which changes evenly from end to end.

        Args:
            rgb: the picture.
            position: from 0 at the left end to 1 at the right.
        """
        offset = self.left * (1 - position) + self.right * position
        return np.clip(rgb - offset, 0, 1)

    @property
    def largest(self) -> float:
        """The largest of the six, without its sign."""
        return float(max(np.abs(self.left).max(), np.abs(self.right).max()))
