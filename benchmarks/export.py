"""Exports the full-size UNet with random weights: what it takes in seconds and memory, and what comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine, this_machine

LIMIT_BYTES = 24_000_000_000
"""The memory that it must do with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One export, in a process of its own."""

    graph: str
    """The .onnx file."""
    precision: str
    """What it computes in."""
    parameters: int
    """Numbers in the network."""
    graph_bytes: int
    """The .onnx file's size."""
    data_bytes: int
    """The weights', where they lie beside it."""
    wall_s: float
    """From the network's making to its manifest."""
    cpu_s: float
    """Likewise, of the processor."""
    peak_bytes: int
    """The most memory that the process had."""
    unverified: str | None
    """Why its numbers weren't compared here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """One run of `python -m benchmarks export`."""

    command: str
    """What was typed."""
    machine: Machine
    """Where."""
    rows: tuple[ExportRow, ...]
    """What came out."""


def measure_export(
    *, precision: str, size: tuple[int, int], frames: int, batch: int, tell: Callable[[str], None]
) -> ExportRow:
    """Exports in a process of its own, so that its peak of memory is the export's.

    Args:
        precision: fp16, bf16 or fp32.
        size: (width, height) of the pictures.
        frames: of a clip.
        batch: rows.
        tell: told what goes on.
    """
    told = {"precision": precision, "size": size, "frames": frames, "batch": batch}
    with tempfile.TemporaryDirectory() as folder:
        tell(f"exporting {told}")
        command = [sys.executable, "-m", "benchmarks.export", json.dumps({**told, "folder": folder})]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True, timeout=3600)
    return ExportRow(**json.loads(ran.stdout.splitlines()[-1]))


def save_export(result: ExportResult, path: Path) -> None:
    """Writes a result whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def export_result(rows: tuple[ExportRow, ...], *, command: str) -> ExportResult:
    """The rows with where they were measured."""
    return ExportResult(command=command, machine=this_machine(), rows=rows)


def _exported(told: dict[str, Any]) -> ExportRow:
    import resource
    import time

    from benchmarks.random_unet import full_size, unet_graph
    from fcvg.export.shape import ExportShape
    from modelrt.export.work import parameters
    from modelrt.export.writing import export_graph
    from modelrt.options import Precision

    shape = ExportShape(size=tuple(told["size"]), frames=told["frames"], batch=told["batch"])
    graph = unet_graph(full_size(), shape, Precision(told["precision"]))
    wall, cpu = time.perf_counter(), time.process_time()
    folder = Path(told["folder"])
    manifest = export_graph(graph, folder, say=lambda line: print(line, file=sys.stderr, flush=True))
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    sizes = {file.name: file.bytes for file in manifest.files}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return ExportRow(
        graph=manifest.graph,
        precision=manifest.precision,
        parameters=_parameters(parameters),
        graph_bytes=sizes.pop(manifest.graph),
        data_bytes=sum(sizes.values()),
        wall_s=round(wall_s, 1),
        cpu_s=round(cpu_s, 1),
        peak_bytes=peak if sys.platform == "darwin" else peak * 1024,
        unverified=manifest.unverified,
    )


def _parameters(count: Callable[[Any], int]) -> int:
    import torch

    from benchmarks.random_unet import full_size
    from fcvg.nets.unet import ControlledUNet

    with torch.device("meta"):
        return count(ControlledUNet(**full_size()))


if __name__ == "__main__":
    print(json.dumps(asdict(_exported(json.loads(sys.argv[1])))))
