"""Generative Inbetweening: a second network goes backward, on the first one's temporal attention.

Wang, Zhou, Feng et al., "Generative Inbetweening: Adapting Image-to-Video Models for Keyframe Interpolation",
arXiv 2408.15239.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Predicts
from fcvg.sampling.guidance import guided
from fcvg.sampling.settings import SampleSettings
from fcvg.sampling.steps import denoised, euler, flip, renoised

REPEATS = 5
"""Times that a step of the first half is gone over again."""


def sample(denoiser: Predicts, clip: Clip, *, settings: SampleSettings, backward: Predicts) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8).

    v = (v1 + flip(v2)) / 2, under the mean of a guidance ramp and its reverse, which is one number for every frame.

    Args:
        denoiser: the network of plain SVD.
        clip: what is to be made; no more frames than the network sees at once.
        settings: guidance is the ramp's far end.
        backward: the second network, which is given the first one's attention (`nets.exchange`).
    """
    guidance = (1 + settings.guidance) / 2

    def step(x: Tensor, sigma: float, following: float) -> Tensor:
        ahead, behind = clip.both(x, sigma)
        v1 = guided(denoiser.velocities([ahead], sigma=sigma)[0], guidance)
        v2 = guided(backward.velocities([behind], sigma=sigma)[0], guidance)
        velocity = (v1 + flip(v2)) / 2
        return euler(x, denoised(x, velocity, sigma=sigma), sigma=sigma, following=following)

    x = clip.initial()
    for index, (sigma, following) in enumerate(pairwise(clip.schedule.sigmas)):
        x = step(x, sigma, following)
        for _ in range(REPEATS if repeats_at(index, steps=clip.schedule.steps) else 0):
            x = step(renoised(x, clip.noise, sigma=sigma, following=following), sigma, following)
    return x


def repeats_at(index: int, *, steps: int) -> bool:
    """Whether a step is gone over again: those of the first half."""
    return 2 * index < steps
