"""Exporting a module: what is written, what it says of itself, and what is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="the export extra is not installed")
pytest.importorskip("onnxruntime", reason="the export extra is not installed")

from modelrt import ModelUnverified, ParityMissed, Precision, Runtime, is_installed, load_manifest, manifest_path  # noqa: E402
from modelrt.export import tracing, work  # noqa: E402
from modelrt.export.graph import ExportGraph  # noqa: E402
from modelrt.export.parity import measured, outputs_of  # noqa: E402
from modelrt.export.writing import Verify, export_graph  # noqa: E402


class Mixing(torch.nn.Module):
    """Two inputs, two outputs, one of them by a number that never leaves float32."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(16, 24)
        self.factor = factor

    def forward(self, rows: Any, level: Any) -> Any:
        mixed = torch.nn.functional.gelu(self.mix(rows)) * self.factor
        return mixed, mixed.mean() + level.to(mixed.dtype)


def graph(*, precision: Precision = Precision.FP32, graph_factor: float = 1.0) -> ExportGraph:
    """A graph; where `graph_factor` isn't 1, it computes something else than its reference in float32."""

    def build(kind: Precision) -> torch.nn.Module:
        torch.manual_seed(0)
        made = Mixing(graph_factor if kind is not Precision.FP32 else 1.0)
        return made.to({"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind])

    torch.manual_seed(1)
    return ExportGraph(
        model="mixing",
        stem="mixing",
        build=build,
        inputs={"rows": torch.randn(5, 16), "level": torch.tensor([0.25])},
        outputs=("mixed", "mean"),
        precision=precision,
        exact=frozenset({"level"}),
        weights_sha256="0" * 64,
        settings={"kind": "small"},
    )


def test_a_graph_is_written_with_what_it_is_and_how_near_it_came(tmp_path: Path) -> None:
    lines: list[str] = []
    manifest = export_graph(graph(), tmp_path, say=lines.append)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixing.manifest.json", "mixing.onnx"]
    assert load_manifest(manifest_path(tmp_path / "mixing.onnx")) == manifest
    manifest.check_files(tmp_path)
    manifest.require_verified()
    assert [(one.name, one.shape) for one in manifest.inputs] == [("rows", (5, 16)), ("level", (1,))]
    assert [(one.name, one.shape) for one in manifest.outputs] == [("mixed", (5, 24)), ("mean", (1,))]
    assert manifest.opset == 20
    assert {"torch", "onnx", "onnxscript"} <= manifest.versions.keys()
    assert manifest.parity[0].relative < 1e-5
    assert lines[-1].startswith("mixing: 0.0 MB, ")


@pytest.mark.parametrize("runtime", [Runtime.ONNXRUNTIME, Runtime.OPENVINO], ids=str)
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16], ids=str)
def test_lower_precision_takes_and_gives_float32_and_comes_near(
    tmp_path: Path, precision: Precision, runtime: Runtime
) -> None:
    if not is_installed(runtime):
        pytest.skip(f"the runtime {runtime} is not installed")
    if (precision, runtime) == (Precision.BF16, Runtime.ONNXRUNTIME):
        pytest.skip("ONNX Runtime's CPU kernels know no bfloat16")
    made = graph(precision=precision)
    manifest = export_graph(made, tmp_path)
    wanted = outputs_of(made.module(Precision.FP32), made.inputs, names=made.outputs)

    parity = measured(tmp_path / "mixing.onnx", inputs=made.inputs, wanted=wanted, precision=precision, runtime=runtime)

    assert {one.dtype for one in (*manifest.inputs, *manifest.outputs)} == {"float32"}
    assert 1e-6 < parity.relative < 2e-2


def test_a_graph_that_misses_its_tolerance_is_deleted_and_an_error(tmp_path: Path) -> None:
    export_graph(graph(precision=Precision.FP16), tmp_path)

    with pytest.raises(
        ParityMissed, match=r"off torch, and 2e-02 is allowed in fp16: it was deleted; export it in fp32"
    ):
        export_graph(graph(precision=Precision.FP16, graph_factor=1.1), tmp_path)

    assert load_manifest(tmp_path / "mixing.manifest.json").parity[0].relative < 2e-2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixing.manifest.json", "mixing.onnx"]


def test_what_is_too_large_to_run_here_is_written_as_unverified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "too_large", lambda *given, **named: "one call takes 160 TFLOP")
    monkeypatch.setattr("modelrt.export.writing.too_large", work.too_large)

    manifest = export_graph(graph(), tmp_path)

    assert manifest.parity == ()
    with pytest.raises(ModelUnverified, match="160 TFLOP"):
        manifest.require_verified()
    assert export_graph(graph(), tmp_path, verify=Verify.NEVER).unverified == "parity was not asked for"
    assert export_graph(graph(), tmp_path, verify=Verify.ALWAYS).unverified is None


def test_operations_are_counted_without_running_anything() -> None:
    made = graph()
    module = made.module(Precision.FP32)

    assert work.operations(module, made.inputs) == 2 * 5 * 16 * 24
    assert work.too_large(module, made.inputs) is None
    assert "TFLOP" in str(work.too_large(module, made.inputs, limit=100))


def test_large_weights_lie_beside_the_graph_and_are_hashed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "EXTERNAL_ABOVE", 100)

    manifest = export_graph(graph(), tmp_path)

    assert sorted(file.name for file in manifest.files) == ["mixing.onnx", "mixing.onnx.data"]
    assert manifest.unverified is None
    data = tmp_path / "mixing.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated or changed"):
        manifest.check_files(tmp_path)
