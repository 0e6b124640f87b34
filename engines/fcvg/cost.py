"""What a clip costs here: operations counted on networks without memory, against this machine's measured speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fcvg.nets.reuse import shallow
from fcvg.place import Place
from fcvg.sampling.run import calls_of, unet_rows
from fcvg.sampling.settings import SampleSettings
from fcvg.weights.architectures import first_width, make_encoder, make_network
from fcvg.weights.check import Checked
from fcvg.weights.layout import UNET, VAE

SHARE_OF_MATMUL = {"cpu": 0.5, "cuda": 0.45}
"""How fast the networks run beside a plain matrix product of the same type: on the two cores where a full-size forward
(79.9 TFLOP) was measured to take 530 s; on a GPU, what attention and normalisation leave of it."""
_COPIES = 14  # activations of the UNet's first level that live at the same time, skip connections included
_DECODER_COPIES = 8  # likewise in the decoder's last level, float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one clip."""

    flops: float
    """Floating-point operations, a multiplication and an addition counting as two."""
    seconds: float
    """On this machine."""
    bytes: int
    """Memory at the peak, where the networks compute."""
    resident_bytes: int
    """Of that, what the networks themselves take."""


def cost_of(checked: Checked, settings: SampleSettings, *, size: tuple[int, int], frames: int, place: Place) -> Cost:
    """What a clip costs.

    Args:
        checked: the weights; no tensor is read.
        settings: how it is sampled.
        size: (width, height) that the networks see.
        frames: of the clip, both ends included.
        place: where it is made.
    """
    window = min(frames, settings.window)
    rows = unet_rows(settings, frames=frames)
    flops = rows.whole * _unet_flops(_Key(checked), size, window)
    if rows.shallow:
        flops += rows.shallow * _shallow_flops(_Key(checked), size, window)
    flops += _encoder_flops(_Key(checked), size) * frames * settings.steps_taken
    flops += _decoder_flops(_Key(checked), size, settings.decode_chunk) / settings.decode_chunk * frames
    speed = matmul_speed(place.device.type, place.dtype) * SHARE_OF_MATMUL.get(place.device.type, 0.45)
    resident = _weights_bytes(checked, place=place)
    working = _working_bytes(checked, settings, size=size, frames=window, place=place)
    if rows.shallow:
        kept = calls_of(settings, frames=frames) // settings.steps_taken * 2
        working += kept * _level_bytes(checked, size=size, frames=window, place=place)
    return Cost(flops=flops, seconds=flops / speed, bytes=resident + working, resident_bytes=resident)


def unet_flops(checked: Checked, *, size: tuple[int, int], frames: int) -> float:
    """Floating-point operations of the UNet for one row of its batch."""
    return _unet_flops(_Key(checked), size, frames)


@cache
def matmul_speed(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a square matrix product here, the best of several."""
    side = 1024 if device == "cpu" else 4096
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        product = left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
        del product
    return 2.0 * side**3 / best


class _Key:
    """A weights folder as a cache's key: what is counted depends on its configurations alone."""

    def __init__(self, checked: Checked) -> None:
        self.configs = checked.configs
        self._text = repr(sorted((name, sorted(map(repr, config.items()))) for name, config in self.configs.items()))

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._text == self._text


@cache
def _unet_flops(key: _Key, size: tuple[int, int], frames: int) -> float:
    """Of one forward of one row of the batch."""
    config = key.configs[UNET.name]
    network = make_network(UNET, config)
    return _counted(lambda: network(*_row(config, size, frames)))


@cache
def _shallow_flops(key: _Key, size: tuple[int, int], frames: int) -> float:
    """Of one row of the batch on deep features that were kept."""
    config = key.configs[UNET.name]
    network = make_network(UNET, config)
    deep = (frames, first_width(config), size[1] // 8, size[0] // 8)
    return _counted(lambda: shallow(network, _blank(deep), *_row(config, size, frames)))


def _row(config: Mapping[str, Any], size: tuple[int, int], frames: int) -> tuple[torch.Tensor, ...]:
    """What the UNet is given for one row of the batch: sample, timestep, embedding, added numbers."""
    shape = (1, frames, int(config.get("in_channels", 8)), size[1] // 8, size[0] // 8)
    embedding = (1, 1, int(config.get("cross_attention_dim", 1024)))
    added = int(config.get("projection_class_embeddings_input_dim", 768)) // int(
        config.get("addition_time_embed_dim", 256)
    )
    return _blank(shape), _blank(()), _blank(embedding), _blank((1, added))


@cache
def _encoder_flops(key: _Key, size: tuple[int, int]) -> float:
    """Of one frame."""
    encoder = make_encoder(first_width(key.configs[UNET.name]))
    return _counted(lambda: encoder(_blank((1, 3, size[1], size[0])), _blank(())))


@cache
def _decoder_flops(key: _Key, size: tuple[int, int], chunk: int) -> float:
    """Of one chunk of frames."""
    config = key.configs[VAE.name]
    network, latents = make_network(VAE, config), int(config.get("latent_channels", 4))
    return _counted(lambda: network.decode(_blank((chunk, latents, size[1] // 8, size[0] // 8)), num_frames=chunk))


def _blank(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(shape, device="meta")


def _counted(run: Callable[[], object]) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def _weights_bytes(checked: Checked, *, place: Place) -> int:
    """All weights that lie there together."""
    width = place.dtype.itemsize
    laid_over = ("tuned", "lcm")
    counts = {name: file.parameters for name, file in checked.files.items() if name not in laid_over}
    sizes = {name: count * (4 if name == VAE.name else width) for name, count in counts.items()}
    return sizes[UNET.name] + sizes["encoder"] if place.offload else sum(sizes.values())


def _working_bytes(
    checked: Checked, settings: SampleSettings, *, size: tuple[int, int], frames: int, place: Place
) -> int:
    """A rough upper bound of the larger of sampling's and decoding's needs, and of the pictures."""
    pixels = size[0] * size[1]
    width = place.dtype.itemsize
    sampling = _level_bytes(checked, size=size, frames=frames, place=place) * settings.batch * _COPIES
    features = pixels // 4 * 64 * frames * width  # the encoder's widest
    last = int(checked.configs[VAE.name]["block_out_channels"][0])
    decoding = pixels * last * settings.decode_chunk * 4 * _DECODER_COPIES
    return max(sampling + features, decoding) + frames * pixels * 3 * 4 * 2


def _level_bytes(checked: Checked, *, size: tuple[int, int], frames: int, place: Place) -> int:
    """One activation of the UNet's first level, of one row of the batch."""
    return first_width(checked.configs[UNET.name]) * frames * (size[0] * size[1]) // 64 * place.dtype.itemsize
