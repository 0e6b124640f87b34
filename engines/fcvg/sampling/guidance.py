"""Classifier-free guidance, with a weight for each frame."""

from __future__ import annotations

import torch
from torch import Tensor

Prediction = tuple[Tensor, Tensor]
"""Without and with the image condition, each (1, frame, 4, h/8, w/8)."""


def guided(prediction: Prediction, weight: float | Tensor) -> Tensor:
    """Ho & Salimans, arXiv 2207.12598, as SVD applies it: u + weight (c - u)."""
    without, with_image = prediction
    return without + weight * (with_image - without)


def ramp(frames: int, *, strongest: float, like: Tensor) -> Tensor:
    """(1, frame, 1, 1, 1): 1 at the frame that the direction starts from, rising evenly to `strongest`."""
    return torch.linspace(1, strongest, frames).to(like)[None, :, None, None, None]
