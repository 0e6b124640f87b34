"""GlueStick by itself: its files, its segments, what it does with poor pictures, and how the engine chooses it."""

from __future__ import annotations

import os
import pickle
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")

from codec_plugin import EngineError
from codec_plugin.engine import Finding
from codec_plugin.engine_options import read_options
from fcvg import FcvgEngine, FcvgOptions
from fcvg.conditions.choosing import conditioner_of, matcher_of
from fcvg.conditions.gluestick.assignment import LEAST_SCORE, assigned, line_similarities
from fcvg.conditions.gluestick.files import Lines
from fcvg.conditions.gluestick.loading import Networks, load_networks
from fcvg.conditions.gluestick.matcher import GlueStickMatcher
from fcvg.conditions.gluestick.network import GlueStick
from fcvg.conditions.gluestick.scored import (
    LEAST_LENGTH,
    MOST_LINES,
    SCALES,
    Detector,
    Rows,
    ScoredSegments,
    detector,
    find_scored,
)
from fcvg.conditions.gluestick.superpoint import SuperPoint, descriptors_at, find_points
from fcvg.conditions.gluestick.wireframe import junctions_of
from fcvg.conditions.lines import LineConditioner
from fcvg.conditions.segments import Gray
from fcvg.conditions.times import uniform_times
from fcvg.weights.check import check_weights
from fcvg.weights.layout import GLUESTICK, SUPERPOINT
from tests.fcvg import scenes
from tests.fcvg.test_conditions import rgb, scene
from tests.fcvg.test_engine import options, request

NOTHING = ScoredSegments(ends=np.empty((0, 2, 2)), scores=np.empty(0, np.float32))


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(
        superpoint=scenes.weighted(SuperPoint(), "superpoint"), gluestick=scenes.weighted(GlueStick(), "gluestick")
    )


