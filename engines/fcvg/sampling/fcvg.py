"""FCVG: velocities of both directions, averaged frame by frame.

Zhu, Ren, Wang, Wu, Zuo, "Generative Inbetweening through Frame-wise Conditions-Driven Video Generation",
arXiv 2412.11755, section 3: v = a v1 + (1 - a) flip(v2), where v1 starts from the first frame, v2 from the last one
with everything in reverse, and a falls evenly from 1 to 0 over the frames.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Pass, Predicts
from fcvg.sampling.guidance import guided
from fcvg.sampling.settings import SampleSettings, WindowScope
from fcvg.sampling.steps import closeness, consistent, denoised, euler, flip
from fcvg.sampling.windows import WindowedDenoiser, averaged, window_starts


def sample(denoiser: Predicts, clip: Clip, *, settings: SampleSettings) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8), in two calls a step and window.

    Clips longer than the window are averaged as `settings.scope` says: window by window after each step (as published),
    or direction by direction before the two are fused.
    """
    x = clip.initial()
    whole = settings.scope is WindowScope.CLIP
    if whole:
        denoiser = WindowedDenoiser(denoiser, window=settings.window, overlap=settings.overlap)
    window = clip.frames if whole else settings.window
    starts = window_starts(clip.frames, window=window, overlap=0 if whole else settings.overlap)
    for sigma, following in pairwise(clip.schedule.sigmas):
        # One noise for the clip, so that windows agree where they overlap.
        noise = clip.noise(tuple(x.shape)) if settings.profile.consistency and following > 0 else None
        parts = []
        for start in starts:
            part = x[:, start : start + window]
            velocity = _fused(denoiser, _passes(clip, part, sigma=sigma, start=start), sigma, settings.guidance)
            clean = denoised(part, velocity, sigma=sigma)
            if noise is None:
                parts.append(euler(part, clean, sigma=sigma, following=following))
            else:
                parts.append(consistent(clean, noise[:, start : start + window], following=following))
        x = averaged(parts, starts, frames=clip.frames)
    return x


def _fused(denoiser: Predicts, passes: list[Pass], sigma: float, guidance: float) -> Tensor:
    forward, backward = (guided(made, guidance) for made in denoiser.velocities(passes, sigma=sigma))
    near = closeness(forward.shape[1], like=forward)
    return near * forward + (1 - near) * flip(backward)


def _passes(clip: Clip, part: Tensor, *, sigma: float, start: int) -> list[Pass]:
    """Both passes over a window. Its first condition is the clip's, as its first frame's image is."""
    control = None
    if clip.control is not None:
        whole = clip.control.at(sigma)
        control = torch.cat([whole[:1], whole[start + 1 : start + part.shape[1]]])
    return [
        Pass(x=part, endpoint=clip.start, control=control),
        Pass(x=flip(part), endpoint=clip.end, control=None if control is None else control.flip(0)),
    ]
