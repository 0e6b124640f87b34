"""FCVG's networks as graphs, on every runtime that is here: the same numbers, and errors that say what to export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")
pytest.importorskip("onnxscript", reason="the export extra is not installed")

from benchmarks.random_unet import MIDDLING, MIDDLING_SHAPE, unet_graph
from benchmarks.results import RESULTS
from codec_plugin import EngineError, OptionError
from codec_plugin.exports import ExportPrecision, ExportRequest, graph_exporter
from fcvg import FcvgEngine, FcvgOptions
from fcvg.export.making import export_graphs
from fcvg.export.reference import cases
from fcvg.export.shape import ExportShape, GraphName, names_of
from fcvg.runtimes import SPEEDS, FcvgRuntime, chosen
from fcvg.sampling.profile import ProfileName
from fcvg.sampling.settings import Fusion
from fcvg.weights.check import check_weights
from modelrt import Manifest, OnnxModel, Precision, Runtime, SessionOptions, is_installed, load_manifest, open_session
from modelrt.export.graph import ExportGraph
from modelrt.export.parity import TOLERANCES, measured, outputs_of
from modelrt.export.writing import Verify, export_graph
from modelrt.parity import difference
from tests.fcvg.test_engine import options, pixels, request
from tests.makers import CommandLine, write_clip

SHAPE = ExportShape(size=(64, 64), frames=9, decode_chunk=3)
OTHERS = (Runtime.ONNXRUNTIME, Runtime.OPENVINO)


@pytest.fixture(params=OTHERS, ids=str)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    made = Runtime(request.param)
    if not is_installed(made):
        pytest.skip(f"the runtime {made} is not installed")
    return made


def made_on(runtime: Runtime, weights: Path, graphs: Path | None, told: list[str] | None = None, **given: Any) -> Any:
    chosen_options = {"runtime": FcvgRuntime(runtime.value), "graphs": graphs, "decode_chunk": 3, **given}
    engine = FcvgEngine(options(weights, **chosen_options))
    heard = [] if told is None else told
    try:
        return pixels(list(engine.fill(request_of(heard))))
    finally:
        engine.close()


def request_of(heard: list[str], **given: Any) -> Any:
    return request(tell=lambda finding: heard.append(finding.name), **given)


def graph_of(weights: Path, name: GraphName, *, precision: Precision = Precision.FP32) -> ExportGraph:
    return next(iter(export_graphs(check_weights(weights), [SHAPE], names=[name], precision=precision)))


@pytest.mark.parametrize("name", list(GraphName), ids=str)
def test_each_graph_gives_what_torch_gives(graphs: Path, tiny_weights: Path, runtime: Runtime, name: GraphName) -> None:
    made = graph_of(tiny_weights, name)
    manifest = load_manifest(graphs / f"{made.stem}.manifest.json")
    case = next(cases(manifest, folder=graphs, weights=tiny_weights))

    with open_session(OnnxModel.from_file(graphs / manifest.graph), runtime=runtime) as session:
        apart = difference(session.run(case.inputs), case.wanted)

    assert apart.relative <= TOLERANCES[Precision.FP32]
    assert manifest.reference == "fcvg"


def test_the_control_reaches_the_graph(graphs: Path, tiny_weights: Path) -> None:
    made = graph_of(tiny_weights, GraphName.UNET)
    inputs = {name: tensor.numpy() for name, tensor in made.inputs.items()}

    with open_session(OnnxModel.from_file(graphs / f"{made.stem}.onnx"), runtime=Runtime.OPENVINO) as session:
        steered = session.run(inputs)["v"]
        plain = session.run({**inputs, "control_scale": np.zeros(2, np.float32)})["v"]

    assert inputs["control_scale"].tolist() == [0, 1]
    assert np.array_equal(steered[0], plain[0])
    assert np.abs(steered[1] - plain[1]).max() > 1e-3


def test_a_whole_clip_comes_out_as_torch_makes_it_and_the_report_names_what_ran(
    graphs: Path, tiny_weights: Path, runtime: Runtime
) -> None:
    told: list[str] = []
    wanted = made_on(Runtime.TORCH, tiny_weights, None)

    made = made_on(runtime, tiny_weights, graphs, told)

    assert np.abs(made - wanted).max() <= 1e-4
    assert any(name.startswith(f"note: run by {runtime} ") and " in fp32 on " in name for name in told)


@pytest.mark.parametrize("given", [{"control_weight": 0.0}, {"fusion": Fusion.VIBID}], ids=str)
def test_other_ways_of_sampling_do_too(graphs: Path, tiny_weights: Path, given: dict[str, Any]) -> None:
    wanted = made_on(Runtime.TORCH, tiny_weights, None, **given)

    made = made_on(Runtime.ONNXRUNTIME, tiny_weights, graphs, **given)

    assert np.abs(made - wanted).max() <= 1e-4


def test_bfloat16_on_openvino_comes_near(graphs: Path, tiny_weights: Path) -> None:
    made = graph_of(tiny_weights, GraphName.UNET)
    wanted = outputs_of(made.module(Precision.FP32), made.inputs, names=made.outputs)
    model = OnnxModel.from_file(graphs / f"{made.stem}.onnx")
    try:
        session = open_session(model, runtime=Runtime.OPENVINO, options=SessionOptions(precision=Precision.BF16))
    except ValueError as error:
        pytest.skip(str(error))
    with session:
        apart = difference(session.run({name: tensor.numpy() for name, tensor in made.inputs.items()}), wanted)

    assert 1e-4 < apart.relative <= TOLERANCES[Precision.BF16]


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16], ids=str)
def test_a_graph_of_lower_precision_comes_near(tiny_weights: Path, tmp_path: Path, precision: Precision) -> None:
    exporter = graph_exporter("fcvg")
    (done,) = exporter.export(
        ExportRequest(
            folder=tmp_path,
            weights=tiny_weights,
            size="64x64",
            frames=(9,),
            graphs=("image-encoder",),
            precision=ExportPrecision(precision.value),
        ),
        say=lambda _line: None,
    )

    manifest = load_manifest(tmp_path / f"{done.path.stem}.manifest.json")

    assert manifest.precision is precision
    assert manifest.parity[0].relative <= TOLERANCES[precision]


@pytest.mark.slow  # the UNet is exported twice more, 12 s each
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16], ids=str)
def test_the_unet_in_lower_precision_comes_near(tiny_weights: Path, tmp_path: Path, precision: Precision) -> None:
    made = graph_of(tiny_weights, GraphName.UNET, precision=precision)

    manifest = export_graph(made, tmp_path)

    assert manifest.parity[0].relative <= TOLERANCES[precision]
    if precision is Precision.FP16:
        wanted = outputs_of(made.module(Precision.FP32), made.inputs, names=made.outputs)
        on_openvino = measured(
            tmp_path / manifest.graph, inputs=made.inputs, wanted=wanted, precision=precision, runtime=Runtime.OPENVINO
        )
        assert on_openvino.relative <= TOLERANCES[precision]


@pytest.mark.slow  # 60 million parameters: a few minutes of the processor
def test_a_middling_unet_gives_what_torch_gives(tmp_path: Path) -> None:
    made = unet_graph(MIDDLING, MIDDLING_SHAPE, Precision.FP32)

    manifest = export_graph(made, tmp_path, verify=Verify.ALWAYS)
    wanted = outputs_of(made.module(Precision.FP32), made.inputs, names=made.outputs)
    path = tmp_path / manifest.graph
    on_openvino = measured(path, inputs=made.inputs, wanted=wanted, precision=Precision.FP32, runtime=Runtime.OPENVINO)

    assert manifest.parity[0].relative <= TOLERANCES[Precision.FP32]
    assert on_openvino.relative <= TOLERANCES[Precision.FP32]


# ---- what it refuses


def refused(weights: Path, graphs: Path, *, positions: int = 7, **given: Any) -> str:
    chosen_options = {"runtime": FcvgRuntime.ONNXRUNTIME, "graphs": graphs, "decode_chunk": 3, **given}
    engine = FcvgEngine(options(weights, **chosen_options))
    with pytest.raises(EngineError) as caught:
        engine.estimate((96, 80), positions=positions)
    return str(caught.value)


def test_a_shape_that_was_not_exported_is_named_with_what_to_export(graphs: Path, tiny_weights: Path) -> None:
    longer = refused(tiny_weights, graphs, positions=15)
    larger = refused(tiny_weights, graphs, size="128x64")

    assert f"codec-plugin export --engine fcvg --weights {tiny_weights} --size 64x64 --frames 17" in longer
    assert "has no unet of width 64, height 64, frames 17" in longer
    assert "there are unet-64x64-9f-b2-fp32.onnx" in longer
    assert "--size 128x64 --frames 9" in larger


def test_a_batch_that_the_graph_has_not_is_named_with_what_to_export(
    graphs: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    assert "--batch 1" in refused(tiny_weights, graphs, batch=1)


def test_graphs_of_other_weights_are_refused(graphs: Path, weights: Path) -> None:
    from fcvg.tiny import make_tiny

    make_tiny(weights, seed=1)

    assert "exported from other weights" in refused(weights, graphs)


def test_an_edited_or_truncated_graph_is_refused(graphs: Path, tiny_weights: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(graphs, tmp_path / "graphs"))
    file = spoilt / "image-encoder-fp32.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(EngineError, match=r"image-encoder-fp32\.onnx isn't the file that its manifest lists"):
        made_on(Runtime.ONNXRUNTIME, tiny_weights, spoilt)

    file.write_bytes(data[:-100])
    with pytest.raises(EngineError, match="truncated or changed"):
        made_on(Runtime.ONNXRUNTIME, tiny_weights, spoilt)

    file.unlink()
    with pytest.raises(EngineError, match="can't be read"):
        made_on(Runtime.ONNXRUNTIME, tiny_weights, spoilt)


def test_an_unverified_graph_is_refused(graphs: Path, tiny_weights: Path, tmp_path: Path) -> None:
    open_ones = Path(shutil.copytree(graphs, tmp_path / "graphs"))
    path = open_ones / "vae-encoder-64x64-fp32.manifest.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "parity": [], "unverified": "one call takes 160 TFLOP"}))

    assert "is unverified (one call takes 160 TFLOP)" in refused(tiny_weights, open_ones)


def test_a_folder_that_is_not_there_is_said(tiny_weights: Path, tmp_path: Path) -> None:
    assert "there is no folder" in refused(tiny_weights, tmp_path / "none")


@pytest.mark.parametrize("given", [{"fusion": Fusion.GI}, {"profile": ProfileName.DEEPCACHE}], ids=str)
def test_what_looks_into_the_network_is_refused_with_the_reason(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="an exported graph keeps to itself: it doesn't run on openvino"):
        FcvgOptions(runtime=FcvgRuntime.OPENVINO, **given)
    FcvgOptions(runtime=FcvgRuntime.AUTO, **given)


def test_a_runtime_that_is_not_installed_is_named_with_how_to_get_it(tiny_weights: Path, tmp_path: Path) -> None:
    if is_installed(Runtime.TENSORRT):
        pytest.skip("TensorRT is installed")

    assert "pip install tensorrt" in refused(tiny_weights, tmp_path, runtime=FcvgRuntime.TENSORRT)


def test_large_networks_are_not_exported_at_their_first_use(tiny_weights: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("fcvg.loading.SMALL", 1e3)
    engine = FcvgEngine(options(tiny_weights, runtime=FcvgRuntime.OPENVINO))

    with pytest.raises(EngineError, match=r"too large to be exported at their first use; codec-plugin export .*DIR"):
        engine.estimate((96, 80), positions=7)


def test_small_networks_are_exported_at_their_first_use_and_kept(
    graphs: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[str] = []

    def copied(graph: ExportGraph, folder: Path, **_given: object) -> Manifest:
        exported.append(graph.stem)
        for name in (f"{graph.stem}.onnx", f"{graph.stem}.manifest.json"):
            shutil.copy(graphs / name, folder / name)
        return load_manifest(folder / f"{graph.stem}.manifest.json")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("modelrt.export.writing.export_graph", copied)
    first = made_on(Runtime.ONNXRUNTIME, tiny_weights, None)
    count = len(exported)
    again = made_on(Runtime.ONNXRUNTIME, tiny_weights, None)

    assert count == len(exported) == 5
    np.testing.assert_array_equal(first, again)


# ---- what is chosen


def pick(*, here: set[Runtime], graphs_given: bool = False, **given: Any) -> Runtime:
    asked = {"asked": FcvgRuntime.AUTO, "torch_only": False, "device": "cpu", "small": lambda: True, **given}
    return chosen(**asked, graphs_given=graphs_given, installed=lambda runtime: runtime in here)


def test_auto_takes_the_fastest_measured_one_that_is_here() -> None:
    everyone = {Runtime.TORCH, Runtime.ONNXRUNTIME, Runtime.OPENVINO}

    assert pick(here=everyone) is Runtime.OPENVINO
    assert pick(here=everyone, torch_only=True) is Runtime.TORCH
    assert pick(here=everyone, small=lambda: False) is Runtime.TORCH
    assert pick(here=everyone, small=lambda: False, graphs_given=True) is Runtime.OPENVINO
    assert pick(here={Runtime.TORCH}) is Runtime.TORCH
    assert pick(here=everyone, device="cuda") is Runtime.TORCH
    assert pick(here=set(), asked=FcvgRuntime.TENSORRT) is Runtime.TENSORRT


def test_names_of_graphs_are_checked() -> None:
    assert names_of(()) == tuple(GraphName)
    with pytest.raises(OptionError, match="fcvg has no graph 'unnet'; it has: unet, condition-encoder"):
        names_of(("unnet",))


def test_a_clip_takes_a_decoder_for_what_is_left_over() -> None:
    for frames, chunk, lengths in ((9, 2, (2, 1)), (9, 3, (3,)), (25, 4, (4, 1)), (40, 25, (25, 15))):
        assert ExportShape(size=(64, 64), frames=frames, decode_chunk=chunk).chunks == lengths
    assert ExportShape(size=(64, 64), frames=40).window == 25


# ---- the command line


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "films").mkdir()
    return CommandLine(tmp_path / "films", capfd)


def test_a_film_is_restored_on_another_runtime(cli: CommandLine, graphs: Path, tiny_weights: Path) -> None:
    film = write_clip(cli.folder / "holed.mkv", size=(80, 64), frames=[n for n in range(20) if not 7 <= n < 13])
    report = cli.folder / "report.json"
    told = ("--engine", "fcvg", "--weights", tiny_weights, "--allow-untrained", "--fcvg-size", "64x64", "--steps", 2)
    extra = ("--engine-option", f"graphs={graphs}", "--engine-option", "decode_chunk=3", "--report", report)

    cli.done("restore", film, cli.folder / "out.mkv", *told, "--runtime", "onnx", *extra)
    document = json.loads(report.read_text())

    assert document["frames"]["by_engine"] == {"fcvg": 6}
    assert document["plan"]["options"]["engine_options"]["fcvg.runtime"] == "onnxruntime"
    assert any(f["name"].startswith("note: run by onnxruntime ") for f in document["outcomes"][0]["findings"])


def test_graphs_that_nothing_would_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="torch takes none; choose the runtime that is to: auto, onnxruntime, openvino"
    ):
        FcvgOptions(graphs=tmp_path)
    FcvgOptions(graphs=tmp_path, runtime=FcvgRuntime.AUTO)


def test_an_engine_without_networks_has_no_runtime(cli: CommandLine) -> None:
    film = write_clip(cli.folder / "film.mkv", size=(80, 64), frames=range(8))

    said = cli.refused("double", film, cli.folder / "out.mkv", "--engine", "blend", "--runtime", "onnx")

    assert "engine blend has no choice of runtime" in said


def test_export_says_what_it_does_and_what_it_wrote(cli: CommandLine, tiny_weights: Path) -> None:
    asked = ("--weights", tiny_weights, "--size", "64x64", "--graphs", "image-encoder")

    said = cli.done("export", "--engine", "fcvg", *asked, cli.folder / "graphs").err

    assert "image-encoder-fp32: comparing with torch" in said
    assert "off torch on onnxruntime" in said
    assert "1 graphs, 0.6 MB" in said
    names = sorted(path.name for path in (cli.folder / "graphs").iterdir())
    assert names == ["image-encoder-fp32.manifest.json", "image-encoder-fp32.onnx"]


def test_missing_weights_are_said_at_once(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcvg.weights.check.check_weights", lambda *given: pytest.fail("torch was loaded before"))

    said = cli.refused("export", "--engine", "fcvg", "--weights", tmp_path / "none", cli.folder / "graphs")

    assert "fcvg has no weights in" in said
    assert not (cli.folder / "graphs").exists()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (("--engine", "dis"), "engine dis has no networks to export; those that do: "),
        (("--engine", "fcvg", "--graphs", "unnet"), "fcvg has no graph 'unnet'"),
        (("--engine", "fcvg", "--size", "100x64"), "multiples of 64"),
        (("--engine", "fcvg", "--size", "auto"), "one size, such as 1024x576"),
        (("--engine", "fcvg", "--batch", "3"), "a batch of 1, 2 or 4, not 3"),
    ],
)
def test_export_refuses_what_makes_no_sense(cli: CommandLine, told: tuple[str, ...], message: str) -> None:
    assert message in cli.refused("export", *told, cli.folder / "graphs")


def test_export_without_its_packages_says_how_to_get_them(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcvg.exporter.find_spec", lambda name: None)

    assert "pip install 'codec-plugin[export]'" in cli.refused("export", "--engine", "fcvg", cli.folder / "graphs")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_the_table_that_auto_goes_by_is_what_was_measured(runtime: str) -> None:
    rows = json.loads((RESULTS / "fcvg_runtimes.json").read_text())["rows"]
    times = [row["times_torch"] for row in rows if row["variant"] == f"{runtime} fp32"]
    assert SPEEDS["cpu"][Runtime(runtime)] == pytest.approx(np.mean(times), abs=0.01)
