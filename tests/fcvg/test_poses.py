"""People: found and measured as the public code does from recorded answers of its networks, followed, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("safetensors", reason="the fcvg extra is not installed")
pytest.importorskip("onnx", reason="what makes the tests' graphs is not installed")

from safetensors.numpy import load_file

from codec_plugin.errors import EngineError
from fcvg import FcvgEngine, FcvgOptions
from fcvg.conditions.choosing import conditioner_of
from fcvg.conditions.conditioner import Conditioner
from fcvg.conditions.pose.between import pair_people, people_at
from fcvg.conditions.pose.boxes import SIDE, letterboxed, people_boxes
from fcvg.conditions.pose.drawing import draw_people, over
from fcvg.conditions.pose.estimator import PoseEstimator
from fcvg.conditions.pose.files import PoseFiles, Poses, pose_files
from fcvg.conditions.pose.people import BODY, POINTS, People
from fcvg.conditions.pose.points import cropped, decoded
from fcvg.conditions.pose.poses import PoseConditioner
from fcvg.conditions.times import uniform_times
from tests.fcvg import recorded
from tests.fcvg.pose_graphs import BOX, make_pose_files
from tests.fcvg.test_engine import request

GOLDEN = Path(__file__).parent.parent / "golden" / "fcvg" / "dwpose.safetensors"
EVERY = 8
Rgb8 = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def golden() -> dict[str, npt.NDArray[Any]]:
    return dict(load_file(GOLDEN))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pose_files(tmp_path_factory.mktemp("poses"))


@pytest.fixture(scope="module")
def estimator(folder: Path) -> PoseEstimator:
    files = pose_files(folder, Poses.ON)
    assert files is not None
    return PoseEstimator(files)


def shown(*blocks: tuple[int, int], size: tuple[int, int] = (160, 120)) -> Rgb8:
    """A grey picture, red where the tests' detector is to see a person: 12 pixels around each place."""
    picture = np.full((size[1], size[0], 3), 128, np.uint8)
    for x, y in blocks:
        picture[y - 6 : y + 6, x - 6 : x + 6] = 255, 0, 0
    return picture


def standing(*middles: tuple[float, float], seed: int = 0) -> People:
    """People of one shape around middles, in pixels."""
    shape = np.random.default_rng(seed).uniform(-12, 12, (1, POINTS, 2))
    shape[:, BODY] -= shape[:, BODY].mean(axis=1, keepdims=True)
    points = shape + np.array(middles, dtype=np.float64).reshape(-1, 1, 2)
    return People(points=points, scores=np.full(points.shape[:2], 0.9))


# ---- as the public code


def test_the_detector_is_given_the_picture_that_the_public_code_gives_it(golden: dict[str, Any]) -> None:
    square, ratio = letterboxed(recorded.picture())

    assert ratio == SIDE / recorded.WIDTH
    np.testing.assert_array_equal(square[0, :, ::EVERY, ::EVERY], golden["letterboxed"])


