"""`FcvgOptions`: what a user chooses about the engine `fcvg`. Imports no torch, so that it can be read anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from codec_plugin.errors import OptionError
from fcvg.conditions.gluestick.files import Lines
from fcvg.conditions.path import path_of
from fcvg.conditions.pose.files import Poses
from fcvg.conditions.times import Schedule
from fcvg.runtimes import FcvgRuntime, check_runtime
from fcvg.sampling.profile import PROFILES, ProfileName
from fcvg.sampling.settings import Fusion, SampleSettings, WindowScope

_SIDE_RANGE = (64, 8192)


class Precision(StrEnum):
    """What the networks compute in."""

    AUTO = "auto"
    """bf16 on a GPU that has it, else fp16 on a GPU; fp32 on a CPU."""
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class UNetWeights(StrEnum):
    """Which UNet makes the frames."""

    TUNED = "tuned"
    """FCVG's fine-tuned one."""
    PLAIN = "plain"
    """Stable Video Diffusion's own, with which trf, gi, vibid and mpd were published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FcvgOptions:
    """How `fcvg` works."""

    weights: Path | None = None
    """The weights folder; None for `codec-plugin/fcvg` in the user's data directory."""
    svd: str | None = None
    """The Stable Video Diffusion part, where it isn't in the weights folder: a folder, or the id of a repository that
    lies in the hub's cache on this machine."""
    allow_untrained: bool = False
    """Whether random weights may be used."""
    allow_cpu: bool = False
    """Whether to start work that takes long without a GPU."""
    size: str = "auto"
    """What the networks see: "auto" for about 576x1024's area in the picture's shape, "native", or WxH."""
    fusion: Fusion = Fusion.FCVG
    """How the directions from both ends are fused."""
    steps: int | None = None
    """Denoising steps; None for as many as the fusion was published with, or the profile has."""
    profile: ProfileName = ProfileName.EXACT
    """What is left out to be faster, at a loss; see `sampling.profile`."""
    seed: int = 0
    """Of the noise; each gap derives its own from it and from its place."""
    guidance: float = 3.0
    """Weight of the image condition."""
    control_weight: float = 1.0
    """Weight of the lines; 0 turns them off."""
    schedule: Schedule = Schedule.UNIFORM
    """How the condition pictures are spaced; see `conditions.times`."""
    path: str = "linear"
    """How lines and poses go from one end to the other: linear, ease-in, ease-out, ease-in-out, or a file with a time
    and a progress a line; see `conditions.path`."""
    lines: Lines = Lines.AUTO
    """How lines are found and matched: gluestick as published, lsd without weights, auto for what the weights allow."""
    poses: Poses = Poses.AUTO
    """Whether people are found with DWPose and drawn over the lines."""
    unet: UNetWeights = UNetWeights.TUNED
    """Which UNet makes the frames."""
    scope: WindowScope = WindowScope.WINDOW
    """What a window of a clip of more than 25 frames counts as."""
    device: str = "auto"
    """As torch names it: cpu, cuda, cuda:1; "auto" for a GPU where there is one."""
    precision: Precision = Precision.AUTO
    """What the networks compute in."""
    runtime: FcvgRuntime = FcvgRuntime.TORCH
    """What runs the networks; others than torch take exported graphs. "auto" takes the fastest measured one that is
    here, exporting what is small at its first use."""
    graphs: Path | None = None
    """A folder of `codec-plugin export`; None to export what is small into the cache, at its first use."""
    batch: int = 4
    """Passes of the network that run together: 4, 2 or 1. Fewer take less memory."""
    decode_chunk: int = 2
    """Frames decoded together."""
    offload: bool = False
    """Keep networks out of the GPU's memory while they aren't at work."""
    correct_color: bool = True
    """Remove the colour offset that is measured where the frames are known."""

    def __post_init__(self) -> None:
        parse_size(self.size)
        path_of(self.path)
        self.sampling(seed=self.seed)
        check_runtime(self.runtime, self.fusion, self.profile)
        if self.graphs is not None and self.runtime is FcvgRuntime.TORCH:
            others = ", ".join(runtime for runtime in FcvgRuntime if runtime is not FcvgRuntime.TORCH)
            raise OptionError(f"graphs={self.graphs}: torch takes none; choose the runtime that is to: {others}")
        if self.seed < 0:
            raise OptionError(f"seed must not be negative, but is {self.seed}")

    def sampling(self, *, seed: int) -> SampleSettings:
        """The sampler's settings for one gap.

        Raises:
            OptionError: a value is out of range.
        """
        return SampleSettings(
            fusion=self.fusion,
            steps=self.steps,
            profile=PROFILES[self.profile],
            guidance=self.guidance,
            control_weight=self.control_weight,
            seed=seed,
            scope=self.scope,
            batch=self.batch,
            decode_chunk=self.decode_chunk,
        )


def parse_size(text: str) -> tuple[int, int] | None:
    """(width, height) of a size written as WxH; None for "auto" and "native".

    Raises:
        OptionError: it is none of the three, or the networks can't take it.
    """
    if text in ("auto", "native"):
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise OptionError(f"size is auto, native or WxH such as 1024x576, not {text!r}")
    width, height = int(found[1]), int(found[2])
    least, most = _SIDE_RANGE
    if not all(least <= side <= most and side % 64 == 0 for side in (width, height)):
        raise OptionError(f"size takes multiples of 64 from {least} to {most}, not {text}")
    return width, height
