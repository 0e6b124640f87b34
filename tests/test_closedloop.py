"""Thinning in a closed loop: what goes comes back as well as was promised, measured from the files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from codec_plugin import EncodeOptions, Job, OptionError, RestoreOptions, compare, report_to_json, restore, scan
from codec_plugin.cli.files import write_json
from codec_plugin.thinning.candidates import Block, Quality
from codec_plugin.thinning.closedloop import ClosedLoop, parse_quality, thin_to_budget, thin_to_quality
from tests.makers import CommandLine, picture

JOB = Job(encode=EncodeOptions(encoder="libx264", preset="ultrafast", crf=16))
DIS = RestoreOptions(engine="dis")
FRAMES, CUT = 48, 24


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two scenes: one moves evenly, the other jumps at random, so that nothing can be made of it."""
    random = np.random.default_rng(1)
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(FRAMES):
            calm = number < CUT
            place = number if calm else int(random.integers(0, 200))
            frame = picture(place if calm else 31 * place, size=(96, 64))
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path / "film.mkv"


def made_scores(film: Path, thinned: Path, folder: Path, measure: str) -> tuple[int, float]:
    """(Made frames, lowest value among them), by `compare`, from files restored as the loop restores them."""
    report = restore(thinned, folder / "back.mp4", options=DIS, job=replace(JOB, overwrite=True))
    write_json(str(folder / "report.json"), report_to_json(report))
    made = compare(film, folder / "back.mp4", report=folder / "report.json").made
    assert made is not None
    metric = made.psnr if measure == "psnr" else made.ssim
    assert metric is not None
    return made.frames, metric.lowest


@pytest.mark.parametrize("quality", [Quality(measure="psnr", least=30), Quality(measure="ssim", least=0.93)], ids=str)
def test_every_made_frame_is_as_good_as_asked_in_the_final_files(film: Path, quality: Quality, tmp_path: Path) -> None:
    done = thin_to_quality(film, tmp_path / "thin.mp4", quality=quality, job=JOB, options=DIS)

    assert len(done.thinning.dropped) > 4
    count, worst = made_scores(film, tmp_path / "thin.mp4", tmp_path, quality.measure)
    assert count == len(done.thinning.dropped)
    assert worst >= quality.least
    assert done.worst == pytest.approx(worst, abs=0.02)
    assert scan(tmp_path / "thin.mp4").side.engine == "dis"


def test_nothing_is_dropped_across_a_cut_or_where_motion_cant_be_followed(film: Path, tmp_path: Path) -> None:
    done = thin_to_quality(film, tmp_path / "thin.mp4", quality=Quality(measure="psnr", least=32), job=JOB, options=DIS)

    slots = [round(pts / 1000 * 24) for pts in done.thinning.dropped]
    assert slots
    assert max(slots) < CUT
    kept = sorted(set(range(FRAMES)) - set(slots))
    assert all((a < CUT) == (b < CUT) for a, b in pairwise(kept) if b - a > 1)


def test_a_quality_that_nothing_reaches_drops_nothing(film: Path, tmp_path: Path) -> None:
    done = thin_to_quality(film, tmp_path / "thin.mp4", quality=Quality(measure="psnr", least=90), job=JOB, options=DIS)

    assert done.thinning.dropped == ()
    assert done.worst is None
    assert abs(done.saved) < 0.01


def test_a_budget_is_kept_with_as_few_drops_as_do(film: Path, tmp_path: Path) -> None:
    some = budget(film, tmp_path, Fraction(1, 10))
    more = budget(film, tmp_path, Fraction(1, 4))

    assert some.saved >= 0.10
    assert more.saved >= 0.25
    assert 0 < len(some.thinning.dropped) <= len(more.thinning.dropped)


def budget(film: Path, folder: Path, save: Fraction) -> ClosedLoop:
    """The film thinned to a budget."""
    return thin_to_budget(film, folder / "thin.mp4", save=save, job=replace(JOB, overwrite=True), options=DIS)


def test_a_budget_beyond_reach_says_how_far_it_goes(film: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"saves .*%"):
        budget(film, tmp_path, Fraction(9, 10))
    assert not (tmp_path / "thin.mp4").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["film.mkv"]


def test_a_block_that_came_back_too_bad_gives_its_frames_back_step_by_step() -> None:
    quality = Quality(measure="psnr", least=30)
    block = Block(pts=(1, 2, 3), first=40, last=35, all_three=33)
    assert block.dropped(quality) == (1, 2, 3)

    fewer = block.without({2}, quality=quality)
    assert fewer.dropped(quality) == (1, 3)
    fewest = fewer.without({3}, quality=quality)
    assert fewest.dropped(quality) == (1,)
    assert fewest.without({1}, quality=quality).dropped(quality) == ()
    assert block.without({9}, quality=quality) is block


@pytest.mark.parametrize(
    ("text", "quality"),
    [
        ("0.96", Quality(measure="ssim", least=0.96)),
        ("38", Quality(measure="psnr", least=38)),
        ("38.5dB", Quality(measure="psnr", least=38.5)),
        ("1", Quality(measure="ssim", least=1)),
    ],
)
def test_a_quality_is_told_by_its_size(text: str, quality: Quality) -> None:
    assert parse_quality(text) == quality


@pytest.mark.parametrize("text", ["", "0", "-3", "high", "101", "0.5dB", "nan"])
def test_what_is_no_quality_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--quality"):
        parse_quality(text)


def test_the_command_says_what_it_saved_and_how_bad_the_worst_frame_is(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(tmp_path, capsys)
    told = ("--engine", "dis", "--encoder", "libx264", "--preset", "ultrafast")

    ran = command.done("thin", film, tmp_path / "a.mp4", "--quality", "30dB", *told)
    assert "saved; worst made frame" in ran.err
    command.done("thin", film, tmp_path / "b.mp4", "--save", "10%", *told)
    command.refused("thin", film, tmp_path / "c.mp4", "--save", "10%", "--quality", "30", code=2)
    assert "--save" in command.refused("thin", film, tmp_path / "c.mp4", "--save", "lots", *told)