def test_boxes_crops_points_and_scores_are_those_of_the_public_code(golden: dict[str, Any]) -> None:
    picture = recorded.picture()
    boxes = people_boxes(recorded.detections(), ratio=letterboxed(picture)[1])
    crops = [cropped(picture, box, size=recorded.CROP) for box in boxes]
    found = [decoded(*recorded.bins(person), crop) for person, crop in enumerate(crops)]
    people = People.from_coco(*(np.stack(values) for values in zip(*found, strict=True)))

    assert len(people) == len(golden["points"]) == 26
    seen = np.stack([crop.pixels[0, :, ::EVERY, ::EVERY] for crop in crops[:3]])
    np.testing.assert_allclose(seen, golden["crops"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(people.points, golden["points"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(people.scores, golden["scores"], rtol=0, atol=1e-7)
    assert (people.scores <= 0).any()  # points that are nowhere are among them


@pytest.mark.parametrize(("name", "count"), [("alone", 1), ("three", 3)])
def test_people_are_drawn_as_the_public_code_draws_them(golden: dict[str, Any], name: str, count: int) -> None:
    points, scores = recorded.people(name, count)
    people = People(points=points * (recorded.WIDTH, recorded.HEIGHT), scores=scores)

    drawn = draw_people(people, size=(recorded.WIDTH, recorded.HEIGHT)).transpose(2, 0, 1)
    differences = np.abs(drawn.astype(int) - golden[f"drawn {name}"].astype(int))

    assert golden[f"drawn {name}"].any()
    assert differences.max() <= 1
    assert np.mean(differences > 0) < 0.001


@pytest.mark.parametrize("place", [1, 2])
def test_people_on_their_way_are_drawn_as_in_the_public_demo(golden: dict[str, Any], place: int) -> None:
    """Three that are in both frames, in another order, all of whose joints are seen; of its five pictures between."""
    sides = []
    for name in ("left", "right"):
        points, scores = recorded.followed(name)
        sides.append(People(points=points * (recorded.WIDTH, recorded.HEIGHT), scores=scores))
    pairs = pair_people(*sides)

    between = people_at(*sides, pairs, Fraction(place, 4))
    drawn = draw_people(between, size=(recorded.WIDTH, recorded.HEIGHT)).transpose(2, 0, 1)
    differences = np.abs(drawn.astype(int) - golden[f"between {place}"].astype(int))

    assert pairs == ((0, 1), (1, 2), (2, 0))
    assert golden[f"between {place}"].any()
    assert np.mean(differences > 1) < 0.001


# ---- finding


def test_an_empty_picture_has_nobody_in_it(estimator: PoseEstimator) -> None:
    people = estimator(shown())

    assert len(people) == 0
    assert people.points.shape == (0, POINTS, 2)


def test_people_are_found_where_they_are_whatever_the_pictures_shape(estimator: PoseEstimator) -> None:
    for size in ((160, 120), (64, 200), (200, 64)):
        place = size[0] // 2, size[1] // 2
        people = estimator(shown(place, size=size))
        ratio = SIDE / max(size)

        assert len(people) == 1
        reach = np.array([BOX, 2 * BOX]) / ratio  # a crop is larger than its box
        assert (np.abs(people.points[0] - place) < 1.3 * reach).all()
        assert 0 <= people.scores.min() <= people.scores.max() <= 1


def test_two_people_beside_each_other_are_two(estimator: PoseEstimator) -> None:
    assert len(estimator(shown((30, 60), (130, 60)))) == 2


def test_boxes_that_are_no_numbers_are_left_out() -> None:
    raw = recorded.detections()
    count = len(people_boxes(raw, ratio=1.0))
    raw[0, np.argmax(raw[0, :, 4] * raw[0, :, 5]), 2] = 1000.0

    assert 0 < len(people_boxes(raw, ratio=1.0)) < count + 5
    assert np.isfinite(people_boxes(raw, ratio=1.0)).all()
    raw[0, :4000, 4] = np.nan
    raw[0, 4000:, 2] = 60.0  # a size of 1e26
    assert people_boxes(raw, ratio=1.0).shape == (0, 4)
    assert people_boxes(np.zeros_like(raw), ratio=1.0).shape == (0, 4)


@pytest.mark.parametrize("spoilt", ["dwpose/yolox_l.onnx", "dwpose/dw-ll_ucoco_384.onnx"])
def test_a_file_that_is_no_network_or_another_one_is_refused_by_name(folder: Path, tmp_path: Path, spoilt: str) -> None:
    make_pose_files(tmp_path)
    files = PoseFiles(detector=tmp_path / "dwpose/yolox_l.onnx", points=tmp_path / "dwpose/dw-ll_ucoco_384.onnx")
    other = {"dwpose/yolox_l.onnx": files.points, "dwpose/dw-ll_ucoco_384.onnx": files.detector}[spoilt]

    (tmp_path / spoilt).write_bytes(other.read_bytes())
    with pytest.raises(EngineError, match=rf"{Path(spoilt).name} is another network than DWPose's: it takes and gives"):
        PoseEstimator(files)(shown())
    (tmp_path / spoilt).write_bytes(b"no network")
    with pytest.raises(EngineError, match=rf"{Path(spoilt).name}.*get the file again.*poses=off does without"):
        PoseEstimator(files)(shown())


def test_points_that_are_no_numbers_are_not_seen_and_can_be_drawn() -> None:
    crop = cropped(recorded.picture(), np.array([10.0, 10.0, 90.0, 100.0]), size=recorded.CROP)
    across, down = recorded.bins(0)
    across[0, ::2] = np.nan
    points, scores = decoded(across, down, crop)
    people = People.from_coco(points[None], scores[None])

    assert not scores[::2].any()
    assert np.isfinite(points).all()
    assert draw_people(people, size=(recorded.WIDTH, recorded.HEIGHT)).any()


# ---- following


def test_people_are_paired_by_the_nearest_body_and_swapping_the_ends_swaps_the_pairs() -> None:
    left, right = standing((20, 50), (100, 50), (60, 20)), standing((104, 52), (63, 22), (25, 50), (300, 10))
    pairs = pair_people(left, right)

    assert pairs == ((0, 2), (1, 0), (2, 1))
    assert sorted((j, i) for i, j in pair_people(right, left)) == sorted(pairs)
    assert pair_people(left, People.nobody()) == pair_people(People.nobody(), right) == ()


def test_people_go_in_straight_lines_and_those_in_one_picture_only_are_seen_there_only() -> None:
    left, right = standing((20, 50), (100, 50)), standing((40, 50))
    pairs = pair_people(left, right)

    assert people_at(left, right, pairs, Fraction(0)) is left
    assert people_at(left, right, pairs, Fraction(1)) is right
    between = people_at(left, right, pairs, Fraction(1, 4))
    assert len(between) == 1
    np.testing.assert_allclose(between.points[0], left.points[0] + (5, 0))


def test_a_clip_in_reverse_shows_the_same_pictures_in_reverse(estimator: PoseEstimator) -> None:
    left, right = shown((40, 60), (120, 40)), shown((60, 60))
    conditioner: Conditioner = PoseConditioner(estimator)

    there, back = conditioner(left, right, uniform_times(4)), conditioner(right, left, uniform_times(4))

    assert there.matched == back.matched == 1
    assert there.pictures.any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(there.pictures, back.pictures[::-1])


@pytest.mark.parametrize(
    ("left", "right", "matched", "note"),
    [
        ([], [], 0, "no person was found"),
        ([(20, 50)], [], 0, "in one frame only"),
        ([(20, 50)], [(30, 50), (90, 50)], 1, "1 people were found on the left and 2 on the right"),
        ([(20, 50)], [(30, 50)], 1, None),
    ],
)
def test_any_number_of_people_on_either_side_is_an_ordinary_case_and_said(
    left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]], matched: int, note: str | None
) -> None:
    sides = iter([standing(*left) if left else People.nobody(), standing(*right) if right else People.nobody()])
    conditions = PoseConditioner(lambda _picture: next(sides))(shown(), shown(), uniform_times(3))

    assert conditions.matched == matched
    assert [count.number for count in conditions.counts] == [len(left), len(right), matched]
    assert conditions.pictures.any(axis=(1, 2, 3)).tolist() == [bool(left), bool(matched), bool(right)]
    assert (note in conditions.notes[0]) if note else not conditions.notes


def test_what_is_not_seen_is_not_drawn() -> None:
    people = standing((60, 60))

    assert draw_people(people, size=(120, 120)).any()
    assert not draw_people(replace(people, scores=np.zeros_like(people.scores)), size=(120, 120)).any()
    assert not draw_people(replace(people, points=people.points - 5000), size=(120, 120)).any()


def test_pictures_that_are_long_and_narrow_are_drawn_in_bounds() -> None:
    assert draw_people(standing((2000, 30)), size=(4096, 64)).shape == (64, 4096, 3)


# ---- with lines, in the engine


def test_people_lie_over_the_lines_channel_by_channel() -> None:
    lines, people = np.zeros((2, 1, 3, 1, 1), np.float32)
    lines[0, :, 0, 0], people[0, :, 0, 0] = (0.2, 0.3, 0.4), (0.9, 0, 0.1)

    np.testing.assert_array_equal(over(lines, people)[0, :, 0, 0], np.float32([0.9, 0.3, 0.1]))


def test_people_are_drawn_where_both_files_are_there_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    left, right = shown((40, 60)), shown((60, 60))

    with_people = conditioner_of(FcvgOptions(), folder=folder)(left, right, uniform_times(3))
    without = conditioner_of(FcvgOptions(), folder=tmp_path)(left, right, uniform_times(3))
    off = conditioner_of(FcvgOptions(poses=Poses.OFF), folder=folder)(left, right, uniform_times(3))

    assert ("people followed", 1) in [(count.name, count.number) for count in with_people.counts]
    assert with_people.matched == off.matched
    assert np.count_nonzero(with_people.pictures) > np.count_nonzero(off.pictures)
    np.testing.assert_array_equal(without.pictures, off.pictures)
    assert any("no people are drawn" in note and "yolox_l.onnx isn't there" in note for note in without.notes)
    assert not any("people" in note for note in off.notes)


def test_people_that_are_asked_for_and_can_not_be_found_are_an_error_at_once(weights: Path) -> None:
    options = FcvgOptions(weights=weights, allow_untrained=True, poses=Poses.ON)

    with pytest.raises(EngineError, match=r"poses=on needs both of DWPose's files, and .*yolox_l\.onnx isn't there"):
        FcvgEngine(options)
    make_pose_files(weights)
    (weights / "dwpose/dw-ll_ucoco_384.onnx").unlink()
    with pytest.raises(EngineError, match=r"and [^ ]*dw-ll_ucoco_384\.onnx isn't there"):
        FcvgEngine(options)


def test_the_engine_draws_people_and_reports_how_many(weights: Path) -> None:
    told: list[Any] = []
    made = {}
    for poses in (Poses.ON, Poses.OFF):
        make_pose_files(weights)
        engine = FcvgEngine(FcvgOptions(weights=weights, allow_untrained=True, size="64x64", steps=2, poses=poses))
        pictures = engine.fill(request(positions=(Fraction(1, 2),), tell=told.append))
        made[poses] = np.stack([np.stack(picture.planes) for picture in pictures])
        engine.close()

    assert {"people in the left frame", "people in the right frame", "people followed"} < {one.name for one in told}
    assert made[Poses.ON].shape == made[Poses.OFF].shape
