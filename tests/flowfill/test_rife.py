"""`rife`: what it promises at the edges. How well it does on real clips is the benchmark's matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from codec_plugin.engine import Engine, FillRequest, Finding, Take
from codec_plugin.errors import Cancelled, CannotFill, EngineError, OptionError
from codec_plugin.picture import Color, Family, Layout, Matrix, Picture
from flowfill import network, rife
from flowfill.grid import FlowGrid, scale_for
from flowfill.rife import RifeEngine, RifeOptions
from modelrt import CompileCache, ModelDamaged, OnnxModel, Runtime, Tensor, is_installed

HALF = (Fraction(1, 2),)
RGB = Layout(family=Family.RGB, depth=32)
Array = npt.NDArray[np.float32]

needs_openvino = pytest.mark.skipif(not is_installed(Runtime.OPENVINO), reason="the runtime openvino is not installed")


def picture(planes: Array, *, key: int | None = None) -> Picture:
    return Picture(planes=tuple(planes), layout=RGB, color=Color(matrix=Matrix.BT601), key=key)


def texture(width: int = 96, height: int = 64, *, shift: float = 0.0, key: int | None = None) -> Picture:
    """A smooth pattern, `shift` pixels further to the right."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = x - np.float32(shift)
    planes = [0.5 + 0.2 * np.sin(x / a + y / b) + 0.2 * np.cos(y / a - x / 9) for a, b in ((5, 7), (6, 5), (8, 11))]
    return picture(np.stack(planes).astype(np.float32), key=key)


def request(left: Picture, right: Picture, positions: tuple[Fraction, ...] = HALF) -> FillRequest:
    return FillRequest(left=left, right=right, positions=positions, interval=Fraction(1, 12))


def rms(a: Picture, b: Picture) -> float:
    return float(np.sqrt(np.mean((np.stack(a.planes) - np.stack(b.planes)) ** 2)))


class FakeGraph:
    """A session whose flow is still and whose outputs can be spoilt."""

    def __init__(self, graph: str, opened: FakeGraphs) -> None:
        self._graph = graph
        self._opened = opened

    def run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self._opened.runs.append(self._graph)
        if self._graph == "encoder":
            return {"view": np.repeat(tensors["picture"], 3, 1)[:, :7]}
        if self._graph == "flow":
            rows, columns = tensors["left"].shape[2:]
            return {"flow": np.zeros((1, 4, rows, columns)), "mask": np.zeros((1, 1, rows, columns))}
        made = (tensors["left"] + tensors["right"]) / 2
        made.flat[7] = self._opened.pixel if self._opened.pixel is not None else made.flat[7]
        squared = self._opened.disagreement(float(tensors["position"].item()))
        evidence = np.array([squared, 0.01, 0.5, 0.0], np.float32)
        return {"made": made, "evidence": evidence.reshape(1, 4, 1, 1)}

    def close(self) -> None:
        self._opened.closed += 1


