"""`Clip`: what a sampler is to make, and with what."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fcvg.sampling.control import ControlTrack
from fcvg.sampling.denoiser import Endpoint, Pass
from fcvg.sampling.schedule import Schedule
from fcvg.sampling.steps import Noise, flip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A clip to be made between two frames. Every sampler takes one."""

    frames: int
    """With both endpoints."""
    start: Endpoint
    """The first frame."""
    end: Endpoint
    """The last frame."""
    control: ControlTrack | None
    """The condition of every frame; None for none."""
    schedule: Schedule
    """The noise levels."""
    noise: Noise
    """Draws all the noise of the run, the initial latents first."""
    latent_scale: float = 0.18215
    """The VAE's scaling factor: latents are so many times the endpoints' `latent`."""

    def initial(self) -> Tensor:
        """(1, frame, 4, h/8, w/8): noise at the first noise level."""
        shape = (1, self.frames, *self.start.latent.shape[1:])
        return self.noise(shape) * self.schedule.initial_sigma

    def forward(self, x: Tensor, sigma: float) -> Pass:
        """The pass that goes from the start."""
        return Pass(x=x, endpoint=self.start, control=None if self.control is None else self.control.at(sigma))

    def backward(self, x: Tensor, sigma: float) -> Pass:
        """The pass that goes from the end, given latents that are in reverse already."""
        control = None if self.control is None else self.control.at(sigma).flip(0)
        return Pass(x=x, endpoint=self.end, control=control)

    def both(self, x: Tensor, sigma: float) -> list[Pass]:
        """Both passes over the same latents."""
        return [self.forward(x, sigma), self.backward(flip(x), sigma)]
