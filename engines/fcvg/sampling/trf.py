"""Time Reversal Fusion: steps of both directions, averaged frame by frame, with one jump back to the noise.

Feng, Ding, Xia, Niklaus, Abrevaya, Black, Zhang, "Explorative Inbetweening of Time and Space", arXiv 2403.14611.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Predicts
from fcvg.sampling.guidance import guided, ramp
from fcvg.sampling.settings import SampleSettings
from fcvg.sampling.steps import closeness, denoised, euler, flip, renoised

JUMP = 5
"""Steps that a jump goes back; each stretch is gone over twice."""

Before = Callable[[Tensor, int], Tensor]
"""Changes the latents before the step of an index, at its noise level."""


def sample(denoiser: Predicts, clip: Clip, *, settings: SampleSettings, before: Before = lambda x, _index: x) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8): two calls a step, and those of the steps gone over again."""
    x = clip.initial()
    sigmas = clip.schedule.sigmas
    for index, ends_stretch in order(clip.schedule.steps):
        sigma, following = sigmas[index], sigmas[index + 1]
        x = before(x, index)
        x = _step(denoiser, clip, x, sigma=sigma, following=following, guidance=settings.guidance)
        if ends_stretch:
            for back in range(index, index - JUMP, -1):
                x = renoised(x, clip.noise, sigma=sigmas[back], following=sigmas[back + 1])
    return x


def order(steps: int) -> list[tuple[int, bool]]:
    """The steps in the order in which they are run; True where the latents go back by `JUMP` steps after it.

    Jumps lie every five steps from the end's side of 0.8 of the schedule up to five steps before its start: with 50
    steps, one, after step 9.
    """
    ends = {steps - 1 - left for left in range(int(0.8 * steps), steps - JUMP, JUMP)}
    run = []
    for index in range(steps):
        run.append((index, index in ends))
        if index in ends:
            run += [(again, False) for again in range(index - JUMP + 1, index + 1)]
    return run


def _step(denoiser: Predicts, clip: Clip, x: Tensor, *, sigma: float, following: float, guidance: float) -> Tensor:
    made = denoiser.velocities(clip.both(x, sigma), sigma=sigma)
    weight = ramp(clip.frames, strongest=guidance, like=x)
    forward, backward = (
        euler(given, denoised(given, guided(prediction, weight), sigma=sigma), sigma=sigma, following=following)
        for given, prediction in zip((x, flip(x)), made, strict=True)
    )
    near = closeness(clip.frames, like=x)
    return near * forward + (1 - near) * flip(backward)
