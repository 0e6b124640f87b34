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
def unet(name: str = "unet") -> ControlledUNet:
    """The UNet; another name gives other weights."""
    module: ControlledUNet = small.filled(ControlledUNet(**small.UNET), name)
    return module


@cache
def encoder() -> ConditionEncoder:
    """The condition encoder."""
    module: ConditionEncoder = small.filled(ConditionEncoder(), "encoder", quiet="mid_convs.1")
    return module


@cache
def models() -> Models:
    """Everything that a clip needs, in float32 on the CPU."""
    vae: Any = small.filled(AutoencoderKLTemporalDecoder(**small.VAE), "vae")
    clip: Any = small.filled(CLIPVisionModelWithProjection(CLIPVisionConfig(**small.CLIP)), "clip")
    return Models(unet=unet(), encoder=encoder(), vae=vae, image_encoder=clip, scheduler_config=small.SCHEDULER)


def picture(name: str) -> torch.Tensor:
    """(3, row, column) in [0, 1]."""
    return torch.from_numpy(small.picture(name)).movedim(-1, 0) / 255


def conditions(frames: int) -> torch.Tensor:
    """(frame, 3, row, column) in [0, 1]: lines that are others in every frame."""
    drawn = [torch.from_numpy(small.line_picture(f"line{index}")) for index in range(frames)]
    return (torch.stack(drawn).movedim(-1, 1) / 255).contiguous()