class FakeGraphs:
    """Opens fake sessions and keeps count."""

    def __init__(
        self, *, pixel: float | None = None, disagreement: Callable[[float], float] = lambda position: 0.0
    ) -> None:
        self.pixel = pixel
        self.disagreement = disagreement
        self.runs: list[str] = []
        self.closed = 0

    def __call__(self, graph: str, /, *, shapes: Mapping[str, tuple[int, ...]]) -> FakeGraph:
        return FakeGraph(graph, self)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompileCache:
    return CompileCache(directory=tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def engine(compiled: CompileCache) -> RifeEngine:
    if not is_installed(Runtime.OPENVINO):
        pytest.skip("the runtime openvino is not installed")
    return RifeEngine(RifeOptions(cache=compiled, flow_scale=1.0))


def test_it_is_an_engine_that_takes_rgb() -> None:
    engine = RifeEngine(opens=FakeGraphs())
    assert isinstance(engine, Engine)
    assert engine.info.take is Take.RGB
    estimate = engine.estimate((3840, 2160), positions=2)
    assert 0 < estimate.seconds < 600
    assert 0 < estimate.bytes < 4 << 30


def test_a_moving_pattern_comes_out_in_its_middle(engine: RifeEngine) -> None:
    (made,) = engine.fill(request(texture(192, 128), texture(192, 128, shift=4)))
    truth, left = texture(192, 128, shift=2), texture(192, 128)
    assert rms(made, truth) < rms(left, truth) / 6
    assert made.layout == RGB
    assert made.color == Color(matrix=Matrix.BT601)
    assert made.key is None


def test_later_positions_are_further_along(engine: RifeEngine) -> None:
    positions = tuple(Fraction(index, 6) for index in range(1, 6))
    made = list(engine.fill(request(texture(192, 128), texture(192, 128, shift=6), positions)))
    assert len(made) == 5
    for index, one in enumerate(made, 1):
        distances = [rms(one, texture(192, 128, shift=shift)) for shift in range(7)]
        assert distances.index(min(distances)) == index


@pytest.mark.parametrize("size", [(2, 3), (31, 9), (33, 65), (97, 51)])
def test_small_and_odd_sizes_come_back_as_they_came(engine: RifeEngine, size: tuple[int, int]) -> None:
    left, right = texture(*size), texture(*size, shift=1)
    (made,) = engine.fill(request(left, right))
    assert (made.width, made.height) == size
    low, high = np.minimum(left.planes, right.planes), np.maximum(left.planes, right.planes)
    assert np.isfinite(made.planes).all()
    assert (np.stack(made.planes) > low - 0.2).all()
    assert (np.stack(made.planes) < high + 0.2).all()


def test_identical_frames_come_back_unchanged(engine: RifeEngine) -> None:
    same = texture(key=4)
    told: list[Finding] = []
    asked = replace(request(same, replace(same, key=5), (Fraction(1, 3), Fraction(2, 3))), tell=told.append)
    for made in engine.fill(asked):
        assert float(np.abs(np.stack(made.planes) - np.stack(same.planes)).max()) < 0.1 / 255
    assert all(finding.value > 0.99 for finding in told if finding.name == "blended")


def test_what_stands_still_over_a_moving_background_is_kept(engine: RifeEngine) -> None:
    left, right = (np.stack(texture(192, 128, shift=shift).planes) for shift in (0, 6))
    strokes = [70, 71, 78, 79, 80, 92, 93, 99, 100, 101, 113, 114]
    for planes in (left, right):
        planes[:, 56:70, strokes] = 1.0
    (made,) = engine.fill(request(picture(left), picture(right)))
    caption = np.stack(made.planes)[:, 56:70, strokes]
    assert float(np.abs(caption - 1.0).mean()) < 2 / 255


def test_more_than_eight_bits_survive(engine: RifeEngine) -> None:
    fine = np.linspace(0.25, 0.2525, 128, dtype=np.float32)
    ramp = np.broadcast_to(fine, (3, 64, 128)).copy()
    (made,) = engine.fill(request(picture(ramp), picture(ramp)))
    assert len(np.unique(np.rint(np.stack(made.planes) * 1023))) >= 3
    assert float(np.abs(np.stack(made.planes) - ramp).max()) < 0.25 / 1023


@needs_openvino
@pytest.mark.parametrize("scale", [2.0, 0.5, 0.25])
def test_every_flow_scale_follows_the_motion(scale: float, compiled: CompileCache) -> None:
    engine = RifeEngine(RifeOptions(cache=compiled, flow_scale=scale))
    (made,) = engine.fill(request(texture(126, 90), texture(126, 90, shift=4)))
    assert rms(made, texture(126, 90, shift=2)) < rms(texture(126, 90), texture(126, 90, shift=2)) / 2
    engine.close()


def test_a_frame_between_two_gaps_is_encoded_once() -> None:
    graphs = FakeGraphs()
    engine = RifeEngine(opens=graphs)
    frames = [texture(shift=shift, key=shift) for shift in range(4)]
    for left, right in pairwise(frames):
        list(engine.fill(request(left, right, (Fraction(1, 3), Fraction(2, 3)))))
    assert graphs.runs.count("encoder") == 4
    assert graphs.runs.count("flow") == 6


def test_a_key_that_names_another_frame_is_not_believed() -> None:
    graphs = FakeGraphs()
    engine = RifeEngine(opens=graphs)
    list(engine.fill(request(texture(key=0), texture(shift=1, key=1))))
    list(engine.fill(request(texture(shift=5, key=1), texture(shift=6, key=2))))
    assert graphs.runs.count("encoder") == 4


def test_another_size_opens_the_network_again_and_close_frees_it() -> None:
    graphs = FakeGraphs()
    engine = RifeEngine(opens=graphs)
    list(engine.fill(request(texture(64, 64), texture(64, 64))))
    list(engine.fill(request(texture(32, 64), texture(32, 64))))
    assert graphs.closed == 3
    engine.close()
    engine.close()
    assert graphs.closed == 6


@pytest.mark.parametrize("pixel", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_a_reason_not_a_picture(pixel: float) -> None:
    with pytest.raises(CannotFill, match="not finite"):
        next(RifeEngine(opens=FakeGraphs(pixel=pixel)).fill(request(texture(), texture(shift=1))))


def test_evidence_that_is_not_finite_is_a_reason_too() -> None:
    with pytest.raises(CannotFill, match="not finite"):
        next(
            RifeEngine(opens=FakeGraphs(disagreement=lambda position: float("nan"))).fill(request(texture(), texture()))
        )


def test_two_frames_with_nothing_in_common_are_not_filled(engine: RifeEngine) -> None:
    random = np.random.default_rng(0)
    left = texture(192, 128)
    right = picture((random.random((3, 16, 24)) > 0.5).astype(np.float32).repeat(8, 1).repeat(8, 2))
    with pytest.raises(CannotFill, match=r"too little in common.*0\.\d\d"):
        next(engine.fill(request(left, right)))


def test_a_long_gap_is_judged_in_its_middle_before_the_first_picture() -> None:
    # A panned skyline with 23 frames missing: 0.08 in the middle and 0.28 at the last one. All of it used to be held.
    asked = request(texture(), texture(shift=4), tuple(Fraction(index, 24) for index in range(1, 24)))
    panned, cut = (FakeGraphs(disagreement=d) for d in (lambda p: abs(p - 0.5) ** 2, lambda p: 0.25 - abs(p - 0.5)))

    assert len(list(RifeEngine(opens=panned).fill(asked))) == 23
    with pytest.raises(CannotFill, match=r"too little in common.*0\.50"):
        next(RifeEngine(opens=cut).fill(asked))
    assert cut.runs.count("flow") == 1


def test_each_made_picture_leaves_its_evidence(engine: RifeEngine) -> None:
    positions = (Fraction(1, 3), Fraction(2, 3))
    told: list[Finding] = []
    list(engine.fill(replace(request(texture(), texture(shift=4), positions), tell=told.append)))
    for name in ("disagreement", "blended"):
        found = [finding for finding in told if finding.name == name]
        assert tuple(finding.position for finding in found) == positions
        assert all(0 <= finding.value <= 1 for finding in found)


def test_it_stops_when_asked_and_tells_its_progress() -> None:
    told: list[float] = []
    asked = replace(
        request(texture(), texture(shift=1), (Fraction(1, 3), Fraction(2, 3))),
        cancelled=lambda: bool(told),
        progress=told.append,
    )
    pictures = RifeEngine(opens=FakeGraphs()).fill(asked)
    next(pictures)
    with pytest.raises(Cancelled):
        next(pictures)
    assert told == [0.5]


def test_the_sources_are_never_written_to(engine: RifeEngine) -> None:
    left, right = texture(key=0), texture(shift=3, key=1)
    for plane in (*left.planes, *right.planes):
        plane.flags.writeable = False
    list(engine.fill(request(left, right)))


@needs_openvino
def test_a_damaged_model_is_named_with_how_to_reinstall(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(graph: str) -> OnnxModel:
        whole = (resources.files("flowfill") / "data" / "rife" / f"{graph}.onnx").read_bytes()
        return OnnxModel(name=f"rife/{graph}.onnx", data=whole[: len(whole) // 2], remedy=network.REMEDY)

    monkeypatch.setattr(network, "shipped_model", half)
    with pytest.raises(EngineError, match=r"rife/encoder\.onnx.*reinstall.*--force-reinstall"):
        next(RifeEngine(RifeOptions(cache=None)).fill(request(texture(), texture())))


def test_a_model_that_is_gone_is_named() -> None:
    with pytest.raises(ModelDamaged, match=r"rife/nothing\.onnx can't be read.*--force-reinstall"):
        network.shipped_model("nothing")


def test_a_runtime_that_is_not_installed_is_named_and_no_other_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rife, "is_installed", lambda runtime: runtime is Runtime.ONNXRUNTIME)
    with pytest.raises(EngineError, match="openvino, which isn't installed; install it with: pip install openvino"):
        RifeEngine()


@pytest.mark.parametrize("scale", [0.0, -1.0, 0.3, 4.0])
def test_a_flow_scale_that_does_not_exist_is_refused(scale: float) -> None:
    with pytest.raises(OptionError, match=r"2, 1, 0\.5, 0\.25"):
        RifeOptions(flow_scale=scale)


def test_the_grid_covers_the_picture_and_suits_the_network() -> None:
    for width, height in ((1, 1), (176, 144), (640, 360), (1919, 1079), (3840, 2160), (7680, 4320)):
        grid = FlowGrid(width=width, height=height, scale=scale_for(width, height))
        (rows, columns), (padded_rows, padded_columns) = grid.used, grid.padded
        assert padded_rows % 64 == padded_columns % 64 == 0
        assert 0 <= padded_rows - rows < 64
        assert 0 <= padded_columns - columns < 64
        assert rows >= height * grid.scale
        assert rows * columns < 2_400_000


def test_a_device_is_the_cpu_or_a_numbered_gpu_and_the_engine_says_which() -> None:
    with pytest.raises(OptionError, match="cuda:0"):
        RifeOptions(device="gpu")
    options = RifeOptions(runtime=Runtime.ONNXRUNTIME, device="cuda:0", cache=None)
    if is_installed(options.runtime):
        assert RifeEngine(options).device == "cuda:0"


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_and_never_a_quiet_run_on_the_cpu() -> None:
    for runtime in (Runtime.OPENVINO, Runtime.ONNXRUNTIME):
        if not is_installed(runtime):
            continue
        engine = RifeEngine(RifeOptions(runtime=runtime, device="cuda:9", cache=None))
        with pytest.raises(EngineError, match=r"cuda:9|CUDA|provider"):
            list(engine.fill(request(texture(), texture(shift=2.0))))
