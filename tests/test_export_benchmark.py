"""The benchmarks of exports and of FCVG's runtimes: what they are about, without running them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")
pytest.importorskip("onnxscript", reason="the export extra is not installed")

from benchmarks.export import ExportRow, export_result, save_export  # noqa: E402
from benchmarks.random_unet import MIDDLING, MIDDLING_SHAPE, full_size, unet_graph  # noqa: E402
from fcvg.export.shape import ExportShape  # noqa: E402
from fcvg.nets.unet import ControlledUNet  # noqa: E402
from modelrt import Precision  # noqa: E402
from modelrt.export.work import parameters  # noqa: E402


def test_the_networks_are_of_svd_xts_size_and_of_a_middling_one() -> None:
    with torch.device("meta"):
        full, middling = ControlledUNet(**full_size()), ControlledUNet(**MIDDLING)

    assert parameters(full) == 1_524_623_082
    assert 5e7 < parameters(middling) < 7e7


def test_their_inputs_are_those_of_a_clip() -> None:
    full = unet_graph(full_size(), ExportShape(size=(1024, 576), frames=25), Precision.FP16)
    middling = unet_graph(MIDDLING, MIDDLING_SHAPE, Precision.FP32)

    assert full.stem == "unet-1024x576-25f-b2-fp16"
    assert tuple(full.inputs["sample"].shape) == (2, 25, 8, 72, 128)
    assert tuple(full.inputs["control"].shape) == (50, 320, 36, 64)
    assert tuple(middling.inputs["sample"].shape) == (1, 9, 8, 32, 56)


def test_a_result_is_written_whole(tmp_path: Path) -> None:
    row = ExportRow(
        graph="unet.onnx",
        precision="fp16",
        parameters=1,
        graph_bytes=2,
        data_bytes=3,
        wall_s=4.0,
        cpu_s=5.0,
        peak_bytes=6,
        unverified="too large",
    )

    save_export(export_result((row,), command="python -m benchmarks export"), tmp_path / "export.json")

    assert [path.name for path in tmp_path.iterdir()] == ["export.json"]
    assert json.loads((tmp_path / "export.json").read_text())["rows"][0]["peak_bytes"] == 6
