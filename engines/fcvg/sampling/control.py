"""`ControlTrack`: the control of a whole clip, encoded once for each noise level."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from fcvg.nets.encoder import encoded_size
from fcvg.nets.injection import Pooling, standardised
from fcvg.sampling.schedule import timestep


@runtime_checkable
class Standardises(Protocol):
    """An encoder that isn't torch's, and standardises and pools what it makes."""

    def control(self, pictures: Tensor, timestep: Tensor) -> Tensor:
        """(frame, 3, h, w) to (frame, channel, ceil(h/16), ceil(w/16))."""
        ...


def pooling_of(height: int, width: int, *, like: Tensor) -> Pooling:
    """From the encoder's features of pictures of a size to the UNet's sample after its first down block."""
    # An eighth for the latents, and their half, rounded up.
    halved = (-(-(height // 8) // 2), -(-(width // 8) // 2))
    return Pooling.between(encoded_size(height, width), halved, like=like)


class ControlTrack:
    """Condition pictures and the encoder that sees them.

    The encoder looks at each frame by itself and the unconditional half takes no control, so that one encoding serves
    both directions (the backward one in reverse), both halves and every window. What repeats a noise level gets the
    same one again.
    """

    def __init__(self, encoder: nn.Module | Standardises, pictures: Tensor, *, chunk: int = 25) -> None:
        """Prepares the pooling.

        Args:
            encoder: a `ConditionEncoder`, a compiled one, or one that another runtime runs.
            pictures: (frame, 3, h, w), R, G, B in [0, 1], of the encoder's type and on its device.
            chunk: frames that are encoded together.
        """
        self._encoder: Any = encoder
        self._pictures = pictures
        self._chunk = chunk
        self._pooling = pooling_of(*pictures.shape[-2:], like=pictures)
        self._at: tuple[float, Tensor] | None = None
        self.encodes = 0
        """Encodings of the clip so far."""

    def at(self, sigma: float) -> Tensor:
        """(frame, channel, ceil(h/16), ceil(w/16)): the standardised control at a noise level."""
        if self._at is None or self._at[0] != sigma:
            time = torch.full((), timestep(sigma), dtype=torch.float32, device=self._pictures.device)
            chunks = self._pictures.split(self._chunk)
            self._at = sigma, torch.cat([self._encoded(chunk, time) for chunk in chunks])
            self.encodes += 1
        return self._at[1]

    def _encoded(self, pictures: Tensor, time: Tensor) -> Tensor:
        if isinstance(self._encoder, Standardises):
            return self._encoder.control(pictures, time)
        return standardised(self._encoder(pictures, time), self._pooling)
