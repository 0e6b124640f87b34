"""`TrainOptions`: what a user chooses about training. Imports no torch, so that it is checked before anything loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from codec_plugin.errors import OptionError
from codec_plugin.options import Range
from fcvg.training.sizes import MODELS, PRESETS, Preset, Size, StageName

FRAMES_RANGE = Range(least=3, most=257)
STRIDE_RANGE = Range(least=1, most=16)
BATCH_RANGE = Range(least=1, most=1024)
SHARE_RANGE = Range(least=0, most=1)
CRF_RANGE = Range(least=0, most=51)
STEP = 64
"""Crops are multiples of it, as the engine's pictures are."""


class Trains(StrEnum):
    """Which parameters FCVG's stage trains. The paper doesn't say: the choice is ours."""

    ENCODER = "encoder"
    """The condition encoder only."""
    ATTENTION = "attention"
    """It, and the UNet's attention layers."""
    TEMPORAL = "temporal"
    """It, and the UNet's temporal layers."""
    UNET = "unet"
    """It, and all of the UNet."""


class Precision(StrEnum):
    """What the networks compute in; weights and sums stay in float32."""

    AUTO = "auto"
    """bf16 on a GPU that has it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"


class Place(StrEnum):
    """Where a picture is cropped."""

    RANDOM = "random"
    """Anywhere."""
    CENTRE = "centre"
    """In its middle: each frame has one latent, which is computed once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How FCVG is trained. The paper's numbers where it has some; what is ours says so."""

    size: Size = Size.SVD
    """svd from public weights; tiny or small from nothing: the VAE first, then the UNet without control, then FCVG."""
    weights: Path | None = None
    """The weights folder to begin from, for svd; its unet.safetensors and controlnext.safetensors are taken up too
    where they are there."""
    crop: tuple[int, int] | None = None
    """(width, height), multiples of 64; None for the paper's 512x320, or less for a small size."""
    frames: int | None = None
    """Of a clip, both ends included; None for the paper's 25, or 9 for a small size."""
    stride: int = 1
    """Every how manieth frame of the film is one of the clip."""
    place: Place = Place.RANDOM
    """Where pictures are cropped."""
    part: tuple[float, float] | None = None
    """[start, stop) in seconds of each film; None for all of it."""
    compress: tuple[float, float] | None = None
    """x264's crf, from and to: each clip is encoded at one in between, and its ends are what the decoder gives back.
    None leaves the ends as they are. Ours: the paper has nothing of the kind."""
    steps: int | None = None
    """Optimiser's steps of FCVG's stage; None for the paper's 70,000, or fewer for a small size."""
    vae_steps: int | None = None
    """Likewise of the VAE's, for a small size."""
    base_steps: int | None = None
    """Likewise of the UNet's without control, for a small size."""
    minutes: float | None = None
    """In place of steps: all stages together, by their shares. Such a run can be resumed, but not repeated exactly."""
    rate: float | None = None
    """Learning rate of FCVG's stage; None for the paper's 1e-6, or more for a small size."""
    weight_decay: float = 0.01
    """AdamW's."""
    batch: int = 1
    """Clips that go through the networks together."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    clip_norm: float = 1.0
    """The gradients' norm is held below; 0 leaves it alone. Ours."""
    ema: float | None = None
    """Decay of the average of the weights, which is what is written; 0 for the weights themselves. Ours."""
    dropout: float = 0.1
    """Share of clips whose image and lines are blanked, for guidance. Ours."""
    sigma_mean: float = 0.7
    """Mean of ln sigma (Stable Video Diffusion, arXiv 2311.15127, table of its image-to-video training). Ours."""
    sigma_std: float = 1.6
    """Standard deviation of ln sigma, likewise. Ours."""
    trains: Trains | None = None
    """Which parameters FCVG's stage trains; None for attention from public weights, for unet at a small size."""
    precision: Precision = Precision.AUTO
    """What the networks compute in."""
    device: str = "auto"
    """As torch names it; "auto" for a GPU where there is one."""
    checkpointing: bool = False
    """Compute the UNet's activations twice instead of keeping them: less memory, a third more time."""
    seed: int = 0
    """Of everything that is drawn."""
    workers: int = 0
    """Threads that read clips ahead; what they read is the same."""
    cache_mb: int = 2048
    """Memory for decoded footage, and as much again for latents."""
    checkpoint_every: int = 500
    """Steps from one checkpoint to the next."""
    measure_every: int = 500
    """Steps from one held-out loss to the next."""
    measured: int = 16
    """Clips that the held-out loss is measured on: always the same ones."""

    def __post_init__(self) -> None:
        if self.crop is not None and any(side < STEP or side % STEP for side in self.crop):
            raise OptionError(f"crop takes multiples of {STEP}, such as 512x320, not {self.crop[0]}x{self.crop[1]}")
        FRAMES_RANGE.check("frames", self.preset.frames if self.frames is None else self.frames)
        STRIDE_RANGE.check("stride", self.stride)
        BATCH_RANGE.check("batch", self.batch)
        BATCH_RANGE.check("accumulate", self.accumulate)
        SHARE_RANGE.check("dropout", self.dropout)
        for crf in self.compress or ():
            CRF_RANGE.check("compress", crf)
        for wrong, message in self._faults():
            if wrong:
                raise OptionError(message)

    def _faults(self) -> list[tuple[bool, str]]:
        scratch = self.size is not Size.SVD
        counted = {"steps": self.steps, "vae_steps": self.vae_steps, "base_steps": self.base_steps}
        positive = {
            "rate": self.rate,
            "minutes": self.minutes,
            "sigma_std": self.sigma_std,
            "checkpoint_every": self.checkpoint_every,
            "measure_every": self.measure_every,
            "measured": self.measured,
            "cache_mb": self.cache_mb,
        }
        return [
            *((value is not None and value < 0, f"{name} must not be negative") for name, value in counted.items()),
            *((value is not None and not value > 0, f"{name} must be above 0") for name, value in positive.items()),
            (self.ema is not None and not 0 <= self.ema < 1, f"ema must be from 0 to below 1, not {self.ema}"),
            (self.clip_norm < 0 or self.weight_decay < 0, "clip_norm and weight_decay must not be negative"),
            (self.workers < 0 or self.seed < 0, "workers and seed must not be negative"),
            (
                self.part is not None and not 0 <= self.part[0] < self.part[1],
                "part is START:STOP, START below STOP",
            ),
            (
                self.compress is not None and self.compress[0] > self.compress[1],
                "compress is FROM:TO with FROM no higher than TO",
            ),
            (
                scratch and self.weights is not None,
                f"size {self.size} begins from nothing, and weights were given: leave one of the two out",
            ),
            (
                not scratch and (self.vae_steps is not None or self.base_steps is not None),
                "vae_steps and base_steps are for the small sizes, which begin from nothing",
            ),
        ]

    @property
    def preset(self) -> Preset:
        """The size's own numbers."""
        return PRESETS[self.size]

    @property
    def is_from_nothing(self) -> bool:
        """Whether every network is trained."""
        return self.size in MODELS

    @property
    def cropped(self) -> tuple[int, int]:
        """(width, height) that is trained on."""
        return self.crop or self.preset.crop

    @property
    def frame_count(self) -> int:
        """Frames of a clip."""
        return self.preset.frames if self.frames is None else self.frames

    @property
    def decay(self) -> float:
        """Of the average of the weights."""
        return self.preset.ema if self.ema is None else self.ema

    @property
    def trained(self) -> Trains:
        """Which parameters FCVG's stage trains."""
        return self.trains or (Trains.UNET if self.preset.trains_unet else Trains.ATTENTION)

    def steps_of(self, stage: StageName) -> int:
        """Optimiser's steps of a stage."""
        told = {StageName.VAE: self.vae_steps, StageName.BASE: self.base_steps, StageName.FCVG: self.steps}[stage]
        return self.preset.steps[stage] if told is None else told

    def rate_of(self, stage: StageName) -> float:
        """A stage's learning rate at its highest."""
        return self.rate if self.rate is not None and stage is StageName.FCVG else self.preset.rates[stage]

    def seconds_of(self, stage: StageName) -> float | None:
        """How long a stage may take; None for as long as its steps do."""
        if self.minutes is None:
            return None
        shares = STAGE_SHARES if self.is_from_nothing else {StageName.FCVG: 1.0}
        return self.minutes * 60 * shares[stage]


STAGE_SHARES: Mapping[StageName, float] = {StageName.VAE: 0.52, StageName.BASE: 0.34, StageName.FCVG: 0.14}
"""Of the minutes. What the VAE can't show, no other stage makes good."""
UNBOUND = frozenset({"workers", "cache_mb", "checkpoint_every", "checkpointing", "device", "minutes", "measured"})
"""Options that a run may be resumed with other values of."""
