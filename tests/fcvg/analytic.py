"""A denoiser that is a formula: samplers are tested on it at their full number of steps, in no time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from fcvg.nets.encoder import encoded_size
from fcvg.sampling.clip import Clip
from fcvg.sampling.control import ControlTrack
from fcvg.sampling.denoiser import Endpoint, Pass
from fcvg.sampling.guidance import Prediction
from fcvg.sampling.schedule import Schedule, karras_sigmas
from tests.fcvg import small


class FormulaDenoiser:
    """v from x, the endpoint, the control and the place of a frame in its pass; it counts its passes."""

    def __init__(self) -> None:
        self.calls = 0
        self.lengths: set[int] = set()

    def velocities(self, passes: Sequence[Pass], *, sigma: float) -> list[Prediction]:
        """As `Denoiser.velocities`."""
        self.calls += len(passes)
        self.lengths |= {turn.x.shape[1] for turn in passes}
        return [self._predicted(turn, sigma) for turn in passes]

    def _predicted(self, turn: Pass, sigma: float) -> Prediction:
        frames = turn.x.shape[1]
        place = torch.linspace(0, 1, frames)[None, :, None, None, None]
        seen = turn.x / (sigma**2 + 1) ** 0.5
        without = 0.9 * seen + 0.1 * seen.mean(dim=1, keepdim=True) * place
        with_image = without - (1 - place) * turn.endpoint.latent[:, None] * 0.2
        if turn.control is not None:
            with_image = with_image - turn.control.mean(dim=(1, 2, 3)).reshape(1, -1, 1, 1, 1)
        return without, with_image


class BrightnessEncoder(torch.nn.Module):
    """An encoder of one channel: how bright the picture is, in a pattern that grows with the noise level."""

    def forward(self, pictures: Tensor, timestep: Tensor) -> Tensor:
        """(frame, 1, row, column)."""
        size = encoded_size(*pictures.shape[-2:])
        pattern = torch.arange(size[0] * size[1], dtype=torch.float32).reshape(size).square()
        return pictures.mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1) * pattern + timestep * pattern.sqrt()


def endpoint(name: str) -> Endpoint:
    """An endpoint of its own."""
    return Endpoint(latent=small.normal(name, 1, 4, 6, 6), embedding=small.normal(f"{name}.embedding", 1, 1, 32))


def clip(*, frames: int, steps: int, controlled: bool = False, swapped: bool = False, noise: str = "noise") -> Clip:
    """A clip; `swapped` is the same one seen from its other end, with the same noise in reverse."""
    drawn = iter(range(10_000))

    def draw(shape: tuple[int, ...]) -> Tensor:
        seed = zlib.crc32(f"{noise}{next(drawn)}".encode())
        made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        return made.flip(1) if swapped else made

    control = None
    if controlled:
        shown = small.normal("shown", 1, 3, 48, 48) + torch.arange(frames).reshape(-1, 1, 1, 1)
        control = ControlTrack(BrightnessEncoder(), shown.flip(0) if swapped else shown)
    sigmas = karras_sigmas(steps)
    names = ("end", "start") if swapped else ("start", "end")
    return Clip(
        frames=frames,
        start=endpoint(names[0]),
        end=endpoint(names[1]),
        control=control,
        schedule=Schedule(sigmas=(*sigmas, 0.0), initial_sigma=sigmas[0]),
        noise=draw,
    )
