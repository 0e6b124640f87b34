"""Makes tests/golden/fcvg from a checkout of the public FCVG code.

    python tests/golden/make_fcvg.py PATH_OF_PUBLIC_CHECKOUT

The checkout is run as it is; nothing of it is kept but the numbers that it gives for small networks whose weights are
made by tests/fcvg/small.py. The same networks and the same noise are given to ours by tests/fcvg/test_parity.py.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.clip import CLIPImageProcessorPil

HERE = Path(__file__).parent
STEPS, SEED, CHUNK = 3, 7, 2


def small_networks() -> Any:
    """tests/fcvg/small.py, without anything of ours on the import path."""
    spec = importlib.util.spec_from_file_location("small", HERE.parent / "fcvg" / "small.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def networks(small: Any) -> dict[str, Any]:
    """The public classes with our weights."""
    from models.controlnext_vid_svd import ControlNeXtSDVModel
    from models.unet_spatio_temporal_condition_controlnext import UNetSpatioTemporalConditionControlNeXtModel
    from utils.scheduling_euler_discrete_karras_fix import EulerDiscreteScheduler

    return {
        "unet": small.filled(UNetSpatioTemporalConditionControlNeXtModel(**small.UNET), "unet"),
        "controlnext": small.filled(ControlNeXtSDVModel(), "encoder", quiet="mid_convs.1"),
        "vae": small.filled(AutoencoderKLTemporalDecoder(**small.VAE), "vae"),
        "image_encoder": small.filled(CLIPVisionModelWithProjection(CLIPVisionConfig(**small.CLIP)), "clip"),
        "scheduler": EulerDiscreteScheduler(**small.SCHEDULER),
        "feature_extractor": CLIPImageProcessorPil(image_mean=small.MEAN, image_std=small.DEVIATION),
    }


@torch.no_grad()
def forward(small: Any, parts: dict[str, Any]) -> dict[str, torch.Tensor]:
    """One call of each network: two guidance halves of four frames."""
    time = torch.tensor(0.7)
    pictures = torch.stack([torch.from_numpy(small.line_picture(f"line{index}")) for index in range(4)]).movedim(-1, 1)
    control = parts["controlnext"]((pictures / 255)[None].repeat(2, 1, 1, 1, 1), time)
    features = control["output"][:4].clone()
    scale = torch.tensor([0.0, 1.0]).repeat_interleave(4)[:, None, None, None]
    made = parts["unet"](
        small.normal("sample", 2, 4, 8, small.SIDE // 8, small.SIDE // 8),
        time,
        encoder_hidden_states=small.normal("embedding", 2, 1, 32),
        added_time_ids=torch.tensor([[6, 127, 0.02]] * 2),
        conditional_controls={"output": control["output"], "scale": scale},
        control_weight=0.8,
        return_dict=False,
    )[0]
    return {"features": features, "unet": made}


def clip(small: Any, parts: dict[str, Any], *, frames: int, window: int, overlap: int) -> dict[str, torch.Tensor]:
    """A whole run, from pictures to latents and frames."""
    from pipeline.pipeline_FCVG import StableVideoDiffusionPipelineControlNeXtReverse

    pipeline = StableVideoDiffusionPipelineControlNeXtReverse(**parts)
    pipeline.set_progress_bar_config(disable=True)
    run = {
        "image1": Image.fromarray(small.picture("left")),
        "image2": Image.fromarray(small.picture("right")),
        "controlnext_condition": [Image.fromarray(small.line_picture(f"line{index}")) for index in range(frames)],
        "height": small.SIDE,
        "width": small.SIDE,
        "num_frames": frames,
        "frames_per_batch": window,
        "overlap": overlap,
        "num_inference_steps": STEPS,
        "min_guidance_scale": 3.0,
        "max_guidance_scale": 3.0,
        "motion_bucket_id": 127.0,
        "fps": 7,
        "latents": small.normal("noise", 1, frames, 4, small.SIDE // 8, small.SIDE // 8),
    }
    # The noise for the pictures is the first that the generator gives; kept, since torch may change its generator.
    picture_noise = torch.randn((1, 3, small.SIDE, small.SIDE), generator=torch.Generator().manual_seed(SEED))
    latents = pipeline(**run, output_type="latent", generator=torch.Generator().manual_seed(SEED)).frames
    decoded = pipeline.decode_latents(latents, frames, CHUNK)
    return {"picture_noise": picture_noise, "latents": latents, "frames": decoded[0].movedim(0, 1)[::2].contiguous()}


def commit_of(checkout: Path) -> str:
    """The commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Writes the files."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    checkout = Path(sys.argv[1])
    sys.path.insert(0, str(checkout))
    small = small_networks()
    parts = networks(small)
    about = {"commit": commit_of(checkout), "code": "Tian-one/FCVG", "torch": torch.__version__, "steps": str(STEPS)}
    files = {
        "forward": forward(small, parts),
        "clip": clip(small, parts, frames=small.FRAMES, window=small.FRAMES, overlap=2),
        "windows": clip(small, parts, frames=small.FRAMES, window=4, overlap=1),
    }
    (HERE / "fcvg").mkdir(exist_ok=True)
    for name, tensors in files.items():
        save_file(tensors, HERE / "fcvg" / f"{name}.safetensors", metadata=about)
        print(name, {key: (tuple(value.shape), round(float(value.std()), 4)) for key, value in tensors.items()})


if __name__ == "__main__":
    with torch.no_grad():
        main()
