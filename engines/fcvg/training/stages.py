"""The stages of training: what each learns from, what it minimises, and which weight files come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from fcvg.models import Models
from fcvg.nets.injection import standardised
from fcvg.pictures import embedded, encoded
from fcvg.sampling.control import pooling_of
from fcvg.sampling.schedule import timestep
from fcvg.sampling.settings import SampleSettings
from fcvg.tiny import FEATURE_EXTRACTOR
from fcvg.training.draws import Example, Frames, Stream, clip_at, patches_at
from fcvg.training.files import write_json, write_tensors
from fcvg.training.footage import Footage
from fcvg.training.latents import LatentStore
from fcvg.training.losses import reconstruction_loss, velocity_loss
from fcvg.training.networks import trained_parameters
from fcvg.training.options import TrainOptions
from fcvg.training.sizes import StageName
from fcvg.weights.layout import (
    ENCODER,
    FEATURE_EXTRACTOR_CONFIG,
    IMAGE_ENCODER,
    SCHEDULER_CONFIG,
    SVD_FOLDER,
    TUNED_UNET,
    UNET,
    VAE,
    Component,
)

_TOLD = SampleSettings()
"""What the network is told of rate, motion and noise: while it learns as when it is used."""
_LATENT_NOISE = 0.05  # of the latents' deviation: the decoder is to forgive small errors of the UNet
_SQUARES = 4  # of pictures, for each clip of a batch
_COUNTED = 32  # pictures that the latents' deviation is measured on


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every stage stands on."""

    models: Models
    """The networks, where they are trained."""
    options: TrainOptions
    """How."""
    training: Footage
    """What is learned from."""
    held_out: Footage
    """What only measures."""
    autocast: torch.dtype | None
    """What the networks compute in; None for float32."""


class Stage(Protocol):
    """One stage."""

    @property
    def name(self) -> StageName:
        """Which."""
        ...

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """What is trained, by name."""
        ...

    def example(self, number: int) -> Any:
        """What there is to learn from under a number. May be called in any thread."""
        ...

    def measured(self, number: int) -> Any:
        """Likewise of the held-out footage."""
        ...

    def loss(self, examples: Sequence[Any], *, learns: bool) -> Tensor:
        """The mean loss over examples."""
        ...

    def finish(self, folder: Path, *, trained: str) -> None:
        """Writes what was trained into a weights folder."""
        ...


class VaeStage:
    """The VAE learns to give pictures back, one by one: what its decoder could see of other frames stays out."""

    name = StageName.VAE

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.parameters = trained_parameters(ground.models, self.name, trains=ground.options.trained)

    def example(self, number: int) -> tuple[int, Frames]:
        """Squares of pictures."""
        ground = self._ground
        count = _SQUARES * ground.options.batch
        options, footage = ground.options, ground.training
        return number, patches_at(number, footage=footage, options=options, stream=Stream.VAE, count=count)

    def measured(self, number: int) -> tuple[int, Frames]:
        """Likewise."""
        options, footage = self._ground.options, self._ground.held_out
        return number, patches_at(number, footage=footage, options=options, stream=Stream.HELD_OUT, count=_SQUARES)

    def loss(self, examples: Sequence[tuple[int, Frames]], *, learns: bool) -> Tensor:
        """Of giving back, after a little noise on the latents while it learns."""
        models = self._ground.models
        pictures = torch.cat([_pictures(frames, models) for _, frames in examples]) * 2 - 1
        with _computing(self._ground):
            posterior = models.vae.encode(pictures).latent_dist
            latents = posterior.mode()
            if learns:
                drawn = torch.randn(latents.shape, generator=_generator(self._ground.options.seed, examples[0][0]))
                latents = latents + drawn.to(latents) * latents.detach().std() * _LATENT_NOISE
            made = models.vae.decode(latents, num_frames=1).sample
        return reconstruction_loss(made, pictures, posterior.kl().float())

    @torch.no_grad()
    def finish(self, folder: Path, *, trained: str) -> None:
        """Measures the latents' deviation, which the scaling factor takes away, and writes the VAE."""
        models, options = self._ground.models, self._ground.options
        count = _COUNTED
        frames = patches_at(0, footage=self._ground.training, options=options, stream=Stream.BASE, count=count)
        latents = encoded(models, _pictures(frames, models) * 2 - 1)
        models.vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 6))
        _write_network(VAE, models.vae, folder, trained=trained)


