"""GStreamer: gst-launch-1.0 and pipelines in Python; caps, times, latency, seeks, and what can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec_plugin import RestoringDecoder, made_by
from codec_plugin.grids import Multiply
from codec_plugin.options import RestoreOptions
from gstfcvg.caps import PIXEL_FORMATS
from tests.bindings.hosts import CLIP, ENVIRONMENT, ROOT, y4m_of
from tests.synth import planes_of

PYTHON = "/usr/bin/python3"
DRIVER = Path(__file__).with_name("gst_driver.py")
MS = 1_000_000


def why_not() -> str | None:
    """Why GStreamer can't be tested here; None where it can."""
    if shutil.which("gst-launch-1.0") is None:
        return "no gst-launch-1.0 on this machine"
    probe = "import sys, gi; gi.require_version('GstVideo', '1.0'); print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    if done.returncode:
        return "the system's Python has no GStreamer bindings (python3-gst-1.0, gir1.2-gst-plugins-base-1.0)"
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if done.stdout.strip() != mine:
        return f"the system's Python, which GStreamer's loader runs in, is {done.stdout.strip()}, and this one {mine}"
    return None


WHY_NOT = why_not()
pytestmark = [pytest.mark.host, pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `python -m gstfcvg` sets, with a registry of its own: a failed import would stay in the user's."""
    registry = tmp_path_factory.mktemp("gst") / "registry.bin"
    return {
        **ENVIRONMENT,
        "GST_REGISTRY": str(registry),
        "GST_PLUGIN_PATH": str(ROOT / "bindings" / "gstfcvg"),
        "GSTFCVG_SITE": sysconfig.get_path("purelib"),
        "PATH": os.pathsep.join(("/usr/bin", "/bin", os.environ["PATH"])),  # the loader asks for python3 in PATH
    }


Play = Callable[..., Any]


@pytest.fixture
def play(environment: dict[str, str]) -> Play:
    """Runs a case of the driver."""

    def played(case: str, *arguments: str) -> Any:
        path = os.pathsep.join((environment["PYTHONPATH"], sysconfig.get_path("purelib")))
        done = subprocess.run(
            [PYTHON, DRIVER, case, *arguments],
            capture_output=True,
            text=True,
            env={**environment, "PYTHONPATH": path},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return played


def times(result: Any) -> list[float]:
    """When each frame is shown, in milliseconds."""
    return [frame["pts"] / MS for frame in result["frames"]]


def ball(frames: int, more: str = "", *, rate: str = "25/1") -> str:
    """A pipeline with a moving ball; a clip of 96x64 at 25 Hz unless told otherwise."""
    caps = f"video/x-raw,format=I420,width=96,height=64,framerate={rate}"
    return f"videotestsrc num-buffers={frames} pattern=ball ! {caps}{more} ! appsink name=out"


# What comes out.


def test_the_loader_finds_the_element_and_its_properties(environment: dict[str, str]) -> None:
    done = subprocess.run(["gst-inspect-1.0", "fcvg"], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    for word in ("factor", "engine", "fps", "scene-threshold", "fill-duplicates", "Filter/Effect/Video"):
        assert word in done.stdout
    assert "segmentation fault" not in done.stderr


def test_gst_launch_doubles_a_stream(environment: dict[str, str], tmp_path: Path) -> None:
    line = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=96,height=64,framerate=25/1 ! fcvg factor=2 "
    line += f"engine=dis ! video/x-raw,framerate=50/1 ! filesink location={tmp_path / 'out.yuv'}"
    done = subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.yuv").stat().st_size == 20 * 96 * 64 * 3 // 2


def test_times_durations_and_rate_are_those_of_the_new_stream_and_source_frames_stay(play: Play) -> None:
    plain, tripled = play("launch", ball(6)), play("launch", ball(6, " ! fcvg factor=3 engine=blend"))

    frames = tripled["frames"]
    assert tripled["error"] is None
    assert len(frames) == 18
    assert [frame["pts"] for frame in frames] == [round(n * 40 * MS / 3) for n in range(18)]
    assert {frame["duration"] for frame in frames} == {round(40 * MS / 3)}
    assert all("framerate=(fraction)75/1" in frame["caps"] for frame in frames)
    assert [frame["md5"] for frame in frames[::3]] == [frame["md5"] for frame in plain["frames"]]
    assert [frame["discont"] for frame in frames] == [True] + [False] * 17


def test_ntsc_times_keep_to_the_nanosecond(play: Play) -> None:
    result = play("launch", ball(30, " ! fcvg engine=blend", rate="30000/1001"))

    exact = [n * Fraction(1001, 60000) * 10**9 for n in range(60)]
    assert all(abs(frame["pts"] - time) <= 1 for frame, time in zip(result["frames"], exact, strict=True))


@pytest.mark.parametrize("names", [",".join(list(PIXEL_FORMATS)[i::3]) for i in range(3)])
def test_every_format_of_the_template_goes_through(names: str, play: Play) -> None:
    for name, (plain, doubled, odd) in play("formats", names).items():
        assert (plain["error"], doubled["error"], odd["error"]) == (None, None, None), name
        before, after = ([frame["md5"] for frame in result["frames"]] for result in (plain, doubled))
        assert after[::2] == before, name
        assert len(after) == len(odd["frames"]) == 8, name
        assert not set(after[1:-1:2]) & set(before), name
        assert {frame["size"] for frame in doubled["frames"]} == {plain["frames"][0]["size"]}, name
        assert len({frame["size"] for frame in odd["frames"]}) == 1, name


def test_a_rate_asked_for_behind_the_element_reaches_the_source(play: Play) -> None:
    line = "videotestsrc num-buffers=4 ! fcvg engine=blend ! video/x-raw,format=I420,framerate=60/1 ! appsink name=out"
    result = play("launch", line)

    assert result["error"] is None
    assert len(result["frames"]) == 8
    assert result["frames"][2]["pts"] == pytest.approx(1000 * MS / 30, abs=1)


def test_fps_gives_that_rate(play: Play) -> None:
    result = play("launch", ball(10, " ! fcvg engine=blend fps=60"))

    assert len(result["frames"]) == 24
    assert all("framerate=(fraction)60/1" in frame["caps"] for frame in result["frames"])
    assert times(result) == pytest.approx([n * 1000 / 60 for n in range(24)], abs=0.001)


def test_a_factor_of_one_fills_gaps_and_nothing_else(play: Play) -> None:
    shown = [n for n in range(12) if n not in (4, 5, 9)]
    result = play("pushed", "factor=1 engine=blend", "25/1", json.dumps([n * 40 * MS for n in shown]))

    assert times(result) == [n * 40 for n in range(12)]
    assert all("framerate=(fraction)25/1" in frame["caps"] for frame in result["frames"])


def test_a_gap_is_filled_at_the_new_rate_too_and_a_long_one_is_not(play: Play) -> None:
    result = play("pushed", "factor=2 engine=blend", "25/1", json.dumps([0, 40 * MS, 160 * MS, 5000 * MS, 5040 * MS]))

    assert times(result) == [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 5000, 5020, 5040, 5060]


def test_a_flushing_seek_begins_anew(play: Play) -> None:
    result = play("seek")

    assert result["told"] == [True]
    at = [n for n, frame in enumerate(result["frames"]) if frame["discont"]][-1]
    after = times(result)[at:]
    assert after[0] == 2000
    assert np.diff(after).tolist() == [20] * (len(after) - 1)
    assert result["error"] is None


def test_playing_backwards_is_refused(play: Play) -> None:
    assert play("backwards")["told"] == [False]


def test_latency_is_one_frame_more_and_two_seconds_with_a_look_ahead(play: Play) -> None:
    answers = [play("latency", words)["told"][0] for words in ("", "fcvg engine=blend !")]
    ahead = play("latency", "fcvg engine=blend fill-duplicates=true !")["told"][0]

    assert all(answered and live for answered, live, *_ in (*answers, ahead))
    assert answers[1][2] - answers[0][2] == 40 * MS
    assert ahead[2] - answers[0][2] == 58 * 40 * MS


def test_the_clip_of_all_hosts_comes_out_as_from_the_command_line(environment: dict[str, str], tmp_path: Path) -> None:
    clip = replace(CLIP, rate=Fraction(25))
    source = tmp_path / "in.y4m"
    source.write_bytes(y4m_of(clip, tmp_path))
    line = f"filesrc location={source} ! y4mdec ! fcvg engine=dis ! filesink location={tmp_path / 'out.yuv'}"
    done = subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

    options = RestoreOptions(engine="dis")
    frames = list(RestoringDecoder(source, verb=Multiply(2), options=options))
    assert {made_by(frame) for frame in frames} == {None, "dis", "hold"}
    expected = b"".join(plane.tobytes() for frame in frames for plane in planes_of(frame))
    assert (tmp_path / "out.yuv").read_bytes() == expected


# Bad input.


def test_caps_that_change_end_one_run_and_begin_another(play: Play) -> None:
    result = play("caps_change")

    assert result["error"] is None
    assert times(result) == [0, 20, 40, 60, 80, 100, 120, 140, 160, 170, 180, 190, 200, 210, 220, 230]
    for frame, (width, rate) in zip(result["frames"], [(96, 50)] * 8 + [(48, 100)] * 8, strict=True):
        assert f"width=(int){width}" in frame["caps"]
        assert f"framerate=(fraction){rate}/1" in frame["caps"]


def test_a_stream_without_time_stamps_is_counted_by_its_rate_or_refused(play: Play) -> None:
    nothing = json.dumps([None] * 3)
    counted = play("pushed", "engine=blend", "25/1", nothing)
    refused = play("pushed", "engine=blend", "0/1", nothing)

    assert times(counted) == [0, 20, 40, 60, 80, 100]
    assert refused["error"] == (
        "neither buffers have time stamps nor caps a frame rate; put videorate before fcvg, or give the source one"
    )


def test_a_stream_of_varying_rate_has_each_interval_halved(play: Play) -> None:
    result = play("pushed", "engine=blend", "0/1", json.dumps([0, 40 * MS, 140 * MS]))

    assert times(result) == [0, 20, 40, 90, 140, 190]


def test_times_that_stand_still_or_go_back_begin_anew_and_lose_no_frame(play: Play) -> None:
    result = play("pushed", "engine=blend", "25/1", json.dumps([0, 40 * MS, 40 * MS, 80 * MS, 0, 40 * MS]))

    assert result["error"] is None
    every = play("pushed", "factor=1 engine=blend", "25/1", json.dumps([n * 40 * MS for n in range(6)]))
    shown = [frame["md5"] for frame in result["frames"]]
    assert all(frame["md5"] in shown for frame in every["frames"])


def test_one_frame_is_held_and_none_is_no_error(play: Play) -> None:
    one, none = play("launch", ball(1, " ! fcvg factor=3 engine=dis")), play("pushed", "", "25/1", "[]")

    assert times(one) == pytest.approx([0, 13.333, 26.667], abs=0.001)
    assert len({frame["md5"] for frame in one["frames"]}) == 1
    assert (none["error"], none["frames"]) == (None, [])


def test_engines_that_fail_are_messages_on_the_bus_and_the_process_lives(play: Play) -> None:
    results = play("engines")

    assert results["nonesuch"]["failed"]
    assert "no engine is called 'nonesuch'" in results["nonesuch"]["error"]
    assert results["lacking"]["failed"]
    assert "the weights of lacking are missing" in results["lacking"]["error"]
    assert "engine broken failed: ZeroDivisionError: it broke" in results["throwing"]["error"]
    assert results["blend"]["error"] is None
    assert len(results["blend"]["frames"]) == 12


def test_fields_are_refused_with_the_element_that_weaves_them(play: Play) -> None:
    result = play("pushed", "engine=blend", "25/1", json.dumps([0, 40 * MS]), ",interlace-mode=interleaved")

    assert "put deinterlace before fcvg" in result["error"]


def test_options_of_the_engine_are_checked_before_the_stream(play: Play) -> None:
    for words, told in (("flow_scale", "must be ENGINE.K=V"), ("rife.nonesuch=1", "nonesuch"), ("flow_scale=9", "9")):
        bad = play("launch", ball(2, f" ! fcvg engine=rife engine-options={words}"))
        assert bad["failed"], words
        assert told in bad["error"]


def test_a_rate_that_is_none_is_an_error(play: Play) -> None:
    result = play("launch", ball(2, " ! fcvg engine=blend fps=fast"))

    assert result["failed"]
    assert "fps must be a rate such as 60 or 60000/1001, not 'fast'" in result["error"]
