"""The arithmetic that every sampler shares. Latents are (1, frame, 4, h/8, w/8); sigma is the noise level."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Noise = Callable[[tuple[int, ...]], Tensor]
"""Draws standard normal noise of a shape, in float32, where the latents are."""


def gaussian(seed: int, *, device: torch.device) -> Noise:
    """Noise from a seed: drawn on the CPU, so that every device gets the same."""
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator).to(device)


def flip(latents: Tensor) -> Tensor:
    """The clip in reverse."""
    return latents.flip(1)


def closeness(frames: int, *, like: Tensor) -> Tensor:
    """(1, frame, 1, 1, 1): 1 at the start frame, falling evenly to 0 at the end frame."""
    return torch.linspace(1, 0, frames).to(like)[None, :, None, None, None]


def denoised(x: Tensor, velocity: Tensor, *, sigma: float) -> Tensor:
    """The clean latents that a predicted v stands for (Salimans & Ho, arXiv 2202.00512, in Karras' scaling)."""
    return velocity * (-sigma / math.sqrt(sigma**2 + 1)) + x / (sigma**2 + 1)


def euler(x: Tensor, clean: Tensor, *, sigma: float, following: float) -> Tensor:
    """One step of Euler's method from `sigma` to `following` (Karras et al., arXiv 2206.00364, algorithm 1)."""
    return x + (x - clean) / sigma * (following - sigma)


def renoised(x: Tensor, noise: Noise, *, sigma: float, following: float) -> Tensor:
    """Takes latents at `following` back up to `sigma`."""
    return x + noise(tuple(x.shape)) * math.sqrt(sigma**2 - following**2)


def consistent(clean: Tensor, noise: Tensor, *, following: float) -> Tensor:
    """Takes clean latents to the next noise level: a consistency model's step (Song et al., arXiv 2303.01469, alg. 1).

    The published one takes the least level's square, 0.002², from the noise's; it is of no weight at any level here.
    """
    return clean + noise * following


def bound(clean: Tensor, target: Tensor) -> Tensor:
    """Sets the last frame of clean latents to a known one.

    ViBiDSampler's data consistency (arXiv 2410.05651, DDS): the conjugate gradients that solve it come to exactly this,
    since the measurement is that one frame.

    Args:
        clean: (1, frame, 4, h/8, w/8).
        target: (1, 4, h/8, w/8), in the scale of the latents.
    """
    return torch.cat([clean[:, :-1], target[:, None].to(clean)], dim=1)
