"""Loads a checked weights folder into networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from codec_plugin.errors import EngineError
from fcvg.models import Models
from fcvg.weights.architectures import first_width, make_encoder, make_network, read_config
from fcvg.weights.check import Checked, check_weights, require
from fcvg.weights.layout import COMPONENTS, FEATURE_EXTRACTOR_CONFIG, UNET, VAE, lacks_consistency

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def load_weights(
    folder: Path,
    *,
    svd: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    offload: bool = False,
    tuned: bool = True,
    backward: bool = False,
    consistency: bool = False,
) -> Models:
    """Checks a weights folder, and loads it.

    Args:
        folder: as in `layout`.
        svd: as in `layout.find_svd`.
        device: where the networks are to run.
        dtype: what they compute in; the VAE stays in float32 where its configuration asks for it.
        offload: keep networks in the machine's own memory while they aren't at work.
        tuned: whether FCVG's fine-tuned tensors are laid over SVD's UNet; the other fusions were published without.
        backward: whether to load the second UNet, which only `gi` needs.
        consistency: whether to lay a consistency model's tensors over the UNet, last, as the profile `lcm` does.

    Raises:
        EngineError: something is missing or doesn't fit; the message names it.
    """
    checked = check_weights(folder, svd=svd)
    require(checked)
    return load_checked(
        checked, device=device, dtype=dtype, offload=offload, tuned=tuned, backward=backward, consistency=consistency
    )


def load_checked(
    checked: Checked,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    offload: bool = False,
    tuned: bool = True,
    backward: bool = False,
    consistency: bool = False,
) -> Models:
    """Loads a weights folder that was checked, and had no problem. Further args and raises as for `load_weights`."""
    if backward and "backward" not in checked.files:
        raise EngineError(
            f"the gi fusion needs a second UNet, unet_backward.safetensors, in {checked.report.folder}; "
            "choose another --fusion, or put it there"
        )
    if consistency and "lcm" not in checked.files:
        raise EngineError(lacks_consistency(checked.report.folder))
    home = "cpu" if offload else device
    networks: dict[str, Any] = {}
    for component in COMPONENTS:
        kind = network_dtype(checked, component.name, dtype)
        networks[component.name] = load_network(
            checked, component.name, device=home, dtype=kind, tuned=tuned, consistency=consistency
        )
    unet_config = checked.configs[UNET.name]
    encoder = load_network(checked, "encoder", device=home, dtype=dtype)
    second = None
    if backward:
        files = [checked.files[UNET.name].path, checked.files["backward"].path]
        second = filled(make_network(UNET, unet_config), files, device=home, dtype=dtype)
    return Models(
        unet=networks["unet"],
        encoder=encoder,
        vae=networks["vae"],
        image_encoder=networks["image_encoder"],
        scheduler_config=checked.configs["scheduler"],
        feature_extractor=feature_extractor(checked.svd / FEATURE_EXTRACTOR_CONFIG),
        unet_backward=second,
        device=torch.device(device),
        dtype=dtype,
        offload=offload,
    )


def network_dtype(checked: Checked, name: str, dtype: torch.dtype) -> torch.dtype:
    """What a network computes in where `dtype` is asked for: the VAE in float32 where its configuration says so."""
    upcast = name == VAE.name and checked.configs[VAE.name].get("force_upcast", True)
    return torch.float32 if upcast else dtype


def network_files(checked: Checked, name: str, *, tuned: bool = True, consistency: bool = False) -> list[Path]:
    """The weight files of one network, later ones laid over earlier ones. Args as for `load_network`."""
    files = [checked.files[name].path]
    if name == UNET.name and tuned:
        files.append(checked.files["tuned"].path)
    if name == UNET.name and consistency:
        files.append(checked.files["lcm"].path)
    return files


def load_network(
    checked: Checked,
    name: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype,
    tuned: bool = True,
    consistency: bool = False,
) -> Any:
    """Loads one network.

    Args:
        checked: a weights folder without problems.
        name: a component's, or "encoder" for the condition encoder.
        device: where it is to lie.
        dtype: what it computes in.
        tuned: as for `load_weights`.
        consistency: likewise.
    """
    if name == "encoder":
        network: nn.Module = make_encoder(first_width(checked.configs[UNET.name]))
    else:
        component = next(component for component in COMPONENTS if component.name == name)
        network = make_network(component, checked.configs[name])
    files = network_files(checked, name, tuned=tuned, consistency=consistency)
    return filled(network, files, device=device, dtype=dtype)


def filled(network: nn.Module, files: list[Path], *, device: torch.device | str, dtype: torch.dtype) -> Any:
    """A network from the "meta" device with the tensors of the files, later files over earlier ones.

    Each tensor is read once and goes straight to its type and place: no second copy of a network is ever in memory.
    """
    expected = network.state_dict()
    owner = {key: file for file in files for key in _keys(file) if key in expected}
    tensors = {}
    for file in files:
        for key, tensor in _tensors(file, [key for key, last in owner.items() if last == file]):
            tensors[key] = tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
    network.load_state_dict(tensors, strict=True, assign=True)
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:  # CLIP counts its positions in a buffer that no file holds
                counted = torch.arange(buffer.shape[-1], device=device, dtype=buffer.dtype).expand(buffer.shape)
                module.register_buffer(name, counted, persistent=False)
    return network.requires_grad_(False).eval()


def _keys(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _tensors(file: Path, keys: list[str]) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for key in keys:
                yield key, opened.get_tensor(key)
    except Exception as error:  # safetensors' own errors share no better base
        raise EngineError(f"{file}: its tensors can't be read ({error}); get the file again") from error


def feature_extractor(path: Path) -> Any:
    """How pictures are normalised for CLIP: the checkpoint's word, else CLIP's own numbers."""
    config = read_config(path) if path.is_file() else {}
    return SimpleNamespace(
        image_mean=config.get("image_mean", _CLIP_MEAN), image_std=config.get("image_std", _CLIP_STD)
    )
