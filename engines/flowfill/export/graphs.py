"""Turns the modules into ONNX graphs with any height and width and half-precision weights."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from modelrt import OnnxModel, Runtime, open_session

OPSET = 20
"""The newest that every runtime reads at full speed; GridSample came with 16."""

_PICTURE = {2: "height", 3: "width"}
_GRID = {2: "grid_height", 3: "grid_width"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One module, and what its inputs and outputs are called and look like."""

    name: str
    """The file's stem."""
    module: nn.Module
    """In evaluation mode."""
    inputs: Mapping[str, Tensor]
    """An example of each input, in the order of the module's forward."""
    outputs: Sequence[str]
    """The outputs' names, in order."""
    free: Mapping[str, Mapping[int, str]]
    """For each input and output the axes of any extent, with their names."""


def graphs(encoder: nn.Module, flow_net: nn.Module, merger: nn.Module) -> tuple[Graph, ...]:
    """The three graphs that ship: encoder, flow and merger."""
    random = torch.Generator().manual_seed(0)

    def example(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random)

    view, picture = (1, 7, 128, 192), (1, 3, 150, 200)
    return (
        Graph(
            name="encoder",
            module=encoder,
            inputs={"picture": example(1, 3, 128, 192)},
            outputs=("view",),
            free={"picture": _GRID, "view": _GRID},
        ),
        Graph(
            name="flow",
            module=flow_net,
            inputs={"left": example(*view), "right": example(*view), "position": example(1, 1, 1, 1)},
            outputs=("flow", "mask"),
            free={"left": _GRID, "right": _GRID, "flow": _GRID, "mask": _GRID},
        ),
        Graph(
            name="merger",
            module=merger,
            inputs={
                "left": example(*picture),
                "right": example(*picture),
                "flow": example(1, 4, 128, 192),
                "mask": example(1, 1, 128, 192),
                "position": example(1, 1, 1, 1),
            },
            outputs=("made", "evidence"),
            free={"left": _PICTURE, "right": _PICTURE, "flow": _GRID, "mask": _GRID} | {"made": _PICTURE},
        ),
    )


def exported(graph: Graph, *, half_weights: bool) -> bytes:
    """The ONNX bytes of a graph.

    The tracing exporter is used on purpose: torch.export's optimiser fails on this network's symbolic slices
    (torch 2.13). A traced constant where a size should be would be silent, so check with `largest_difference`
    at another size than the example's.
    """
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(directory) / f"{graph.name}.onnx"
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.free.items()},
        )
        model = onnx.load(path)
    if half_weights:
        _halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _halve_weights(model: onnx.ModelProto) -> None:
    """Stores weights as float16 with a cast beside each; runtimes fold the casts when they load the graph."""
    graph = model.graph
    casts = []
    for weight in [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim < 4:
            continue  # biases are small, and rounding them would shift whole channels
        stored = onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
        casts.append(onnx.helper.make_node("Cast", [stored.name], [weight.name], to=onnx.TensorProto.FLOAT))
        graph.initializer.remove(weight)
        graph.initializer.append(stored)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def largest_difference(graph: Graph, data: bytes) -> float:
    """The largest absolute difference of a graph in ONNX Runtime from its module, at twice the size."""

    def doubled(tensor: Tensor) -> Tensor:
        return tensor if tensor.shape[2] == 1 else tensor.repeat(1, 1, 2, 2)

    given = {name: doubled(tensor) for name, tensor in graph.inputs.items()}
    with open_session(OnnxModel(name=graph.name, data=data), runtime=Runtime.ONNXRUNTIME) as session:
        made = session.run({name: tensor.numpy() for name, tensor in given.items()})
    with torch.inference_mode():
        wanted = graph.module(*given.values())
    pairs = zip((made[name] for name in graph.outputs), wanted if isinstance(wanted, tuple) else (wanted,), strict=True)
    return max(float(np.abs(ours - theirs.numpy()).max()) for ours, theirs in pairs)
