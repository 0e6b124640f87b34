"""`cases`: what the network of an exported graph makes of the inputs that the graph was exported with.

`modelrt.parity` finds it under "fcvg": `codec-plugin build --verify` holds graphs against it where they are to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fcvg.export.making import export_graphs
from fcvg.export.shape import ExportShape, GraphName
from fcvg.weights.check import check_weights, require
from fcvg.weights.layout import default_folder
from modelrt.errors import ModelUnverified
from modelrt.export.parity import outputs_of
from modelrt.manifest import Manifest
from modelrt.options import Precision
from modelrt.parity import Case


def cases(manifest: Manifest, *, folder: Path, weights: Path | None) -> Iterator[Case]:
    """One case: inputs drawn from a fixed seed, and what torch makes of them in float32.

    Args:
        manifest: the graph's.
        folder: where it lies; not needed.
        weights: the weights folder; None for the default one.

    Raises:
        ModelUnverified: the weights are others than those that the graph was exported from.
        EngineError: the weights can't be used.
    """
    told = manifest.settings
    checked = check_weights(weights or default_folder())
    require(checked)
    frames = int(told.get("frames", 9))
    shape = ExportShape(
        size=(int(told.get("width", 64)), int(told.get("height", 64))),
        frames=max(frames, 3),
        batch=int(told.get("batch", 2)),
        decode_chunk=frames,  # a decoder's frames are those of its chunk
    )
    made = export_graphs(
        checked,
        [shape],
        names=[GraphName(manifest.model)],
        precision=manifest.precision,
        tuned=told.get("tuned") != "no",
    )
    for graph in made:
        if f"{graph.stem}.onnx" != manifest.graph:
            continue
        if graph.weights_sha256 != manifest.weights_sha256:
            raise ModelUnverified(
                f"{manifest.graph} was exported from other weights than those in {checked.report.folder}; "
                "name its own with --weights, or export it again"
            )
        wanted = outputs_of(graph.module(Precision.FP32), graph.inputs, names=graph.outputs)
        yield Case(inputs={name: tensor.numpy() for name, tensor in graph.inputs.items()}, wanted=wanted)
