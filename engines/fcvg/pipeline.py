"""`generate`: two pictures and the conditions between them in, decoded frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from enum import StrEnum

import torch
from torch import Tensor

from codec_plugin.errors import EngineError
from fcvg.models import Networks
from fcvg.nets.exchange import exchanged
from fcvg.pictures import decoded, endpoint_of
from fcvg.sampling.clip import Clip
from fcvg.sampling.control import ControlTrack
from fcvg.sampling.denoiser import Denoiser, Endpoint
from fcvg.sampling.run import calls_of, sample
from fcvg.sampling.schedule import schedule_of
from fcvg.sampling.settings import Fusion, SampleSettings
from fcvg.sampling.steps import Noise, gaussian
from fcvg.sampling.watch import Watch

_SAMPLING_SHARE = 0.95
"""Of the progress that is told; the rest is decoding."""


class Stage(StrEnum):
    """What `generate` is doing."""

    ENCODE = "encode"
    """Both endpoints are brought to latents and embeddings."""
    SAMPLE = "sample"
    """The clip's latents are made."""
    DECODE = "decode"
    """Frames are decoded."""


def _never() -> bool:
    return False


def _nobody(_what: object) -> None:
    pass


def generate(
    models: Networks,
    settings: SampleSettings,
    *,
    left: Tensor,
    right: Tensor,
    conditions: Tensor | None,
    frames: int,
    noise: Noise | None = None,
    cancelled: Callable[[], bool] = _never,
    progress: Callable[[float], None] = _nobody,
    stage: Callable[[Stage], None] = _nobody,
) -> Iterator[Tensor]:
    """Makes the clip between two pictures.

    Args:
        models: placed where they are to run.
        settings: how it is sampled.
        left: (3, h, w), R, G, B in [0, 1], float32; h and w divisible by 8 (by 64 for networks of SVD's depth).
        right: likewise.
        conditions: (frame, 3, h, w), R, G, B in [0, 1], one for each frame; None for none.
        frames: of the clip, both endpoints among them.
        noise: draws all noise; None for that of `settings.seed`. First what is added to the pictures, then the rest.
        cancelled: asked after each call of the network and after each chunk decoded.
        progress: told the share done, 0 to 1.
        stage: told what begins.

    Yields:
        All frames in order, those of the endpoints among them: (3, h, w), R, G, B in [0, 1], float32 on the CPU.

    Raises:
        Cancelled: as asked.
        CannotFill: the network's predictions are not finite, or the fusion doesn't make so many frames.
        EngineError: pictures, conditions or networks that don't fit together.
    """
    with torch.inference_mode():
        latents = make_latents(
            models,
            settings,
            left=left,
            right=right,
            conditions=conditions,
            frames=frames,
            noise=noise,
            cancelled=cancelled,
            progress=lambda share: progress(share * _SAMPLING_SHARE),
            stage=stage,
        )
    stage(Stage.DECODE)

    def between(done: int) -> None:
        progress(_SAMPLING_SHARE + (1 - _SAMPLING_SHARE) * done / frames)
        Watch(expected=0, cancelled=cancelled).go_on()

    with models.at_work(models.vae):
        pictures = decoded(models, latents, chunk=settings.decode_chunk, between=between)
        while True:
            # Inference mode must not reach into the caller, who works between two frames.
            with torch.inference_mode():
                picture = next(pictures, None)
            if picture is None:
                return
            yield picture


def make_latents(
    models: Networks,
    settings: SampleSettings,
    *,
    left: Tensor,
    right: Tensor,
    conditions: Tensor | None,
    frames: int,
    noise: Noise | None = None,
    cancelled: Callable[[], bool] = _never,
    progress: Callable[[float], None] = _nobody,
    stage: Callable[[Stage], None] = _nobody,
) -> Tensor:
    """As `generate`, but for the decoding: (1, frame, 4, h/8, w/8), multiplied by the VAE's scaling factor."""
    _check(left, right, conditions, frames=frames)
    draw = gaussian(settings.seed, device=models.device) if noise is None else noise
    schedule = schedule_of(
        models.scheduler_config, steps=settings.steps_taken, consistency=settings.profile.consistency
    )
    stage(Stage.ENCODE)
    start, end = _endpoints(models, settings, pictures=(left, right), draw=draw)
    stage(Stage.SAMPLE)
    watch = Watch(expected=calls_of(settings, frames=frames), cancelled=cancelled, progress=progress)
    backward = models.unet_backward if settings.fusion is Fusion.GI else None
    with ExitStack() as opened:
        opened.enter_context(models.at_work(models.unet, models.encoder, backward))
        networks = [
            opened.enter_context(
                Denoiser(unet, endpoints=(start, end), settings=settings, saw=watch.saw, sigmas=schedule.sigmas[:-1])
            )
            for unet in (models.unet, backward)
            if unet is not None
        ]
        if backward is not None:
            opened.enter_context(exchanged(models.unet, backward))
        control = None
        if conditions is not None and settings.control_weight > 0:
            control = ControlTrack(models.encoder, conditions.to(models.device, models.dtype))
        clip = Clip(
            frames=frames,
            start=start,
            end=end,
            control=control,
            schedule=schedule,
            noise=draw,
            latent_scale=models.latent_scale,
        )
        return sample(networks[0], clip, settings=settings, backward=next(iter(networks[1:]), None))


def _endpoints(
    models: Networks, settings: SampleSettings, *, pictures: tuple[Tensor, Tensor], draw: Noise
) -> tuple[Endpoint, Endpoint]:
    """Both endpoints, with one noise for the two of them; ViBiDSampler draws one for each."""
    shape = (1, *pictures[0].shape)
    one = draw(shape)
    own = Fusion.VIBID in (settings.fusion, settings.mpd_base if settings.fusion is Fusion.MPD else None)
    noises = (one, draw(shape) if own else one)
    with models.at_work(models.image_encoder, models.vae):
        first, last = (
            endpoint_of(
                models, picture[None].to(models.device, torch.float32), noise=noise * settings.noise_augmentation
            )
            for picture, noise in zip(pictures, noises, strict=True)
        )
    return first, last


def _check(left: Tensor, right: Tensor, conditions: Tensor | None, *, frames: int) -> None:
    shape = tuple(left.shape)
    if len(shape) != 3 or shape[0] != 3 or any(side % 8 or side < 16 for side in shape[1:]):
        raise EngineError(f"pictures must be (3, h, w) with h and w divisible by 8, not {shape}")
    if right.shape != left.shape:
        raise EngineError(f"left is {shape} and right is {tuple(right.shape)}: both must have one size")
    wanted = (frames, *shape)
    if conditions is not None and tuple(conditions.shape) != wanted:
        raise EngineError(f"conditions are {tuple(conditions.shape)}, and this clip needs {wanted}")
    if frames < 3:
        raise EngineError(f"a clip has at least 3 frames, not {frames}")
