"""`ConditionEncoder`: makes the control's features from condition pictures, frame by frame.

ControlNeXt's small convolutional encoder (Peng et al., arXiv 2408.06070) with a time embedding, as FCVG trained it:
the parameters have the names and shapes of its `controlnext.safetensors`.
"""

from __future__ import annotations

from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import Downsample2D, ResnetBlock2D
from torch import Tensor, nn

_TIME_CHANNELS = 128
_TIME_WIDTH = 256
_STAGES = ((128, 128, 4), (128, 256, 8))
"""Channels in, channels out and normalisation groups of each stage."""


class ConditionEncoder(nn.Module):
    """Features of condition pictures at a noise level. Every frame is encoded by itself."""

    def __init__(self, out_channels: int = 320) -> None:
        super().__init__()
        self.out_channels = out_channels
        """Channels of the features: those of the UNet's first level."""
        self.time_proj = Timesteps(_TIME_CHANNELS, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(_TIME_CHANNELS, _TIME_WIDTH)
        self.embedding = nn.Sequential(
            *_normalised(nn.Conv2d(3, 64, kernel_size=3, stride=2, padding=1)),
            *_normalised(nn.Conv2d(64, 64, kernel_size=3)),
            *_normalised(nn.Conv2d(64, 128, kernel_size=3)),
        )
        self.down_res = nn.ModuleList(
            ResnetBlock2D(in_channels=wide, out_channels=deep, temb_channels=_TIME_WIDTH, groups=groups)
            for wide, deep, groups in _STAGES
        )
        self.down_sample = nn.ModuleList(
            Downsample2D(deep, use_conv=True, out_channels=deep, padding=1, name="op") for _, deep, _ in _STAGES
        )
        deepest = _STAGES[-1][1]
        middle = nn.Sequential(
            nn.Conv2d(deepest, deepest, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.GroupNorm(8, deepest),
            nn.Conv2d(deepest, deepest, kernel_size=3, padding=1),
            nn.GroupNorm(8, deepest),
        )
        self.mid_convs = nn.ModuleList([middle, nn.Conv2d(deepest, out_channels, kernel_size=1)])

    def forward(self, pictures: Tensor, timestep: Tensor) -> Tensor:
        """Encodes frames at one noise level.

        Args:
            pictures: (frame, 3, h, w), R, G, B in [0, 1].
            timestep: a number, as a tensor of no dimension: 0.25 ln sigma.

        Returns:
            (frame, channel, about h/8 - 1, about w/8 - 1).
        """
        time = self.time_proj(timestep.reshape(1)).to(pictures.dtype)
        time = self.time_embedding(time).expand(pictures.shape[0], -1)
        features = self.embedding(pictures)
        for block, downsample in zip(self.down_res, self.down_sample, strict=True):
            features = downsample(block(features, time))
        middle, last = self.mid_convs
        features = features + middle(features)
        return last(features)


def encoded_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the features of a picture: a stride of 2, two convolutions without padding, two halvings."""
    rows, columns = (((side + 1) // 2 - 4 + 3) // 4 for side in (height, width))
    return rows, columns


def _normalised(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.GroupNorm(2, convolution.out_channels), nn.ReLU()
