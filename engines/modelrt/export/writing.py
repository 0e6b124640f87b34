"""`export_graph`: one graph into a folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from torch import nn

from modelrt.errors import ParityMissed
from modelrt.export.graph import ExportGraph
from modelrt.export.parity import TOLERANCES, NobodyRunsIt, measured, outputs_of
from modelrt.export.tracing import OPSETS, write
from modelrt.export.work import too_large
from modelrt.manifest import Manifest, ManifestTensor, Parity, file_of, manifest_path
from modelrt.options import Precision

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "codec-plugin")


class Verify(StrEnum):
    """Whether a graph is held against its module once it is written."""

    AUTO = "auto"
    """Where this machine can run it in reasonable time; else it is written as unverified."""
    ALWAYS = "always"
    """Whatever it takes."""
    NEVER = "never"
    """Not at all: it is written as unverified."""


def export_graph(
    graph: ExportGraph, folder: Path, *, verify: Verify = Verify.AUTO, say: Callable[[str], None] = lambda _line: None
) -> Manifest:
    """Writes a graph, its weights and its manifest into a folder, in place of an older one of that name.

    The manifest comes last: a graph without one is half written.

    Raises:
        ParityMissed: the graph gives other numbers than its module; it was deleted.
        ModelDamaged: the exporter wrote something that isn't ONNX; it was deleted.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder, prefix=f".{graph.stem}."))
    try:
        return _exported(graph, part, folder, verify=verify, say=say)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _exported(graph: ExportGraph, part: Path, folder: Path, *, verify: Verify, say: Callable[[str], None]) -> Manifest:
    say(f"{graph.stem}: making its network in {graph.precision}")
    module = graph.module(graph.precision)
    path = part / f"{graph.stem}.onnx"
    say(f"{graph.stem}: exporting")
    write(graph, module, path)
    reason = _why_not(graph, module, verify)
    if graph.precision is not Precision.FP32:
        del module  # the reference is another one, and both may not fit
        parity, reason = _held(graph, None, path, reason, say=say)
    else:
        parity, reason = _held(graph, module, path, reason, say=say)
    manifest = Manifest(
        model=graph.model,
        graph=path.name,
        files=tuple(file_of(file, folder=part) for file in sorted(part.iterdir())),
        inputs=tuple(
            ManifestTensor(name=name, dtype="float32", shape=tuple(tensor.shape))
            for name, tensor in graph.inputs.items()
        ),
        outputs=tuple(ManifestTensor(name=name, dtype="float32", shape=shape) for name, shape in _outputs(path)),
        precision=graph.precision,
        opset=OPSETS[graph.precision],
        weights_sha256=graph.weights_sha256,
        versions=_versions(),
        tolerance=TOLERANCES[graph.precision],
        reference=graph.reference,
        settings=graph.settings,
        parity=(parity,) if parity is not None else (),
        unverified=reason,
    )
    _publish(manifest, part, folder)
    say(f"{graph.stem}: {_told(manifest)}")
    return manifest


def _why_not(graph: ExportGraph, module: nn.Module, verify: Verify) -> str | None:
    """Why parity isn't measured here; None where it is."""
    if verify is Verify.NEVER:
        return "parity was not asked for"
    return too_large(module, graph.inputs) if verify is Verify.AUTO else None


def _held(
    graph: ExportGraph, module: nn.Module | None, path: Path, reason: str | None, *, say: Callable[[str], None]
) -> tuple[Parity | None, str | None]:
    """Parity, or the reason why there is none."""
    if reason is not None:
        return None, reason
    say(f"{graph.stem}: comparing with torch")
    wanted = outputs_of(module or graph.module(Precision.FP32), graph.inputs, names=graph.outputs)
    try:
        parity = measured(path, inputs=graph.inputs, wanted=wanted, precision=graph.precision)
    except NobodyRunsIt as error:
        return None, str(error)
    tolerance = TOLERANCES[graph.precision]
    if not parity.relative <= tolerance:
        raise ParityMissed(
            f"{graph.stem} on {parity.runtime} is {parity.relative:.1e} off torch, and {tolerance:.0e} is allowed in "
            f"{graph.precision}: it was deleted" + ("" if graph.precision is Precision.FP32 else "; export it in fp32")
        )
    return parity, None


def _outputs(path: Path) -> list[tuple[str, tuple[int | None, ...]]]:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return [
        (value.name, tuple(axis.dim_value or None for axis in value.type.tensor_type.shape.dim))
        for value in graph.output
    ]


def _publish(manifest: Manifest, part: Path, folder: Path) -> None:
    """Moves the files to their place; without a manifest there as long as they aren't all of one export."""
    manifest_path(folder / manifest.graph).unlink(missing_ok=True)
    for file in manifest.files:
        os.replace(part / file.name, folder / file.name)
    manifest.save(folder)


def _told(manifest: Manifest) -> str:
    size = sum(file.bytes for file in manifest.files)
    if manifest.parity:
        held = manifest.parity[0]
        return f"{size / 1e6:.1f} MB, {held.relative:.1e} off torch on {held.runtime}"
    return f"{size / 1e6:.1f} MB, unverified: {manifest.unverified}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
