"""What every flow engine owes the restorer, on every layout."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.engine import Engine, FillRequest, load_engine
from codec_plugin.errors import Cancelled
from codec_plugin.picture import Family, Layout, Picture, Plane

NAMES = ("dis", "blend", "repeat")
HALF = (Fraction(1, 2),)
YUV420 = Layout(family=Family.YUV, depth=8, chroma_shift_x=1, chroma_shift_y=1)

FAMILIES: dict[str, dict[str, Any]] = {
    "420": {"family": Family.YUV, "chroma_shift_x": 1, "chroma_shift_y": 1},
    "422": {"family": Family.YUV, "chroma_shift_x": 1},
    "411": {"family": Family.YUV, "chroma_shift_x": 2},
    "444": {"family": Family.YUV},
    "gray": {"family": Family.GRAY},
    "rgb": {"family": Family.RGB},
}
LAYOUTS = {
    f"{name} {depth}{' alpha' if alpha else ''}": Layout(**kind, depth=depth, alpha=alpha)
    for name, kind in FAMILIES.items()
    for depth in (8, 10, 12, 16, 32)
    for alpha in (False, True)
}


def noise(layout: Layout, *, width: int, height: int, seed: int) -> Picture:
    """A picture of smooth noise over the whole range, its memory closed to writing."""
    generator = np.random.default_rng(seed)
    planes = []
    for index in range(layout.plane_count):
        rows, columns = layout.plane_size(index, width=width, height=height)
        coarse = generator.random((rows // 8 + 1, columns // 8 + 1))
        fine = np.kron(coarse, np.ones((8, 8)))[:rows, :columns]
        planes.append((fine * layout.peak).astype(layout.dtype))
        planes[-1].flags.writeable = False
    return Picture(planes=tuple(planes), layout=layout, key=seed)


def fill(engine: Engine, left: Picture, right: Picture, positions: tuple[Fraction, ...] = HALF) -> list[Picture]:
    return list(engine.fill(FillRequest(left=left, right=right, positions=positions, interval=Fraction(1, 12))))


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return load_engine(request.param)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_each_layout_comes_back_in_its_own_size_type_and_range(engine: Engine, layout: Layout) -> None:
    left, right = (noise(layout, width=67, height=45, seed=seed) for seed in (1, 2))
    made = fill(engine, left, right, (Fraction(1, 3), Fraction(5, 7)))
    assert len(made) == 2
    for picture in made:
        assert picture.layout == layout
        assert picture.key is None
        assert [plane.shape for plane in picture.planes] == [plane.shape for plane in left.planes]
        assert max(float(plane.max()) for plane in picture.planes) <= layout.peak


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (1, 40), (11, 200), (13, 12), (17, 31), (801, 13)])
def test_no_size_is_too_small_or_too_odd(engine: Engine, width: int, height: int) -> None:
    left, right = (noise(YUV420, width=width, height=height, seed=seed) for seed in (1, 2))
    (made,) = fill(engine, left, right)
    assert (made.width, made.height) == (width, height)


def test_dis_dissolves_pictures_that_are_too_small_to_search() -> None:
    left, right = (noise(YUV420, width=11, height=40, seed=seed) for seed in (1, 2))
    moved, dissolved = (fill(load_engine(name), left, right)[0] for name in ("dis", "blend"))
    assert all(np.array_equal(a, b) for a, b in zip(moved.planes, dissolved.planes, strict=True))


@pytest.mark.parametrize("layout", [YUV420, LAYOUTS["444 10"], LAYOUTS["rgb 16"]], ids=str)
def test_equal_pictures_come_back_unchanged(engine: Engine, layout: Layout) -> None:
    left, right = (noise(layout, width=96, height=64, seed=1) for _ in range(2))
    (made,) = fill(engine, left, right, (Fraction(1, 3),))
    assert all(np.array_equal(a, b) for a, b in zip(made.planes, left.planes, strict=True))


def test_rows_may_be_strided_and_columns_too(engine: Engine) -> None:
    left, right = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2))

    def spread(plane: Plane) -> Plane:
        rows, columns = plane.shape
        wide = np.zeros((rows, columns * 2 + 9), dtype=plane.dtype)
        wide[:, 4 : 4 + columns * 2 : 2] = plane
        return wide[:, 4 : 4 + columns * 2 : 2]

    wide_left, wide_right = (
        replace(each, planes=tuple(spread(plane) for plane in each.planes)) for each in (left, right)
    )
    (made,), (expected,) = fill(engine, wide_left, wide_right), fill(engine, left, right)
    assert all(np.array_equal(a, b) for a, b in zip(made.planes, expected.planes, strict=True))


def test_the_order_of_requests_changes_nothing(engine: Engine) -> None:
    first, second, third = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2, 3))
    in_order = [*fill(engine, first, second), *fill(engine, second, third)]
    backwards = [*fill(engine, second, third), *fill(engine, first, second)][::-1]
    for a, b in zip(in_order, backwards, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_a_picture_stays_as_it_is_while_the_next_are_made(engine: Engine) -> None:
    left, right = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2))
    request = FillRequest(
        left=left, right=right, positions=tuple(Fraction(index, 4) for index in (1, 2, 3)), interval=Fraction(1)
    )
    kept = [(picture, [plane.copy() for plane in picture.planes]) for picture in engine.fill(request)]
    for picture, copies in kept:
        assert all(np.array_equal(a, b) for a, b in zip(picture.planes, copies, strict=True))


def test_two_films_whose_frames_have_the_same_keys_are_not_confused(engine: Engine) -> None:
    film = [noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2, 3, 4)]
    other = replace(film[2], key=2)
    expected = fill(load_engine(engine.info.name), other, film[3])
    fill(engine, film[0], film[1])
    made = fill(engine, other, film[3])
    assert all(np.array_equal(a, b) for a, b in zip(made[0].planes, expected[0].planes, strict=True))


def test_an_engine_may_be_closed_twice_and_used_again(engine: Engine) -> None:
    left, right = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2))
    before = fill(engine, left, right)
    engine.close()
    engine.close()
    assert np.array_equal(fill(engine, left, right)[0].planes[0], before[0].planes[0])


def test_an_estimate_grows_with_the_work() -> None:
    for name in ("dis", "blend"):
        engine = load_engine(name)
        small, large = (engine.estimate((640, 360), positions=count) for count in (1, 5))
        assert 0 < small.seconds < large.seconds


def test_a_cancelled_request_stops_before_the_next_picture() -> None:
    left, right = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2))
    positions = tuple(Fraction(index, 4) for index in (1, 2, 3))
    made: list[Picture] = []
    request = FillRequest(
        left=left, right=right, positions=positions, interval=Fraction(1), cancelled=lambda: len(made) == 2
    )
    with pytest.raises(Cancelled, match="3/4"):
        made.extend(load_engine("dis").fill(request))  # extend keeps what came before the error
    assert len(made) in (0, 2)


def test_the_package_loads_neither_opencv_nor_numpy_by_itself() -> None:
    code = (
        "import sys, flowfill; assert not {'cv2', 'numpy'} & set(sys.modules); "
        "assert 'DisEngine' in dir(flowfill) and not hasattr(flowfill, 'Nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@given(st.fractions(0, 1).filter(lambda position: 0 < position < 1), st.integers(0, 99))
def test_a_dissolve_is_exact_to_half_a_step(depth: int, position: Fraction, seed: int) -> None:
    layout = Layout(family=Family.GRAY, depth=depth)
    generator = np.random.default_rng(seed)
    left, right = (
        Picture(planes=(generator.integers(0, 1 << depth, (3, 20)).astype(layout.dtype),), layout=layout)
        for _ in range(2)
    )
    (made,) = fill(load_engine("blend"), left, right, (position,))
    exact = [
        a * (1 - position) + b * position
        for a, b in zip(left.planes[0].ravel().tolist(), right.planes[0].ravel().tolist(), strict=True)
    ]
    off = max(abs(value - made_of) for value, made_of in zip(exact, made.planes[0].ravel().tolist(), strict=True))
    assert off <= Fraction(1, 2)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("position", [Fraction(1, 2), Fraction(1, 257), Fraction(65_535, 65_537), Fraction(1, 2**60)])
def test_a_dissolve_of_the_brightest_samples_does_not_overflow(depth: int, position: Fraction) -> None:
    layout = Layout(family=Family.GRAY, depth=depth)
    white = Picture(planes=(np.full((3, 5), int(layout.peak), layout.dtype),), layout=layout)
    (made,) = fill(load_engine("blend"), white, white, (position,))
    assert np.array_equal(made.planes[0], white.planes[0])


def test_a_dissolve_of_a_large_plane_has_no_seams() -> None:
    layout = Layout(family=Family.GRAY, depth=8)
    left, right = (noise(layout, width=900, height=700, seed=seed) for seed in (1, 2))
    for position in (Fraction(1, 2), Fraction(2, 5)):
        (made,) = fill(load_engine("blend"), left, right, (position,))
        whole = left.planes[0] * float(1 - position) + right.planes[0] * float(position)
        assert np.abs(made.planes[0] - whole).max() <= 0.5 + 1e-9


def test_repeat_hands_on_the_left_picture_without_a_copy() -> None:
    left, right = (noise(YUV420, width=96, height=64, seed=seed) for seed in (1, 2))
    (made,) = fill(load_engine("repeat"), left, right)
    assert all(a is b for a, b in zip(made.planes, left.planes, strict=True))
