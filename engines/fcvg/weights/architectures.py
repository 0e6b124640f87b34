"""The networks that configurations describe, without memory: their keys and shapes, ready to be given tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet
from fcvg.weights.layout import IMAGE_ENCODER, UNET, VAE, Component

Config = Mapping[str, Any]
"""A config.json."""


class BadConfig(ValueError):
    """A configuration doesn't describe what it should; the message says what is wrong."""


def read_config(path: Path) -> Config:
    """A configuration from its file.

    Raises:
        BadConfig: it can't be read, or isn't a JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(f"it can't be read ({error})") from error
    if not isinstance(config, dict):
        raise BadConfig("it is not a JSON object")
    return config


def make_network(component: Component, config: Config, *, device: str = "meta") -> Any:
    """A component's network: on torch's "meta" device, or with the numbers that its layers begin with.

    Args:
        component: which.
        config: its configuration.
        device: "meta", or where the numbers are to be.

    Raises:
        BadConfig: the configuration is for another kind of network, or its values make none.
    """
    named = config.get("_class_name") or (config.get("architectures") or [None])[0]
    if named not in component.class_names:
        raise BadConfig(f"it is for {named or 'nothing that it names'}, not for {component.class_names[0]}")
    makers = {UNET.name: _unet, VAE.name: _vae, IMAGE_ENCODER.name: _image_encoder}
    try:
        with torch.device(device):
            return makers[component.name](config).to(device)  # diffusers makes a few parameters past the default device
    except BadConfig:
        raise
    except Exception as error:  # the libraries' constructors raise whatever comes of the values
        raise BadConfig(f"its values make no {component.class_names[0]}: {error}") from error


def make_encoder(width: int, *, device: str = "meta") -> ConditionEncoder:
    """The condition encoder, its output as wide as the UNet's first level; `device` as for `make_network`."""
    with torch.device(device):
        return ConditionEncoder(width)


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of everything that a network's weight file holds, by key."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def first_width(unet_config: Config) -> int:
    """Channels of the UNet's first level, which the condition encoder's features have too."""
    return int(unet_config["block_out_channels"][0])


def disagreements(unet: Config, vae: Config, image_encoder: Config) -> list[str]:
    """Where three configurations, each sound by itself, don't fit each other or FCVG."""
    latents = vae.get("latent_channels", 4)
    checks = (
        (
            unet.get("in_channels", 8) == 2 * latents,
            f"unet/config.json has in_channels other than {2 * latents}, twice the VAE's latent_channels",
        ),
        (
            unet.get("out_channels", 4) == latents,
            f"unet/config.json has out_channels other than {latents}, the VAE's latent_channels",
        ),
        (
            unet.get("projection_class_embeddings_input_dim", 768) == 3 * unet.get("addition_time_embed_dim", 256),
            "unet/config.json expects other than the three added numbers (rate, motion, noise)",
        ),
        (len(vae.get("block_out_channels", ())) == 4, "vae/config.json doesn't shrink pictures eight times"),
        (
            unet.get("cross_attention_dim", 1024) == image_encoder.get("projection_dim", 512),
            f"unet/config.json takes embeddings of {unet.get('cross_attention_dim', 1024)} numbers, and "
            f"image_encoder/config.json makes {image_encoder.get('projection_dim', 512)}",
        ),
    )
    return [message for fits, message in checks if not fits]


def _unet(config: Config) -> ControlledUNet:
    return ControlledUNet.from_config(dict(config))


def _vae(config: Config) -> Any:
    return AutoencoderKLTemporalDecoder.from_config(dict(config))


def _image_encoder(config: Config) -> Any:
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
