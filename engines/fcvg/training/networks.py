"""The networks that are trained: made new, or read from weights; and which of their parameters a stage moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codec_plugin.errors import EngineError
from fcvg.models import Models
from fcvg.training.options import TrainOptions, Trains
from fcvg.training.sizes import MODELS, SCHEDULES, StageName
from fcvg.weights.architectures import first_width, make_encoder, make_network, read_config
from fcvg.weights.layout import (
    COMPONENTS,
    ENCODER,
    FEATURE_EXTRACTOR_CONFIG,
    IMAGE_ENCODER,
    SCHEDULER_CONFIG,
    SVD_FOLDER,
    TUNED_UNET,
    UNET,
    VAE,
    find_svd,
)
from fcvg.weights.load import feature_extractor, filled

_MADE_BY = {VAE.name: StageName.VAE, UNET.name: StageName.BASE, IMAGE_ENCODER.name: StageName.BASE}


def from_nothing(options: TrainOptions, *, folder: Path, done: frozenset[StageName]) -> Models:
    """A small model's networks: those whose stage is done from the folder that it wrote, the others new.

    Args:
        options: size and seed.
        folder: the weights folder of the run.
        done: stages that are over.
    """
    svd = folder / SVD_FOLDER
    made: dict[str, Any] = {}
    for number, component in enumerate(COMPONENTS):
        config = MODELS[options.size][component.name]
        if _MADE_BY[component.name] in done:
            config = read_config(component.config_in(svd))
            files = [component.weights_in(svd)]
            made[component.name] = _read(make_network(component, config), files)
        else:
            with _seeded(options.seed * 8 + number):
                made[component.name] = quieted(make_network(component, config, device="cpu"))
    with _seeded(options.seed * 8 + len(COMPONENTS)):
        encoder = make_encoder(first_width(MODELS[options.size][UNET.name]), device="cpu")
    return Models(
        unet=made[UNET.name],
        encoder=encoder,
        vae=made[VAE.name],
        image_encoder=made[IMAGE_ENCODER.name],
        scheduler_config=SCHEDULES[options.size],
        feature_extractor=feature_extractor(svd / FEATURE_EXTRACTOR_CONFIG),
    )


def from_weights(options: TrainOptions) -> Models:
    """Stable Video Diffusion's networks, and FCVG's own where the folder has them; else a new condition encoder.

    Raises:
        EngineError: a configuration or a file isn't what it should be.
    """
    folder = options.weights
    if folder is None:
        raise EngineError("training at size svd begins from public weights: name their folder")
    svd = find_svd(folder)
    made: dict[str, Any] = {}
    try:
        for component in COMPONENTS:
            files = [component.weights_in(svd)]
            if component is UNET and (folder / TUNED_UNET).is_file():
                files.append(folder / TUNED_UNET)
            config = read_config(component.config_in(svd))
            made[component.name] = _read(make_network(component, config), files)
        scheduler = read_config(svd / SCHEDULER_CONFIG)
    except (ValueError, RuntimeError) as error:
        raise EngineError(
            f"the weights in {folder} can't be trained: {error}; `codec-plugin weights check {folder}` says everything"
        ) from error
    width = first_width(made[UNET.name].config)
    if (folder / ENCODER).is_file():
        encoder = _read(make_encoder(width), [folder / ENCODER])
    else:
        with _seeded(options.seed * 8 + len(COMPONENTS)):
            encoder = make_encoder(width, device="cpu")
    return Models(
        unet=made[UNET.name],
        encoder=encoder,
        vae=made[VAE.name],
        image_encoder=made[IMAGE_ENCODER.name],
        scheduler_config=scheduler,
        feature_extractor=feature_extractor(svd / FEATURE_EXTRACTOR_CONFIG),
    )


def quieted(network: nn.Module) -> nn.Module:
    """A new network whose residual branches add nothing yet: it begins as little more than its linear path.

    Goyal et al., arXiv 1706.02677, section 5.1, do so with residual networks; it makes short training much better.
    """
    for name, module in network.named_modules():
        kind = type(module).__name__
        silent: list[Any] = []
        if kind in ("ResnetBlock2D", "TemporalResnetBlock"):
            silent = [module.conv2]
        elif kind == "TransformerSpatioTemporalModel":
            silent = [module.proj_out]
        elif name.endswith("mid_block.attentions.0") and kind == "Attention":
            silent = [module.to_out[0]]
        elif name == "decoder.time_conv_out":
            nn.init.dirac_(module.weight)  # each frame as it is
            nn.init.zeros_(module.bias)
        if kind == "TemporalResnetBlock" and module.time_emb_proj is None:
            with torch.no_grad():  # the VAE's: it learns from single pictures, and is to make nothing of others
                module.conv1.weight[:, :, [0, 2]] = 0
        for layer in silent:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def trained_parameters(models: Models, stage: StageName, *, trains: Trains) -> dict[str, Tensor]:
    """What a stage moves, by name: the network's, a stroke, and the parameter's own. All else is frozen."""
    for network in (models.unet, models.encoder, models.vae, models.image_encoder):
        network.requires_grad_(False)
    if stage is StageName.VAE:
        chosen = _named("vae", models.vae)
    elif stage is StageName.BASE:
        chosen = _named("unet", models.unet) | _named("image_encoder", models.image_encoder)
    else:
        chosen = _named("encoder", models.encoder) | {
            name: parameter for name, parameter in _named("unet", models.unet).items() if _is_tuned(name, trains)
        }
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def _read(network: nn.Module, files: list[Path]) -> Any:
    """A network with the numbers of files, in memory of its own.

    As they are read, tensors lie where the file has them, and torch's kernels sum up in another order there: a resumed
    run would differ from an unbroken one in its last bits.
    """
    read = filled(network, files, device="cpu", dtype=torch.float32)
    for tensor in (*read.parameters(), *read.buffers()):
        tensor.data = tensor.detach().clone()
    return read


def _named(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": parameter for name, parameter in network.named_parameters()}


def _is_tuned(name: str, trains: Trains) -> bool:
    if trains is Trains.ATTENTION:
        return ".attn1." in name or ".attn2." in name
    if trains is Trains.TEMPORAL:
        return "temporal" in name or "time_mixer" in name
    return trains is Trains.UNET


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """A stretch in which torch's own random numbers, which layers are filled with, come from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
