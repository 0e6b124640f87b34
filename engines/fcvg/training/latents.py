"""`LatentStore`: latents of pictures, each computed once while there is room."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from fcvg.models import Models
from fcvg.pictures import encoded
from fcvg.training.draws import Example

_Key = tuple[int, ...]


class LatentStore:
    """Remembers latents by where their picture was taken.

    Pictures are encoded one by one: together with others a picture's latent could differ in its last bits, and a
    resumed run, which remembers nothing, would go another way.
    """

    def __init__(self, models: Models, *, most_bytes: int) -> None:
        self._models, self._most = models, most_bytes
        self._kept: OrderedDict[_Key, Tensor] = OrderedDict()
        self._bytes = 0

    @torch.no_grad()
    def latents(self, example: Example) -> Tensor:
        """(frame, channel, h/8, w/8), multiplied by the VAE's scaling factor."""
        made = [self._latent(key, example, index) for index, key in enumerate(example.places)]
        return torch.cat(made) * self._models.vae.config.scaling_factor

    def _latent(self, key: _Key, example: Example, index: int) -> Tensor:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        frame = torch.tensor(example.frames[index]).to(self._models.device)
        made = encoded(self._models, frame.permute(2, 0, 1)[None].float().div(255) * 2 - 1)
        self._kept[key] = made
        self._bytes += made.nbytes
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made
