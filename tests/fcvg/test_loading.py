"""Opening FCVG's graphs: once for each shape of clip, and told as what they compute in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from fcvg.export.shape import ExportShape, GraphName
from fcvg.graphsets import GraphSet, Opener, export_missing
from fcvg.loading import Loader
from fcvg.place import place_of
from fcvg.runtimes import FcvgRuntime
from fcvg.weights.check import check_weights
from modelrt import CacheBusy, Precision, Runtime, is_installed
from modelrt.locking import locked
from tests.fcvg.test_engine import options

SIZE, FRAMES = (64, 64), 9


def test_a_second_gap_of_a_shape_reads_and_opens_nothing_again(
    graphs: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_installed(Runtime.ONNXRUNTIME):
        pytest.skip("the runtime onnxruntime is not installed")
    asked = options(tiny_weights, runtime=FcvgRuntime.ONNXRUNTIME, graphs=graphs, decode_chunk=3, device="cpu")
    loader = Loader(asked, check_weights(tiny_weights), folder=tiny_weights, place=place_of(asked))
    first = loader.networks(SIZE, frames=FRAMES, say=lambda _line: None)
    assert loader.loaded
    assert " in fp32 on " in loader.ran_on(SIZE, frames=FRAMES)

    monkeypatch.setattr(GraphSet, "of", lambda _folder: pytest.fail("the manifests were read again"))

    assert loader.networks(SIZE, frames=FRAMES, say=lambda _line: None) is first
    loader.close()
    assert not loader.loaded


def test_a_graph_of_lower_precision_is_told_as_what_it_computes_in(graphs: Path) -> None:
    unet = next(one for one in GraphSet.of(graphs).manifests if one.model == GraphName.UNET)
    half = replace(unet, precision=Precision.FP16)

    def computed(runtime: Runtime, *, asked: Precision | None = None) -> Precision:
        return Opener(folder=graphs, runtime=runtime, precision=asked).precision_of(half)

    assert computed(Runtime.ONNXRUNTIME) is Precision.FP16
    assert computed(Runtime.OPENVINO) is Precision.FP32
    assert computed(Runtime.OPENVINO, asked=Precision.BF16) is Precision.BF16


def test_an_export_of_another_process_is_not_waited_for_for_ever(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcvg.graphsets._PATIENCE_S", 0.2)
    shape = ExportShape(size=SIZE, frames=FRAMES)

    with (
        (tmp_path / ".lock").open("a+") as theirs,
        locked(theirs.fileno(), doing="exporting", timeout_s=1),
        pytest.raises(CacheBusy, match="has been exporting graphs into"),
    ):
        export_missing(check_weights(tiny_weights), shape, tmp_path, tuned=True)
