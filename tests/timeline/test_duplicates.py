"""Frozen repeats: which frames only repeat the one before, and which stand still on purpose."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.duplicates import (
    LOOK_AHEAD,
    DifferenceStats,
    Repeat,
    RepeatFinder,
    difference,
    find_repeats,
)

Image = NDArray[np.uint8]
ROWS, COLUMNS = 144, 256
GRAY = Layout(family=Family.GRAY, depth=8)


def texture(seed: int, rows: int, columns: int) -> Image:
    """(rows, columns) of soft shapes and grain."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(
        rng.uniform(40, 200, (rows // 12, columns // 12)), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.resize(rng.uniform(-25, 25, (rows // 4, columns // 4)), (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(np.rint(coarse + fine), 0, 255), dtype=np.uint8)


def pan(count: int, *, step: int = 2) -> list[Image]:
    """A camera that moves `step` samples a frame."""
    wide = texture(1, ROWS, COLUMNS + step * count + 16)
    return [wide[:, step * index : step * index + COLUMNS].copy() for index in range(count)]


def talking_head(positions: Sequence[int]) -> list[Image]:
    """A still picture in which a patch of 32 x 32, 2 % of it, stands at each of these positions."""
    still, patch = texture(2, ROWS, COLUMNS), texture(3, 36, 36)[:32, :32]
    frames = []
    for position in positions:
        frame = still.copy()
        frame[60:92, 40 + position : 72 + position] = patch
        frames.append(frame)
    return frames


def with_repeats(frames: list[Image], runs: Sequence[tuple[int, int]]) -> list[Image]:
    """The clip with each [start, stop) replaced by the frame before it."""
    repeated = list(frames)
    for start, stop in runs:
        repeated[start:stop] = [frames[start - 1]] * (stop - start)
    return repeated


def coded(frames: list[Image], *, codec: str, options: dict[str, str]) -> list[Image]:
    """The clip after lossy coding."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as source:
        return [frame.to_ndarray(format="gray").astype(np.uint8) for frame in source.decode(video=0)]


def picture(image: Image) -> Picture:
    return Picture(planes=(image,), layout=GRAY)


def differences(frames: list[Image]) -> list[DifferenceStats]:
    return [difference(picture(a), picture(b)) for a, b in pairwise(frames)]


def runs_of(repeats: Sequence[Repeat]) -> list[tuple[int, int]]:
    return [(repeat.start, repeat.stop) for repeat in repeats]


def found(frames: list[Image]) -> list[tuple[int, int]]:
    return runs_of(find_repeats(differences(frames)))


RUNS = [(9, 10), (20, 22), (33, 36), (47, 48)]


def test_repeats_in_a_pan_are_found_with_their_lengths() -> None:
    assert found(with_repeats(pan(60), RUNS)) == RUNS


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"crf": "18", "preset": "veryfast"}),
        ("libx264", {"crf": "30", "preset": "veryfast"}),
        ("mpeg4", {"b": "600000"}),
    ],
)
def test_repeats_are_found_after_lossy_coding(codec: str, options: dict[str, str]) -> None:
    assert found(coded(with_repeats(pan(60), RUNS), codec=codec, options=options)) == RUNS


def test_a_clip_without_repeats_has_none_after_lossy_coding() -> None:
    assert found(coded(pan(60), codec="libx264", options={"crf": "30", "preset": "veryfast"})) == []


def test_repeats_are_found_where_only_a_mouth_moves() -> None:
    frames = talking_head([2 * index for index in range(60)])
    assert found(with_repeats(frames, RUNS)) == RUNS


def test_a_still_scene_has_no_repeats() -> None:
    assert found(coded([texture(4, ROWS, COLUMNS)] * 40, codec="libx264", options={"crf": "28"})) == []


def test_a_slow_fade_has_no_repeats() -> None:
    bright = texture(5, ROWS, COLUMNS).astype(np.float64)
    assert found([np.rint(bright * (1.0 - index / 100)).astype(np.uint8) for index in range(80)]) == []


def test_a_movement_that_rests_and_goes_on_is_no_gap() -> None:
    steps = [2] * 15 + [0] * 12 + [2] * 15
    assert found(talking_head([int(position) for position in np.cumsum(steps)])) == []


@pytest.mark.parametrize("held", [2, 3, 4])
def test_a_drawing_held_on_purpose_in_a_still_picture_is_no_gap(held: int) -> None:
    assert found(talking_head([4 * (index // held) for index in range(60)])) == []


@pytest.mark.parametrize("held", [2, 3])
def test_a_whole_film_at_a_lower_frame_rate_is_no_gap(held: int) -> None:
    frames = pan(60)
    assert found([frames[held * (index // held)] for index in range(60)]) == []


def test_a_rest_before_a_cut_is_no_gap() -> None:
    frames = with_repeats(pan(30), [(29, 30)]) + [np.flipud(frame) for frame in pan(30)]
    assert found(frames) == []


def test_the_evidence_tells_stillness_and_jump() -> None:
    (repeat,) = find_repeats(differences(with_repeats(pan(40), [(20, 22)])))
    assert repeat.stillness == 0.0
    assert repeat.jump > 1.2
    assert repeat.motion > 2.0


def stats(peak: float) -> DifferenceStats:
    return DifferenceStats(mean=peak / 4, peak=peak)


@given(st.lists(st.tuples(st.integers(9, 20), st.integers(1, 4)), max_size=8), st.floats(0.0, 0.1))
def test_any_runs_in_steady_motion_are_found_exactly(spacings: list[tuple[int, int]], noise: float) -> None:
    peaks, expected = [10.0] * 5, []
    for spacing, length in spacings:
        peaks += [10.0] * spacing
        expected.append((len(peaks) + 1, len(peaks) + 1 + length))
        peaks += [10.0 * noise] * length + [10.0 * (1 + 0.5 * length)]
    peaks += [10.0] * 5
    assert runs_of(find_repeats(map(stats, peaks))) == expected


@given(st.lists(st.floats(0.0, 100.0), max_size=200))
def test_any_differences_give_runs_in_order_inside_the_clip(peaks: list[float]) -> None:
    edges = [edge for run in runs_of(find_repeats(map(stats, peaks))) for edge in run]
    assert edges == sorted(edges)
    assert all(1 < edge <= len(peaks) for edge in edges)


def test_a_run_is_reported_as_soon_as_its_look_ahead_has_arrived() -> None:
    finder = RepeatFinder()
    arrivals = [stats(peak) for peak in [10.0] * 8 + [0.0, 18.0] + [10.0] * (LOOK_AHEAD - 1)]
    assert [runs_of(finder.push(item)) for item in arrivals][-1] == [(9, 10)]
    assert finder.finish() == []


def test_memory_does_not_grow_with_the_film() -> None:
    finder = RepeatFinder()
    for _ in range(500):
        finder.push(stats(10.0))
    for _ in range(5000):
        finder.push(stats(0.0))
    assert len(finder._kept) < 200


def test_a_higher_sensitivity_finds_coarser_repeats() -> None:
    peaks = [10.0] * 10 + [4.5, 12.0] + [10.0] * 10
    assert find_repeats(map(stats, peaks)) == []
    assert len(find_repeats(map(stats, peaks), sensitivity=2.0)) == 1


def test_a_sensitivity_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match="sensitivity"):
        find_repeats([], sensitivity=0.0)


@pytest.mark.parametrize("depth", [8, 10, 16, 32])
def test_a_difference_is_the_same_at_every_depth(depth: int) -> None:
    layout = Layout(family=Family.GRAY, depth=depth)
    unit = layout.peak / 255.0
    dark = np.zeros((64, 160), dtype=layout.dtype)
    bright = dark.copy()
    bright[16:32, 32:48] = 100 * unit
    measured = difference(Picture(planes=(dark,), layout=layout), Picture(planes=(bright,), layout=layout))
    assert measured.peak == pytest.approx(100.0, rel=0.01)
    assert measured.mean == pytest.approx(100.0 / 40, rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (17, 15)])
def test_pictures_smaller_than_a_block_are_measured_whole(size: tuple[int, int]) -> None:
    dark, bright = np.zeros(size, np.uint8), np.full(size, 50, np.uint8)
    assert difference(picture(dark), picture(bright)).mean == pytest.approx(50.0)


def test_pictures_of_two_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="alike"):
        difference(picture(np.zeros((16, 16), np.uint8)), picture(np.zeros((16, 32), np.uint8)))


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 10, 16]), st.integers(0, 99))
def test_a_difference_is_that_of_plain_arithmetic(rows: int, columns: int, depth: int, seed: int) -> None:
    layout = Layout(family=Family.GRAY, depth=depth)
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, 1 << depth, (rows, columns)).astype(layout.dtype) for _ in range(2))
    height, width = min(16, rows), min(16, columns)
    levels = np.abs(first.astype(np.int64) - second.astype(np.int64)) * (255.0 / layout.peak)
    means = [
        levels[y : y + height, x : x + width].mean()
        for y in range(0, rows - height + 1, height)
        for x in range(0, columns - width + 1, width)
    ]
    measured = difference(Picture(planes=(first,), layout=layout), Picture(planes=(second,), layout=layout))
    assert measured.mean == pytest.approx(np.mean(means))
    assert measured.peak == pytest.approx(np.mean(sorted(means)[-max(1, round(len(means) / 100)) :]))
