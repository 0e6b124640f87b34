"""Motion prior distillation: in the first steps, the backward direction takes its motion from the forward one.

Jeon, Shin, Shin, Jeon, "Motion Prior Distillation in Time Reversal Sampling for Generative Inbetweening",
arXiv 2602.12679. On top of TRF or ViBiDSampler.

With e the forward pass's noise, (x - c) / sigma, and d its differences from frame to frame, the backward noise begins
at what the end frame says, (x_b[0] - z_e) / sigma, and goes on by d in reverse. The
backward network isn't asked, so the two directions can't disagree about the motion.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fcvg.sampling import trf, vibid
from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Predicts
from fcvg.sampling.settings import Fusion, SampleSettings
from fcvg.sampling.steps import bound, denoised, flip, renoised

_SHARE = {Fusion.TRF: 0.1, Fusion.VIBID: 0.2}
_INNER = {Fusion.TRF: 1, Fusion.VIBID: 3}


def sample(denoiser: Predicts, clip: Clip, *, settings: SampleSettings) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8): the base's calls, and one more for each inner loop."""
    base = settings.mpd_base
    sigmas = clip.schedule.sigmas

    def distil(x: Tensor, index: int) -> Tensor:
        for _ in range(inner_loops(index, base=base, steps=clip.schedule.steps)):
            x = _distilled(denoiser, clip, x, sigma=sigmas[index], following=sigmas[index + 1])
        return x

    if base is Fusion.TRF:
        return trf.sample(denoiser, clip, settings=settings, before=distil)
    return vibid.sample(denoiser, clip, before=distil)


def inner_loops(index: int, *, base: Fusion, steps: int) -> int:
    """How often a step's latents are distilled before it is taken."""
    return _INNER[base] if index < _SHARE[base] * steps else 0


def _distilled(denoiser: Predicts, clip: Clip, x: Tensor, *, sigma: float, following: float) -> Tensor:
    """One inner loop, from `sigma` to `following` and back."""
    velocities = denoiser.velocities([clip.forward(x, sigma)], sigma=sigma)[0]
    without, with_image = (denoised(x, velocity, sigma=sigma) for velocity in velocities)
    reverse = flip(x)
    anchor = (reverse[:, :1] - vibid.target(clip, end=True)[:, None]) / sigma
    noise = carried((x - with_image) / sigma, anchor)
    clean = bound(reverse - sigma * noise, vibid.target(clip, end=False))
    reverse = clean + (reverse - flip(without)) * (following / sigma)
    return renoised(flip(reverse), clip.noise, sigma=sigma, following=following)


def carried(noise: Tensor, anchor: Tensor) -> Tensor:
    """A backward noise with the forward one's differences.

    Args:
        noise: (1, frame, ...), in forward order.
        anchor: (1, 1, ...): the backward noise's first frame.

    Returns:
        (1, frame, ...), in backward order.
    """
    steps = noise[:, 1:] - noise[:, :-1]
    return torch.cat([anchor, anchor + (-flip(steps)).cumsum(dim=1)], dim=1)
