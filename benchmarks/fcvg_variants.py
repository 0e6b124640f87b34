"""FCVG at full size with random weights, as ours and as the public code: one adapter for each way of running it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.fcvg_graphs import WAYS, graph_networks, shape_of
from fcvg.models import Models, Networks
from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet
from fcvg.pipeline import Stage, generate
from fcvg.sampling.settings import SampleSettings

VARIANTS = {
    f"ours {precision} {way}": (precision, way)
    for precision in ("bf16", "fp16")
    for way in ("eager", "compiled", "cuda-graphs")
}
GRAPHS = {f"ours fp16 {way}": way for way in WAYS}
"""Exported graphs, by what runs them."""
PUBLIC = {"public fp32 offloaded (as it ships)": "fp32", "public bf16": "bf16"}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_MODES = {"compiled": "default", "cuda-graphs": "reduce-overhead"}
_SCHEDULER = {
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the job is."""

    frames: int
    """Frames of the clip."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    steps: int
    """Denoising steps."""
    tiny: bool
    """Whether the networks are toys: to see that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One clip."""

    total_s: float
    """From pictures to decoded frames on the CPU."""
    sample_s: float | None
    """Of that, the denoising; None where the code doesn't tell."""
    decode_s: float | None
    """Of that, the decoding; likewise."""


