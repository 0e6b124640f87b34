"""The benchmarks of speed: sizes measured one after the other, and whole jobs beside FFmpeg's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cv2", reason="the benchmarks need OpenCV: pip install '.[dis]'")

from benchmarks.doubling import DoublingResult, doubling_table, load_doubling, measure_doubling, save_doubling
from benchmarks.machine import Machine
from benchmarks.results import SpeedResult, check_place, load_speed, merged_speed, save
from benchmarks.speed import SpeedRow, frame_count
from tests.makers import write_clip

ROOT = Path(__file__).parents[1]
MACHINE = Machine(cpu="a", cores=2, python="3", av="18", ffmpeg="", numpy="2", opencv="5", commit="c")


def row(width: int, *, rate: float, dropped: int = 1) -> SpeedRow:
    """A row of the peer dis."""
    return SpeedRow(
        width=width,
        height=width // 2,
        dropped=dropped,
        peer="dis",
        frames_per_s_best=rate,
        frames_per_s_median=rate,
        rounds=2,
    )


def test_a_size_that_is_added_stands_beside_the_others_and_replaces_its_own_old_rows(tmp_path: Path) -> None:
    earlier = SpeedResult(command="first", machine=MACHINE, rows=(row(1280, rate=2.0), row(1920, rate=1.0)))
    new = SpeedResult(command="second", machine=MACHINE, rows=(row(640, rate=9.0), row(1280, rate=3.0)))
    save(merged_speed(earlier, new), tmp_path / "speed.json")
    read = load_speed(tmp_path / "speed.json")

    assert [(each.width, each.frames_per_s_best) for each in read.rows] == [(640, 9.0), (1280, 3.0), (1920, 1.0)]
    assert read.command == "second"


def test_numbers_of_another_commit_or_machine_are_not_set_beside_these() -> None:
    check_place(MACHINE, MACHINE, path=Path("speed.json"))
    with pytest.raises(ValueError, match="commit c and not d"):
        check_place(MACHINE, replace(MACHINE, commit="d"), path=Path("speed.json"))


def test_every_size_has_whole_gaps_and_about_the_same_pixels() -> None:
    assert [frame_count(*size) for size in ((640, 360), (1280, 720), (1920, 1080))] == [241, 61, 25]
    assert all((frame_count(width, width // 2) - 1) % 4 == 0 for width in range(64, 4000, 16))


def test_whole_jobs_are_timed_beside_ffmpegs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), str(ROOT / "engines"), *sys.path])
    told: list[str] = []
    rows = measure_doubling(
        write_clip(tmp_path / "film.mkv"),
        size=(96, 64),
        start=0,
        seconds=1,
        engines=("blend",),
        preset="ultrafast",
        rounds=1,
        ffmpeg=None,
        tell=told.append,
    )
    result = DoublingResult(
        command="typed", machine=MACHINE, load=0.5, ffmpeg="PyAV", encoder="libx264", seconds=1, rows=tuple(rows)
    )
    save_doubling(result, tmp_path / "doubling.json")

    assert [each.peer for each in rows] == ["double blend", "minterpolate mci", "minterpolate aobmc bidir"]
    assert rows[0].frames == 48
    assert all(each.frames >= 40 and each.cpu_s[0] > 0 and each.wall_s[0] > 0 for each in rows)
    assert len(told) == 3
    assert load_doubling(tmp_path / "doubling.json") == result
    assert doubling_table(result).count("| 96x64 |") == 3
