"""Pictures in and out of the networks' spaces: CLIP's embedding, the VAE's latents, decoded frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from fcvg.models import Models
from fcvg.sampling.denoiser import Endpoint

_CLIP_SIDE = 224
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def embedded(models: Models, picture: Tensor) -> Tensor:
    """The image embedding of a picture.

    Args:
        models: CLIP's vision tower is used, at work.
        picture: (1, 3, h, w), R, G, B in [0, 1], in float32 on the models' device.

    Returns:
        (1, 1, width), in the models' type.
    """
    # SVD's own resize; it blurs before it samples, and other resizes give other embeddings.
    from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import _resize_with_antialiasing

    resized = (_resize_with_antialiasing(picture * 2 - 1, (_CLIP_SIDE, _CLIP_SIDE)) + 1) / 2
    extractor = models.feature_extractor
    numbers = (_CLIP_MEAN, _CLIP_STD) if extractor is None else (extractor.image_mean, extractor.image_std)
    mean, deviation = (torch.tensor(values, device=picture.device)[:, None, None] for values in numbers)
    seen = ((resized - mean) / deviation).to(models.dtype)
    made: Tensor = models.image_encoder(seen).image_embeds
    return made[:, None]


def encoded(models: Models, picture: Tensor) -> Tensor:
    """The latent of a picture: the mode of the posterior, not multiplied by the scaling factor.

    Args:
        models: the VAE is used, at work.
        picture: (1, 3, h, w), R, G, B in [-1, 1], with noise or without.

    Returns:
        (1, 4, h/8, w/8), in float32.
    """
    made: Tensor = models.vae.encode(picture.to(models.vae.dtype)).latent_dist.mode()
    return made.float()


def endpoint_of(models: Models, picture: Tensor, *, noise: Tensor) -> Endpoint:
    """What the network is to know of a frame.

    Args:
        models: CLIP's vision tower and the VAE are used, at work.
        picture: (1, 3, h, w), R, G, B in [0, 1], in float32 on the models' device.
        noise: as the picture: what is added to it, in [-1, 1], before it is encoded.
    """
    return Endpoint(latent=encoded(models, picture * 2 - 1 + noise), embedding=embedded(models, picture))


def decoded(
    models: Models, latents: Tensor, *, chunk: int, between: Callable[[int], None] = lambda _done: None
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
    vae: Any = models.vae
    scaled = latents[0] / vae.config.scaling_factor
    done = 0
    for part in scaled.split(chunk):
        made = vae.decode(part.to(vae.dtype), num_frames=len(part)).sample
        done += len(part)
        between(done)
        yield from (made.float() / 2 + 0.5).clamp(0, 1).cpu()