class ClipStage:
    """The UNet learns to take noise away from clips, without control or with."""

    def __init__(self, ground: Ground, name: StageName) -> None:
        self.name = name
        self._ground = ground
        self._controlled = name is StageName.FCVG
        self.parameters = trained_parameters(ground.models, name, trains=ground.options.trained)
        self._latents = LatentStore(ground.models, most_bytes=ground.options.cache_mb << 20)
        self._measured_latents = LatentStore(ground.models, most_bytes=ground.options.cache_mb << 18)
        if ground.options.checkpointing:
            ground.models.unet.enable_gradient_checkpointing()

    def example(self, number: int) -> Example:
        """A clip of the film."""
        stream = Stream.FCVG if self._controlled else Stream.BASE
        footage, options = self._ground.training, self._ground.options
        return clip_at(number, footage=footage, options=options, stream=stream, controlled=self._controlled)

    def measured(self, number: int) -> Example:
        """Likewise, at noise levels that are spread evenly."""
        footage, options = self._ground.held_out, self._ground.options
        return clip_at(
            number,
            footage=footage,
            options=options,
            stream=Stream.HELD_OUT,
            controlled=self._controlled,
            evenly=options.measured,
        )

    def loss(self, examples: Sequence[Example], *, learns: bool) -> Tensor:
        """The square error of v."""
        rows = [self._row(example, learns=learns) for example in examples]
        clean, noise, image, embedding = (torch.cat(parts) for parts in zip(*rows, strict=True))
        device = clean.device
        sigmas = torch.tensor([example.draw.sigma for example in examples], device=device)
        sigma = sigmas.reshape(-1, 1, 1, 1, 1)
        noisy = clean + sigma * noise
        shown = image[:, None].expand(-1, clean.shape[1], -1, -1, -1)
        inputs = torch.cat([noisy / (sigma**2 + 1).sqrt(), shown], dim=2)
        times = torch.tensor([timestep(example.draw.sigma) for example in examples], device=device)
        told = torch.tensor([[_TOLD.fps - 1, _TOLD.motion_bucket, _TOLD.noise_augmentation]], device=device)
        told = told.expand(len(examples), -1)
        with _computing(self._ground):
            control: dict[str, Tensor] = {}
            if self._controlled:
                seen = [float(not example.draw.is_blank) for example in examples]
                control["control"] = torch.cat([self._control(example) for example in examples])
                control["control_scale"] = torch.tensor(seen, device=device)
            predicted = self._ground.models.unet(inputs, times, embedding, told, **control)[0]
        return velocity_loss(predicted, clean, noisy, sigma)

    def finish(self, folder: Path, *, trained: str) -> None:
        """Writes what was trained: SVD's part of a weights folder, or FCVG's."""
        models = self._ground.models
        if self._controlled:
            # The file may be any part of the UNet, but not empty: where the UNet was left alone, one tensor of it.
            tuned = _of("unet", self.parameters) or dict(list(models.unet.state_dict().items())[:1])
            write_tensors(folder / TUNED_UNET, tuned, trained=trained)
            write_tensors(folder / ENCODER, models.encoder.state_dict(), trained=trained)
            return
        svd = folder / SVD_FOLDER
        _write_network(UNET, models.unet, folder, trained=trained)
        _write_network(IMAGE_ENCODER, models.image_encoder, folder, trained=trained)
        write_json(svd / SCHEDULER_CONFIG, models.scheduler_config)
        write_json(svd / FEATURE_EXTRACTOR_CONFIG, FEATURE_EXTRACTOR)
        write_json(svd / "model_index.json", {"_class_name": "StableVideoDiffusionPipeline"})

    def _row(self, example: Example, *, learns: bool) -> tuple[Tensor, ...]:
        """(1, frame, channel, h/8, w/8) clean latents and noise, the image's latent and its embedding."""
        models, draw = self._ground.models, example.draw
        store = self._latents if learns else self._measured_latents
        clean = store.latents(example)
        random = torch.Generator().manual_seed(draw.noise_seed)
        noise = torch.randn(clean.shape, generator=random).to(clean)
        image = _pictures(example.ends[-1 if draw.is_backward else 0][None], models)
        grain = torch.randn(image.shape, generator=random).to(image) * _TOLD.noise_augmentation
        with torch.no_grad():
            latent = encoded(models, image * 2 - 1 + grain)
        embedding = embedded(models, image)
        if draw.is_blank:
            latent, embedding = torch.zeros_like(latent), torch.zeros_like(embedding)
        return (clean.flip(0) if draw.is_backward else clean)[None], noise[None], latent, embedding

    def _control(self, example: Example) -> Tensor:
        """(frame, channel, ceil(h/16), ceil(w/16))."""
        models = self._ground.models
        lines = torch.from_numpy(example.lines).to(models.device)
        if example.draw.is_backward:
            lines = lines.flip(0)
        time = torch.tensor(timestep(example.draw.sigma), device=models.device)
        features = models.encoder(lines, time).float()
        return standardised(features, pooling_of(*lines.shape[-2:], like=features))


def make_stage(name: StageName, ground: Ground) -> Stage:
    """The stage of a name. What others train is frozen from here on."""
    return VaeStage(ground) if name is StageName.VAE else ClipStage(ground, name)


def _computing(ground: Ground) -> torch.autocast:
    kind = ground.autocast
    return torch.autocast(ground.models.device.type, dtype=kind or torch.bfloat16, enabled=kind is not None)


def _pictures(frames: Frames, models: Models) -> Tensor:
    """(picture, height, width, 3) in 8 bits to (picture, 3, height, width) in [0, 1], where the networks are."""
    return torch.tensor(frames).to(models.device).permute(0, 3, 1, 2).float().div(255).contiguous()


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def _of(network: str, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{network}/"
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def _write_network(component: Component, network: Any, folder: Path, *, trained: str) -> None:
    config = network.config if isinstance(network.config, dict) else network.config.to_dict()
    named = {"_class_name": component.class_names[0]} if component is not IMAGE_ENCODER else {}
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    svd = folder / SVD_FOLDER
    write_tensors(svd / component.name / f"{component.stem}.safetensors", network.state_dict(), trained=trained)
    write_json(component.config_in(svd), named | plain)
