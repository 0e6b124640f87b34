"""Deep features of the UNet, kept from one noise level to the next: DeepCache, on Stable Video Diffusion's UNet.

Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free", arXiv 2312.00858, at its outermost branch: what
changes quickly from one level to the next lies in the skip connection from the UNet's first convolution, what changes
slowly comes from below. So between two whole calls only the first convolution and the last layer of the last up block
are computed, with what that layer was given from below the last time. The control is added below: between two whole
calls it stays as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from codec_plugin.errors import EngineError
from fcvg.sampling.profile import Rhythm


class DeepFeatures:
    """The features that are kept during one clip, and the calls that use them."""

    def __init__(self, unet: nn.Module, *, interval: int) -> None:
        """Keeps nothing yet.

        Args:
            unet: a `ControlledUNet`.
            interval: they are computed at every so manieth noise level.

        Raises:
            EngineError: it is no such network, but one that was exported or is run by something else than torch.
        """
        if not hasattr(unet, "up_blocks"):
            raise EngineError(
                "the profile deepcache looks into the UNet, and one that torch doesn't run can't be looked into; "
                "choose another profile"
            )
        self._unet: Any = unet
        self._rhythm = Rhythm(interval)
        self._kept: dict[Hashable, Tensor] = {}
        self._sigma: float | None = None
        self._asked: Counter[Hashable] = Counter()

    def __call__(
        self, rows: Hashable, arguments: tuple[Tensor, ...], *, sigma: float, whole: Callable[[], Tensor]
    ) -> Tensor:
        """Predicts v of a few rows: from end to end, or on what was kept.

        Args:
            rows: what tells these rows from others at the same noise level: directions and guidance halves. Where they
                are asked for several times at a level (windows), their order tells them apart.
            arguments: sample, timestep, embeddings and added numbers, as `ControlledUNet` takes them.
            sigma: the noise level.
            whole: predicts from end to end, control included.

        Returns:
            (row, frame, 4, h/8, w/8).
        """
        if sigma != self._sigma:
            self._sigma = sigma
            self._asked.clear()
            if self._rhythm.at(sigma):
                self._kept.clear()
        fresh = self._rhythm.at(sigma)
        key = rows, self._asked[rows]
        self._asked[rows] += 1
        if not fresh and key in self._kept:
            return shallow(self._unet, self._kept[key], *arguments)
        with _overheard(self._unet) as heard:
            made = whole()
        self._kept[key] = heard[0]
        return made


def shallow(
    unet: Any, deep: Tensor, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, added_time_ids: Tensor
) -> Tensor:
    """Predicts v with the outermost layers alone.

    Args:
        unet: a `ControlledUNet`.
        deep: (batch * frame, channel, h/8, w/8): what its last layer was given from below.
        sample: as for the UNet, like all that follows.
        timestep: likewise.
        encoder_hidden_states: likewise.
        added_time_ids: likewise.

    Returns:
        (batch, frame, 4, h/8, w/8).
    """
    batch, frames = sample.shape[:2]
    told = unet.add_time_proj(added_time_ids.flatten()).reshape(batch, -1).to(sample.dtype)
    time = unet.time_proj(timestep.reshape(1).expand(batch)).to(sample.dtype)
    embedding = (unet.time_embedding(time) + unet.add_embedding(told)).repeat_interleave(frames, dim=0)
    context = encoder_hidden_states.repeat_interleave(frames, dim=0)
    no_images = torch.zeros(batch, frames, dtype=sample.dtype, device=sample.device)
    last = unet.up_blocks[-1]
    features = torch.cat([deep, unet.conv_in(sample.flatten(0, 1))], dim=1)
    features = last.resnets[-1](features, embedding, image_only_indicator=no_images)
    if hasattr(last, "attentions"):
        attend = last.attentions[-1]
        features = attend(features, encoder_hidden_states=context, image_only_indicator=no_images, return_dict=False)[0]
    made: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(features)))
    return made.unflatten(0, (batch, frames))


@contextmanager
def _overheard(unet: Any) -> Iterator[list[Tensor]]:
    """While it lasts, what the last layer is given from below is noted down: all but the skip connection's channels."""
    heard: list[Tensor] = []
    skipped = unet.conv_in.out_channels

    def note(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        heard.append(inputs[0][:, :-skipped].clone())

    handle = unet.up_blocks[-1].resnets[-1].register_forward_pre_hook(note)
    try:
        yield heard
    finally:
        handle.remove()
