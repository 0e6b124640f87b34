"""Condition pictures: lines found in both ends of a clip are followed, and drawn where they are on the way."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcvg.conditions.conditioner import Conditioner
from fcvg.conditions.lines import LineConditioner, draw_lines, places_at
from fcvg.conditions.matching import Matches, match_segments, with_ends_as
from fcvg.conditions.motion import find_motion
from fcvg.conditions.palette import _rgb, palette
from fcvg.conditions.segments import MOST_SEGMENTS, find_segments, least_length, segment_lengths
from fcvg.conditions.times import reference_times, uniform_times

SIZE = (320, 240)
Affine = npt.NDArray[np.float64]


def scene(seed: int = 0, *, size: tuple[int, int] = SIZE, boxes: int = 14) -> npt.NDArray[np.uint8]:
    """Turned boxes of many greys over each other, (height, width)."""
    random = np.random.default_rng(seed)
    picture = np.full(size[::-1], 90, np.uint8)
    for _ in range(boxes):
        middle = random.uniform((30, 30), np.array(size) - 30)
        sides, angle = random.uniform(20, 70, 2), random.uniform(0, 180)
        corners = cv2.boxPoints((tuple(middle), tuple(sides), angle))
        cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], int(random.integers(0, 256)), cv2.LINE_AA)
    return picture


def turn_and_shift(degrees: float, dx: float, dy: float, *, scale: float = 1.0) -> Affine:
    affine = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), degrees, scale)
    affine[:, 2] += dx, dy
    return np.asarray(affine)


def moved(picture: npt.NDArray[np.uint8], affine: Affine) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.warpAffine(picture, affine, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def rgb(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(gray[..., None], 3, axis=-1)


def misses(matches: Matches, affine: Affine) -> npt.NDArray[np.float64]:
    """How far each right segment's line lies from where the motion takes the left one's ends, in pixels."""
    expected = matches.left @ affine[:, :2].T + affine[:, 2]
    direction = matches.right[:, 1] - matches.right[:, 0]
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1) / segment_lengths(matches.right)[:, None]
    across: npt.NDArray[np.float64] = np.abs(np.einsum("nkc,nc->nk", expected - matches.right[:, :1], normal))
    return across.max(axis=1)


@pytest.mark.parametrize(
    ("degrees", "dx", "dy", "scale"),
    [(0, 7, 3, 1), (0, -40, 25, 1), (3, 0, 0, 1), (-12, 10, 5, 1), (30, 0, 0, 1), (0, 0, 0, 1.15), (8, 20, -9, 0.9)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_known_motion_of_the_whole_picture_is_recovered(
    degrees: float, dx: float, dy: float, scale: float, seed: int
) -> None:
    affine = turn_and_shift(degrees, dx, dy, scale=scale)
    left = scene(seed)

    matches = match_segments(left, moved(left, affine))

    assert len(matches) >= 15
    assert np.mean(misses(matches, affine) < 2.5) > 0.9


def test_an_object_that_moves_by_itself_is_followed() -> None:
    left, right = (np.full(SIZE[::-1], 80, np.uint8) for _ in range(2))
    texture = scene(5)[100:160, 100:180]
    for picture, x in ((left, 60), (right, 78)):
        picture[:] = scene(9, boxes=3) // 4
        picture[90:150, x : x + 80] = texture
        cv2.rectangle(picture, (x, 90), (x + 80, 150), 255, 2)

    matches = match_segments(left, right)
    steps = matches.right.mean(axis=1) - matches.left.mean(axis=1)
    on_it = (matches.left.mean(axis=1) > (58, 88)).all(axis=1) & (matches.left.mean(axis=1) < (142, 152)).all(axis=1)

    assert on_it.sum() >= 4
    assert np.median(steps[on_it, 0]) == pytest.approx(18, abs=1.5)


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), degrees=st.floats(-10, 10), dx=st.floats(-20, 20))
def test_swapping_the_ends_reverses_the_pictures(seed: int, degrees: float, dx: float) -> None:
    left = scene(seed)
    right = moved(left, turn_and_shift(degrees, dx, 0))

    there = LineConditioner(seed=3)(rgb(left), rgb(right), uniform_times(6))
    back = LineConditioner(seed=3)(rgb(right), rgb(left), uniform_times(6))

    assert there.matched == back.matched
    np.testing.assert_array_equal(there.pictures, back.pictures[::-1])


def test_the_ends_show_the_segments_where_they_were_found() -> None:
    left = scene(4)
    right = moved(left, turn_and_shift(2, 6, 0))
    matches = match_segments(left, right)
    conditions = LineConditioner()(rgb(left), rgb(right), uniform_times(3))

    assert conditions.matched == len(matches)
    for picture, segments in ((conditions.pictures[0], matches.left), (conditions.pictures[-1], matches.right)):
        for x, y in np.rint(segments.reshape(-1, 2)).astype(int):
            assert picture[:, y, x].max() > 0


def test_no_line_in_common_is_an_ordinary_case_and_said() -> None:
    flat = np.full((96, 128, 3), 128, np.uint8)

    for other in (flat, rgb(scene(1, size=(128, 96)))):
        conditions = LineConditioner()(flat, other, uniform_times(5))
        assert conditions.matched == 0
        assert not conditions.pictures.any()
        assert "no line" in conditions.notes[0]


def test_unrelated_pictures_share_next_to_no_line() -> None:
    numbers = [len(match_segments(scene(seed), scene(seed + 100))) for seed in range(6)]

    assert max(numbers) <= 4


@pytest.mark.parametrize("size", [(16, 8), (9, 200), (64, 64)])
def test_small_and_narrow_pictures_are_no_trouble(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)

    conditions = LineConditioner()(picture, picture[:, ::-1].copy(), uniform_times(3))

    assert conditions.pictures.shape == (3, 3, size[1], size[0])


def test_thousands_of_segments_are_limited_to_the_longest() -> None:
    y, x = np.mgrid[:600, :800]
    board = (((x // 20 + y // 20) % 2) * 255).astype(np.uint8)
    lengths = segment_lengths(find_segments(board))

    assert len(lengths) == MOST_SEGMENTS
    assert all(a >= b for a, b in pairwise(lengths))
    assert lengths.min() >= least_length(800, 600)


def test_lines_are_one_pixel_wide_of_one_colour_each_and_not_smoothed() -> None:
    ends = np.array([[[10.0, 10], [50, 10]], [[10, 30], [50, 60]], [[5, 70], [5, 90]]])
    matches = Matches(left=ends, right=ends + np.array([20, 0]))

    picture = draw_lines(matches, [Fraction(0)], size=(100, 100), seed=1)[0]
    seen = {tuple(colour) for colour in np.rint(picture.reshape(3, -1).T * 255).astype(int)} - {(0, 0, 0)}

    assert seen == {tuple(colour) for colour in palette(3, seed=1).astype(int)}
    assert np.count_nonzero(picture.max(axis=0)) == 41 + 41 + 21


def test_the_ends_of_a_segment_are_paired_by_the_smaller_sum_of_distances() -> None:
    model = np.array([[[0.0, 0], [10, 0]], [[0, 0], [0, 10]]])
    found = np.array([[[11.0, 1], [1, 1]], [[1, 1], [1, 11]]])

    paired = with_ends_as(found, model)

    np.testing.assert_array_equal(paired[0], found[0, ::-1])
    np.testing.assert_array_equal(paired[1], found[1])


@given(st.integers(0, 24), st.integers(0, 2**31))
def test_places_between_are_between_and_mirror_exactly(index: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    left, right = random.uniform(0, 400, (2, 7, 2, 2))
    time = Fraction(index, 24)

    here = places_at(Matches(left=left, right=right), time)
    there = places_at(Matches(left=right, right=left), 1 - time)

    np.testing.assert_array_equal(here, there)
    assert (here >= np.floor(np.minimum(left, right))).all()
    assert (here <= np.ceil(np.maximum(left, right))).all()


def test_the_motion_of_tiny_pictures_is_the_identity() -> None:
    tiny = np.zeros((5, 5), np.uint8)

    np.testing.assert_array_equal(find_motion(tiny, tiny)(np.array([[1.0, 2.0]])), [[1.0, 2.0]])


def test_the_hues_are_evenly_spaced_bright_and_dealt_in_an_order_of_the_seed() -> None:
    colours = palette(12, seed=5)

    assert len({tuple(colour) for colour in colours.tolist()}) == 12
    assert colours.max(axis=1).min() > 120
    assert not np.array_equal(colours, palette(12, seed=6))
    np.testing.assert_array_equal(colours, palette(12, seed=5))
    assert palette(0).shape == (0, 3)


@pytest.mark.parametrize(
    ("hue", "lightness", "expected"),
    [
        (12.17705063, 53.23711559, (1, 0, 0)),
        (127.71501294, 87.73551910, (0, 1, 0)),
        (265.87432021, 32.30087290, (0, 0, 1)),
    ],
)
def test_the_palette_is_hsluv(hue: float, lightness: float, expected: tuple[float, ...]) -> None:
    """The primaries' coordinates by hsluv.org: full saturation reaches the edge of sRGB exactly there."""
    np.testing.assert_allclose(_rgb(hue, 1.0, lightness), expected, atol=1e-4)


def test_the_schedules_are_what_they_say() -> None:
    assert uniform_times(5) == (0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1)
    assert reference_times(25)[:3] == (0, 0, Fraction(1, 22))
    assert reference_times(25)[-3:] == (Fraction(21, 22), 1, 1)
    assert len(reference_times(25)) == 25
    with pytest.raises(ValueError, match="at least 4 frames, not 3"):
        reference_times(3)
    with pytest.raises(ValueError, match="at least 2"):
        uniform_times(1)


def test_the_line_conditioner_is_a_conditioner() -> None:
    conditioner: Conditioner = LineConditioner()
    left = scene(2)

    pictures = conditioner(rgb(left), rgb(left), uniform_times(2)).pictures

    assert pictures.dtype == np.float32
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert math.isclose(np.abs(pictures[0] - pictures[1]).max(), 0)
