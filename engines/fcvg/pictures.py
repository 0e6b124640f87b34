"""Pictures in and out of the networks' spaces: CLIP's embedding, the VAE's latents, decoded frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from fcvg.models import Networks
from fcvg.sampling.denoiser import Endpoint

CLIP_SIDE = 224
"""Rows and columns of the pictures that CLIP sees."""
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def embedded(models: Networks, picture: Tensor) -> Tensor:
    """The image embedding of a picture.

    Args:
        models: CLIP's vision tower is used, at work.
        picture: (1, 3, h, w), R, G, B in [0, 1], in float32 on the models' device.

    Returns:
        (1, 1, width), in the models' type.
    """
    resized = (antialiased(picture * 2 - 1, side=CLIP_SIDE) + 1) / 2
    extractor = models.feature_extractor
    numbers = (_CLIP_MEAN, _CLIP_STD) if extractor is None else (extractor.image_mean, extractor.image_std)
    mean, deviation = (torch.tensor(values, device=picture.device)[:, None, None] for values in numbers)
    return models.embedding((resized - mean) / deviation)[:, None]


def antialiased(picture: Tensor, *, side: int) -> Tensor:
    """Resizes a picture as SVD was trained with: a Gaussian blur, then bicubic samples from corner to corner.

    Another resize gives another embedding. The blur's deviation is half of what the factor is above 1, and its kernel
    two deviations wide to each side, at least 3 pixels.

    Args:
        picture: (1, channel, row, column).
        side: rows and columns afterwards.
    """
    for axis in (-2, -1):
        deviation = max((picture.shape[axis] / side - 1) / 2, 0.001)
        reach = int(max(4 * deviation, 3)) // 2
        offsets = torch.arange(-reach, reach + 1, dtype=picture.dtype, device=picture.device)
        kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
        picture = _filtered(picture, kernel / kernel.sum(), axis=axis)
    return functional.interpolate(picture, size=(side, side), mode="bicubic", align_corners=True)


def _filtered(picture: Tensor, kernel: Tensor, *, axis: int) -> Tensor:
    """Convolves along an axis, the picture mirrored at its border."""
    channels, reach = picture.shape[1], len(kernel) // 2
    upright = axis == -2
    padded = functional.pad(picture, (0, 0, reach, reach) if upright else (reach, reach, 0, 0), mode="reflect")
    weight = kernel.reshape((-1, 1) if upright else (1, -1)).expand(channels, 1, *(-1, -1))
    return functional.conv2d(padded, weight, groups=channels)


def encoded(models: Networks, picture: Tensor) -> Tensor:
    """The latent of a picture: the mode of the posterior, not multiplied by the scaling factor.

    Args:
        models: the VAE is used, at work.
        picture: (1, 3, h, w), R, G, B in [-1, 1], with noise or without.

    Returns:
        (1, 4, h/8, w/8), in float32.
    """
    return models.latent(picture)


def endpoint_of(models: Networks, picture: Tensor, *, noise: Tensor) -> Endpoint:
    """What the network is to know of a frame.

    Args:
        models: CLIP's vision tower and the VAE are used, at work.
        picture: (1, 3, h, w), R, G, B in [0, 1], in float32 on the models' device.
        noise: as the picture: what is added to it, in [-1, 1], before it is encoded.
    """
    return Endpoint(latent=encoded(models, picture * 2 - 1 + noise), embedding=embedded(models, picture))


def decoded(
    models: Networks, latents: Tensor, *, chunk: int, between: Callable[[int], None] = lambda _done: None
) -> Iterator[Tensor]:
    """Decodes a clip, some frames at a time.

    Args:
        models: the VAE is used, at work.
        latents: (1, frame, 4, h/8, w/8), in the scale that the network works in.
        chunk: frames that are decoded together; the decoder sees motion within a chunk only.
        between: called with the frames done so far after each chunk.

    Yields:
        Frame by frame (3, h, w), R, G, B in [0, 1], float32 on the CPU.
    """
    scaled = latents[0] / models.latent_scale
    done = 0
    for part in scaled.split(chunk):
        made = models.pictures(part)
        done += len(part)
        between(done)
        yield from (made / 2 + 0.5).clamp(0, 1).cpu()
