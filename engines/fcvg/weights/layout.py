"""Which files FCVG's weights are, where they lie, where they come from, and on what terms.

DIR/
  stable-video-diffusion-img2vid-xt-1-1/    the hub's repository of that name, as diffusers lays it out
    unet/ vae/ image_encoder/ feature_extractor/ scheduler/
  unet.safetensors                          FCVG's fine-tuned UNet, or those tensors of it that differ
  controlnext.safetensors                   FCVG's condition encoder
  unet_backward.safetensors                 only for the gi fusion
  unet_lcm.safetensors                      only for the lcm profile
  checkpoint_GlueStick_MD.tar  superpoint_v1.pth  dwpose/dw-ll_ucoco_384.onnx  dwpose/yolox_l.onnx
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from codec_plugin.weights import Licence, WeightsPart

SVD_ID = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
SVD_FOLDER = SVD_ID.partition("/")[2]
TUNED_UNET = "unet.safetensors"
ENCODER = "controlnext.safetensors"
BACKWARD_UNET = "unet_backward.safetensors"
LCM_UNET = "unet_lcm.safetensors"
GLUESTICK = "checkpoint_GlueStick_MD.tar"
SUPERPOINT = "superpoint_v1.pth"
UNTRAINED = "untrained"
"""The metadata key by which a file says that it is random; its value says it in words."""

_PUBLIC = 'the repository Tian-one/FCVG on GitHub, README, section "Download models"'
_SVD_LICENCE = Licence(
    name="stable-video-diffusion-1-1-community",
    summary="Stability AI's non-commercial community licence. Read it on the repository's page on the hub, where it "
    "has to be accepted too.",
    gated=True,
)
_NONE_STATED = Licence(
    name="fcvg-none-stated",
    summary="its authors state no licence, so that nothing beyond looking is allowed for certain; it derives from "
    "SVD-XT 1.1, whose non-commercial licence binds too. Ask the authors.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One network in the SVD folder."""

    name: str
    """Its folder."""
    stem: str
    """Its weight file's name, without ".safetensors" or ".fp16.safetensors"."""
    class_names: tuple[str, ...]
    """What its config.json may call it."""

    def weights_in(self, svd: Path) -> Path:
        """Its weight file: the full one where it is there, else the one of half precision."""
        names = [f"{self.stem}.safetensors", f"{self.stem}.fp16.safetensors"]
        found = [svd / self.name / name for name in names]
        return next((path for path in found if path.is_file()), found[0])

    def config_in(self, svd: Path) -> Path:
        """Its configuration."""
        return svd / self.name / "config.json"


UNET = Component(
    name="unet", stem="diffusion_pytorch_model", class_names=("UNetSpatioTemporalConditionModel", "ControlledUNet")
)
VAE = Component(name="vae", stem="diffusion_pytorch_model", class_names=("AutoencoderKLTemporalDecoder",))
IMAGE_ENCODER = Component(name="image_encoder", stem="model", class_names=("CLIPVisionModelWithProjection",))
COMPONENTS = (UNET, VAE, IMAGE_ENCODER)
SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
FEATURE_EXTRACTOR_CONFIG = "feature_extractor/preprocessor_config.json"

