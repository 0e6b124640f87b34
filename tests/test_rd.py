"""Rate and distortion: all bits counted, losses printed as losses, a page that needs nothing else."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.errors import OptionError
from codec_plugin.media.packets import packet_table
from codec_plugin.media.vmaf import find_vmaf
from codec_plugin.rd.bjontegaard_rate import delta_rate
from codec_plugin.rd.measuring import CRFS, FULL, MINTERPOLATE, RdResult, measure_rd
from codec_plugin.rd.page import rd_page, round_ticks
from tests.makers import CommandLine, picture, write_clip

pytest.importorskip("bjontegaard", reason="the library bjontegaard isn't installed: pip install '.[rd]'")

CURVE = [(100.0, 30.0), (200.0, 33.0), (400.0, 36.0), (800.0, 39.0)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 17 frames that move evenly."""
    path = tmp_path_factory.mktemp("rd") / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(17):
            frame = picture(number, size=(96, 64))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def result(film: Path) -> RdResult:
    """x264 only; every other frame made again in three ways."""
    return measure_rd(film, encoders=("libx264",), engines=("repeat", "dis"))


def test_a_curve_against_itself_is_no_gain_and_half_the_bits_are_half() -> None:
    same, half = delta_rate(CURVE, CURVE), delta_rate(CURVE, [(rate / 2, value) for rate, value in CURVE])
    assert same is not None
    assert half is not None
    assert same.percent == pytest.approx(0, abs=1e-6)
    assert half.percent == pytest.approx(-50, abs=0.01)
    assert half.overlap == 1


def test_the_overlap_is_the_share_of_the_tested_curve_that_the_anchor_reaches() -> None:
    wide = [*CURVE, (1600.0, 60.0)]
    within, beyond = delta_rate(wide, CURVE), delta_rate(CURVE, [(rate, value + 4.5) for rate, value in CURVE])
    assert within is not None
    assert beyond is not None
    assert within.overlap == 1
    assert beyond.overlap == 0.5


def test_curves_that_reach_no_common_quality_have_no_delta_rate() -> None:
    assert delta_rate(CURVE, [(rate, value - 20) for rate, value in CURVE]) is None
    assert delta_rate(CURVE, list(zip([1.0, 2.0, 3.0, 4.0], [9.0, 8.0, 7.0, 6.0], strict=True))) is None


def test_too_few_points_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 4"):
        delta_rate(CURVE[:3], CURVE)


def test_every_method_has_four_points_and_the_thinned_streams_bits(result: RdResult) -> None:
    assert result.methods == (FULL, "repeat", "dis", MINTERPOLATE)
    assert len(result.points) == 4 * 4 + 2
    assert len(result.curve("libx264", FULL, "psnr")) == 6
    for crf in CRFS["libx264"]:
        at = {point.method: point for point in result.points if point.crf == crf}
        assert at["dis"].byte_count == at["repeat"].byte_count == at[MINTERPOLATE].byte_count
        assert at["dis"].byte_count != at[FULL].byte_count
        assert at[FULL].made is None
        assert at["dis"].made is not None
        assert at["dis"].made.frames == 8
        assert at["dis"].overall.frames == at[FULL].overall.frames == 17
        assert at["dis"].made.psnr.mean > at["repeat"].made.psnr.mean