@pytest.fixture(scope="module")
def files(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files: a whole training run as PyTorch saves it today, and tensors alone in the format of 2018."""
    folder = tmp_path_factory.mktemp("gluestick")
    prefixed = {f"matcher.module.{key}": value.half() for key, value in networks.gluestick.state_dict().items()}
    run = {
        "model": OrderedDict({**prefixed, "extractor.sp.conv1a.bias": torch.zeros(64)}),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "conf": Elsewhere(train=True),
        "losses": {"total": np.float64(0.5)},
        "epoch": 12,
    }
    torch.save(run, folder / GLUESTICK)
    plain = OrderedDict(networks.superpoint.state_dict())
    torch.save(plain, folder / SUPERPOINT, _use_new_zipfile_serialization=False)
    return folder


class Elsewhere(dict[str, object]):
    """A class that the reader of a pickle doesn't have."""


class Trap:
    """Makes a file where a pickle of it is unpickled as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def both(folder: Path, target: Path) -> Path:
    """A folder with links to both files, to be spoilt."""
    target.mkdir(exist_ok=True)
    for name in (GLUESTICK, SUPERPOINT):
        (target / name).symlink_to(folder / name)
    return target


def replaced(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = dict(torch.load(path, weights_only=True))
    change(tensors)
    path.unlink()
    torch.save(tensors, path)


def fixed(rows: Rows) -> Detector:
    return lambda gray, scale: rows


# ---- the files


def test_the_published_files_load_whatever_else_a_training_run_saved(files: Path, networks: Networks) -> None:
    loaded = load_networks(files)

    for key, value in networks.superpoint.state_dict().items():
        assert torch.equal(loaded.superpoint.state_dict()[key], value)
    for key, value in networks.gluestick.state_dict().items():
        assert torch.equal(loaded.gluestick.state_dict()[key], value.half().to(value.dtype))
    assert {parameter.dtype for parameter in loaded.gluestick.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in loaded.gluestick.parameters())


def test_the_networks_tensors_alone_load_too(files: Path, networks: Networks, tmp_path: Path) -> None:
    folder = both(files, tmp_path / "weights")
    (folder / GLUESTICK).unlink()
    torch.save(networks.gluestick.state_dict(), folder / GLUESTICK)

    assert torch.equal(load_networks(folder).gluestick.final_proj.weight, networks.gluestick.final_proj.weight)


def test_missing_foreign_and_misshapen_tensors_are_listed(files: Path, tmp_path: Path) -> None:
    folder = both(files, tmp_path / "weights")

    def spoil(tensors: dict[str, Any]) -> None:
        del tensors["conv1a.bias"]
        tensors["made.up"] = torch.zeros(1)
        tensors["convPb.bias"] = torch.zeros(64)

    replaced(folder / SUPERPOINT, spoil)

    with pytest.raises(EngineError, match=r"superpoint_v1\.pth") as raised:
        load_networks(folder)
    assert "1 of 24 tensors are missing: conv1a.bias" in str(raised.value)
    assert "1 unknown keys: made.up" in str(raised.value)
    assert "1 wrong shapes: convPb.bias is [64], not [65]" in str(raised.value)


def test_a_file_under_the_others_name_is_refused(files: Path, tmp_path: Path) -> None:
    folder = both(files, tmp_path / "weights")
    (folder / GLUESTICK).unlink()
    (folder / GLUESTICK).write_bytes((folder / SUPERPOINT).read_bytes())

    with pytest.raises(EngineError, match=r"tensors are missing: .*bin_score.*24 unknown keys: conv1a.weight.* and 18"):
        load_networks(folder)


@pytest.mark.parametrize("name", [GLUESTICK, SUPERPOINT])
@pytest.mark.parametrize("kept", [0, 1, 700, -9])
def test_a_truncated_file_is_refused(files: Path, tmp_path: Path, name: str, kept: int) -> None:
    folder = both(files, tmp_path / "weights")
    data = (folder / name).read_bytes()[:kept]
    (folder / name).unlink()
    (folder / name).write_bytes(data)

    with pytest.raises(EngineError, match=f"{name}: .*get it again"):
        load_networks(folder)


def test_what_pytorch_did_not_save_is_refused(files: Path, tmp_path: Path) -> None:
    folder = both(files, tmp_path / "weights")
    for data in (b"<!DOCTYPE html>", pickle.dumps([1, 2]), b"\x80\x02garbage", b"PK\x03\x04 and nothing more"):
        (folder / GLUESTICK).unlink()
        (folder / GLUESTICK).write_bytes(data)
        with pytest.raises(EngineError, match=f"{GLUESTICK}: "):
            load_networks(folder)
    (folder / GLUESTICK).unlink()
    with tarfile.open(folder / GLUESTICK, "w") as archive:  # its name notwithstanding, the real one isn't any
        archive.add(files / SUPERPOINT, "storages")
    with pytest.raises(EngineError, match="PyTorch didn't save"):
        load_networks(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_that_a_file_asks_for_is_run(files: Path, tmp_path: Path, zipped: bool) -> None:
    folder = both(files, tmp_path / "weights")
    (folder / SUPERPOINT).unlink()
    trap = {"conv1a.bias": Trap(tmp_path / "caught")}
    torch.save(trap, folder / SUPERPOINT, _use_new_zipfile_serialization=zipped)

    with pytest.raises(EngineError, match="no tensor"):
        load_networks(folder)
    assert not (tmp_path / "caught").exists()
    torch.load(folder / SUPERPOINT, weights_only=False)  # the trap is a trap
    assert (tmp_path / "caught").exists()


def test_the_check_of_a_weights_folder_says_what_is_wrong_and_what_is_of_no_use(
    files: Path, weights: Path, tmp_path: Path
) -> None:
    both(files, weights)
    whole = check_weights(weights).report
    (weights / GLUESTICK).unlink()
    half = check_weights(weights).report
    (weights / GLUESTICK).write_bytes(b"<html>")
    broken = check_weights(weights).report

    assert whole.problems == half.problems == ()
    assert f"{SUPERPOINT}: 24 tensors" in whole.notes
    assert f"{SUPERPOINT} is of no use without {GLUESTICK}" in half.notes
    assert [problem.file for problem in broken.problems] == [GLUESTICK]
    assert "or take it away" in str(broken.problems[0])


# ---- segments


def test_scales_are_tried_from_coarse_to_fine_until_there_are_enough_segments() -> None:
    tried: list[float] = []

    def detect(gray: Gray, scale: float) -> Rows:
        tried.append(scale)
        rows = np.zeros((round(scale * 500), 5), np.float32)
        rows[:, 2], rows[:, 4] = 20 + np.arange(len(rows)), 0.125
        return rows

    found = find_scored(np.zeros((64, 64), np.uint8), detect=detect)

    assert tried == [0.3, 0.4, 0.5, 0.7]
    assert len(found) == MOST_LINES
    assert found.scores[0] == pytest.approx(1)
    assert (np.diff(found.scores) <= 0).all()
    tried.clear()
    find_scored(np.zeros((64, 64), np.uint8), most=1000, detect=detect)
    assert tuple(tried) == SCALES


def test_short_segments_are_left_out_and_none_is_an_ordinary_case() -> None:
    rows = np.array([[0, 0, LEAST_LENGTH - 0.1, 0, 0.125], [0, 5, LEAST_LENGTH, 5, 0.125]], np.float32)
    flat = np.full((64, 64), 77, np.uint8)

    assert find_scored(flat, detect=fixed(rows)).ends.tolist() == [[[0, 5], [LEAST_LENGTH, 5]]]
    assert len(find_scored(flat, detect=fixed(rows[:1]))) == 0
    assert len(find_scored(flat)) == 0


def test_thousands_of_segments_are_limited_to_the_best() -> None:
    y, x = np.mgrid[:600, :800]
    found = find_scored((((x // 20 + y // 20) % 2) * 255).astype(np.uint8))

    assert len(found) == MOST_LINES
    assert np.linalg.norm(found.ends[:, 1] - found.ends[:, 0], axis=1).min() >= LEAST_LENGTH


def test_the_detector_that_is_here_finds_the_edges_of_a_box() -> None:
    gray = np.zeros((120, 160), np.uint8)
    gray[30:90, 40:120] = 200
    found = find_scored(gray)
    middles = found.ends.mean(axis=1)

    for x, y in ((80, 30), (80, 90), (40, 60), (120, 60)):
        assert np.linalg.norm(middles - (x, y), axis=1).min() < 3


@pytest.mark.skipif(find_spec("pytlsd") is None, reason="pytlsd is not installed")
def test_pytlsd_is_taken_where_it_is_installed() -> None:
    assert detector()[0] == "pytlsd"


# ---- the parts


def test_near_ends_are_one_junction_and_chains_of_them_too() -> None:
    segments = np.array(
        [[[0.0, 0], [50, 0]], [[52, 0], [90, 0]], [[54.9, 0], [54, 40]], [[54, 44], [0, 44]], [[1, 1], [1, 1]]]
    )

    assert junctions_of(segments).tolist() == [0, 1, 1, 2, 1, 3, 4, 5, 0, 0]
    assert junctions_of(segments[:0]).tolist() == []


def test_points_keep_their_distance_from_each_other_and_from_the_border_and_the_best_are_kept() -> None:
    scores = torch.zeros(48, 64)
    scores[20, 20], scores[20, 23], scores[20, 26], scores[2, 30], scores[30, 40], scores[10, 50] = (
        *(0.5, 0.4, 0.3, 0.9, 0.2),
        0.004,
    )

    points = find_points(scores, most=9)

    assert points.places.tolist() == [[20, 20], [26, 20], [40, 30]]
    assert find_points(scores, most=2).places.tolist() == [[20, 20], [26, 20]]
    assert len(find_points(torch.zeros(16, 16), most=9).places) == 0


def test_descriptors_are_of_length_one_and_those_of_no_point_are_none() -> None:
    dense = torch.from_numpy(scenes.uniform("dense", 256, 6, 8).astype(np.float32))

    assert torch.allclose(descriptors_at(torch.tensor([[9.0, 9], [40, 30]]), dense).norm(dim=0), torch.ones(2))
    assert descriptors_at(torch.empty(0, 2), dense).shape == (256, 0)


def test_partners_choose_each_other_and_are_sure_of_it() -> None:
    similarities = torch.tensor([[9.0, 0, 0], [8, 0, 0], [0, 0.1, 0.1]])

    found = assigned(similarities, torch.tensor(1.0))

    assert found.right.tolist() == [0, -1, -1]
    assert found.scores[0] > LEAST_SCORE
    assert found.pairs().tolist() == [[0, 0]]


def test_lines_are_as_alike_as_their_ends_in_the_better_order() -> None:
    nodes = torch.tensor([[1.0, 5], [7, 2]])

    alike = line_similarities(nodes, torch.tensor([[0, 1]]), torch.tensor([[0, 1], [1, 0]]))

    assert alike.tolist() == [[6, 6]]


# ---- poor pictures


def test_points_are_matched_where_there_is_no_line_and_nothing_where_there_is_no_point(networks: Networks) -> None:
    side, _ = scenes.pair_of(3)
    flat = np.zeros_like(side.gray)
    matcher = GlueStickMatcher(networks, most_points=60)
    lines = find_scored(side.gray, detect=fixed(scenes.rows_of(side, 1.0)))

    without = matcher.match(side.gray, side.gray, segments=(NOTHING, lines))
    nobody = GlueStickMatcher(networks, most_points=0).match(side.gray, flat, segments=(NOTHING, NOTHING))

    assert len(without.left.ends) == len(without.lines.right) == 0
    assert (without.nodes.right >= 0).any()
    assert len(nobody.nodes.right) == len(nobody.left.places) == 0


@pytest.mark.parametrize("size", [(8, 16), (15, 200), (16, 16), (70, 41)])
def test_tiny_and_flat_pictures_are_no_trouble(networks: Networks, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    flat = np.full_like(random, 90)
    edge = np.array([[1, 1, size[0] - 2, size[1] - 2, 0.125]], np.float32)
    matcher = GlueStickMatcher(networks, detect=fixed(edge))

    for left, right in ((random, flat), (flat, flat), (random, random)):
        assert len(matcher(left, right)) <= 1
        assert len(GlueStickMatcher(networks)(left, flat)) == 0


def test_a_picture_without_colours_is_matched_with_itself_and_drawn(networks: Networks) -> None:
    gray = scene(3, size=(160, 120))
    conditioner = LineConditioner(matcher=GlueStickMatcher(networks))

    conditions = conditioner(rgb(gray), rgb(gray), uniform_times(3))

    assert conditions.matched >= 5
    assert conditions.counts[0].name == f"lines matched by GlueStick on {detector()[0]}"
    assert conditions.counts[0].number == conditions.matched
    np.testing.assert_array_equal(conditions.pictures[0], conditions.pictures[2])


def test_no_line_in_common_is_an_ordinary_case_and_said(networks: Networks) -> None:
    flat = np.full((64, 80, 3), 128, np.uint8)

    conditions = LineConditioner(matcher=GlueStickMatcher(networks))(flat, flat, uniform_times(4))

    assert conditions.matched == 0
    assert not conditions.pictures.any()
    assert "no line" in conditions.notes[0]


def test_three_hundred_lines_are_more_than_enough_and_lie_in_the_picture(networks: Networks) -> None:
    random = scenes.uniform("many", 2000, 4)
    ends = random * (128, 96, 128, 96) - (4, 4, -4, -4)
    rows = np.concatenate([ends, np.full((2000, 1), 0.125)], axis=1).astype(np.float32)
    gray = scene(5, size=(128, 96))

    matches = GlueStickMatcher(networks, detect=fixed(rows), most_points=50)(gray, gray)

    assert 0 < len(matches) <= MOST_LINES
    assert (matches.left >= 0).all()
    assert (matches.left <= (127, 95)).all()


def test_swapping_the_pictures_swaps_the_matches_exactly(networks: Networks) -> None:
    sides = scenes.pair_of(1)
    rows = {side.gray.tobytes(): side for side in sides}
    matcher = GlueStickMatcher(networks, detect=lambda gray, scale: scenes.rows_of(rows[gray.tobytes()], scale))

    there = matcher(sides[0].gray, sides[1].gray)
    back = matcher(sides[1].gray, sides[0].gray)

    assert len(there) >= 4
    np.testing.assert_array_equal(there.left, back.right)
    np.testing.assert_array_equal(there.right, back.left)


def gpu() -> Any:
    """A GPU; without one the test is skipped, or fails where REQUIRE_GPU=1."""
    if not torch.cuda.is_available():
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail("REQUIRE_GPU=1, and torch sees no GPU")
        pytest.skip("torch sees no GPU")
    return torch.device("cuda")


@pytest.mark.gpu
def test_a_gpu_finds_the_same_matches(files: Path) -> None:
    device = gpu()
    sides = scenes.pair_of(0)
    segments = tuple(find_scored(side.gray, detect=fixed(scenes.rows_of(side, 1.0))) for side in sides)

    made = [
        GlueStickMatcher(load_networks(files, device=place)).match(
            sides[0].gray, sides[1].gray, segments=(segments[0], segments[1])
        )
        for place in ("cpu", device)
    ]

    assert (made[0].left.descriptors - made[1].left.descriptors.cpu()).abs().max() <= 1e-4
    assert torch.equal(made[0].lines.right, made[1].lines.right.cpu())


# ---- choosing


@pytest.fixture
def with_gluestick(weights: Path, files: Path) -> Path:
    return both(files, weights)


def findings(engine: FcvgEngine) -> set[str]:
    told: list[Finding] = []
    list(engine.fill(request(tell=told.append)))
    engine.close()
    return {finding.name for finding in told}


def test_auto_takes_gluestick_where_its_files_are_and_the_report_says_so(with_gluestick: Path) -> None:
    engine = FcvgEngine(options(with_gluestick))

    assert f"lines matched by GlueStick on {detector()[0]}" in findings(engine)


def test_lines_can_be_matched_without_it_all_the_same(with_gluestick: Path, tiny_weights: Path) -> None:
    for folder, lines in ((with_gluestick, Lines.LSD), (tiny_weights, Lines.AUTO), (tiny_weights, Lines.LSD)):
        assert matcher_of(lines, folder=folder).name == "motion and looks"
    assert matcher_of(Lines.GLUESTICK, folder=with_gluestick).name.startswith("GlueStick")


def test_asking_for_it_without_its_files_is_refused_before_any_work(with_gluestick: Path) -> None:
    (with_gluestick / SUPERPOINT).unlink()

    with pytest.raises(EngineError, match=r"lines=gluestick needs two files, and .*superpoint_v1\.pth isn't there"):
        FcvgEngine(options(with_gluestick, lines=Lines.GLUESTICK))


def test_one_file_without_the_other_is_not_used_and_that_is_noted(with_gluestick: Path) -> None:
    (with_gluestick / GLUESTICK).unlink()
    flat = np.full((64, 64, 3), 128, np.uint8)

    notes = conditioner_of(options(with_gluestick), folder=with_gluestick)(flat, flat, uniform_times(2)).notes

    assert any("GlueStick isn't used" in note and GLUESTICK in note for note in notes)
    silent = conditioner_of(options(with_gluestick, lines=Lines.LSD), folder=with_gluestick)
    assert not any("GlueStick" in note for note in silent(flat, flat, uniform_times(2)).notes)


def test_the_option_is_read_from_its_text() -> None:
    assert read_options(FcvgOptions, {"lines": "gluestick"}, engine="fcvg").lines is Lines.GLUESTICK


def test_a_picture_is_seen_as_the_published_code_sees_it() -> None:
    """There LSD gets a picture that was put to [0, 1] and back, cut off rather than rounded: no value changes."""
    values: npt.NDArray[np.uint8] = np.arange(256, dtype=np.uint8)

    assert ((values / 255.0).astype(np.float32) * 255).astype(np.uint8).tolist() == values.tolist()
