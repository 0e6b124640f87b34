"""The command line: exit codes, help, JSON, plans, patterns, pipes, interruption."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console

from codec_plugin import __version__
from codec_plugin.cli.console import Voice, folded, ticking
from codec_plugin.engine import _usable
from codec_plugin.job import Progress
from tests.makers import (
    FAST,
    X264_REORDERED,
    CommandLine,
    decoded,
    files_under,
    opened,
    shown_times,
    video_packets,
    write_clip,
)

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[1]
COMMANDS = ("scan", "double", "upsample", "restore", "thin", "compare", "engines", "weights", "doctor")
DROPPED = (7, 8, 15)
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'engines'}"}


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("CODEC_PLUGIN_TRACEBACK", "1")
    monkeypatch.setenv("COLUMNS", "160")
    return CommandLine(tmp_path, capfd)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """24 frames at 25 fps, none missing."""
    return write_clip(tmp_path / "film.mkv", options=X264_REORDERED)


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """24 slots at 25 fps, three of them empty."""
    frames = [index for index in range(24) if index not in DROPPED]
    return write_clip(tmp_path / "holed.mkv", frames=frames, options=X264_REORDERED)


def outside(
    arguments: Sequence[object], *, folder: Path, stdin: bytes | None = None, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "codec_plugin", *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**ENVIRONMENT, **more},
        check=False,
    )


def pixels(path: Path) -> np.ndarray:
    """All planes of all frames, without the padding that lines have in memory."""
    return np.stack([frame.to_ndarray() for frame in decoded(path)])


# Exit codes.


def test_a_job_that_works_ends_with_0_and_one_that_fails_with_1(cli: CommandLine, film: Path) -> None:
    cli.done("double", film, film.with_name("out.mkv"), *FAST)
    assert cli.refused("double", film.with_name("none.mkv"), film.with_name("out.mkv"), "--yes")


@pytest.mark.parametrize(
    "arguments",
    [
        ["double"],
        ["nonsense"],
        ["double", "IN", "OUT", "--nonsense"],
        ["upsample", "IN", "OUT"],
        ["upsample", "IN", "OUT", "--factor", "2", "--fps", "50"],
        ["upsample", "IN", "OUT", "--factor", "1"],
        ["upsample", "IN", "OUT", "--fps", "none"],
        ["upsample", "IN", "OUT", "--fps", "1/0"],
        ["upsample", "IN", "OUT", "--fps", "-5"],
        ["thin", "IN", "OUT"],
        ["thin", "IN", "OUT", "--keep-every", "2", "--fps", "5"],
        ["thin", "IN", "OUT", "--keep-every", "1"],
        ["double", "IN", "OUT", "--rate", "abc"],
        ["double", "IN", "OUT", "--crf", "99"],
        ["double", "IN", "OUT", "--bitrate", "lots"],
        ["double", "IN", "OUT", "--start", "soon"],
        ["double", "IN", "OUT", "--start", "-1"],
        ["double", "IN", "OUT", "--max-gap", "0"],
        ["double", "IN", "OUT", "--encoder-option", "nothing"],
        ["double", "IN", "OUT", "--duplicates", "maybe"],
        ["double", "IN", "OUT", "--threads", "-1"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_says_what_is_wrong(arguments: list[str], cli: CommandLine, film: Path) -> None:
    names = {"IN": film, "OUT": film.with_name("out.mkv")}
    complaint = cli.refused(*[names.get(word, word) for word in arguments], code=2)
    assert "Error" in complaint or "error" in complaint


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (["--crf", "20", "--bitrate", "1M"], "contradict"),
        (["--crf", "20", "--lossless"], "contradict"),
        (["--bitrate", "0"], "bitrate"),
        (["--bitrate", "nan"], "bit"),
        (["--bitrate", "inf"], "bit"),
        (["--engine", "none-such"], "none-such"),
        (["--start", "100"], "window"),
        (["--duration", "0"], ""),
        (["--video", "7"], "stream 7"),
        (["--lossless", "--encoder", "mpeg4"], "lossless"),
        (["--plan", "/nowhere/plan.json"], "plan"),
        (["--report", "/nowhere/report.json"], "report.json"),
        (["--save-plan", "/nowhere/plan.json"], "plan.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be_meant_are_errors_that_name_them(
    told: list[str], word: str, cli: CommandLine, film: Path
) -> None:
    ran = cli("double", film, film.with_name("out.mkv"), *FAST, *told)
    assert ran.code in (1, 2), ran.err
    assert word in ran.err
    assert not film.with_name("out.mkv").exists()


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]], ids=" ".join)
def test_the_group_lists_its_commands(arguments: list[str], cli: CommandLine) -> None:
    ran = cli(*arguments)
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\b", ran.out + ran.err, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["--help"], ["weights", "--help"], ["cache", "--help"]], ids=" ".join)
def test_what_each_command_does_is_said_whole_in_80_columns(
    arguments: list[str], cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = cli.done(*arguments).out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_a_misspelt_command_is_answered_with_the_one_that_is_like_it(cli: CommandLine) -> None:
    assert "Did you mean 'scan'?" in cli.refused("scna", "film.mkv", code=2)
    assert "Did you mean" not in cli.refused("xyzzy", code=2)


def test_lines_are_broken_between_words_on_a_terminal_and_nowhere_else() -> None:
    line = "  28 of 179 picture packets kept, /a/path/that/is/longer/than/the/line"
    terminal = Console(file=io.StringIO(), force_terminal=True, width=30)
    assert folded(line, terminal).split("\n") == [
        "  28 of 179 picture packets",
        "    kept,",
        "    /a/path/that/is/longer/than/the/line",
    ]
    assert folded(line, Console(file=io.StringIO(), width=30)) == line


def test_the_speed_that_is_shown_falls_while_nothing_comes(tmp_path: Path) -> None:
    shown = io.StringIO()
    voice = Voice(err=Console(file=shown, force_terminal=True, width=100))
    with ticking(voice, hint="") as ticker:
        ticker(Progress(stage="restore", frames=0, total=48, made=0))
        ticker(Progress(stage="restore", frames=12, total=48, made=0))
        time.sleep(1)

    assert float(re.findall(r"([\d.]+) fps", shown.getvalue())[-1]) <= 12
    assert re.findall(r"0:00:(\d\d)", shown.getvalue())[-1] >= "03"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, cli: CommandLine) -> None:
    ran = cli.done(command, "--help")
    assert ran.out.startswith("Usage: codec-plugin")
    assert cli.done(command, "-h").out == ran.out


def test_the_forms_that_were_promised_are_there(cli: CommandLine) -> None:
    promised = (
        "--engine --rate --max-gap --scene-threshold --duplicates --encoder --crf --bitrate --preset --encoder-option "
        "--lossless --start --duration --save-plan --plan --report --threads --yes --verbose --quiet"
    )
    for command in ("double", "upsample", "restore"):
        shown = cli.done(command, "--help").out
        assert [option for option in promised.split() if option not in shown] == []


def test_the_version_is_the_package_s(cli: CommandLine) -> None:
    assert __version__ in cli.done("--version").out


# scan.


def test_scan_writes_valid_json_to_standard_output_and_nothing_else(cli: CommandLine, holed: Path) -> None:
    ran = cli.done("scan", holed, "--json", "-")
    found = json.loads(ran.out)
    assert found["frames"] == 21
    assert found["time_base"] == "1/1000"
    assert [pts for gap in found["gaps"] for pts in gap["missing"]] == [index * 40 for index in DROPPED]
    assert [gap["cause"] for gap in found["gaps"]] == ["dropped", "dropped"]
    assert found["segments"][0]["rate"] == "25"
    assert found["video"]["size"] == [64, 48]


def test_scan_writes_the_same_json_to_a_file(cli: CommandLine, holed: Path) -> None:
    shown = cli.done("scan", holed, "--json", "-").out
    ran = cli.done("scan", holed, "--json", holed.with_name("scan.json"))
    assert holed.with_name("scan.json").read_text() == shown
    assert "3 frames missing" in ran.out


def test_scan_with_decode_says_what_it_saw(cli: CommandLine, film: Path) -> None:
    found = json.loads(cli.done("scan", film, "--decode", "--json", "-").out)
    assert found["cuts"] == []
    assert found["decoded"]["frames"] == 24


def test_scan_believes_the_rate_that_it_is_told(cli: CommandLine, film: Path) -> None:
    found = json.loads(cli.done("scan", film, "--rate", "50", "--json", "-").out)
    assert found["segments"][0]["rate"] == "50"
    assert sum(len(gap["missing"]) for gap in found["gaps"]) == 23


def test_scan_in_words_shows_streams_clock_gaps_and_a_strip(cli: CommandLine, holed: Path) -> None:
    out = cli.done("scan", holed).out
    assert "h264, 64x48 yuv420p" in out
    assert "25 fps" in out
    assert "2 gaps, 3 frames missing" in out
    assert "█" in out


@pytest.mark.parametrize("verb", ["scan", "double", "thin", "restore"])
def test_quiet_prints_nothing(verb: str, cli: CommandLine, holed: Path) -> None:
    told = ["--keep-every", "2"] if verb == "thin" else ["--engine", "blend"] if verb != "scan" else []
    target = [] if verb == "scan" else [holed.with_name("out.mkv")]
    ran = cli.done(verb, holed, *target, *told, "-q")
    assert ran.out == ""
    assert ran.err == ""


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1", "libvpx-vp9", "ffv1"])
def test_quiet_also_holds_for_the_libraries_below(encoder: str, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "film.mkv", size=(64, 64), frames=range(4))
    done = outside(["double", source, "out.mkv", "--engine", "blend", "--encoder", encoder, "-q"], folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# Making frames.


def report_of(cli: CommandLine, source: Path, verb: str, *told: object) -> tuple[dict[str, object], Path]:
    out = source.with_name("out.mkv")
    cli.done(verb, source, out, "--engine", "blend", *told, "--report", source.with_name("report.json"))
    return json.loads(source.with_name("report.json").read_text()), out


def test_the_report_tells_each_frame_that_was_made(cli: CommandLine, holed: Path) -> None:
    report, out = report_of(cli, holed, "restore", "--preset", "ultrafast")
    assert report["frames"]["all"] == 24 == len(decoded(out))
    assert report["frames"]["source"] == 21
    assert report["frames"]["by_engine"] == {"blend": 3}
    base = Fraction(report["output_time_base"])
    assert [pts * base for pts in report["made"]] == [Fraction(index, 25) for index in DROPPED]


def test_the_report_can_go_to_standard_output(cli: CommandLine, holed: Path) -> None:
    ran = cli.done("restore", holed, holed.with_name("out.mkv"), *FAST, "--report", "-")
    assert json.loads(ran.out)["frames"]["made"] == 3


def test_a_saved_plan_writes_no_film_and_gives_the_same_film_later(cli: CommandLine, holed: Path) -> None:
    plan, one, two = (holed.with_name(name) for name in ("plan.json", "one.mkv", "two.mkv"))
    cli.done("double", holed, one, *FAST, "--save-plan", plan)
    assert not one.exists()
    written = json.loads(plan.read_text())
    assert written["frame_count"] == 48
    cli.done("double", holed, one, *FAST)
    cli.done("double", holed, two, "--plan", plan, "--preset", "ultrafast")
    assert [packet[0] for packet in video_packets(two)] == [packet[0] for packet in video_packets(one)]
    assert np.array_equal(pixels(two), pixels(one))


def test_a_plan_is_for_its_own_film_only(cli: CommandLine, holed: Path, film: Path) -> None:
    plan = holed.with_name("plan.json")
    cli.done("restore", holed, holed.with_name("out.mkv"), *FAST, "--save-plan", plan)
    assert "another stream" in cli.refused("restore", film, film.with_name("out.mkv"), "--plan", plan)


def test_an_existing_plan_stays_without_yes(cli: CommandLine, holed: Path) -> None:
    plan = holed.with_name("plan.json")
    plan.write_text("precious")
    assert "--yes" in cli.refused("restore", holed, holed.with_name("o.mkv"), *FAST, "--save-plan", plan)
    assert plan.read_text() == "precious"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "nonsense", '{"kind": "codec-plugin plan", "version": 99}', '{"version": 1, "tasks": 3}', "null"],
)
def test_what_is_no_plan_is_refused_by_name(content: str, cli: CommandLine, holed: Path) -> None:
    holed.with_name("plan.json").write_text(content)
    complaint = cli.refused("restore", holed, holed.with_name("out.mkv"), "--plan", holed.with_name("plan.json"))
    assert "plan.json" in complaint


def test_a_plan_that_is_not_there_is_said_to_be_that(cli: CommandLine, holed: Path) -> None:
    said = cli.refused("restore", holed, holed.with_name("out.mkv"), "--plan", holed.with_name("nope.json"))
    assert "nope.json: no such file; --save-plan FILE writes a plan" in said


def edited(plan: dict[str, object], path: Sequence[object], value: object) -> dict[str, object]:
    """A plan with one value changed."""
    copy = json.loads(json.dumps(plan))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tasks", 0, "target_pts"), [10**30]),
        (("tasks", 0, "target_pts"), ["soon"]),
        (("tasks", 0, "target_pts"), [40, 40]),
        (("tasks", 0, "left_pts"), 41),
        (("tasks", 0, "left_pts"), None),
        (("tasks", 0, "action"), "conjure"),
        (("tasks", 0, "engine"), "none-such"),
        (("tasks",), {"not": "a list"}),
        (("output_time_base",), "0"),
        (("output_time_base",), "1/7"),
        (("time_base",), "1/0"),
    ],
    ids=str,
)
def test_a_plan_edited_into_nonsense_is_an_error_and_writes_nothing(
    path: tuple[object, ...], value: object, cli: CommandLine, holed: Path
) -> None:
    plan, out = holed.with_name("plan.json"), holed.with_name("out.mkv")
    cli.done("restore", holed, out, *FAST, "--save-plan", plan)
    plan.write_text(json.dumps(edited(json.loads(plan.read_text()), path, value)))
    assert cli.refused("restore", holed, out, "--plan", plan, "--preset", "ultrafast")
    assert not out.exists()


def test_a_plan_with_a_task_taken_out_makes_that_much_less(cli: CommandLine, holed: Path) -> None:
    plan, out = holed.with_name("plan.json"), holed.with_name("out.mkv")
    cli.done("restore", holed, out, *FAST, "--save-plan", plan)
    written = json.loads(plan.read_text())
    gone = written["tasks"].pop(0)
    written["frame_count"] -= len(gone["target_pts"])
    plan.write_text(json.dumps(written))
    cli.done("restore", holed, out, "--plan", plan, "--preset", "ultrafast")
    assert len(decoded(out)) == 24 - len(gone["target_pts"])


def test_a_report_runs_again_as_a_plan(cli: CommandLine, holed: Path) -> None:
    _, out = report_of(cli, holed, "restore", "--preset", "ultrafast")
    again = holed.with_name("again.mkv")
    cli.done("restore", holed, again, "--plan", holed.with_name("report.json"), "--preset", "ultrafast")
    assert np.array_equal(pixels(again), pixels(out))


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_factor_gives_so_many_times_the_slots(factor: int, cli: CommandLine, holed: Path) -> None:
    out = holed.with_name("out.mkv")
    cli.done("upsample", holed, out, "--factor", factor, *FAST)
    times = [float(time) for time in shown_times(out)]
    assert len(times) == 24 * factor
    assert np.diff(times) == pytest.approx(np.full(24 * factor - 1, 0.04 / factor), abs=0.0011)


@pytest.mark.parametrize("rate", ["60", "30000/1001", "29.97", "23.976", "48"])
def test_fps_gives_that_very_rate(rate: str, cli: CommandLine, holed: Path) -> None:
    out = holed.with_name("out.mp4")
    cli.done("upsample", holed, out, "--fps", rate, *FAST)
    exact = {"29.97": Fraction(30000, 1001), "23.976": Fraction(24000, 1001)}.get(rate, Fraction(rate))
    times = [float(time) for time in shown_times(out)]
    # A source frame within an eighth of a slot is that slot's frame, at its own time.
    slots = np.arange(len(times)) / float(exact)
    assert np.abs(times - slots).max() <= 1 / (8 * float(exact)) + 0.0001
    assert len(times) == pytest.approx(0.96 * float(exact), abs=1.01)


def test_the_rate_that_is_told_fills_a_regular_drop(cli: CommandLine, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "half.mkv", frames=range(0, 24, 2), codec="mpeg4", options={})
    assert len(json.loads(cli.done("scan", source, "--rate", "25", "--json", "-").out)["gaps"]) == 11
    cli.done("restore", source, tmp_path / "out.mkv", "--rate", "25", "--engine", "blend")
    assert len(decoded(tmp_path / "out.mkv")) == 23


def test_a_preview_starts_at_zero_and_lasts_as_told(cli: CommandLine, film: Path) -> None:
    out = film.with_name("out.mkv")
    cli.done("double", film, out, *FAST, "--start", "0:00:00.2", "--duration", "0.4")
    times = [float(time) for time in shown_times(out)]
    assert len(times) == 20
    assert times[0] == 0


# Encoding.


def test_encoder_options_reach_the_encoder(cli: CommandLine, film: Path) -> None:
    report, out = report_of(
        cli, film, "double", "--preset", "ultrafast", "--encoder-option", "g=5", "--encoder-option", "bf=0"
    )
    assert "g=5" in report["encoder"]
    with opened(out) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [index for index, key in enumerate(keys) if key] == list(range(0, 48, 5))


def test_the_users_library_parameters_win_and_ours_stay(cli: CommandLine, film: Path) -> None:
    report, _ = report_of(
        cli, film, "double", "--preset", "ultrafast", "--encoder-option", "x264-params=keyint=3:scenecut=0"
    )
    assert "force-cfr=1:keyint=3:scenecut=0" in report["encoder"]


def test_a_bit_rate_takes_the_place_of_quality(cli: CommandLine, film: Path) -> None:
    report, out = report_of(cli, film, "double", "--preset", "ultrafast", "--bitrate", "20k")
    assert "20 kbit/s" in report["encoder"]
    assert "crf" not in report["encoder"]
    small = sum(len(data) for _, _, data in video_packets(out))
    _, rich = report_of(cli, film, "double", "--preset", "ultrafast", "--bitrate", "2M", "--yes")
    assert small < sum(len(data) for _, _, data in video_packets(rich)) / 2


@pytest.mark.parametrize("encoder", ["ffv1", "libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_lossless_gives_the_very_same_pixels_and_says_how(encoder: str, cli: CommandLine, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "film.mkv", size=(64, 64), frames=range(6))
    report, out = report_of(cli, source, "double", "--lossless", "--encoder", encoder)
    assert encoder in report["encoder"]
    assert np.array_equal(pixels(out)[::2], pixels(source))


@pytest.mark.parametrize("preset", ["veryfast", "fast"])
def test_a_preset_with_which_x265_is_not_lossless_is_refused(cli: CommandLine, film: Path, preset: str) -> None:
    told = ("--lossless", "--encoder", "libx265", "--preset", preset)
    assert "isn't bit-exact" in cli.refused("double", film, film.with_name("out.mkv"), *told)


def test_lossless_x265_is_told_a_preset_with_which_it_is(cli: CommandLine, film: Path) -> None:
    report, _ = report_of(cli, film, "double", "--lossless", "--encoder", "libx265")
    assert "preset=medium" in report["encoder"]


def test_crf_changes_the_quality(cli: CommandLine, film: Path) -> None:
    sizes = {}
    for crf in (5, 45):
        _, out = report_of(cli, film, "double", "--preset", "ultrafast", "--crf", crf, "--yes")
        sizes[crf] = sum(len(data) for _, _, data in video_packets(out))
    assert sizes[5] > 2 * sizes[45]


# thin.


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (("--keep-every", "2"), [*range(0, 24, 2), 23]),
        (("--keep-every", "5"), [0, 5, 10, 15, 20, 23]),
        (("--keep-every", "100"), [0, 23]),
        (("--drop", "3:6,10"), [i for i in range(24) if i not in (3, 4, 5, 10)]),
        (("--drop", "0:24"), [0, 23]),
        (("--fps", "12.5"), [*range(0, 24, 2), 23]),
    ],
    ids=str,
)
def test_thin_leaves_out_exactly_what_the_pattern_says(
    told: tuple[str, ...], kept: list[int], cli: CommandLine, film: Path
) -> None:
    out = film.with_name("out.mkv")
    ran = cli.done("thin", film, out, *told, "--preset", "ultrafast")
    assert shown_times(out) == [Fraction(index, 25) for index in kept]
    assert f"{len(kept)} of 24 frames" in ran.err
    assert "libx264" in ran.err


@pytest.mark.parametrize("ranges", ["", "5:3", "a:b", "1:2:3", "-1:4", "0:25", "99", ","])
def test_thin_refuses_ranges_that_do_not_fit(ranges: str, cli: CommandLine, film: Path) -> None:
    assert "--drop" in cli.refused("thin", film, film.with_name("out.mkv"), "--drop", ranges)


def test_thinned_and_restored_a_film_has_its_frames_at_their_times_again(cli: CommandLine, film: Path) -> None:
    thinned, restored = film.with_name("thin.mkv"), film.with_name("restored.mkv")
    cli.done("thin", film, thinned, "--drop", "3:5,9,15:18", "--preset", "ultrafast")
    cli.done("restore", thinned, restored, *FAST)
    assert shown_times(restored) == shown_times(film)


# engines, doctor, pipes, signals.


def test_engines_lists_the_built_in_ones_and_what_auto_takes(cli: CommandLine) -> None:
    out = cli.done("engines").out
    for name in ("dis", "blend", "repeat"):
        assert re.search(rf"^\s*{name}\s+yes", out, re.MULTILINE)
    assert re.search(r"--engine auto (takes|tries) .*dis", out)


@pytest.fixture
def no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it weren't installed: `import cv2` fails, and what had imported it is forgotten."""
    for name in [name for name in sys.modules if name.startswith("flowfill.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr("codec_plugin.engine._usable", _usable.__wrapped__)  # what it found before doesn't count


@pytest.mark.usefixtures("no_opencv")
@pytest.mark.parametrize("command", ["engines", "doctor"])
def test_an_engine_that_lacks_something_is_listed_with_the_command_that_gets_it(command: str, cli: CommandLine) -> None:
    out = " ".join(cli.done(command).out.split())
    assert 'pip install "codec-plugin[dis]"' in out


@pytest.mark.usefixtures("no_opencv")
def test_an_engine_asked_for_by_name_is_not_replaced_by_another(cli: CommandLine, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "holed.mkv", frames=[index for index in range(24) if index not in DROPPED])
    said = cli.refused("restore", source, tmp_path / "out.mkv", "--engine", "dis")
    assert 'pip install "codec-plugin[dis]"' in said
    assert not (tmp_path / "out.mkv").exists()


def test_doctor_cuts_no_word_in_two(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = cli.done("doctor").out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "at any position; keeps what doesn't move" in " ".join(out.split())


def test_doctor_tries_what_is_needed(cli: CommandLine) -> None:
    out = cli.done("doctor").out
    for name in ("libx264", "libx265", "ffv1", "engine dis", "av "):
        assert name in out
    assert __version__ in out


def test_a_transport_stream_can_come_through_a_pipe(tmp_path: Path) -> None:
    frames = [index for index in range(24) if index not in DROPPED]
    source = write_clip(tmp_path / "holed.ts", frames=frames, options=X264_REORDERED)
    for verb, count in (("restore", 24), ("double", 48)):
        out = tmp_path / f"{verb}.mkv"
        done = outside([verb, "-", out, *FAST], folder=tmp_path, stdin=source.read_bytes())
        assert done.returncode == 0, done.stderr
        assert len(decoded(out)) == count
        assert b"read once" in done.stderr


def test_a_pipe_can_be_scanned_but_not_read_twice(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "film.ts").read_bytes()
    done = outside(["scan", "-", "--json", "-"], folder=tmp_path, stdin=data)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 24
    for arguments in (
        ["scan", "-", "--decode"],
        ["thin", "-", "out.mkv", "--keep-every", "2"],
        ["double", "-", "out.mkv", "--save-plan", "plan.json"],
        ["double", "-", "out.mkv", "--duplicates", "fill"],
    ):
        refused = outside(arguments, folder=tmp_path, stdin=data)
        assert refused.returncode == 1
        assert b"pipe" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.ts"]


@pytest.mark.parametrize("data", [b"", b"hello\n" * 100, bytes(5000)], ids=["empty", "text", "zeros"])
def test_a_pipe_without_a_film_is_an_error(data: bytes, tmp_path: Path) -> None:
    for arguments in (["scan", "-"], ["double", "-", "out.mkv", *FAST]):
        done = outside(arguments, folder=tmp_path, stdin=data)
        assert done.returncode == 1
        assert b"standard input" in done.stderr
        assert b"did not foresee" not in done.stderr
    assert not list(tmp_path.iterdir())


def interrupted(folder: Path, arguments: Sequence[object], *, by: signal.Signals) -> tuple[int, str, float]:
    """Runs a job, sends a signal once it is writing; the exit code, the words, the seconds to the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "codec_plugin", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        while process.poll() is None:
            if any(".part" in path.name for path in folder.iterdir()):
                break
            time.sleep(0.01)
        assert process.poll() is None, "the job was over before it could be interrupted"
        time.sleep(0.1)  # into the middle of it
        sent = time.monotonic()
        process.send_signal(by)
        _, err = process.communicate(timeout=30)
        return process.returncode, err, time.monotonic() - sent
    finally:
        watchdog.cancel()
        process.kill()


@pytest.fixture
def long_film(tmp_path: Path) -> Path:
    """Enough to do that a signal comes in the middle."""
    return write_clip(tmp_path / "long.mkv", frames=range(60), size=(640, 360))


JOBS = {
    "double": ["--engine", "dis", "--preset", "veryslow"],
    "restore": ["--rate", "100", "--engine", "dis", "--preset", "veryslow"],
    "thin": ["--keep-every", "2", "--encoder", "libx265", "--preset", "veryslow"],
}


@pytest.mark.parametrize("verb", JOBS)
def test_ctrl_c_ends_with_130_soon_and_leaves_nothing_behind(verb: str, tmp_path: Path, long_film: Path) -> None:
    before = files_under(tmp_path)
    code, err, seconds = interrupted(tmp_path, [verb, long_film, tmp_path / "out.mkv", *JOBS[verb]], by=signal.SIGINT)
    assert code == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert seconds < 15
    assert files_under(tmp_path) == before


def test_being_terminated_leaves_nothing_behind_either(tmp_path: Path, long_film: Path) -> None:
    before = files_under(tmp_path)
    code, err, _ = interrupted(
        tmp_path, ["double", long_film, tmp_path / "out.mkv", *JOBS["double"]], by=signal.SIGTERM
    )
    assert code == 143, err
    assert "Traceback" not in err
    assert files_under(tmp_path) == before


def test_a_reader_who_goes_away_is_no_error_to_speak_of(tmp_path: Path, film: Path) -> None:
    command = f"{sys.executable} -m codec_plugin scan {film} --json - | true"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stdout.strip() in ("0", "141")


def test_a_film_is_not_written_to_standard_output(cli: CommandLine, tmp_path: Path) -> None:
    said = cli.refused("double", write_clip(tmp_path / "film.mkv"), "-", *FAST)
    assert "codec-plugin pipe" in said


def test_an_mp4_with_its_index_at_the_end_is_told_from_a_damaged_one_in_a_pipe(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    with av.open(str(tmp_path / "late.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(12):
            pixels = noise.integers(0, 255, (480, 640, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    data = (tmp_path / "late.mp4").read_bytes()
    for arguments in (["scan", "-"], ["double", "-", "out.mkv", *FAST]):
        refused = outside(arguments, folder=tmp_path, stdin=data)
        assert refused.returncode == 1
        assert b"+faststart" in refused.stderr
