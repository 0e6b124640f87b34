"""`Denoiser`: the UNet as the samplers see it, from (x, sigma, endpoint, control) to v without and with the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from fcvg.nets.folding import FoldsItself, folded, picks
from fcvg.nets.reuse import DeepFeatures
from fcvg.sampling.guidance import Prediction
from fcvg.sampling.schedule import timestep
from fcvg.sampling.settings import SampleSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """What the network knows of one of the two frames."""

    latent: Tensor
    """(1, 4, h/8, w/8): the mode of the encoder's posterior, not multiplied by the scaling factor."""
    embedding: Tensor
    """(1, 1, width): the image's embedding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """One direction of one prediction. A backward pass is given its clip in reverse."""

    x: Tensor
    """(1, frame, 4, h/8, w/8): noisy latents."""
    endpoint: Endpoint
    """The image that the clip begins with."""
    control: Tensor | None = None
    """(frame, channel, row, column), standardised, in the order of `x`; None for no control."""


class Predicts(Protocol):
    """What a sampler needs of a denoiser."""

    def velocities(self, passes: Sequence[Pass], *, sigma: float) -> list[Prediction]:
        """Predicts v for each of the passes, without and with the image."""
        ...


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the UNet's batch: a pass, and whether it sees the image."""

    turn: Pass
    conditional: bool


class Denoiser:
    """A UNet with what doesn't change during a clip. A context manager: it folds the UNet's layers while it is open."""

    def __init__(
        self,
        unet: nn.Module,
        *,
        endpoints: tuple[Endpoint, Endpoint],
        settings: SampleSettings,
        saw: Callable[..., None] | None = None,
        sigmas: Sequence[float] = (),
    ) -> None:
        """Prepares the constants.

        Args:
            unet: a `ControlledUNet`, a compiled one, or one that another runtime runs.
            endpoints: the start and the end; passes name one of these two.
            settings: batch, fold, control_weight and what the network is told.
            saw: called with each prediction and `sigma`, to check it (`Watch.saw`).
            sigmas: the noise levels of the run's steps: a profile that leaves guidance out late has to know them.

        Raises:
            EngineError: the profile can't be had with this network.
        """
        self._unet: Any = unet
        self._settings = settings
        self._saw = saw
        profile = settings.profile
        self._unguided = frozenset(
            sigma for index, sigma in enumerate(sigmas) if not profile.guided(index, steps=len(sigmas))
        )
        interval = profile.reuse_interval
        self._deep = DeepFeatures(unet, interval=interval) if interval > 1 else None
        self.calls = 0
        """Passes predicted so far, each with both guidance halves."""
        self._endpoints = endpoints
        weight = endpoints[0].embedding
        self._like = weight
        self._embeddings = torch.cat([torch.zeros_like(weight), *(endpoint.embedding for endpoint in endpoints)])[:, 0]
        told = (settings.fps - 1, settings.motion_bucket, settings.noise_augmentation)
        self._told = torch.tensor([told], dtype=weight.dtype, device=weight.device)
        self._contexts: dict[tuple[int, ...], Tensor] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._settings.fold:
            own = isinstance(self._unet, FoldsItself)
            folding = self._unet.folded(self._embeddings) if own else folded(self._unet, self._embeddings)
            self._open.enter_context(folding)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def velocity(self, x: Tensor, sigma: float, *, endpoint: Endpoint, control: Tensor | None = None) -> Prediction:
        """Predicts v for one direction: without and with the image, each as `x`."""
        return self.velocities([Pass(x=x, endpoint=endpoint, control=control)], sigma=sigma)[0]

    def velocities(self, passes: Sequence[Pass], *, sigma: float) -> list[Prediction]:
        """Predicts v for several directions at one noise level, as many rows at once as the settings allow.

        Args:
            passes: clips of one length, all with control or all without.
            sigma: the noise level of all of them.

        Returns:
            For each pass v without and with the image, (1, frame, 4, h/8, w/8) in float32. Where the profile leaves
            guidance out, both are the one with the image.
        """
        halves = (True,) if sigma in self._unguided else (False, True)
        rows = [_Row(turn, conditional) for turn in passes for conditional in halves]
        at_once = self._settings.batch
        made: list[Tensor] = []
        for start in range(0, len(rows), at_once):
            made += self._predicted(rows[start : start + at_once], sigma).float().split(1)
        count = len(halves)
        predictions = list(zip(made[::count], made[count - 1 :: count], strict=True))
        for prediction in predictions:
            self.calls += 1
            if self._saw is not None:
                self._saw(torch.cat(prediction), sigma=sigma)
        return predictions

    def _predicted(self, rows: Sequence[_Row], sigma: float) -> Tensor:
        """(row, frame, 4, h/8, w/8)."""
        scale = 1 / math.sqrt(sigma**2 + 1)
        inputs = torch.cat([self._input(row, scale) for row in rows])
        time = torch.full((), timestep(sigma), dtype=torch.float32, device=inputs.device)
        arguments = (inputs, time, self._context(rows), self._told.expand(len(rows), -1))
        if self._deep is None:
            return self._whole(rows, arguments)
        asked = tuple((self._place(row.turn.endpoint), row.conditional) for row in rows)
        return self._deep(asked, arguments, sigma=sigma, whole=lambda: self._whole(rows, arguments))

    def _whole(self, rows: Sequence[_Row], arguments: tuple[Tensor, ...]) -> Tensor:
        """The network from end to end, with the rows' control."""
        controls = [row.turn.control for row in rows if row.turn.control is not None]
        if not controls:
            return self._first(self._unet(*arguments))
        weights = [self._settings.control_weight * row.conditional for row in rows]
        like = arguments[0]
        control_scale = torch.tensor(weights, dtype=like.dtype, device=like.device)
        return self._first(self._unet(*arguments, control=torch.cat(controls), control_scale=control_scale))

    @staticmethod
    def _first(output: tuple[Tensor]) -> Tensor:
        return output[0]

    def _input(self, row: _Row, scale: float) -> Tensor:
        """(1, frame, 8, h/8, w/8)."""
        x = (row.turn.x * scale).to(self._like.dtype)
        latent = row.turn.endpoint.latent.to(x)
        shown = latent if row.conditional else torch.zeros_like(latent)
        return torch.cat([x, shown[:, None].expand(-1, x.shape[1], -1, -1, -1)], dim=2)

    def _context(self, rows: Sequence[_Row]) -> Tensor:
        """(row, 1, width): the embeddings, or what picks them where they are folded."""
        chosen = tuple(1 + self._place(row.turn.endpoint) if row.conditional else 0 for row in rows)
        if chosen not in self._contexts:
            count = len(self._embeddings)
            folds = self._settings.fold
            rows_of = picks(list(chosen), of=count, like=self._embeddings)
            self._contexts[chosen] = rows_of if folds else self._embeddings[list(chosen)][:, None]
        return self._contexts[chosen]

    def _place(self, endpoint: Endpoint) -> int:
        return next(index for index, known in enumerate(self._endpoints) if known is endpoint)
