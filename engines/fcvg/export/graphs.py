"""The networks as they are exported: tensors in, tensors out, everything that doesn't change built outside."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from fcvg.nets.folding import folded
from fcvg.nets.injection import Pooling, standardised

CONTEXTS = 3
"""Embeddings of a clip: none, the start's, the end's."""


class UNetGraph(nn.Module):
    """The UNet, its cross-attention folded over the clip's embeddings within the graph: three tokens a layer."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet: Any = unet

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        picks: Tensor,
        embeddings: Tensor,
        told: Tensor,
        control: Tensor,
        control_scale: Tensor,
    ) -> Tensor:
        """Predicts v.

        Args:
            sample: (row, frame, 8, h/8, w/8).
            timestep: (1,).
            picks: (row, 1, 3): 1 at the embedding of that row, 0 elsewhere.
            embeddings: (3, width).
            told: (row, 3): frames a second less one, motion bucket, noise added to the image.
            control: (row * frame, channel, ceil(h/16), ceil(w/16)), standardised.
            control_scale: (row,): 0 for no control.

        Returns:
            (row, frame, 4, h/8, w/8).
        """
        with folded(self.unet, embeddings):
            made: Tensor = self.unet(sample, timestep, picks, told, control=control, control_scale=control_scale)[0]
        return made


class ConditionGraph(nn.Module):
    """The condition encoder, its features standardised and pooled by two matrices to where the UNet adds them."""

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.register_buffer("rows", pooling.rows)
        self.register_buffer("columns", pooling.columns)

    def forward(self, pictures: Tensor, timestep: Tensor) -> Tensor:
        """(frame, 3, h, w) in [0, 1] and (1,) to (frame, channel, ceil(h/16), ceil(w/16))."""
        rows: Any = self.rows
        columns: Any = self.columns
        pooling = Pooling(rows=rows, columns=columns)
        return standardised(self.encoder(pictures, timestep), pooling)


class LatentGraph(nn.Module):
    """The VAE's encoder, to the posterior's mode."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae: Any = vae

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [-1, 1] to (1, 4, h/8, w/8), not multiplied by the scaling factor."""
        made: Tensor = self.vae.encode(picture).latent_dist.mode()
        return made


class DecoderGraph(nn.Module):
    """The VAE's temporal decoder, for so many frames at once."""

    def __init__(self, vae: nn.Module, *, frames: int) -> None:
        super().__init__()
        self.vae: Any = vae
        self._frames = frames

    def forward(self, latents: Tensor) -> Tensor:
        """(frame, 4, h/8, w/8), divided by the scaling factor, to (frame, 3, h, w) in [-1, 1]."""
        made: Tensor = self.vae.decode(latents, num_frames=self._frames).sample
        return made


class EmbeddingGraph(nn.Module):
    """CLIP's vision tower with its projection."""

    def __init__(self, image_encoder: nn.Module) -> None:
        super().__init__()
        self.image_encoder: Any = image_encoder

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised as CLIP wants it, to (1, width)."""
        made: Tensor = self.image_encoder(picture).image_embeds
        return made
