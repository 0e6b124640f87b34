"""The engine `fcvg` on tiny weights: sizes, colours, seeds, what it tells, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from hypothesis import given
from hypothesis import strategies as st

from codec_plugin import (
    Cancelled,
    CannotFill,
    Engine,
    EngineError,
    Family,
    FillRequest,
    Layout,
    OptionError,
    Picture,
    load_engine,
)
from codec_plugin.engine import Finding
from fcvg import FcvgEngine, FcvgOptions
from fcvg.canvas import AREA, Canvas, fitting
from fcvg.color import ColorOffset
from fcvg.conditions.times import Schedule
from fcvg.place import Place, place_of
from fcvg.sampling.settings import Fusion
from tests.fcvg.hollow import make_hollow
from tests.makers import picture

RGB = Layout(family=Family.RGB, depth=32)
NINE = tuple(Fraction(index, 8) for index in range(1, 8))


def rgb_picture(index: int, *, size: tuple[int, int] = (96, 80)) -> Picture:
    pixels = picture(index, size=size, pixel_format="rgb24").to_ndarray().astype(np.float32) / 255
    return Picture(
        planes=tuple(np.ascontiguousarray(pixels[..., channel]) for channel in range(3)), layout=RGB, key=index
    )


def request(**given: Any) -> FillRequest:
    values = {
        "left": rgb_picture(0),
        "right": rgb_picture(8),
        "positions": NINE,
        "interval": Fraction(1),
        "seed": 1,
        **given,
    }
    return FillRequest(**values)


def options(weights: Path, **given: Any) -> FcvgOptions:
    return FcvgOptions(**{"weights": weights, "allow_untrained": True, "size": "64x64", "steps": 2, **given})


@pytest.fixture
def engine(tiny_weights: Path) -> Iterator[FcvgEngine]:
    made = FcvgEngine(options(tiny_weights))
    yield made
    made.close()


def pixels(pictures: list[Picture]) -> np.ndarray[Any, Any]:
    return np.stack([np.stack(made.planes) for made in pictures])


def test_it_is_an_engine_and_is_found_by_its_name(tiny_weights: Path) -> None:
    made = load_engine("fcvg", {"fcvg.weights": str(tiny_weights), "fcvg.allow_untrained": "yes", "fcvg.steps": "3"})

    assert isinstance(made, Engine)
    assert isinstance(made, FcvgEngine)
    assert made.options.steps == 3


def test_it_makes_a_picture_of_the_films_size_for_each_position_and_tells_what_it_measured(engine: FcvgEngine) -> None:
    told: list[Finding] = []
    done: list[float] = []
    left = rgb_picture(0)

    made = list(engine.fill(request(left=left, tell=told.append, progress=done.append)))
    findings = {finding.name: finding for finding in told}

    assert len(made) == 7
    assert {plane.shape for one in made for plane in one.planes} == {(80, 96)}
    assert 0 <= pixels(made).min() <= pixels(made).max() <= 1
    assert findings["lines matched"].value >= 0
    assert findings["frames of the clip"].value == 9
    assert all(findings[f"time to {stage}"].unit == "s" for stage in ("load", "match lines", "sample", "decode"))
    assert findings["peak memory of the process so far"].value > 1e8
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)


def test_the_same_request_gives_the_same_pictures_and_each_seed_its_own(engine: FcvgEngine, tiny_weights: Path) -> None:
    first = pixels(list(engine.fill(request())))
    again = pixels(list(engine.fill(request())))
    other_task = pixels(list(engine.fill(request(seed=2))))
    other_seed = pixels(list(FcvgEngine(options(tiny_weights, seed=5)).fill(request())))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other_task).max() > 0.01
    assert np.abs(first - other_seed).max() > 0.01


def test_the_lines_change_the_pictures_and_can_be_turned_off(tiny_weights: Path) -> None:
    told: list[Finding] = []
    with_lines = pixels(list(FcvgEngine(options(tiny_weights)).fill(request())))
    without = pixels(list(FcvgEngine(options(tiny_weights, control_weight=0)).fill(request(tell=told.append))))

    assert np.abs(with_lines - without).max() > 1e-4
    assert "lines matched" not in {finding.name for finding in told}


def test_conditions_are_drawn_at_the_times_of_the_frames_or_as_published(tiny_weights: Path) -> None:
    from fcvg.conditions.conditioner import Conditions

    seen: list[tuple[Fraction, ...]] = []

    def blank(left: Any, right: Any, times: Any) -> Conditions:
        seen.append(tuple(times))
        return Conditions(pictures=np.zeros((len(times), 3, *left.shape[:2]), np.float32), matched=0)

    positions = (Fraction(1, 5), Fraction(1, 2))
    for schedule in (Schedule.UNIFORM, Schedule.REFERENCE):
        made = FcvgEngine(options(tiny_weights, schedule=schedule), conditioner=blank)
        list(made.fill(request(positions=positions)))

    assert set(positions) < set(seen[0])
    assert seen[1][:3] == (0, 0, Fraction(1, 6))
    assert len(seen[0]) == len(seen[1]) == 9


def test_conditions_move_along_the_path(tiny_weights: Path) -> None:
    from fcvg.conditions.conditioner import Conditions, Count

    seen: list[tuple[Fraction, ...]] = []
    told: list[Finding] = []

    def blank(left: Any, right: Any, times: Any) -> Conditions:
        seen.append(tuple(times))
        pictures = np.zeros((len(times), 3, *left.shape[:2]), np.float32)
        return Conditions(pictures=pictures, matched=0, counts=(Count(name="cats", number=2),), notes=("no dog",))

    made = FcvgEngine(options(tiny_weights, path="ease-in"), conditioner=blank)
    list(made.fill(request(tell=told.append)))

    assert seen == [tuple(Fraction(index, 8) ** 2 for index in range(9))]
    assert {"cats", "note: no dog"} < {finding.name for finding in told}


@pytest.mark.parametrize("size", ["native", "128x64", "auto"])
def test_every_size_rule_gives_back_the_films_size(tiny_weights: Path, size: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("fcvg.canvas.AREA", 64 * 64)
    made = FcvgEngine(options(tiny_weights, size=size, control_weight=0))

    (one,) = made.fill(
        request(positions=(Fraction(1, 2),), left=rgb_picture(0, size=(75, 66)), right=rgb_picture(3, size=(75, 66)))
    )

    assert one.planes[0].shape == (66, 75)


@given(st.integers(64, 4096), st.integers(64, 4096))
def test_the_canvas_has_about_the_trained_area_and_the_pictures_shape(width: int, height: int) -> None:
    size = fitting((width, height))

    assert size[0] % 64 == size[1] % 64 == 0
    if 1 / 3 < width / height < 3:
        assert 0.8 < size[0] * size[1] / AREA < 1.25
        assert abs(np.log(size[0] / size[1] * height / width)) < 0.13


@pytest.mark.parametrize(
    ("film", "expected"),
    [((1920, 1080), (1024, 576)), ((1280, 720), (1024, 576)), ((176, 144), (832, 704)), ((720, 1280), (576, 1024))],
)
def test_usual_films_get_the_published_size(film: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitting(film) == expected


@given(st.integers(64, 200), st.integers(64, 200))
def test_a_native_canvas_pads_and_comes_back_unchanged(width: int, height: int) -> None:
    rgb = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    canvas = Canvas.of((width, height), "native")
    there = canvas.put(rgb)

    assert there.shape[0] % 64 == there.shape[1] % 64 == 0
    np.testing.assert_array_equal(there[height - 1, width - 1], there[-1, -1])
    np.testing.assert_array_equal(canvas.take(there), rgb)


def test_nothing_is_cropped_on_the_way_through_a_scaled_canvas() -> None:
    rgb = np.zeros((90, 200, 3), np.float32)
    rgb[0, 0] = rgb[-1, -1] = 1

    seen = Canvas.of((200, 90), "128x128").put(rgb)

    assert seen[0, 0].max() > 0.2
    assert seen[-1, -1].max() > 0.2


def test_a_colour_offset_that_drifts_from_end_to_end_is_removed_exactly() -> None:
    random = np.random.default_rng(1)
    truth = [random.random((8, 8, 3), dtype=np.float32) * 0.5 + 0.25 for _ in range(5)]
    drift = [np.array([0.1, -0.05, 0.02]) * (1 - i / 4) + np.array([-0.1, 0.03, 0]) * (i / 4) for i in range(5)]
    made = [one + offset.astype(np.float32) for one, offset in zip(truth, drift, strict=True)]

    offset = ColorOffset.measured(made=(made[0], made[-1]), known=(truth[0], truth[-1]))

    assert offset.largest == pytest.approx(0.1, abs=1e-6)
    for index in range(5):
        np.testing.assert_allclose(offset.removed(made[index], position=index / 4), truth[index], atol=1e-6)


def test_correcting_the_colour_brings_the_mean_to_that_of_the_ends(tiny_weights: Path) -> None:
    wanted = (pixels([rgb_picture(0)]).mean() + pixels([rgb_picture(8)]).mean()) / 2
    means = {}
    for correct in (True, False):
        made = FcvgEngine(options(tiny_weights, correct_color=correct))
        means[correct] = pixels(list(made.fill(request()))).mean()

    assert abs(means[True] - wanted) < abs(means[False] - wanted)


def test_a_running_clip_can_be_stopped(engine: FcvgEngine) -> None:
    asked = iter([False, False, True])

    with pytest.raises(Cancelled):
        list(engine.fill(request(cancelled=lambda: next(asked, True))))


def test_the_input_is_never_written_to(engine: FcvgEngine) -> None:
    left, right = rgb_picture(0), rgb_picture(8)
    before = pixels([left, right])
    for plane in (*left.planes, *right.planes):
        plane.flags.writeable = False

    list(engine.fill(request(left=left, right=right)))

    np.testing.assert_array_equal(pixels([left, right]), before)


# ---- what it refuses


def test_untrained_weights_are_refused_unless_allowed(tiny_weights: Path) -> None:
    with pytest.raises(EngineError, match=r"random, never trained.*--allow-untrained"):
        FcvgEngine(FcvgOptions(weights=tiny_weights))


def test_no_weights_at_all_are_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no weights in .*weights fetch"):
        FcvgEngine(FcvgOptions(weights=tmp_path))


def test_weights_with_a_fault_are_refused_before_any_work(weights: Path) -> None:
    path = weights / "controlnext.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(EngineError, match="cut off"):
        FcvgEngine(options(weights)).estimate((96, 80), positions=7)


def test_equal_ends_are_not_filled(engine: FcvgEngine) -> None:
    with pytest.raises(CannotFill, match="same picture"):
        list(engine.fill(request(right=rgb_picture(0))))


@pytest.mark.parametrize("size", [(63, 200), (200, 32)])
def test_pictures_under_64_pixels_are_not_filled(engine: FcvgEngine, size: tuple[int, int]) -> None:
    with pytest.raises(CannotFill, match="at least 64 pixels"):
        list(engine.fill(request(left=rgb_picture(0, size=size), right=rgb_picture(1, size=size))))
    with pytest.raises(CannotFill, match="at least 64 pixels"):
        engine.estimate(size, positions=3)


def test_latents_that_are_not_finite_are_not_shown(weights: Path) -> None:
    from safetensors.torch import save_file

    save_file({"conv_in.bias": torch.full((32,), torch.nan)}, weights / "unet.safetensors")

    with pytest.raises(CannotFill, match="not finite"):
        list(FcvgEngine(options(weights)).fill(request()))


def test_too_little_memory_is_said_with_both_numbers(engine: FcvgEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "free_bytes", lambda place: 1_000_000)

    with pytest.raises(CannotFill, match=r"9 frames at 64x64 need about 0\.0 GB, and 0\.0 GB are free on the cpu"):
        engine.estimate((96, 80), positions=7)


def test_memory_that_runs_out_on_the_way_is_not_a_crash(engine: FcvgEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*given: object, **named: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("fcvg.pipeline.generate", exhausted)

    with pytest.raises(CannotFill, match="memory ran out with 9 frames at 64x64"):
        list(engine.fill(request()))


def test_other_errors_on_the_way_stay_what_they_are(engine: FcvgEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object, **named: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("fcvg.pipeline.generate", broken)

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(engine.fill(request()))


def test_the_estimate_grows_with_the_work(tiny_weights: Path) -> None:
    few, many, large = (
        FcvgEngine(options(tiny_weights, **given)).estimate((96, 80), positions=positions)
        for given, positions in (({}, 7), ({}, 23), ({"size": "128x128"}, 7))
    )

    assert 0 < few.seconds < many.seconds
    assert few.seconds < large.seconds
    assert few.bytes < many.bytes
    assert few.bytes < large.bytes


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hollow(tmp_path_factory.mktemp("full"))


def test_full_size_work_without_a_gpu_is_refused_with_the_hours(hollow: Path) -> None:
    made = FcvgEngine(FcvgOptions(weights=hollow, device="cpu"))

    with pytest.raises(EngineError, match=r"25 frames at 1024x576 .* hours \(8311 TFLOP.*--allow-cpu") as caught:
        made.estimate((1280, 720), positions=23)

    assert not isinstance(caught.value, CannotFill)
    hours = re.search(r"about ([\d.]+) hours", str(caught.value))
    assert hours is not None
    assert float(hours[1]) > 1


def test_full_size_work_without_a_gpu_is_estimated_where_it_is_allowed(
    hollow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "free_bytes", lambda place: None)

    estimate = FcvgEngine(FcvgOptions(weights=hollow, device="cpu", allow_cpu=True)).estimate((1280, 720), positions=23)

    assert estimate.seconds > 3600
    assert estimate.bytes > 9.2e9  # the networks alone, in float32


def test_the_arithmetic_counted_is_that_of_svd_xt(hollow: Path) -> None:
    """Against the arithmetic worked out by hand for 25 frames at 1024x576: 79.9, 5.7 and 173.6 TFLOP."""
    from fcvg.cost import _decoder_flops, _encoder_flops, _Key, _unet_flops

    checked = FcvgEngine(FcvgOptions(weights=hollow))._checked()
    key = _Key(checked)

    assert checked.parameters == 1_524_623_082
    assert _unet_flops(key, (1024, 576), 25) == pytest.approx(79.9e12, rel=2e-3)
    assert _encoder_flops(key, (1024, 576)) * 25 == pytest.approx(5.7e12, rel=2e-3)
    assert _decoder_flops(key, (1024, 576), 2) * 12.5 == pytest.approx(173.6e12, rel=2e-3)


def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert place_of(options(tiny_weights)).device.type == "cpu"
    with pytest.raises(EngineError, match="torch sees no GPU"):
        place_of(options(tiny_weights, device="cuda"))
    with pytest.raises(EngineError, match="knows no device"):
        place_of(options(tiny_weights, device="abacus"))


def test_gi_needs_its_second_network(tiny_weights: Path) -> None:
    with pytest.raises(EngineError, match=r"unet_backward\.safetensors"):
        list(FcvgEngine(options(tiny_weights, fusion=Fusion.GI)).fill(request()))


@pytest.mark.parametrize("fusion", ["trf", "vibid", "mpd"])
def test_every_other_fusion_runs_with_lines_and_plain_or_tuned_weights(tiny_weights: Path, fusion: str) -> None:
    engine = load_engine(
        "fcvg",
        {
            "fcvg.weights": str(tiny_weights),
            "fcvg.allow_untrained": "yes",
            "fcvg.size": "64x64",
            "fcvg.steps": "6",
            "fcvg.unet": "plain",
            "fcvg.fusion": fusion,
        },
    )

    assert len(list(engine.fill(request(positions=(Fraction(1, 2),))))) == 1


def test_gaps_longer_than_the_network_sees_are_made_in_windows(tiny_weights: Path) -> None:
    positions = tuple(Fraction(index, 31) for index in range(1, 31))

    made = list(FcvgEngine(options(tiny_weights)).fill(request(positions=positions)))

    assert len(made) == 30


def test_an_engine_may_be_closed_twice_and_used_again(engine: FcvgEngine) -> None:
    engine.close()
    engine.close()

    assert len(list(engine.fill(request(positions=(Fraction(1, 2),))))) == 1


def test_a_wrong_fusion_is_an_option_error_with_the_right_ones(tiny_weights: Path) -> None:
    with pytest.raises(OptionError, match=r"fcvg \| trf \| gi \| vibid \| mpd"):
        load_engine("fcvg", {"fcvg.weights": str(tiny_weights), "fcvg.fusion": "film"})


def test_the_left_and_right_picture_are_not_confused(tiny_weights: Path) -> None:
    """With the colour correction on, the first frames have the left end's mean, the last ones the right's."""
    dark, bright = rgb_picture(0), rgb_picture(8)
    dark = replace(dark, planes=tuple(plane * 0.5 for plane in dark.planes))
    bright = replace(bright, planes=tuple(plane * 0.5 + 0.5 for plane in bright.planes))

    made = pixels(list(FcvgEngine(options(tiny_weights)).fill(request(left=dark, right=bright))))

    assert made[0].mean() < made[-1].mean()
