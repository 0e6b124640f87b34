"""A complete set of weights in the published layout, tiny and random: for tests, CI and trying things out.

    python -m fcvg.tiny DIR [--seed N]

It makes noise, not pictures. Each file says so in its metadata, and `--engine fcvg` refuses it without
`--allow-untrained`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcvg.weights.layout import (
    ENCODER,
    FEATURE_EXTRACTOR_CONFIG,
    IMAGE_ENCODER,
    SCHEDULER_CONFIG,
    SVD_FOLDER,
    TUNED_UNET,
    UNET,
    UNTRAINED,
    VAE,
    Component,
)

WIDTH = 32
"""Channels of the UNet's first level."""
_EMBEDDING = 32
_TUNED = "temporal_transformer_blocks"  # the tensors that the tiny "fine-tuned" file holds: a subset, as it may be

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "_class_name": "UNetSpatioTemporalConditionModel",
        "sample_size": 8,
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
        "block_out_channels": [WIDTH, WIDTH],
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "layers_per_block": 1,
        "cross_attention_dim": _EMBEDDING,
        "transformer_layers_per_block": 1,
        "num_attention_heads": [2, 2],
        "num_frames": 25,
    },
    "vae": {
        "_class_name": "AutoencoderKLTemporalDecoder",
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": [32, 32, 32, 32],
        "layers_per_block": 1,
        "latent_channels": 4,
        "sample_size": 64,
        "scaling_factor": 0.18215,
        "force_upcast": True,
    },
    "image_encoder": {
        "architectures": ["CLIPVisionModelWithProjection"],
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": _EMBEDDING,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 224,
        "patch_size": 32,
        "hidden_act": "gelu",
    },
}
SCHEDULER: Mapping[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
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
FEATURE_EXTRACTOR: Mapping[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "size": {"shortest_edge": 224},
}


def make_tiny(folder: Path, *, seed: int = 0) -> Path:
    """Writes the set; the same seed makes the same tensors.

    Args:
        folder: the weights folder; made where it isn't there.
        seed: of all the tensors.

    Returns:
        The folder.
    """
    from fcvg.weights.architectures import make_encoder, make_network, shapes_of

    svd = folder / SVD_FOLDER
    unet: dict[str, tuple[int, ...]] = {}
    for number, component in enumerate((UNET, VAE, IMAGE_ENCODER)):
        config = CONFIGS[component.name]
        shapes = shapes_of(make_network(component, config))
        unet = shapes if component is UNET else unet
        _write_json(component.config_in(svd), config)
        _write_tensors(_weights_path(component, svd), shapes, seed=seed * 8 + number)
    _write_json(svd / SCHEDULER_CONFIG, SCHEDULER)
    _write_json(svd / FEATURE_EXTRACTOR_CONFIG, FEATURE_EXTRACTOR)
    _write_json(svd / "model_index.json", {"_class_name": "StableVideoDiffusionPipeline"})
    subset = {key: shape for key, shape in unet.items() if _TUNED in key}
    _write_tensors(folder / TUNED_UNET, subset, seed=seed * 8 + 3)
    _write_tensors(folder / ENCODER, shapes_of(make_encoder(WIDTH)), seed=seed * 8 + 4)
    return folder


def _weights_path(component: Component, svd: Path) -> Path:
    return svd / component.name / f"{component.stem}.safetensors"


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> None:
    """Random tensors of a size that keeps signals as large as they are, in half precision."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, shape in shapes.items():
        drawn = torch.randn(shape, generator=random)
        if len(shape) > 1:
            drawn /= max(1, drawn[0].numel()) ** 0.5
        elif key.endswith("weight"):
            drawn = 1 + drawn / 16
        else:
            drawn /= 16
        tensors[key] = drawn.to(torch.float16).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt", UNTRAINED: f"random numbers of seed {seed}, never trained"})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m fcvg.tiny", description="Writes a tiny random set of FCVG weights."
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = make_tiny(given.folder, seed=given.seed)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB of random weights; they make noise, and need --allow-untrained")


if __name__ == "__main__":
    main()
