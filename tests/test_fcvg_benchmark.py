"""The GPU benchmark of FCVG: its arithmetic, its table, and that it writes nothing from a machine that can't say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import fcvg_gpu


def test_the_floor_is_the_arithmetic_of_a_clip() -> None:
    # 25 steps, two directions, two halves: 100 rows of 79.9 TFLOP, 25 encodings, one decode, two endpoints.
    assert fcvg_gpu.operations(steps=25) / 1e12 == pytest.approx(100 * 79.9 + 25 * 5.7 + 173.6 + 2 * 2.93)


def test_the_table_sets_rows_beside_the_floor_and_the_public_code() -> None:
    row = {"sample_s": None, "decode_s": None, "peak_bytes": 24e9, "warm_up_s": 1.0}
    rows = {
        "ours bf16 eager": {**row, "total_s": 20.0},
        "public bf16": {**row, "total_s": 50.0},
        "ours fp16 eager": {"failed": "out of memory"},
        "public fp32": {"skipped": "skipped: no --public checkout"},
    }

    ours, public, failed, skipped = fcvg_gpu.table(rows, floor_s=10.0).splitlines()[1:5]

    assert ours.split()[3:] == ["20.00", "-", "-", "24.00", "2.00", "2.50", "1.00"]
    assert public.split()[2:] == ["50.00", "-", "-", "24.00", "5.00", "1.00", "1.00"]
    assert failed.endswith("failed: out of memory")
    assert skipped.endswith("skipped: no --public checkout")


def test_rife_stands_in_frames_a_second_where_fcvg_stands_in_seconds_a_clip() -> None:
    rows = {"rife bf16 eager": {"frames_per_s": 123.45, "size": [1920, 1080]}}

    assert "rife bf16 eager" in fcvg_gpu.table(rows, floor_s=None)
    assert "123.5 new frames/s at 1920x1080" in fcvg_gpu.table(rows, floor_s=None)


def test_rows_of_another_commit_are_not_kept(tmp_path: Path) -> None:
    about = {"machine": {"commit": "a"}, "job": {"steps": 25}}
    fcvg_gpu.save({**about, "rows": {"ours": {"total_s": 1.0}}}, tmp_path / "result.json")

    assert fcvg_gpu.kept(tmp_path / "result.json", about=about) == {"ours": {"total_s": 1.0}}
    assert fcvg_gpu.kept(tmp_path / "result.json", about={**about, "machine": {"commit": "b"}}) == {}
    assert fcvg_gpu.kept(tmp_path / "none.json", about=about) == {}


@pytest.mark.slow  # three processes that each import torch and diffusers
def test_toy_networks_are_timed_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "diffusers", "transformers"):
        pytest.importorskip(package, reason="the fcvg extra is not installed")
    root = Path(fcvg_gpu.__file__).parents[1]
    monkeypatch.setattr(sys, "path", [str(root), str(root / "engines"), *sys.path])

    fcvg_gpu.main(
        ["--tiny", "--only", "bf16 eager", "--only", "public bf16", "--output", str(tmp_path / "result.json")]
    )

    said = capsys.readouterr().out
    assert "skipped: no --public checkout" in said
    assert "nothing written" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # exports every graph
@pytest.mark.timeout(300)
def test_toy_graphs_are_timed_in_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extras fcvg and export are not installed")
    options = fcvg_gpu.parsed(["--tiny", "--work", "ours fp16 onnxruntime"])

    assert fcvg_gpu.worked(options)["total_s"] > 0


def test_without_a_gpu_the_full_size_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")

    with pytest.raises(SystemExit, match="needs an NVIDIA GPU"):
        fcvg_gpu.main([])
