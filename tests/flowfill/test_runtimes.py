"""RIFE on every runtime that is here, and its networks exported by the command: the same pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from codec_plugin import EngineError, Family, FillRequest, Layout, OptionError, Picture
from codec_plugin.exports import ExportCheck, ExportPrecision, ExportRequest, graph_exporter
from flowfill.rife import RifeEngine, RifeOptions
from flowfill.runtimes import RifeRuntime, chosen
from modelrt import ModelDamaged, ModelUnverified, Runtime, is_installed, load_manifest

BUNNY = Path(__file__).parents[2] / "examples" / "bunny_with_gaps.mp4"
RGB = Layout(family=Family.RGB, depth=32)
NEAR_DB = 0.05
"""How far a runtime's PSNR on real frames may be from another's."""


def frames(count: int) -> list[Any]:
    """The first frames of the clip, a few pixels of them: (height, width, 3) in [0, 1]."""
    found = []
    with av.open(str(BUNNY)) as container:
        for frame in container.decode(video=0):
            found.append(frame.to_ndarray(format="rgb24")[:256, :320].astype(np.float32) / 255)
            if len(found) == count:
                break
    return found


def picture(rgb: Any, *, key: int) -> Picture:
    return Picture(planes=tuple(np.ascontiguousarray(rgb[..., plane]) for plane in range(3)), layout=RGB, key=key)


def made_by(options: RifeOptions, left: Any, right: Any) -> Any:
    engine = RifeEngine(options)
    asked = FillRequest(
        left=picture(left, key=0), right=picture(right, key=2), positions=(Fraction(1, 2),), interval=Fraction(1, 12)
    )
    try:
        (made,) = engine.fill(asked)
        return np.stack(made.planes, axis=-1)
    finally:
        engine.close()


def psnr(made: Any, wanted: Any) -> float:
    return float(-10 * np.log10(np.mean((made - wanted) ** 2)))


def test_every_runtime_makes_real_frames_as_well_as_the_others() -> None:
    clip = frames(3)
    here = [runtime for runtime in (Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.TORCH) if is_installed(runtime)]
    scores = {}
    for runtime in here:
        made = made_by(RifeOptions(runtime=RifeRuntime(runtime.value), cache=None), clip[0], clip[2])
        scores[runtime] = psnr(made, clip[1])

    assert min(scores.values()) > 25
    assert max(scores.values()) - min(scores.values()) <= NEAR_DB, scores


def test_auto_takes_the_fastest_measured_one_that_is_here() -> None:
    everyone = {Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.TORCH}

    assert chosen("auto", installed=everyone.__contains__) is Runtime.OPENVINO
    assert chosen("auto", installed={Runtime.ONNXRUNTIME, Runtime.TORCH}.__contains__) is Runtime.ONNXRUNTIME
    assert chosen("auto", installed=set[Runtime]().__contains__) is Runtime.OPENVINO
    assert chosen("tensorrt", installed=everyone.__contains__) is Runtime.TENSORRT


def test_auto_on_a_gpu_takes_what_runs_there() -> None:
    assert chosen("auto", device="cuda:0", installed=lambda runtime: True) is Runtime.ONNXRUNTIME
    assert chosen("auto", device="cuda:0", installed={Runtime.OPENVINO}.__contains__) is Runtime.ONNXRUNTIME


def test_it_says_where_it_computes() -> None:
    def opens(_graph: str, /, *, shapes: object) -> Any:
        raise NotImplementedError(shapes)

    assert RifeEngine(RifeOptions(), opens=opens).device == "cpu"
    assert RifeEngine(RifeOptions(runtime=RifeRuntime.TENSORRT), opens=opens).device == "cuda:0"
    assert RifeEngine(RifeOptions(device="cuda:1"), opens=opens).device == "cuda:1"


def test_a_runtime_that_is_not_installed_is_named() -> None:
    if is_installed(Runtime.TENSORRT):
        pytest.skip("TensorRT is installed")

    with pytest.raises(EngineError, match="rife runs on tensorrt, which isn't installed; install it with: pip install"):
        RifeEngine(RifeOptions(runtime=RifeRuntime.TENSORRT))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the published layout."""
    torch = pytest.importorskip("torch", reason="the export extra is not installed")
    pytest.importorskip("onnx", reason="the export extra is not installed")
    from flowfill.export.ifnet import Encoder, FlowNet

    torch.manual_seed(0)
    state = FlowNet().state_dict() | {f"encode.{key}": value for key, value in Encoder().state_dict().items()}
    # No two alike, as after training: the exporter keeps equal tensors once.
    state = {key: value + 0.01 * torch.randn_like(value) for key, value in state.items()}
    path = tmp_path_factory.mktemp("rife") / "flownet.pkl"
    torch.save(state, path)
    return path


def exported(weights: Path, folder: Path, **given: Any) -> list[str]:
    asked = ExportRequest(folder=folder, weights=weights, **given)
    exporter = graph_exporter("rife")
    exporter.check(asked)
    return [graph.path.name for graph in exporter.export(asked, say=lambda _line: None)]


def test_exported_graphs_are_used_in_place_of_the_packages_own(weights: Path, tmp_path: Path) -> None:
    names = exported(weights, tmp_path, precision=ExportPrecision.FP16)
    clip = frames(3)
    manifests = [load_manifest(tmp_path / name.replace(".onnx", ".manifest.json")) for name in names]

    on_openvino, on_torch = (
        made_by(RifeOptions(runtime=runtime, graphs=tmp_path, cache=None, lost_above=1), clip[0], clip[2])
        for runtime in (RifeRuntime.OPENVINO, RifeRuntime.TORCH)
    )

    assert names == ["encoder.onnx", "flow.onnx", "merger.onnx"]
    assert all(manifest.unverified is None and manifest.parity[0].relative <= 1e-4 for manifest in manifests)
    assert float(np.abs(on_openvino - on_torch).max()) < 1e-2
    flow = tmp_path / "flow.onnx"
    flow.write_bytes(flow.read_bytes()[:-10])
    with pytest.raises(EngineError, match="truncated or changed"):
        made_by(RifeOptions(graphs=tmp_path, cache=None), clip[0], clip[2])


def test_a_graph_that_was_not_compared_is_not_used(weights: Path, tmp_path: Path) -> None:
    from flowfill.network import exported_model

    assert exported(weights, tmp_path, graphs=("encoder",), check=ExportCheck.NEVER) == ["encoder.onnx"]

    with pytest.raises(ModelUnverified, match="parity was not asked for"):
        exported_model("encoder", tmp_path)
    with pytest.raises(ModelDamaged, match="export the model again"):
        exported_model("flow", tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"graphs": ("unet",)}, "rife has no graph 'unet'; it has: encoder, flow, merger"),
        ({"size": "640x384"}, "take pictures of any size"),
        ({"precision": ExportPrecision.BF16}, "fp32 or fp16"),
        ({"weights": None}, r"give --weights FILE, the flownet\.pkl"),
        ({"weights": Path("/none/flownet.pkl")}, "there is no file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    asked = ExportRequest(**{"folder": tmp_path, "weights": Path(__file__), **given})

    with pytest.raises((EngineError, OptionError), match=message):
        graph_exporter("rife").check(asked)


def test_a_file_that_is_not_rifes_weights_is_said(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the export extra is not installed")
    pytest.importorskip("onnx", reason="the export extra is not installed")

    with pytest.raises(EngineError, match="rife's weights can't be read"):
        exported(Path(__file__), tmp_path)
