"""A weights folder as `ExportGraph`s: each network read when its graph is made, and no sooner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from fcvg.export.graphs import CONTEXTS, ConditionGraph, DecoderGraph, EmbeddingGraph, LatentGraph, UNetGraph
from fcvg.export.shape import ExportShape, GraphName, stem_of
from fcvg.pictures import CLIP_SIDE
from fcvg.sampling.control import pooling_of
from fcvg.weights.architectures import first_width
from fcvg.weights.check import Checked
from fcvg.weights.layout import IMAGE_ENCODER, UNET, VAE
from fcvg.weights.load import load_network, network_dtype, network_files
from modelrt.export.graph import DTYPES, ExportGraph
from modelrt.manifest import file_sha256
from modelrt.options import Precision

REFERENCE = "fcvg"
"""What the manifests call who can make the networks again."""
_NETWORKS = {
    GraphName.UNET: UNET.name,
    GraphName.CONDITION: "encoder",
    GraphName.VAE_ENCODER: VAE.name,
    GraphName.VAE_DECODER: VAE.name,
    GraphName.IMAGE_ENCODER: IMAGE_ENCODER.name,
}
_PRECISIONS = {dtype: precision for precision, dtype in DTYPES.items()}
_TIMESTEP = 0.3  # of a sigma of about 3, in the middle of the schedule


def export_graphs(
    checked: Checked,
    shapes: Sequence[ExportShape],
    *,
    names: Sequence[GraphName],
    precision: Precision,
    tuned: bool = True,
) -> Iterator[ExportGraph]:
    """The graphs that clips of some shapes take, each once.

    Args:
        checked: a weights folder without problems.
        shapes: of the clips.
        names: which graphs.
        precision: what they compute in; the VAE's in float32 where its configuration asks for that.
        tuned: whether FCVG's fine-tuned tensors are laid over SVD's UNet.
    """
    done = set()
    for name in names:
        dtype = network_dtype(checked, _NETWORKS[name], DTYPES[precision])
        digest = weights_digest(checked, name, tuned=tuned)
        for shape in shapes:
            for settings in shape.settings(name):
                stem = stem_of(name, settings, precision=_PRECISIONS[dtype])
                if stem in done:
                    continue
                done.add(stem)
                frames = int(settings.get("frames", 1))
                inputs, outputs = tensors_of(name, checked.configs, shape, frames=frames)
                yield ExportGraph(
                    model=str(name),
                    stem=stem,
                    build=_builder(checked, name, shape, frames=frames, tuned=tuned),
                    inputs=inputs,
                    outputs=outputs,
                    precision=_PRECISIONS[dtype],
                    exact=frozenset({"timestep"}),
                    weights_sha256=digest,
                    settings=MappingProxyType({"engine": "fcvg", "tuned": "yes" if tuned else "no", **settings}),
                    reference=REFERENCE,
                )


def weights_digest(checked: Checked, name: GraphName, *, tuned: bool = True) -> str:
    """SHA-256 over the digests of the weight files that a graph is made from, in hex."""
    files = network_files(checked, _NETWORKS[name], tuned=tuned)
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()


def _builder(
    checked: Checked, name: GraphName, shape: ExportShape, *, frames: int, tuned: bool
) -> Callable[[Precision], nn.Module]:
    def build(precision: Precision) -> nn.Module:
        network = load_network(checked, _NETWORKS[name], dtype=DTYPES[precision], tuned=tuned)
        return module_of(name, network, size=shape.size, frames=frames, dtype=DTYPES[precision])

    return build


def module_of(
    name: GraphName, network: nn.Module, *, size: tuple[int, int], frames: int, dtype: torch.dtype
) -> nn.Module:
    """The module that a network is exported as."""
    if name is GraphName.UNET:
        return UNetGraph(network)
    if name is GraphName.CONDITION:
        pooling = pooling_of(size[1], size[0], like=torch.empty(0, dtype=dtype))
        return ConditionGraph(network, pooling)
    if name is GraphName.VAE_ENCODER:
        return LatentGraph(network)
    return DecoderGraph(network, frames=frames) if name is GraphName.VAE_DECODER else EmbeddingGraph(network)


def tensors_of(
    name: GraphName, configs: Mapping[str, Any], shape: ExportShape, *, frames: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Example inputs, of the size that they have in a clip, and the outputs' names."""
    random = torch.Generator().manual_seed(0)
    (width, height), unet = shape.size, configs[UNET.name]
    rows, columns = height // 8, width // 8

    def normal(*extents: int) -> Tensor:
        return torch.randn(extents, generator=random)

    if name is GraphName.IMAGE_ENCODER:
        return {"picture": normal(1, 3, CLIP_SIDE, CLIP_SIDE)}, ("embedded",)
    if name is GraphName.VAE_ENCODER:
        return {"picture": normal(1, 3, height, width).clamp(-1, 1)}, ("latent",)
    if name is GraphName.VAE_DECODER:
        return {"latents": normal(frames, 4, rows, columns)}, ("pictures",)
    time = torch.tensor([_TIMESTEP])
    if name is GraphName.CONDITION:
        return {"pictures": normal(frames, 3, height, width).clamp(0, 1), "timestep": time}, ("control",)
    batch, width_in = shape.batch, int(unet.get("cross_attention_dim", 1024))
    picks = torch.zeros(batch, 1, CONTEXTS)
    picks[torch.arange(batch), 0, torch.arange(batch) % CONTEXTS] = 1
    return {
        "sample": normal(batch, frames, 8, rows, columns),
        "timestep": time,
        "picks": picks,
        "embeddings": normal(CONTEXTS, width_in),
        "told": torch.tensor([[6, 127, 0.02]]).repeat(batch, 1),
        "control": normal(batch * frames, first_width(unet), -(-rows // 2), -(-columns // 2)),
        "control_scale": (torch.arange(batch) % 2).float(),
    }, ("v",)
