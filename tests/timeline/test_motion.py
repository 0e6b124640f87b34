"""Motion between thumbnails: blocks, the whole picture, and what is shown along them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec_plugin.timeline.motion import astray, block_motion, common_shift, halved, moved, shifted
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, cut_score

Image = NDArray[np.float32]


def texture(seed: int, *, rows: int, columns: int, grain: float = 1.5) -> Image:
    """Smooth noise, levels about 20 to 230."""
    raw = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(raw, (0, 0), grain), dtype=np.float32)
    return np.asarray(125.0 + 35.0 * smooth / smooth.std(), dtype=np.float32)


def pair(y: int, x: int, *, rows: int = 24, columns: int = 40, grain: float = 1.5) -> tuple[Image, Image]:
    """Two views of one scene; what is at a place of the first is at that place + (y, x) of the second."""
    scene = texture(1, rows=rows + 40, columns=columns + 40, grain=grain)
    return scene[20 : 20 + rows, 20 : 20 + columns], scene[20 - y : 20 - y + rows, 20 - x : 20 - x + columns]


@given(st.integers(-5, 5), st.integers(-9, 9))
def test_blocks_are_found_where_they_went(y: int, x: int) -> None:
    there, back = block_motion(*pair(y, x))
    inside = np.s_[:, 4:-4, 6:-6]
    expected = np.array([y, x], dtype=np.float32)[:, None, None]
    assert (np.abs(there.offsets[inside] - expected).max(axis=0) == 0).mean() > 0.95
    assert (np.abs(back.offsets[inside] + expected).max(axis=0) == 0).mean() > 0.95


@pytest.mark.parametrize(("gain", "offset"), [(0.4, 10.0), (1.6, -30.0), (1.0, 80.0)])
def test_brightness_and_contrast_change_no_motion(gain: float, offset: float) -> None:
    left, right = pair(2, -3)
    plain, lit = (block_motion(left, image)[0].offsets for image in (right, right * np.float32(gain) + offset))
    assert (plain == lit)[:, 4:-4, 6:-6].mean() > 0.98


def test_a_flat_picture_has_no_motion_and_no_texture() -> None:
    flat = np.full((24, 40), 90.0, dtype=np.float32)
    there, back = block_motion(flat, flat)
    assert not there.offsets.any()
    assert not there.texture.any()
    assert astray(there, back) == 0.0


def test_blocks_of_one_scene_come_back_and_those_of_two_do_not() -> None:
    near = astray(*block_motion(*pair(1, 4)))
    far = astray(*block_motion(texture(1, rows=24, columns=40), texture(2, rows=24, columns=40)))
    assert near < 0.6
    assert far > 2.0


@given(st.integers(-12, 12), st.integers(-20, 20))
def test_the_common_shift_is_found_exactly_and_backwards_it_is_the_opposite(y: int, x: int) -> None:
    left, right = pair(y, x, rows=90, columns=160)
    assert common_shift(left, right) == (y, x)
    assert common_shift(right, left) == (-y, -x)


def test_a_shift_reads_each_place_further_on_and_repeats_the_edge() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert shifted(image, y=1, x=-2).tolist() == [[4, 4, 4, 5], [8, 8, 8, 9], [8, 8, 8, 9]]


def test_a_picture_moved_along_its_motion_is_the_other_one() -> None:
    scene = texture(3, rows=140, columns=200, grain=6.0)
    left, right = scene[20:110, 20:180], scene[16:106, 12:172]
    there, _ = block_motion(halved(left), halved(right))
    guess = moved(right, there)
    assert guess.shape == left.shape
    assert np.abs(guess - left)[12:-12, 20:-20].mean() < 0.3 * np.abs(right - left)[12:-12, 20:-20].mean()


@pytest.mark.parametrize("size", [(4, 4), (5, 41), (23, 7), (36, 44)])
def test_any_size_of_four_samples_and_more_has_motion(size: tuple[int, int]) -> None:
    left, right = texture(5, rows=size[0], columns=size[1]), texture(6, rows=size[0], columns=size[1])
    there, back = block_motion(left, right)
    assert there.offsets.shape == (2, -(-size[0] // 2), -(-size[1] // 2))
    assert 0.0 <= astray(there, back) <= 4.0
    double = np.kron(right, np.ones((2, 2), dtype=np.float32))
    assert np.isfinite(moved(double, there)).all()


@pytest.mark.parametrize("rise", [1, 3, 8])
def test_small_print_that_rolls_is_not_a_cut(rise: int) -> None:
    rng = np.random.default_rng(8)
    page = np.zeros((140, 160), dtype=np.uint8)
    for line in range(0, 140, 4):
        page[line : line + 2, 20:140] = rng.integers(0, 2, (2, 120)) * 200
    assert cut_score(page[:90], page[rise : 90 + rise]) < DEFAULT_SCENE_THRESHOLD
