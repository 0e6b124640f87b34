"""Small networks with weights that are the same on every machine, for both sides of a comparison.

This module imports nothing of ours, so that a script can run it beside another implementation.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

FRAMES = 5
"""Frames of a short clip."""
SIDE = 48
"""Height and width of the pictures."""

UNET = {
    "sample_size": SIDE // 8,
    "in_channels": 8,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    # The public code's control has 320 channels, whatever the configuration says.
    "block_out_channels": (320, 32),
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "transformer_layers_per_block": 1,
    "num_attention_heads": (5, 2),
    "num_frames": FRAMES,
}
TINY = {**UNET, "block_out_channels": (32, 32), "num_attention_heads": (2, 2)}
"""A thousandth of SVD's, for what needs no other code beside it."""
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (32, 32, 32, 32),
    "layers_per_block": 1,
    "latent_channels": 4,
    "sample_size": SIDE,
    "scaling_factor": 0.18215,
    "force_upcast": True,
}
CLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "projection_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "gelu",
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
}
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's normalisation of pictures."""


def uniform(name: str, *shape: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) that hang on the name and their place only: a splitmix64 hash, in integers."""
    count = int(np.prod(shape))
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state += np.uint64(zlib.crc32(name.encode()) * 0x2545F491)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(shape)


def normal(name: str, *shape: int) -> torch.Tensor:
    """Numbers of a standard normal distribution, likewise (twelve uniforms a number, less six)."""
    values = uniform(name, 12, *shape).sum(axis=0) - 6
    return torch.from_numpy(values.astype(np.float32))


_PERIOD = 65537
"""Weights repeat after so many: a prime, so that no row of a matrix is like another one."""


def filled(module: Any, name: str, *, quiet: str | None = None) -> Any:
    """The module, in evaluation mode, with every parameter set from its name.

    Matrices and kernels are as large as keeps a signal's size, biases small, norms' gains around 1. The parameters
    whose names begin with `quiet` are a quarter of that.
    """
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            count = parameter.numel()
            drawn = np.resize(uniform(f"{name}.{key}", min(count, _PERIOD)).astype(np.float32), count)
            values = torch.from_numpy(drawn).reshape(parameter.shape) * 2 - 1
            if parameter.dim() > 1:
                values /= (count / parameter.shape[0]) ** 0.5
            elif key.endswith("weight"):
                values = 1 + values / 8
            else:
                values /= 8
            parameter.copy_(values / 4 if quiet and key.startswith(quiet) else values)
    return module.eval()


def picture(name: str, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """A picture, (row, column, 3): coarse blocks in full colours, so that networks have something to see."""
    coarse = uniform(name, side // 8, side // 8, 3)
    return np.kron(np.floor(coarse * 256).astype(np.uint8), np.ones((8, 8, 1), np.uint8))


def line_picture(name: str, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """A condition picture: two dozen coloured horizontal and vertical lines on black."""
    drawn = np.zeros((side, side, 3), np.uint8)
    for index, (place, red, green, blue) in enumerate((uniform(name, 24, 4) * (side, 256, 256, 256)).astype(int)):
        lines = drawn if index % 2 else drawn.transpose(1, 0, 2)
        lines[place] = red, green, blue
    return drawn