def test_bits_are_those_of_the_files_packets(film: Path, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv")
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    assert packet_table(path, ordinal=0).byte_count == sum(sizes)


def test_the_page_opens_by_itself_and_shows_curves_and_pictures(result: RdResult) -> None:
    page = rd_page(result)

    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg;base64,/9j/") >= 12
    assert "worst gap" in page
    assert "<title>film.mkv" in page


@given(st.floats(0, 1000), st.floats(1e-3, 1e7))
def test_axes_have_a_few_round_numbers_within_their_ends(low: float, length: float) -> None:
    ticks = round_ticks(low, low + length)

    assert 2 <= len(ticks) <= 9
    assert all(low - 1e-9 <= tick <= (low + length) * (1 + 1e-9) for tick in ticks)
    apart = {float(f"{b - a:.2g}") for a, b in pairwise(ticks)}
    assert {f"{step:.0e}"[0] for step in apart} <= set("125")


def test_a_loss_is_printed_as_a_loss(result: RdResult) -> None:
    worse = tuple(
        replace(point, bits_per_second=point.bits_per_second * (1 if point.method == FULL else 9))
        for point in result.points
    )
    page = rd_page(replace(result, points=worse))

    assert re.search(r'class="loss">\+\d+\.\d %', page)


def test_the_command_prints_and_writes_all_of_it(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(tmp_path, capsys)
    told = ("--encoder", "libx264", "--engine", "dis", "--no-minterpolate")

    ran = command.done("rd", film, *told, "--json", tmp_path / "rd.json", "--html", tmp_path / "rd.html")

    document = json.loads((tmp_path / "rd.json").read_text())
    assert len(document["points"]) == 10
    assert {row["metric"] for row in document["bd_rate"]} == {"psnr", "ssim", "xpsnr"}
    assert (tmp_path / "rd.html").read_text().startswith("<!doctype html>")
    assert "BD-rate" in ran.out
    assert "VMAF was not measured" in ran.out
    command.refused("rd", film, *told, "--html", tmp_path / "rd.html")


def test_a_film_of_odd_size_is_measured_without_its_last_row_and_the_page_says_so(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "odd.mkv", codec="ffv1", frames=range(9), size=(97, 63), options={})

    result = measure_rd(film, encoders=("libx264",), engines=("repeat",), with_minterpolate=False)

    assert result.source == "odd.mkv"
    assert {point.overall.frames for point in result.points} == {9}
    assert "96x62" in rd_page(result)
    best = next(point for point in result.points if point.method == FULL)
    assert best.overall.psnr.mean > 30


FAKE_FFMPEG = """#!{python}
import json, sys
if "-filters" in sys.argv:
    print(" .. libvmaf           VV->V      Calculate the VMAF between two video streams.")
else:
    restored, reference = (sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "-i")
    count = open(restored, "rb").read().count(b"FRAME")
    assert count == open(reference, "rb").read().count(b"FRAME")
    values = [{{"frameNum": n, "metrics": {{"vmaf": 90 - 10 * (n % 2)}}}} for n in range(count)]
    json.dump({{"frames": values}}, open("vmaf.json", "w"))
"""


def program(path: Path, text: str, *, mode: int = 0o755) -> Path:
    """A file that is, or is not, a program."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_vmaf_is_measured_by_the_program_named_and_stands_beside_the_rest(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ffmpeg = program(tmp_path / "ffmpeg", FAKE_FFMPEG.format(python=sys.executable))
    told = ("--encoder", "libx264", "--engine", "repeat", "--no-minterpolate", "--ffmpeg", ffmpeg)

    ran = CommandLine(tmp_path, capsys).done(
        "rd", film, *told, "--json", tmp_path / "rd.json", "--html", tmp_path / "rd.html"
    )

    document = json.loads((tmp_path / "rd.json").read_text())
    made = next(point for point in document["points"] if point["method"] == "repeat")
    assert made["all"]["vmaf"] == pytest.approx((9 * 90 + 8 * 80) / 17, abs=1e-4)
    assert made["made"]["vmaf"] == 80
    assert "VMAF" in ran.out
    assert "not measured" not in ran.out
    assert (tmp_path / "rd.html").read_text().count("<svg") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ffmpeg", "rd.html", "rd.json"]


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o755, "isn't there"),
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("no program", 0o755, "can't be run"),
        ("#!/bin/sh\nexit 3\n", 0o755, "ends with 3"),
        ("#!/bin/sh\necho ' .. psnr  VV->V'\n", 0o755, "no libvmaf"),
    ],
)
def test_a_program_that_cant_measure_vmaf_is_refused_before_any_work(
    text: str | None, mode: int, said: str, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ffmpeg = tmp_path / "ffmpeg"
    if text is not None:
        program(ffmpeg, text, mode=mode)

    assert said in CommandLine(tmp_path, capsys).refused("rd", film, "--ffmpeg", ffmpeg)


def test_a_program_that_fails_on_the_frames_is_an_error_that_says_so(film: Path, tmp_path: Path) -> None:
    text = "#!/bin/sh\ncase \"$*\" in *-filters*) echo ' .. libvmaf  VV->V';; *) echo broken >&2; exit 1;; esac\n"
    ffmpeg = find_vmaf(str(program(tmp_path / "ffmpeg", text)))
    with pytest.raises(OptionError, match="VMAF can't be measured"):
        measure_rd(film, encoders=("libx264",), engines=("repeat",), with_minterpolate=False, vmaf=ffmpeg)


def test_a_film_with_gaps_of_its_own_cant_be_a_reference(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "gaps.mkv", frames=[0, 1, 2, 5, 6, 7, 8, 9])
    with pytest.raises(OptionError, match="no gaps of its own"):
        measure_rd(film)
