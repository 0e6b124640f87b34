"""What is trained: the configurations of the small models that begin from nothing, and each size's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fcvg.tiny import CONFIGS, SCHEDULER


class Size(StrEnum):
    """How large a model is."""

    TINY = "tiny"
    """That of `fcvg.tiny`: to see that training runs."""
    SMALL = "small"
    """Learns a few minutes of film on a CPU."""
    SVD = "svd"
    """Stable Video Diffusion XT: from its public weights only."""


class StageName(StrEnum):
    """What training goes through, in this order; from public weights only the last."""

    VAE = "vae"
    """The pictures' latents: encoder and decoder."""
    BASE = "base"
    """The UNet without control, as Stable Video Diffusion is one, and the image encoder."""
    FCVG = "fcvg"
    """The paper's: the condition encoder, and what of the UNet is to follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A size's own numbers, where the user gives none."""

    crop: tuple[int, int]
    """(width, height) that is trained on."""
    frames: int
    """Of a clip, both ends included."""
    steps: Mapping[StageName, int]
    """Optimiser's steps of each stage."""
    rates: Mapping[StageName, float]
    """The optimiser's learning rate at its highest."""
    ema: float
    """Decay of the average of the weights."""
    warm_up: int
    """Steps over which the learning rate rises."""
    cosine: bool
    """Whether it falls to nothing afterwards, along a cosine; else it stays."""
    trains_unet: bool
    """Whether FCVG's stage trains all of the UNet."""
    patch: int = 64
    """Side of the pieces of pictures that the VAE is trained on."""


PRESETS: Mapping[Size, Preset] = {
    Size.TINY: Preset(
        crop=(64, 64),
        frames=9,
        steps={StageName.VAE: 300, StageName.BASE: 300, StageName.FCVG: 300},
        rates={StageName.VAE: 2e-3, StageName.BASE: 2e-3, StageName.FCVG: 1e-3},
        ema=0.98,
        warm_up=20,
        cosine=True,
        trains_unet=True,
    ),
    Size.SMALL: Preset(
        crop=(128, 128),
        frames=9,
        steps={StageName.VAE: 6000, StageName.BASE: 6000, StageName.FCVG: 3000},
        rates={StageName.VAE: 2e-3, StageName.BASE: 2e-3, StageName.FCVG: 5e-4},
        ema=0.99,
        warm_up=50,
        cosine=True,
        trains_unet=True,
    ),
    # The paper's: crops, frames, rate and iterations. It says nothing of an average: its decay is our choice.
    Size.SVD: Preset(
        crop=(512, 320),
        frames=25,
        steps={StageName.FCVG: 70_000},
        rates={StageName.FCVG: 1e-6},
        ema=0.9999,
        warm_up=0,
        cosine=False,
        trains_unet=False,
    ),
}

_LATENTS = 16
"""Four, as SVD has, are too few for a decoder that is trained for minutes: of 192 samples they leave 2 %."""
_EMBEDDING = 32
_NARROWEST = 64
"""diffusers normalises in 32 groups: 32 channels would each be brought to mean 0, and no brightness would survive."""
_SMALL: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        **CONFIGS["unet"],
        "in_channels": 2 * _LATENTS,
        "out_channels": _LATENTS,
        "down_block_types": ["DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"],
        "up_block_types": ["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"],
        "block_out_channels": [64, 96],
        "num_attention_heads": [2, 3],
        "cross_attention_dim": _EMBEDDING,
        "sample_size": 16,
        "num_frames": 9,
    },
    "vae": {
        **CONFIGS["vae"],
        "block_out_channels": [_NARROWEST, 64, 96, 128],
        "latent_channels": _LATENTS,
        "sample_size": 128,
        "scaling_factor": 1.0,
    },
    "image_encoder": CONFIGS["image_encoder"],
}
MODELS: Mapping[Size, Mapping[str, Mapping[str, Any]]] = {Size.TINY: CONFIGS, Size.SMALL: _SMALL}
"""The networks' configurations, by component."""
SCHEDULES: Mapping[Size, Mapping[str, Any]] = {
    size: {**SCHEDULER, "sigma_max": 80.0} for size in (Size.TINY, Size.SMALL)
}
"""Sampling begins at 80 (Karras et al., arXiv 2206.00364), not at SVD's 700, which short training hardly ever sees."""