def configurations(*, tiny: bool) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of UNet, VAE and CLIP: those of SVD-XT, or toys whose first level is as wide as the public control needs."""
    vae = {"down_block_types": ("DownEncoderBlock2D",) * 4, "latent_channels": 4, "force_upcast": True}
    if not tiny:
        unet = {"num_attention_heads": (5, 10, 20, 20), "cross_attention_dim": 1024, "num_frames": 25}
        clip: dict[str, Any] = {"hidden_size": 1280, "intermediate_size": 5120, "projection_dim": 1024}
        clip |= {"num_hidden_layers": 32, "num_attention_heads": 16, "patch_size": 14, "hidden_act": "gelu"}
        return unet, vae | {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}, clip
    unet = {
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "block_out_channels": (320, 32),
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "num_attention_heads": (5, 2),
    }
    clip = {"hidden_size": 32, "intermediate_size": 64, "projection_dim": 32}
    clip |= {"num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 32, "hidden_act": "gelu"}
    return unet, vae | {"block_out_channels": (32,) * 4, "layers_per_block": 1}, clip


def measured(
    name: str, *, size: Size, device: torch.device, rounds: int, batch: int, public: Path | None
) -> dict[str, Any]:
    """Warms a variant up on a clip of the same size and two steps, then times whole clips."""
    torch.manual_seed(0)
    if name in VARIANTS or name in GRAPHS:
        run = _ours(name, size=size, device=device, batch=batch)
    else:
        if public is None:
            raise ValueError(f"{name} needs a checkout of the public code")
        run = _public(name, size=size, device=device, checkout=public)
    start = time.perf_counter()
    run(2)
    warm_s = time.perf_counter() - start
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timings = [run(size.steps) for _ in range(rounds)]
    best = min(timings, key=lambda timing: timing.total_s)
    return {
        "warm_up_s": warm_s,
        "rounds_s": [timing.total_s for timing in timings],
        "total_s": best.total_s,
        "sample_s": best.sample_s,
        "decode_s": best.decode_s,
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def matmul_rate(device: torch.device, *, tiny: bool) -> float:
    """Operations a second of a large bf16 matrix product here, the best of several: what the floor is made of."""
    side, repeats = (256, 2) if tiny else (8192, 20)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            left @ right
        _wait(device)
        best = max(best, repeats * 2 * side**3 / (time.perf_counter() - start))
    return best


def _ours(name: str, *, size: Size, device: torch.device, batch: int) -> Callable[[int], Timing]:
    models: Networks
    if name in GRAPHS:
        models = graph_networks(
            GRAPHS[name],
            configurations=configurations(tiny=size.tiny),
            scheduler=_SCHEDULER,
            shape=shape_of(width=size.width, height=size.height, frames=size.frames, batch=batch),
            device=device,
        )
    else:
        models = _modules(name, size=size, device=device)
    pictures = torch.rand(2, 3, size.height, size.width)
    conditions = torch.rand(size.frames, 3, size.height, size.width)

    def run(steps: int) -> Timing:
        marks: dict[Stage, float] = {}

        def stage(begun: Stage) -> None:
            _wait(device)
            marks[begun] = time.perf_counter()

        start = time.perf_counter()
        made = generate(
            models,
            SampleSettings(steps=steps, batch=batch),
            left=pictures[0],
            right=pictures[1],
            conditions=conditions,
            frames=size.frames,
            stage=stage,
        )
        count = sum(1 for _ in made)
        end = time.perf_counter()
        assert count == size.frames
        sampled = marks[Stage.DECODE] - marks[Stage.SAMPLE]
        return Timing(total_s=end - start, sample_s=sampled, decode_s=end - marks[Stage.DECODE])

    return run


def _modules(name: str, *, size: Size, device: torch.device) -> Models:
    from diffusers import AutoencoderKLTemporalDecoder
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    precision, way = VARIANTS[name]
    unet, vae, clip = configurations(tiny=size.tiny)
    with device:
        models = Models(
            unet=ControlledUNet(**unet),
            encoder=ConditionEncoder(),
            vae=AutoencoderKLTemporalDecoder(**vae),
            image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(**clip)),
            scheduler_config=_SCHEDULER,
        ).placed(device=device, dtype=_DTYPES[precision])
    if way in _MODES:
        backend: dict[str, Any] = {"backend": "eager"} if size.tiny else {"mode": _MODES[way]}
        models.unet.compile(fullgraph=True, dynamic=False, **backend)
        models.encoder.compile(fullgraph=True, dynamic=False, **backend)
    return models


def _public(name: str, *, size: Size, device: torch.device, checkout: Path) -> Callable[[int], Timing]:
    """The public pipeline, unchanged, as its demo calls it."""
    from diffusers import AutoencoderKLTemporalDecoder
    from PIL import Image
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    from transformers.models.clip import CLIPImageProcessorPil

    sys.path.insert(0, str(checkout))
    from models.controlnext_vid_svd import ControlNeXtSDVModel
    from models.unet_spatio_temporal_condition_controlnext import UNetSpatioTemporalConditionControlNeXtModel
    from pipeline.pipeline_FCVG import StableVideoDiffusionPipelineControlNeXtReverse
    from utils.scheduling_euler_discrete_karras_fix import EulerDiscreteScheduler

    dtype = _DTYPES[PUBLIC[name]]
    unet, vae, clip = configurations(tiny=size.tiny)
    with device:
        pipeline = StableVideoDiffusionPipelineControlNeXtReverse(
            unet=UNetSpatioTemporalConditionControlNeXtModel(**unet).eval(),
            controlnext=ControlNeXtSDVModel().eval(),
            vae=AutoencoderKLTemporalDecoder(**vae).eval(),
            image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(**clip)).eval(),
            scheduler=EulerDiscreteScheduler(**_SCHEDULER),
            feature_extractor=CLIPImageProcessorPil(),
        )
    pipeline.set_progress_bar_config(disable=True)
    if dtype is torch.float32 and device.type == "cuda":
        pipeline.to("cpu")
        pipeline.enable_model_cpu_offload()
    else:
        pipeline.to(device, dtype)
    drawn = torch.randint(0, 256, (size.frames + 2, size.height, size.width, 3), dtype=torch.uint8).numpy()
    left, right, *conditions = (Image.fromarray(picture) for picture in drawn)

    def run(steps: int) -> Timing:
        _wait(device)
        start = time.perf_counter()
        pipeline(
            left,
            right,
            conditions,
            decode_chunk_size=2,
            num_frames=size.frames,
            motion_bucket_id=127.0,
            fps=7,
            control_weight=1.0,
            width=size.width,
            height=size.height,
            min_guidance_scale=3.0,
            max_guidance_scale=3.0,
            frames_per_batch=size.frames,
            num_inference_steps=steps,
            overlap=min(6, size.frames - 1),
        )
        _wait(device)
        return Timing(total_s=time.perf_counter() - start, sample_s=None, decode_s=None)

    return run


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
