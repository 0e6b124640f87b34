"""A weights folder of SVD-XT's true size that takes next to no room: its tensors are holes in the files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from fcvg.tiny import CONFIGS, make_tiny
from fcvg.weights.architectures import make_encoder, make_network, shapes_of
from fcvg.weights.layout import COMPONENTS, ENCODER, SVD_FOLDER, TUNED_UNET, UNET

# SVD-XT's published dimensions.
FULL = {
    "unet": {
        "_class_name": "UNetSpatioTemporalConditionModel",
        "sample_size": 96,
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
        "block_out_channels": [320, 640, 1280, 1280],
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 768,
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "transformer_layers_per_block": 1,
        "num_attention_heads": [5, 10, 20, 20],
        "num_frames": 25,
    },
    "vae": {
        **CONFIGS["vae"],
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "sample_size": 768,
    },
    "image_encoder": {
        **CONFIGS["image_encoder"],
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "projection_dim": 1024,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
}


def make_hollow(folder: Path) -> Path:
    """Writes the folder; its tensors are zeros that the file system doesn't store."""
    make_tiny(folder)
    svd = folder / SVD_FOLDER
    for component in COMPONENTS:
        config = FULL[component.name]
        component.config_in(svd).write_text(json.dumps(config))
        shapes = shapes_of(make_network(component, config))
        write_hollow(component.weights_in(svd), shapes)
        if component is UNET:
            first = dict(list(shapes.items())[:4])
            write_hollow(folder / TUNED_UNET, first)
    write_hollow(folder / ENCODER, shapes_of(make_encoder(320)))
    return folder


def write_hollow(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A safetensors file of half-precision zeros."""
    header, end = {}, 0
    for key, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)
