"""UNets of FCVG's architecture with random weights, as graphs: of SVD-XT's full size, and a middling one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.fcvg_variants import configurations
from fcvg.export.making import module_of, tensors_of
from fcvg.export.shape import ExportShape, GraphName, stem_of
from fcvg.nets.unet import ControlledUNet
from modelrt.export.graph import DTYPES, ExportGraph
from modelrt.options import Precision

MIDDLING: Mapping[str, Any] = {
    "block_out_channels": (64, 128, 256, 256),
    "num_attention_heads": (2, 4, 8, 8),
    "cross_attention_dim": 64,
    "num_frames": 9,
}
"""59.9 million parameters in SVD's own structure."""
MIDDLING_SHAPE = ExportShape(size=(448, 256), frames=9, batch=1)
"""32x56 latents, one row."""


def full_size() -> Mapping[str, Any]:
    """SVD-XT's configuration: 1.52 billion parameters."""
    return {"block_out_channels": (320, 640, 1280, 1280), **configurations(tiny=False)[0]}


def random_unet(config: Mapping[str, Any], precision: Precision) -> ControlledUNet:
    """A network made without memory and then filled tensor by tensor, in its type: none lies there twice.

    Args:
        config: as diffusers takes it.
        precision: of the weights.
    """
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        network = ControlledUNet(**config).to("meta")
    made = {}
    for name, shape in ((name, tensor.shape) for name, tensor in network.state_dict().items()):
        values = torch.empty(shape, dtype=DTYPES[precision])
        if len(shape) > 1:
            bound = (3 / max(1, shape[1:].numel())) ** 0.5  # keeps signals as large as they are
            values.uniform_(-bound, bound, generator=random)
        else:
            values.uniform_(-0.1, 0.1, generator=random)
            values += float(name.endswith("weight"))
        made[name] = values
    network.load_state_dict(made, strict=True, assign=True)
    filled: ControlledUNet = network.requires_grad_(False).eval()
    return filled


def unet_graph(config: Mapping[str, Any], shape: ExportShape, precision: Precision) -> ExportGraph:
    """A random UNet as a graph."""
    (settings,) = shape.settings(GraphName.UNET)
    inputs, outputs = tensors_of(GraphName.UNET, {"unet": config}, shape, frames=shape.frames)
    return ExportGraph(
        model=str(GraphName.UNET),
        stem=stem_of(GraphName.UNET, settings, precision=precision),
        build=_builder(config, shape),
        inputs=inputs,
        outputs=outputs,
        precision=precision,
        exact=frozenset({"timestep"}),
        weights_sha256="random, seed 0",
        settings={"engine": "none", **settings},
    )


def _builder(config: Mapping[str, Any], shape: ExportShape) -> Callable[[Precision], nn.Module]:
    def build(precision: Precision) -> nn.Module:
        network = random_unet(config, precision)
        return module_of(GraphName.UNET, network, size=shape.size, frames=shape.frames, dtype=DTYPES[precision])

    return build
