"""ViBiDSampler: one direction after the other, each bound to the other's endpoint; nothing is averaged.

Yang, Kim, Ye, "ViBiDSampler: Enhancing Video Interpolation Using Bidirectional Diffusion Sampler", arXiv 2410.05651,
algorithm 1 with DDS (`steps.bound`) and CFG++ guidance.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Pass, Predicts
from fcvg.sampling.steps import bound, denoised, flip, renoised

WEIGHT = 1.0
"""CFG++'s interpolation between the unconditional and the conditional clean latents."""

Before = Callable[[Tensor, int], Tensor]
"""Changes the latents before the step of an index, at its noise level."""


def sample(denoiser: Predicts, clip: Clip, *, before: Before = lambda x, _index: x) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8), in two calls a step."""
    x = clip.initial()
    for index, (sigma, following) in enumerate(pairwise(clip.schedule.sigmas)):
        x = before(x, index)
        x = _half(denoiser, clip.forward(x, sigma), sigma=sigma, following=following, target=target(clip, end=True))
        x = flip(renoised(x, clip.noise, sigma=sigma, following=following))
        x = _half(denoiser, clip.backward(x, sigma), sigma=sigma, following=following, target=target(clip, end=False))
        x = flip(x)
    return x


def target(clip: Clip, *, end: bool) -> Tensor:
    """(1, 4, h/8, w/8): an endpoint in the scale of the latents."""
    return (clip.end if end else clip.start).latent.float() * clip.latent_scale


def _half(denoiser: Predicts, turn: Pass, *, sigma: float, following: float, target: Tensor) -> Tensor:
    """One direction's step. The residual is the unconditional one (CFG++, arXiv 2406.08070, eq. 11)."""
    velocities = denoiser.velocities([turn], sigma=sigma)[0]
    without, with_image = (denoised(turn.x, velocity, sigma=sigma) for velocity in velocities)
    clean = bound(without + WEIGHT * (with_image - without), target)
    return clean + (turn.x - without) * (following / sigma)
