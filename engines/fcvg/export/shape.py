"""`ExportShape`: what FCVG's graphs are fixed to, and which graphs a clip of that shape takes. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from codec_plugin.errors import OptionError

WINDOW = 25
"""The most frames that the UNet sees at once."""


class GraphName(StrEnum):
    """FCVG's graphs."""

    UNET = "unet"
    """Noisy latents to v."""
    CONDITION = "condition-encoder"
    """Condition pictures to the control."""
    VAE_ENCODER = "vae-encoder"
    """An endpoint's picture to its latent."""
    VAE_DECODER = "vae-decoder"
    """Latents to pictures, some frames at once."""
    IMAGE_ENCODER = "image-encoder"
    """An endpoint's picture to its embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportShape:
    """The sizes of one clip's graphs."""

    size: tuple[int, int]
    """(width, height) that the networks see, multiples of 64."""
    frames: int
    """Frames of a clip. One of more than 25 is made in windows of 25."""
    batch: int = 2
    """Rows of the UNet's batch: 2 for both guidance halves, which every fusion takes; 4 for both directions, too."""
    decode_chunk: int = 2
    """Frames decoded together."""

    def __post_init__(self) -> None:
        if any(side < 64 or side % 64 for side in self.size):
            raise OptionError(f"graphs are exported for sizes in multiples of 64, not {self.size[0]}x{self.size[1]}")
        if self.frames < 3:
            raise OptionError(f"graphs are exported for 3 frames and more (9, 17 and 25 are used), not {self.frames}")
        if self.batch not in (1, 2, 4):
            raise OptionError(f"graphs are exported for a batch of 1, 2 or 4, not {self.batch}")
        if self.decode_chunk < 1:
            raise OptionError(f"frames are decoded in chunks of at least 1, not {self.decode_chunk}")

    @property
    def window(self) -> int:
        """Frames that the UNet sees at once."""
        return min(self.frames, WINDOW)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Numbers of frames that are decoded together: the chunk's, and what is left at the end."""
        chunk = min(self.decode_chunk, self.frames)
        return (chunk, self.frames % chunk) if self.frames % chunk else (chunk,)

    def settings(self, name: GraphName) -> tuple[Mapping[str, str], ...]:
        """What tells the graphs of a kind apart that a clip takes, as their manifests say it."""
        pixels = {"width": str(self.size[0]), "height": str(self.size[1])}
        if name is GraphName.IMAGE_ENCODER:
            return ({},)
        if name is GraphName.VAE_ENCODER:
            return (pixels,)
        if name is GraphName.VAE_DECODER:
            return tuple({**pixels, "frames": str(chunk)} for chunk in self.chunks)
        frames = {**pixels, "frames": str(self.window)}
        return ({**frames, "batch": str(self.batch)},) if name is GraphName.UNET else (frames,)


def stem_of(name: GraphName, settings: Mapping[str, str], *, precision: str) -> str:
    """The name of a graph's file, without .onnx."""
    parts = [str(name)]
    if "width" in settings:
        parts.append(f"{settings['width']}x{settings['height']}")
    if "frames" in settings:
        parts.append(f"{settings['frames']}f")
    if "batch" in settings:
        parts.append(f"b{settings['batch']}")
    return "-".join([*parts, precision])


def names_of(texts: Sequence[str]) -> tuple[GraphName, ...]:
    """Graphs by their names; all of them where none is named.

    Raises:
        OptionError: there is no such graph.
    """
    for text in texts:
        if text not in set(GraphName):
            raise OptionError(f"fcvg has no graph {text!r}; it has: {', '.join(GraphName)}")
    return tuple(name for name in GraphName if name in texts or not texts)
