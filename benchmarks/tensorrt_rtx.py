"""Parses and builds a graph ahead of time with TensorRT for RTX, on a machine without a GPU.

    python -m benchmarks tensorrt-rtx MODEL.onnx --headers DIR

The library comes from the wheel `onnxruntime-ep-nv-tensorrt-rtx-cu13`, its headers from NVIDIA's open repository
TensorRT (the folder `include`); a small program of ours is compiled against them. Opt-in: neither belongs to this
project. What it proves is that TensorRT's parser and builder take the graph; no engine is run, and nothing is said
about speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path

from benchmarks.machine import Machine, this_machine
from benchmarks.results import RESULTS
from modelrt import OnnxModel

RESULT = RESULTS / "tensorrt_rtx.json"
"""Where the rows lie, one for each graph."""
_SOURCE = Path(__file__).parent / "native" / "parse_and_build.cpp"
_PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
_LIBRARIES = ("libtensorrt_rtx", "libtensorrt_onnxparser_rtx")
_OPAQUE = "typedef struct CUstream_st* cudaStream_t;\ntypedef struct CUevent_st* cudaEvent_t;\n"
"""All that TensorRT's headers take from CUDA's, which need not be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtxRow:
    """One graph, built."""

    model: str
    """The file's name."""
    model_bytes: int
    """Graph and external data."""
    sha256: str
    """Over all of it."""
    precision: str
    """What most weights are used in."""
    shapes: str
    """Those that were fixed for it; empty where the graph's own are."""
    note: str
    """What a reader must know: of what weights it is; empty for the published ones."""
    library_version: str
    """TensorRT for RTX."""
    layers: int
    """Of the parsed network."""
    parse_s: float
    """Wall time in seconds."""
    build_s: float
    """Wall time in seconds."""
    engine_bytes: int
    """The engine's size."""
    peak_rss_bytes: int
    """The most memory that the process held."""
    machine: Machine
    """Where."""


class CannotBuild(RuntimeError):
    """Something that this needs isn't there, or the graph was refused; the message says what."""


def measure_rtx(model: Path, *, headers: Path, library: Path | None, shapes: tuple[str, ...], note: str = "") -> RtxRow:
    """Compiles the program, and has it parse and build one graph.

    Args:
        model: an ONNX file, with its external data beside it.
        headers: the folder that holds NvInfer.h.
        library: the folder that holds the libraries; None for the installed wheel's.
        shapes: NAME=1x3x64x64 for every input of any shape.
        note: what a reader must know.

    Raises:
        CannotBuild: a compiler, header or library is missing, or the graph is refused.
    """
    graph = OnnxModel.from_file(model)
    with tempfile.TemporaryDirectory() as scratch:
        program = _compiled(headers, Path(scratch))
        with _linked(library or _installed(), Path(scratch)) as folder:
            words = [str(program), str(model), str(Path(scratch) / "engine"), *shapes]
            ran = subprocess.run(
                words,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
            )
        if ran.returncode != 0:
            raise CannotBuild(f"{model.name} wasn't built (status {ran.returncode}): {ran.stderr.strip()[-2000:]}")
    said = json.loads(ran.stdout)
    return RtxRow(
        model=model.name,
        model_bytes=graph.size_bytes,
        sha256=graph.digest,
        precision=str(graph.written_in),
        shapes=" ".join(shapes),
        note=note,
        library_version=said["library_version"],
        layers=said["layers"],
        parse_s=said["parse_s"],
        build_s=said["build_s"],
        engine_bytes=said["engine_bytes"],
        peak_rss_bytes=said["peak_rss_bytes"],
        machine=this_machine(),
    )


def save_rtx(row: RtxRow, path: Path) -> None:
    """Adds a row to the file, in place of an older one of the same graph."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    same = (row.model, row.precision, row.shapes)
    kept = [old for old in rows if (old["model"], old["precision"], old["shapes"]) != same]
    beside = path.with_name(path.name + ".part")
    document = {
        "command": "python -m benchmarks tensorrt-rtx MODEL.onnx --headers DIR",
        "rows": [*kept, asdict(row)],
    }
    beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _compiled(headers: Path, scratch: Path) -> Path:
    if not (headers / "NvInfer.h").exists() or not (headers / "NvOnnxParser.h").exists():
        raise CannotBuild(
            f"{headers} holds no NvInfer.h and NvOnnxParser.h: name the folder include of NVIDIA's TensorRT"
        )
    (scratch / "cuda_runtime_api.h").write_text(_OPAQUE)
    program = scratch / "parse_and_build"
    words = ["-std=c++17", "-O1", "-isystem", str(headers), "-isystem", str(scratch), str(_SOURCE), "-o", str(program)]
    try:
        ran = subprocess.run(
            [os.environ.get("CXX", "g++"), *words, "-ldl"], capture_output=True, text=True, check=False, timeout=300
        )
    except OSError as error:
        raise CannotBuild(f"no C++ compiler ({error}): install g++, or name yours in CXX") from error
    if ran.returncode != 0:
        raise CannotBuild(f"the program doesn't compile against {headers}: {ran.stderr.strip()[-2000:]}")
    return program


def _installed() -> Path:
    """The wheel's folder; it isn't imported, for that would write into it."""
    spec = util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise CannotBuild(
            "install the library: pip install onnxruntime-ep-nv-tensorrt-rtx-cu13, or name it with --library"
        )
    return Path(spec.origin).parent


@contextmanager
def _linked(library: Path, scratch: Path) -> Iterator[Path]:
    """A folder with the names under which the libraries look for each other."""
    folder = scratch / "libraries"
    folder.mkdir()
    for name in _LIBRARIES:
        found = sorted(library.glob(f"{name}.so.*"), key=lambda path: len(path.name))
        if not found:
            raise CannotBuild(f"{library} holds no {name}.so: name the folder of TensorRT for RTX with --library")
        for link in (f"{name}.so", f"{name}.so.1"):
            (folder / link).symlink_to(found[-1].absolute())
    yield folder
