"""The opt-in build with TensorRT for RTX: what is missing is named, and results keep one row a graph."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cv2", reason="OpenCV, whose version every result names, is not installed")

from benchmarks.machine import this_machine
from benchmarks.tensorrt_rtx import CannotBuild, RtxRow, measure_rtx, save_rtx
from tests.modelrt.test_parity import SMALL

ROW = RtxRow(
    model="unet.onnx",
    model_bytes=1,
    sha256="00",
    precision="fp16",
    shapes="",
    note="",
    library_version="1.7.1",
    layers=3,
    parse_s=0.1,
    build_s=1.0,
    engine_bytes=5,
    peak_rss_bytes=6,
    machine=this_machine(),
)


def test_headers_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match=r"holds no NvInfer\.h"):
        measure_rtx(SMALL, headers=tmp_path, library=None, shapes=())


def test_headers_that_do_not_compile_are_named(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    for name in ("NvInfer.h", "NvOnnxParser.h"):
        (tmp_path / name).write_text("#error of another project\n")

    with pytest.raises(CannotBuild, match=r"doesn't compile against .*"):
        measure_rtx(SMALL, headers=tmp_path, library=None, shapes=())


def test_a_graph_has_one_row(tmp_path: Path) -> None:
    path = tmp_path / "tensorrt_rtx.json"
    save_rtx(ROW, path)
    save_rtx(replace(ROW, build_s=2.0), path)
    save_rtx(replace(ROW, model="flow.onnx"), path)

    rows = json.loads(path.read_text())["rows"]
    assert [(row["model"], row["build_s"]) for row in rows] == [("unet.onnx", 2.0), ("flow.onnx", 1.0)]
