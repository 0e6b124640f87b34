"""The control's way into the UNet: standardised, pooled, and given the statistics of what it is added to.

FCVG takes ControlNeXt's cross normalisation (Peng et al., arXiv 2408.06070): the control gets the mean and the
standard deviation of the UNet's own sample, each taken over (channel, row, column) of a frame. With c the control
and x the sample,

    x + k * pool((c - mean c) * std x / (std c + 1e-5) + mean x)  =  x + k * (s * std x + mean x),
    s = pool((c - mean c) / (std c + 1e-5)),

since pooling averages and so leaves constants alone. `s` depends on the control only: it is made once a step, and
serves both directions and both guidance halves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STRENGTH = 0.2
"""The share of the control that is added at a control weight of 1: the published code's constant."""
_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """Adaptive average pooling from one size to another, as two matrices.

    As matrices, since the factor isn't an integer (71x127 to 36x64 at full size), and every exporter knows a product.
    """

    rows: Tensor
    """(height out, height in), each row sums to 1."""
    columns: Tensor
    """(width in, width out), each column sums to 1."""

    @classmethod
    def between(cls, size_in: tuple[int, int], size_out: tuple[int, int], *, like: Tensor | None = None) -> Pooling:
        """The matrices from (height, width) to (height, width), of the type and on the device of `like`."""
        rows, columns = (averages(many, few) for many, few in zip(size_in, size_out, strict=True))
        if like is not None:
            rows, columns = rows.to(like), columns.to(like)
        return cls(rows=rows, columns=columns.T.contiguous())

    def __call__(self, picture: Tensor) -> Tensor:
        """(..., height in, width in) to (..., height out, width out)."""
        return self.rows @ picture @ self.columns


def averages(many: int, few: int) -> Tensor:
    """(few, many): row i averages the places from floor(i * many / few) to ceil((i + 1) * many / few)."""
    place = torch.arange(many)[None]
    index = torch.arange(few)[:, None]
    first, stop = index * many // few, -(-(index + 1) * many // few)
    inside = ((place >= first) & (place < stop)).to(torch.float32)
    return inside / inside.sum(dim=1, keepdim=True)


def standardised(features: Tensor, pooling: Pooling) -> Tensor:
    """Brings the encoder's features to mean 0 and deviation 1 over each frame, and to the size of the UNet's sample.

    Args:
        features: (frame, channel, row, column), from `ConditionEncoder`.
        pooling: from the features' size to the sample's after the UNet's first down block.

    Returns:
        (frame, channel, row, column): what `ControlledUNet` takes as `control`.
    """
    deviation, mean = torch.std_mean(features, dim=(1, 2, 3), keepdim=True)
    return (pooling(features) - mean) / (deviation + _EPSILON)


def inject(sample: Tensor, control: Tensor, scale: Tensor) -> Tensor:
    """Adds standardised control to a sample, at the sample's own mean and deviation.

    Args:
        sample: (batch * frame, channel, row, column), after the UNet's first down block.
        control: as the sample, from `standardised`.
        scale: (batch * frame, 1, 1, 1): the control weight, 0 where there is to be no control.

    Raises:
        ValueError: the shapes differ.
    """
    if control.shape != sample.shape:
        raise ValueError(
            f"the control is {tuple(control.shape)} where the UNet's sample is {tuple(sample.shape)}; "
            "pool the encoder's features to the sample's size first"
        )
    deviation, mean = torch.std_mean(sample, dim=(1, 2, 3), keepdim=True)
    return sample + (control * deviation + mean) * (scale * STRENGTH)
