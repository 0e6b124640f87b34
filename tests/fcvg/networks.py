"""Our networks with the weights of `small`, made once for all tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from fcvg.models import Models
from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet
from tests.fcvg import small


@cache
def unet(name: str = "unet", *, width: int = 32) -> ControlledUNet:
    """A UNet whose first level is 32 wide, or 320 as the public code needs it; another name gives other weights."""
    module = ControlledUNet(**(small.TINY if width == 32 else small.UNET))
    filled: ControlledUNet = small.filled(module, name)
    return filled


@cache
def encoder(*, width: int = 32) -> ConditionEncoder:
    """The condition encoder for it."""
    module: ConditionEncoder = small.filled(ConditionEncoder(width), "encoder", quiet="mid_convs.1")
    return module


@cache
def models(*, width: int = 32) -> Models:
    """Everything that a clip needs, in float32 on the CPU."""
    vae: Any = small.filled(AutoencoderKLTemporalDecoder(**small.VAE), "vae")
    clip: Any = small.filled(CLIPVisionModelWithProjection(CLIPVisionConfig(**small.CLIP)), "clip")
    return Models(
        unet=unet(width=width),
        encoder=encoder(width=width),
        vae=vae,
        image_encoder=clip,
        scheduler_config=small.SCHEDULER,
    )


def picture(name: str) -> torch.Tensor:
    """(3, row, column) in [0, 1]."""
    return torch.from_numpy(small.picture(name)).movedim(-1, 0) / 255


def conditions(frames: int) -> torch.Tensor:
    """(frame, 3, row, column) in [0, 1]: lines that are others in every frame."""
    drawn = [torch.from_numpy(small.line_picture(f"line{index}")) for index in range(frames)]
    return (torch.stack(drawn).movedim(-1, 1) / 255).contiguous()
