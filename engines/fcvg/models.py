"""`Networks`: what the pipeline needs of networks; `Models`: torch's, where they lie and what they compute in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet


class FeatureExtractor(Protocol):
    """What is needed of the checkpoint's feature extractor: how pictures are normalised for CLIP."""

    image_mean: Any
    image_std: Any


class Networks(Protocol):
    """The networks as the pipeline calls them, whatever runs them."""

    @property
    def unet(self) -> Any:
        """Called as `ControlledUNet` is."""
        ...

    @property
    def encoder(self) -> Any:
        """What `ControlTrack` takes."""
        ...

    @property
    def vae(self) -> Any:
        """For `at_work` only."""
        ...

    @property
    def image_encoder(self) -> Any:
        """For `at_work` only."""
        ...

    @property
    def unet_backward(self) -> Any:
        """The second network of `gi`, or None."""
        ...

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The checkpoint's scheduler_config.json."""
        ...

    @property
    def feature_extractor(self) -> FeatureExtractor | None:
        """The checkpoint's; None for CLIP's own normalisation."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tensors are to lie that the networks are given."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What they are to be given to UNet, encoder and CLIP in."""
        ...

    @property
    def latent_scale(self) -> float:
        """The VAE's scaling factor."""
        ...

    def embedding(self, picture: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised, to (1, width)."""
        ...

    def latent(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [-1, 1] to the posterior's mode, (1, 4, h/8, w/8), in float32."""
        ...

    def pictures(self, latents: Tensor) -> Tensor:
        """(frame, 4, h/8, w/8), decoded together, to (frame, 3, h, w) in [-1, 1], in float32."""
        ...

    def at_work(self, *networks: Any) -> AbstractContextManager[None]:
        """Has networks where they compute for as long as it lasts."""
        ...


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

    @property
    def latent_scale(self) -> float:
        """The VAE's scaling factor."""
        return float(self.vae.config.scaling_factor)

    def embedding(self, picture: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised, to (1, width)."""
        made: Tensor = self.image_encoder(picture.to(self.dtype)).image_embeds
        return made

    def latent(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [-1, 1] to the posterior's mode, (1, 4, h/8, w/8), in float32."""
        made: Tensor = self.vae.encode(picture.to(self.vae.dtype)).latent_dist.mode()
        return made.float()

    def pictures(self, latents: Tensor) -> Tensor:
        """(frame, 4, h/8, w/8), decoded together, to (frame, 3, h, w) in [-1, 1], in float32."""
        made: Tensor = self.vae.decode(latents.to(self.vae.dtype), num_frames=len(latents)).sample
        return made.float()

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
