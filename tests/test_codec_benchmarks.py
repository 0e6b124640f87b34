"""The benchmarks of the codec's side, run on clips of a second: what they say is what the files hold."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from benchmarks.machine import this_machine
from benchmarks.rd_table import rd_table
from benchmarks.survey import Outcome, SurveyResult, save_survey, survey, survey_table
from benchmarks.thin import measure_thin, save_thin, thin_table
from codec_plugin import EncodeOptions, Window
from codec_plugin.thinning.candidates import Quality
from tests.makers import X264_REORDERED, picture, write_clip

QUICK = EncodeOptions(encoder="libx264", preset="ultrafast", crf=16)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 33 frames that move evenly."""
    path = tmp_path_factory.mktemp("benchmarks") / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(33):
            frame = picture(number, size=(96, 64))
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_thinned_films_made_frames_are_measured_again_from_the_restored_file(film: Path, tmp_path: Path) -> None:
    row = measure_thin(
        film,
        window=Window(duration=Fraction(1)),
        quality=Quality(measure="psnr", least=30),
        engine="dis",
        encode=QUICK,
        command="typed",
        tell=lambda line: None,
    )

    assert row.frames == 24
    assert row.made > 4
    assert row.below == 0
    assert row.worst is not None
    assert row.worst >= 30
    assert row.saved == pytest.approx(1 - row.thinned_bytes / row.full_bytes, abs=1e-4)
    save_thin(row, tmp_path / "thin.json")
    save_thin(replace(row, film="another.mkv"), tmp_path / "thin.json")
    save_thin(replace(row, asked=31), tmp_path / "thin.json")
    assert "| 31 dB |" in thin_table(tmp_path / "thin.json")
    kept = json.loads((tmp_path / "thin.json").read_text())["rows"]
    assert [(one["film"], one["asked"]) for one in kept] == [("another.mkv", 30), ("film.mkv", 31)]


def test_a_survey_tells_which_clips_are_spliced_which_fall_back_and_which_give_no_gap(
    film: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "a.mp4", frames=range(48), options=X264_REORDERED)
    write_clip(clips / "b.ts", codec="mpeg2video", frames=range(48), options={"g": "12"})
    write_clip(
        clips / "c.mp4", frames=range(20), options={"preset": "ultrafast", "g": "250"}
    )  # every picture referred to
    (clips / "notes.txt").write_text("no film")

    rows = survey(clips, seconds=9, tell=lambda line: None)

    assert [(row.clip, row.outcome) for row in rows] == [
        ("a.mp4", Outcome.SPLICED),
        ("b.ts", Outcome.FELL_BACK),
        ("c.mp4", Outcome.NOT_TRIED),
    ]
    assert rows[0].made == 3
    assert 0 < rows[0].kept < rows[0].packets == 45
    assert rows[1].reason == "only H.264 and HEVC can be spliced, not mpeg2video"
    save_survey(SurveyResult(command="typed", machine=this_machine(), rows=rows), tmp_path / "survey.json")
    table = survey_table(tmp_path / "survey.json")
    assert table.startswith("3 clips: 1 spliced, 1 fell back, 1 not tried.")
    assert str(tmp_path) not in table


def test_the_table_of_bd_rates_prints_a_loss_as_a_loss_and_stars_what_says_little(tmp_path: Path) -> None:
    rows = [
        {"encoder": "libx264", "method": "dis", "metric": "psnr", "percent": 12.34, "overlap": 0.8},
        {"encoder": "libx264", "method": "dis", "metric": "ssim", "percent": -5.0, "overlap": 0.5},
        {"encoder": "libx264", "method": "dis", "metric": "xpsnr", "percent": None, "overlap": None},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"source": "a.mp4", "bd_rate": rows}))

    assert "| a.mp4 | libx264 | dis | +12.3 % | -5.0 %* | no common quality | – |" in rd_table(tmp_path).splitlines()