SVD = WeightsPart(
    name="svd",
    what="Stable Video Diffusion XT 1.1, the model that FCVG builds on",
    source=f"the Hugging Face repository {SVD_ID} (about 4.5 GB in half precision)",
    place=f"{SVD_FOLDER}/",
    licence=_SVD_LICENCE,
    fetched=True,
)
PARTS = (
    SVD,
    WeightsPart(
        name="unet",
        what="FCVG's fine-tuned UNet",
        source=f"the file drive linked from {_PUBLIC}, item 3",
        place=TUNED_UNET,
        licence=_NONE_STATED,
    ),
    WeightsPart(
        name="controlnext",
        what="FCVG's condition encoder",
        source=f"the file drive linked from {_PUBLIC}, item 3",
        place=ENCODER,
        licence=_NONE_STATED,
    ),
    WeightsPart(
        name="gluestick",
        what="GlueStick, the paper's line matcher; without it and superpoint, lines are matched by motion and looks",
        source=f"the release file linked from {_PUBLIC}, item 1",
        place=GLUESTICK,
        licence=Licence(name="gluestick", summary="see the repository cvg/GlueStick on GitHub"),
        needed=False,
    ),
    WeightsPart(
        name="superpoint",
        what="SuperPoint, the points that GlueStick starts from",
        source="the repository magicleap/SuperPointPretrainedNetwork on GitHub",
        place=SUPERPOINT,
        licence=Licence(name="superpoint", summary="Magic Leap's non-commercial research licence"),
        needed=False,
    ),
    WeightsPart(
        name="dwpose",
        what="DWPose's whole-body points: with both of its files, people are drawn over the lines",
        source=f"the file drive linked from {_PUBLIC}, item 2",
        place="dwpose/dw-ll_ucoco_384.onnx",
        licence=Licence(name="dwpose", summary="see the repository IDEA-Research/DWPose on GitHub"),
        needed=False,
    ),
    WeightsPart(
        name="yolox",
        what="DWPose's person detector",
        source=f"the file drive linked from {_PUBLIC}, item 2",
        place="dwpose/yolox_l.onnx",
        licence=Licence(name="dwpose", summary="see the repository IDEA-Research/DWPose on GitHub"),
        needed=False,
    ),
    WeightsPart(
        name="unet_backward",
        what="the second UNet of the gi fusion",
        source="a UNet fine-tuned for the backward direction (Wang et al., arXiv 2408.15239), saved as safetensors",
        place=BACKWARD_UNET,
        licence=Licence(name="gi", summary="see the repository jeanne-wang/svd_keyframe_interpolation on GitHub"),
        needed=False,
    ),
    WeightsPart(
        name="unet_lcm",
        what="the UNet of the lcm profile, which makes a clip in four steps; what it holds replaces FCVG's own tensors",
        source="AnimateLCM-SVD-xt.safetensors (Wang et al., arXiv 2402.00769), linked from G-U-N/AnimateLCM on GitHub",
        place=LCM_UNET,
        licence=Licence(
            name="animatelcm", summary="see the repository G-U-N/AnimateLCM on GitHub; it derives from SVD"
        ),
        needed=False,
    ),
)


def lacks_consistency(folder: Path) -> str:
    """What there is to say where the profile `lcm` is asked for and its weights aren't there."""
    part = next(part for part in PARTS if part.place == LCM_UNET)
    return (
        f"the profile lcm needs a consistency model's UNet, {folder / LCM_UNET}, and it isn't there: get it from "
        f"{part.source}, or choose another profile"
    )


def default_folder() -> Path:
    """Where the weights are looked for when nobody says: `codec-plugin/fcvg` in the user's data directory."""
    configured = os.environ.get("XDG_DATA_HOME")
    if configured and Path(configured).is_absolute():
        return Path(configured) / "codec-plugin" / "fcvg"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "codec-plugin" / "fcvg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "codec-plugin" / "fcvg"
    return Path.home() / ".local" / "share" / "codec-plugin" / "fcvg"


def find_svd(folder: Path, svd: str | None = None) -> Path:
    """The SVD folder, whether it is there or not.

    Args:
        folder: the weights folder.
        svd: a folder, or the hub id of a repository that lies in the hub's cache on this machine; None for the one in
            the weights folder, else the published one in the cache. Nothing is ever downloaded here.
    """
    if svd is not None and Path(svd).expanduser().is_dir():
        return Path(svd).expanduser()
    inside = folder / SVD_FOLDER
    if svd is None and inside.is_dir():
        return inside
    cached = _cached(svd or SVD_ID)
    return cached or (Path(svd).expanduser() if svd else inside)


def _cached(repository: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(repository, "unet/config.json")
    except HFValidationError:
        return None
    return Path(found).parents[1] if isinstance(found, str) else None
