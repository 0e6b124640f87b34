"""From a module to a file: torch's exporter, and ONNX's own check of what it wrote."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from modelrt.errors import ModelDamaged
from modelrt.export.graph import ExportGraph
from modelrt.export.work import weight_bytes
from modelrt.options import Precision

OPSETS = {Precision.FP32: 20, Precision.FP16: 20, Precision.BF16: 22}
"""20 is the newest that every runtime reads at full speed (23 is slower on CPUs), but only 22 has convolutions in
bfloat16."""
EXTERNAL_ABOVE = 1_800_000_000
"""Bytes of weights from which they lie in a file of their own: a protobuf message ends at 2 GiB, graph included."""


def write(graph: ExportGraph, module: nn.Module, path: Path) -> None:
    """Writes a module's graph, with the weights inside or, where they are too large for that, beside it.

    Raises:
        ModelDamaged: what the exporter wrote doesn't pass ONNX's check.
    """
    with _silent(), torch.no_grad():
        program = torch.onnx.export(
            module,
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=OPSETS[graph.precision],
            input_names=list(graph.inputs),
            verbose=False,
        )
    assert program is not None
    _name_outputs(program.model.graph, graph.outputs)
    external = weight_bytes(module) > EXTERNAL_ABOVE
    program.save(str(path), external_data=external)
    try:
        # By path, as only so may the weights lie beside it. Shape inference copies the whole model.
        onnx.checker.check_model(str(path), full_check=not external)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelDamaged(f"{graph.stem}: torch's exporter wrote a graph that ONNX refuses: {error}") from error


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Names the outputs. The exporter's own naming makes two values of one name where an operation is called so."""
    for node in graph.all_nodes():
        for value in node.outputs:
            if value.name in names:
                value.name = f"{value.name}.within"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps the exporter from telling that torchvision isn't there, and what will change in its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
