"""Where `dis` puts things that move, and what it leaves alone."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec_plugin.engine import FillRequest
from codec_plugin.picture import Family, Layout, Picture
from flowfill import BlendEngine, DisEngine

WIDTH, HEIGHT = 192, 128
DEPTHS = (8, 10, 16)


def texture(width: int, height: int, *, seed: int, grain: float = 2.0) -> npt.NDArray[np.float32]:
    """Smooth noise in [0, 1], without any repetition to be misled by."""
    raw = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(raw, (0, 0), grain), dtype=np.float32)
    return np.asarray((smooth - smooth.min()) / (smooth.max() - smooth.min()), dtype=np.float32)


def gray(values: npt.NDArray[np.float32], *, depth: int = 8) -> Picture:
    layout = Layout(family=Family.GRAY, depth=depth)
    plane = np.rint(np.clip(values, 0, 1) * layout.peak).astype(layout.dtype)
    plane.flags.writeable = False
    return Picture(planes=(plane,), layout=layout)


def made_at(position: Fraction, left: Picture, right: Picture, *, threads: int = 2) -> npt.NDArray[np.float64]:
    """The made luma in [0, 1]."""
    engine = DisEngine(threads=threads)
    request = FillRequest(left=left, right=right, positions=(position,), interval=Fraction(1, 12))
    (picture,) = engine.fill(request)
    engine.close()
    return picture.planes[0] / left.layout.peak


def psnr_db(made: npt.NDArray[np.float64], original: npt.NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((made - original) ** 2)))


def square_at(x: float, y: float) -> npt.NDArray[np.float32]:
    """A bright textured square of 40 pixels before a dim textured ground, its corner at (x, y)."""
    ground = 0.3 * texture(WIDTH, HEIGHT, seed=1)
    patch = 0.6 + 0.4 * texture(40, 40, seed=2)
    shift = np.array([[1, 0, x], [0, 1, y]], dtype=np.float32)
    cover = cv2.warpAffine(np.ones((40, 40), np.float32), shift, (WIDTH, HEIGHT))
    moved = cv2.warpAffine(patch, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(ground * (1 - cover) + moved * cover, dtype=np.float32)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("position", [Fraction(1, 2), Fraction(1, 3)])
def test_a_moving_square_lands_where_it_should(position: Fraction, depth: int) -> None:
    left, right = gray(square_at(60, 40), depth=depth), gray(square_at(72, 46), depth=depth)
    made = made_at(position, left, right)
    rows, columns = np.nonzero(made > 0.5)
    share = float(position)
    assert columns.mean() == pytest.approx(60 + 12 * share + 19.5, abs=0.75)
    assert rows.mean() == pytest.approx(40 + 6 * share + 19.5, abs=0.75)
    assert psnr_db(made, square_at(60 + 12 * share, 40 + 6 * share)) > 28


@settings(max_examples=15, deadline=None)
@given(position=st.fractions(min_value=Fraction(1, 50), max_value=Fraction(49, 50), max_denominator=997))
def test_a_pan_is_followed_to_any_fraction(position: Fraction) -> None:
    ground = texture(WIDTH + 40, HEIGHT + 20, seed=3, grain=3.0)

    def view(share: float) -> npt.NDArray[np.float32]:
        shift = np.array([[1, 0, -20 + 8 * share], [0, 1, -10 + 4 * share]], dtype=np.float32)
        return np.asarray(cv2.warpAffine(ground, shift, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC), dtype=np.float32)

    made = made_at(position, gray(view(0.0)), gray(view(1.0)))
    assert psnr_db(made, view(float(position))) > 34


def test_chroma_follows_luma_in_every_subsampling() -> None:
    for shift_x, shift_y in ((0, 0), (1, 0), (1, 1)):
        layout = Layout(family=Family.YUV, depth=10, chroma_shift_x=shift_x, chroma_shift_y=shift_y)

        def at(x: float, layout: Layout = layout) -> Picture:
            luma = square_at(x, 40)
            size = layout.plane_size(1, width=WIDTH, height=HEIGHT)
            chroma = cv2.resize((luma > 0.5).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
            planes = tuple(np.rint(plane * layout.peak).astype(np.uint16) for plane in (luma, chroma, 1 - chroma))
            return Picture(planes=planes, layout=layout)

        engine = DisEngine(threads=1)
        request = FillRequest(left=at(60), right=at(72), positions=(Fraction(1, 2),), interval=Fraction(1))
        (made,) = engine.fill(request)
        scale = 1 << shift_x
        columns = np.nonzero(made.planes[1] > layout.peak / 2)[1]
        assert columns.mean() * scale == pytest.approx(66 + 19.5, abs=1.0 * scale)


def test_a_logo_stays_sharp_before_a_moving_ground() -> None:
    ground = texture(WIDTH + 16, HEIGHT, seed=4)
    logo = np.zeros((HEIGHT, WIDTH), dtype=bool)
    logo[24:104, 40:48] = logo[24:104, 72:80] = logo[60:68, 40:80] = True
    logo[24:104, 104:112] = True

    def view(x: int) -> npt.NDArray[np.float32]:
        return np.where(logo, np.float32(1.0), 0.7 * ground[:, x : x + WIDTH])

    left, middle, right = (view(x) for x in (0, 4, 8))
    made = made_at(Fraction(1, 2), gray(left), gray(right))
    assert made[logo].mean() > 0.95
    assert psnr_db(made, middle) > 28


def test_a_fade_is_a_dissolve() -> None:
    scene = texture(WIDTH, HEIGHT, seed=5)
    left, right = gray(0.8 * scene), gray(0.3 * scene)
    made = made_at(Fraction(1, 4), left, right)
    assert psnr_db(made, np.asarray(0.675 * scene, dtype=np.float32)) > 38


def test_grain_on_a_still_picture_is_not_taken_for_motion() -> None:
    scene = texture(WIDTH, HEIGHT, seed=6)
    grain = np.random.default_rng(8).normal(0, 0.01, (2, HEIGHT, WIDTH)).astype(np.float32)
    left, right = (gray(scene + each) for each in grain)
    request = FillRequest(left=left, right=right, positions=(Fraction(1, 2),), interval=Fraction(1))
    (dissolved,) = BlendEngine().fill(request)
    made = made_at(Fraction(1, 2), left, right)
    assert psnr_db(made, scene) > psnr_db(dissolved.planes[0] / 255, scene) - 1.0


def test_what_a_pan_brings_in_is_taken_from_the_picture_that_has_it() -> None:
    ground = texture(640 + 12, 360, seed=9, grain=3.0)
    left, middle, right = (ground[:, x : x + 640] for x in (0, 6, 12))
    made = made_at(Fraction(1, 2), gray(left), gray(right))
    for edge in (np.s_[:, :6], np.s_[:, -6:]):
        assert psnr_db(made[edge], middle[edge]) > 35


def test_threads_change_nothing_in_a_picture() -> None:
    left, right = gray(square_at(60, 40), depth=10), gray(square_at(72, 46), depth=10)
    one, many = (made_at(Fraction(1, 3), left, right, threads=threads) for threads in (1, 5))
    assert np.array_equal(one, many)


def test_two_runs_give_the_same_bytes() -> None:
    left, right = gray(square_at(60, 40)), gray(square_at(72, 46))
    assert np.array_equal(made_at(Fraction(1, 2), left, right), made_at(Fraction(1, 2), left, right))


def test_opencv_keeps_its_number_of_threads() -> None:
    before = cv2.getNumThreads()
    made_at(Fraction(1, 2), gray(square_at(60, 40)), gray(square_at(66, 40)))
    assert cv2.getNumThreads() == before


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="threads must be 1 or more"):
        DisEngine(threads=0)


def test_large_pictures_are_made_through_a_smaller_guide() -> None:
    ground = texture(1000, 560, seed=10, grain=4.0)
    left, middle, right = (ground[:540, x : x + 960] for x in (0, 10, 20))
    made = made_at(Fraction(1, 2), gray(left), gray(right))
    assert psnr_db(made[:, 40:-40], middle[:, 40:-40]) > 38
