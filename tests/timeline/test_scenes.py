"""Scene cuts between two pictures up to a second apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, cut_score, thumbnail

Image = NDArray[np.uint8]
ROWS, COLUMNS = 90, 160
WORLD = 400


def world(seed: int) -> NDArray[np.float32]:
    """(400, 400) of soft shapes and fine grain, levels about 30 to 220."""
    rng = np.random.default_rng(seed)
    layers = [
        weight
        * cv2.resize(
            rng.standard_normal((side, side)).astype(np.float32), (WORLD, WORLD), interpolation=cv2.INTER_CUBIC
        )
        for side, weight in ((8, 30.0), (25, 22.0), (80, 12.0))
    ]
    return np.asarray(np.sum(layers, axis=0) + 120.0, dtype=np.float32)


def view(scene: NDArray[np.float32], *, x: float = 120.0, y: float = 150.0, zoom: float = 1.0) -> Image:
    """(90, 160): what a camera at (x, y) sees."""
    transform = np.array([[1.0 / zoom, 0.0, x], [0.0, 1.0 / zoom, y]], dtype=np.float32)
    seen = cv2.warpAffine(scene, transform, (COLUMNS, ROWS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return levels(np.asarray(seen, dtype=np.float32))


def levels(values: NDArray[np.float32]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def changed(image: Image, *, gain: float, offset: float) -> Image:
    return levels(image.astype(np.float32) * np.float32(gain) + np.float32(offset))


def is_cut(left: Image, right: Image) -> bool:
    return cut_score(left, right) >= DEFAULT_SCENE_THRESHOLD


@pytest.mark.parametrize("seed", range(6))
def test_two_different_scenes_are_a_cut_though_their_histograms_agree(seed: int) -> None:
    assert is_cut(view(world(seed)), view(world(seed + 100)))


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_between_dark_scenes_is_a_cut(seed: int) -> None:
    night = [changed(view(world(s)), gain=0.2, offset=10.0) for s in (seed, seed + 100)]
    assert is_cut(*night)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0, 12.0])
def test_a_pan_is_not_a_cut(seed: int, shift: float) -> None:
    scene = world(seed)
    assert not is_cut(view(scene), view(scene, x=120.0 + shift, y=150.0 - shift / 3))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("zoom", [1.03, 1.1, 1.25])
def test_a_zoom_is_not_a_cut(seed: int, zoom: float) -> None:
    scene = world(seed)
    assert not is_cut(view(scene), view(scene, zoom=zoom))


@pytest.mark.parametrize(("gain", "offset"), [(1.3, 20.0), (0.6, 0.0), (0.3, 10.0), (1.0, 60.0)])
def test_a_flash_or_a_fade_of_one_scene_is_not_a_cut(gain: float, offset: float) -> None:
    image = view(world(1))
    assert not is_cut(image, changed(image, gain=gain, offset=offset))


def test_noise_in_a_still_scene_is_not_a_cut() -> None:
    rng = np.random.default_rng(5)
    image = view(world(2)).astype(np.float32)
    noisy = [levels((image + rng.normal(0.0, 5.0, image.shape)).astype(np.float32)) for _ in range(2)]
    assert not is_cut(*noisy)


def test_someone_who_walks_in_is_not_a_cut() -> None:
    before = view(world(3))
    after = before.copy()
    after[20:, 100:140] = view(world(33))[20:, 100:140]
    assert not is_cut(before, after)


@pytest.mark.parametrize("level", [16, 128, 235])
def test_two_flat_pictures_of_nearly_one_level_are_not_a_cut(level: int) -> None:
    flat = np.full((ROWS, COLUMNS), level, dtype=np.uint8)
    assert cut_score(flat, flat + np.uint8(3)) < 1.0


def test_black_beside_a_bright_scene_is_a_cut() -> None:
    black = np.full((ROWS, COLUMNS), 16, dtype=np.uint8)
    assert is_cut(black, view(world(4)))
    assert is_cut(view(world(4)), black)


def test_the_score_does_not_depend_on_the_order() -> None:
    left, right = view(world(5)), view(world(5), x=140.0)
    assert cut_score(left, right) == pytest.approx(cut_score(right, left))


@pytest.mark.parametrize("shape", [(1, 1), (5, 160), (9, 11), (160, 17)])
def test_small_and_narrow_pictures_have_a_score(shape: tuple[int, int]) -> None:
    image = view(world(6))[:1, :1].repeat(shape[0], axis=0).repeat(shape[1], axis=1)
    assert 0.0 <= cut_score(image, image) <= 1.0


def test_thumbnails_of_two_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="one size"):
        cut_score(np.zeros((90, 160), np.uint8), np.zeros((160, 90), np.uint8))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((720, 1280), (90, 160)), ((1280, 720), (160, 90)), ((144, 176), (144, 176)), ((2, 3), (2, 3))],
)
def test_a_thumbnail_keeps_the_aspect(size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = Picture(planes=(np.zeros(size, np.uint8),), layout=Layout(family=Family.GRAY, depth=8))
    assert thumbnail(picture).shape == expected


@pytest.mark.parametrize("depth", [8, 10, 12, 16, 32])
@pytest.mark.parametrize("family", list(Family))
def test_a_thumbnail_is_the_same_at_every_depth_and_of_every_family(family: Family, depth: int) -> None:
    layout = Layout(family=family, depth=depth)
    fine = np.repeat(np.repeat(view(world(7)), 4, axis=0), 4, axis=1)
    scaled = fine / 255.0 * layout.peak
    padded = np.zeros((fine.shape[0], fine.shape[1] + 32), dtype=layout.dtype)
    padded[:, : fine.shape[1]] = scaled if layout.is_float else np.rint(scaled)
    plane = padded[:, : fine.shape[1]]
    picture = Picture(planes=(plane,) * layout.plane_count, layout=layout)
    small = thumbnail(picture)
    assert small.dtype == np.uint8
    assert np.abs(small.astype(int) - view(world(7))).max() <= 1
