"""`Models`: the networks of one engine, where they lie and what they compute in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import torch
from torch import nn

from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet


class FeatureExtractor(Protocol):
    """What is needed of the checkpoint's feature extractor: how pictures are normalised for CLIP."""

    image_mean: Any
    image_std: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """The networks. `placed` puts them where they are to run."""

    unet: ControlledUNet
    """Goes forward; but for `gi`, backward too."""
    encoder: ConditionEncoder
    """Sees the condition pictures."""
    vae: Any
    """diffusers' AutoencoderKLTemporalDecoder."""
    image_encoder: Any
    """transformers' CLIPVisionModelWithProjection."""
    scheduler_config: Mapping[str, Any]
    """The checkpoint's scheduler_config.json."""
    feature_extractor: FeatureExtractor | None = None
    """The checkpoint's; None for CLIP's own normalisation."""
    unet_backward: ControlledUNet | None = None
    """The second network of `gi`."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where they compute."""
    dtype: torch.dtype = torch.float32
    """What UNet, encoder and CLIP compute in."""
    offload: bool = False
    """Whether a network lies in the machine's own memory while it isn't at work."""

    def placed(self, *, device: torch.device | str, dtype: torch.dtype = torch.float32, offload: bool = False) -> Self:
        """Moves the networks themselves, and describes where they are then.

        The VAE stays in float32 where its configuration asks for that (`force_upcast`, as SVD's does).
        """
        device = torch.device(device)
        home = torch.device("cpu") if offload else device
        for network in (self.unet, self.encoder, self.image_encoder, self.unet_backward):
            if network is not None:
                network.to(device=home, dtype=dtype).eval()
        self.vae.to(device=home, dtype=torch.float32 if self.vae.config.force_upcast else dtype).eval()
        return replace(self, device=device, dtype=dtype, offload=offload)

    @contextmanager
    def at_work(self, *networks: nn.Module | None) -> Iterator[None]:
        """Has networks where they compute for as long as it lasts."""
        present = [network for network in networks if network is not None] if self.offload else []
        try:
            for network in present:
                network.to(self.device)
            yield
        finally:
            for network in present:
                network.to("cpu")
