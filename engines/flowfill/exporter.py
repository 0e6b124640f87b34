"""`RifeExporter`: RIFE's networks as `codec-plugin export` sees them. Imports torch once there is work."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from codec_plugin.errors import EngineError, OptionError
from codec_plugin.exports import ExportCheck, ExportedGraph, ExportPrecision, ExportRequest

if TYPE_CHECKING:
    from flowfill.export.graphs import Graph
    from modelrt import Parity

GRAPHS = ("encoder", "flow", "merger")
"""RIFE's graphs."""
TOLERANCE = 1e-2
"""Largest difference between a graph and its module in fp32, in pixels of flow and in logits. On random pictures
single pixels of flow are ill-conditioned; a constant traced in place of a size is off by whole pixels."""
RELATIVE = 1e-4
"""Likewise, in the Euclidean norm over all places, of the norm of what the module gives."""
_PACKAGES = ("torch", "onnx", "onnxruntime")


class RifeExporter:
    """See `codec_plugin.exports.GraphExporter`."""

    def check(self, request: ExportRequest) -> None:
        """Weights, packages and names of graphs.

        Raises:
            EngineError: the weights or a package are missing.
            OptionError: something is asked for that RIFE's graphs, which take pictures of any size, don't have.
        """
        unknown = [name for name in request.graphs if name not in GRAPHS]
        if unknown:
            raise OptionError(f"rife has no graph {unknown[0]!r}; it has: {', '.join(GRAPHS)}")
        if request.size or request.frames or request.batch or request.decode_chunk:
            raise OptionError(
                "rife's graphs take pictures of any size; size, frames, batch and decode-chunk are fcvg's"
            )
        if request.precision is ExportPrecision.BF16:
            raise OptionError("rife's weights are kept in fp32 or fp16; what it computes in is said when it runs")
        if request.weights is None:
            raise EngineError(
                "rife's weights: give --weights FILE, the flownet.pkl of RIFE 4.25 or another five-block one"
            )
        if not request.weights.is_file():
            raise EngineError(f"rife's weights: there is no file {request.weights}")
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise EngineError(
                f"exporting needs {' and '.join(missing)}, which isn't installed: pip install 'codec-plugin[export]'"
            )

    def export(self, request: ExportRequest, *, say: Callable[[str], None]) -> tuple[ExportedGraph, ...]:
        """Writes the graphs.

        Raises:
            EngineError: the weights aren't RIFE's, a graph gives other numbers than its module, or it can't be
                written.
        """
        from flowfill.export.graphs import graphs
        from flowfill.export.ifnet import Merger
        from flowfill.export.weights import load_networks

        assert request.weights is not None
        try:
            encoder, flow_net = load_networks(request.weights)
        except Exception as error:  # torch.load raises whatever comes of a file that isn't its own
            raise EngineError(f"rife's weights can't be read: {error}") from error
        digest = hashlib.sha256(request.weights.read_bytes()).hexdigest()
        done = []
        for graph in graphs(encoder, flow_net, Merger()):
            if request.graphs and graph.name not in request.graphs:
                continue
            say(f"{graph.name}: exporting")
            try:
                done.append(_written(graph, request, weights_sha256=digest, say=say))
            except OSError as error:
                raise EngineError(f"{request.folder} can't be written ({error.strerror or error})") from error
        return tuple(done)


def _written(graph: Graph, request: ExportRequest, *, weights_sha256: str, say: Callable[[str], None]) -> ExportedGraph:
    from flowfill.export.graphs import OPSET, exported
    from modelrt import Manifest, ManifestTensor, Precision, file_of, manifest_path

    parity = None
    if request.check is not ExportCheck.NEVER:
        say(f"{graph.name}: comparing with torch")
        parity = _parity(graph)
    data = exported(graph, half_weights=request.precision is ExportPrecision.FP16)
    path = request.folder / f"{graph.name}.onnx"
    _replace(path, data, before=manifest_path(path))
    manifest = Manifest(
        model=graph.name,
        graph=path.name,
        files=(file_of(path, folder=request.folder),),
        inputs=tuple(
            ManifestTensor(name=name, dtype="float32", shape=_shape(tuple(tensor.shape), graph.free.get(name, {})))
            for name, tensor in graph.inputs.items()
        ),
        outputs=tuple(ManifestTensor(name=name, dtype="float32", shape=(None,) * 4) for name in graph.outputs),
        precision=Precision.FP32,
        opset=OPSET,
        weights_sha256=weights_sha256,
        versions={name: metadata.version(name) for name in _PACKAGES},
        tolerance=RELATIVE,
        settings={"engine": "rife", "weights kept in": str(request.precision)},
        parity=(parity,) if parity else (),
        unverified=None if parity else "parity was not asked for",
    )
    manifest.save(request.folder)
    say(f"{graph.name}: {len(data) / 1e6:.1f} MB" + (f", {parity.relative:.1e} off torch in fp32" if parity else ""))
    return ExportedGraph(path=path, bytes=len(data), unverified=manifest.unverified)


def _parity(graph: Graph) -> Parity:
    """How near the graph in fp32 comes to its module.

    Raises:
        EngineError: not near enough.
    """
    from flowfill.export.graphs import exported, largest_difference
    from modelrt import Precision
    from modelrt.export.parity import measured, outputs_of

    data = exported(graph, half_weights=False)
    furthest = largest_difference(graph, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{graph.name}.onnx"
        path.write_bytes(data)
        wanted = outputs_of(graph.module, graph.inputs, names=graph.outputs)
        parity = measured(path, inputs=graph.inputs, wanted=wanted, precision=Precision.FP32)
    if not (furthest < TOLERANCE and parity.relative <= RELATIVE):
        raise EngineError(
            f"{graph.name} is {parity.relative:.1e} off torch, and at one place by {furthest:g}; {RELATIVE:g} and "
            f"{TOLERANCE:g} are allowed: nothing was written"
        )
    return parity


def _shape(example: tuple[int, ...], free: object) -> tuple[int | None, ...]:
    return tuple(None if isinstance(free, dict) and axis in free else extent for axis, extent in enumerate(example))


def _replace(path: Path, data: bytes, *, before: Path) -> None:
    """Writes a graph whole, its old manifest taken away first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(data)
        before.unlink(missing_ok=True)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
