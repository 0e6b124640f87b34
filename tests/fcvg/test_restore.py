"""`codec-plugin restore --engine fcvg` from end to end: a real clip with a long gap, and gaps that it can't fill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from safetensors.torch import save_file

from codec_plugin import RestoringDecoder, made_by
from codec_plugin.options import RestoreOptions
from fcvg import FcvgEngine
from fcvg.place import Place
from tests.fcvg.hollow import make_hollow
from tests.makers import CommandLine, add_video, decoded, picture, shown_times, write_clip
from tests.test_lost_motion import turned

CITY = Path(__file__).parents[2] / "examples" / "city_with_a_long_gap.mp4"
QUICK = ("--allow-untrained", "--fcvg-size", "64x64", "--steps", "2")


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "films").mkdir()
    return CommandLine(tmp_path / "films", capfd)


def fcvg(weights: Path) -> tuple[str, ...]:
    return ("--engine", "fcvg", "--weights", str(weights), *QUICK)


def write_frames(path: Path, frames: Mapping[int, av.VideoFrame]) -> Path:
    """A lossless film with these frames in these slots."""
    with av.open(str(path), "w") as container:
        stream = add_video(container, "ffv1", size=(80, 64))
        for slot, frame in frames.items():
            frame.pts = slot
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def holed(folder: Path, *, size: tuple[int, int] = (80, 64)) -> Path:
    """A film that moves, with six frames missing."""
    return write_clip(folder / "holed.mkv", size=size, frames=[n for n in range(20) if not 7 <= n < 13])


def write_turns(path: Path) -> Path:
    """A film with two gaps of six frames: nothing moves in one, everything turns in the other."""
    views = {0: turned(0), 1: turned(0), 8: turned(0), 15: turned(0, degrees=20.0), 16: turned(0, degrees=20.0)}
    with av.open(str(path), "w") as container:
        stream = add_video(container, "ffv1", size=(160, 90))
        for slot, luma in views.items():
            frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
            frame.pts = slot
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_report(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_real_clip_with_23_frames_missing_is_restored(cli: CommandLine, tiny_weights: Path) -> None:
    out, report = cli.folder / "out.mkv", cli.folder / "report.json"

    said = cli.done("restore", CITY, out, *fcvg(tiny_weights), "--lossless", "--report", report).err
    document = read_report(report)
    findings = {finding["name"]: finding for finding in document["outcomes"][0]["findings"]}
    before, after = decoded(CITY), decoded(out)

    assert document["frames"]["by_engine"] == {"fcvg": 23}
    assert "23 made by fcvg" in said
    assert len(after) == 48
    assert findings["lines matched"]["value"] >= 5
    assert findings["frames of the clip"]["value"] == 25
    assert findings["time to sample"]["unit"] == "s"
    kept = [*after[:12], *after[35:]]
    assert all(np.array_equal(a.to_ndarray(), b.to_ndarray()) for a, b in zip(before, kept, strict=True))


def test_running_the_report_again_gives_the_same_film(cli: CommandLine, tiny_weights: Path) -> None:
    film, report = holed(cli.folder), cli.folder / "report.json"
    first, again = cli.folder / "first.mkv", cli.folder / "again.mkv"

    cli.done("restore", film, first, *fcvg(tiny_weights), "--seed", "3", "--lossless", "--report", report)
    cli.done("restore", film, again, "--plan", report, "--lossless")

    assert read_report(report)["plan"]["options"]["engine_options"] == {
        "fcvg.weights": str(tiny_weights),
        "fcvg.allow_untrained": "yes",
        "fcvg.size": "64x64",
        "fcvg.steps": "2",
        "fcvg.seed": "3",
    }
    assert shown_times(first) == shown_times(again)
    for ours, theirs in zip(decoded(first), decoded(again), strict=True):
        np.testing.assert_array_equal(ours.to_ndarray(), theirs.to_ndarray())


def test_a_decoding_loop_takes_the_same_options(cli: CommandLine, tiny_weights: Path) -> None:
    options = RestoreOptions(
        engine="fcvg",
        engine_options={
            "fcvg.weights": str(tiny_weights),
            "fcvg.allow_untrained": "yes",
            "fcvg.size": "64x64",
            "fcvg.steps": "2",
        },
    )

    made = [made_by(frame) for frame in RestoringDecoder(holed(cli.folder), options=options)]

    assert made == [None] * 7 + ["fcvg"] * 6 + [None] * 7


def filled_by_fallback(cli: CommandLine, film: Path, *told: str) -> tuple[Any, str]:
    """The report's frames and what was said, of a job in which fcvg could not."""
    report = cli.folder / "report.json"
    said = cli.done("restore", film, cli.folder / "out.mkv", *told, "--report", report).err
    return read_report(report), said


def test_where_the_latents_are_not_finite_the_fallback_fills_and_the_report_says_so(
    cli: CommandLine, weights: Path
) -> None:
    save_file({"conv_in.bias": torch.full((32,), torch.nan)}, weights / "unet.safetensors", metadata={"untrained": "x"})

    document, said = filled_by_fallback(cli, holed(cli.folder), *fcvg(weights))

    assert document["frames"]["by_engine"] == {"dis": 6}
    assert "fcvg can't fill it: the network's prediction is not finite" in document["outcomes"][0]["fallback_because"]
    assert "6 made by the fallback: fcvg can't fill it" in said


def test_pictures_under_64_pixels_are_filled_by_the_fallback(cli: CommandLine, tiny_weights: Path) -> None:
    document, said = filled_by_fallback(cli, holed(cli.folder, size=(80, 48)), *fcvg(tiny_weights))

    assert document["frames"]["by_engine"] == {"dis": 6}
    assert "needs at least 64 pixels a side, not 80x48" in document["outcomes"][0]["fallback_because"]
    assert "fcvg won't fill its longest gap, of 6 frames" in said


def test_between_equal_frames_the_fallback_shows_them_again(cli: CommandLine, tiny_weights: Path) -> None:
    still = picture(0, size=(80, 64))
    film = write_frames(cli.folder / "still.mkv", dict.fromkeys((0, 1, 2, 9, 10), still))

    document, _ = filled_by_fallback(cli, film, *fcvg(tiny_weights), "--lossless")
    frames = [frame.to_ndarray() for frame in decoded(cli.folder / "out.mkv")]

    assert document["frames"]["by_engine"] == {"dis": 6}
    assert "same picture" in document["outcomes"][0]["fallback_because"]
    assert all(np.array_equal(frames[0], frame) for frame in frames)


def test_the_engine_is_not_even_asked_across_a_cut(
    cli: CommandLine, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black, white = np.full((64, 80), 20, np.uint8), np.full((64, 80), 230, np.uint8)
    scenes = [av.VideoFrame.from_ndarray(flat, format="gray").reformat(format="yuv420p") for flat in (black, white)]
    film = write_frames(cli.folder / "cut.mkv", {slot: scenes[slot > 8] for slot in (*range(6), *range(13, 20))})
    monkeypatch.setattr(FcvgEngine, "fill", lambda engine, request: pytest.fail("asked across a cut"))

    document, _ = filled_by_fallback(cli, film, *fcvg(tiny_weights))

    assert document["frames"]["by_engine"] == {"hold": 7}
    assert "scene cut" in document["outcomes"][0]["held_because"]


def test_too_little_memory_is_said_before_and_the_fallback_fills(
    cli: CommandLine, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "free_bytes", lambda place: 10_000_000)

    document, said = filled_by_fallback(cli, holed(cli.folder), *fcvg(tiny_weights))

    assert document["frames"]["by_engine"] == {"dis": 6}
    assert "GB are free on the cpu" in document["outcomes"][0]["fallback_because"]
    assert any(note["kind"] == "engine" and "GB are free" in note["text"] for note in document["notes"])
    assert "fcvg won't fill its longest gap" in said


def test_a_full_size_model_without_a_gpu_is_refused_before_anything_is_written(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    hollow = make_hollow(tmp_path / "full")

    said = cli.refused(
        "restore", CITY, cli.folder / "out.mkv", "--engine", "fcvg", "--weights", hollow, "--allow-untrained"
    )

    assert "hours" in said
    assert "--allow-cpu" in said


def test_untrained_weights_are_refused_in_so_many_words(cli: CommandLine, tiny_weights: Path) -> None:
    told = ("--engine", "fcvg", "--weights", tiny_weights)

    assert "never trained" in cli.refused("restore", CITY, cli.folder / "out.mkv", *told)


def test_options_of_fcvg_beside_another_engine_are_refused(cli: CommandLine, tiny_weights: Path) -> None:
    said = cli.refused("restore", CITY, cli.folder / "out.mkv", "--engine", "dis", "--weights", tiny_weights)

    assert "option weights is for engine fcvg, which --engine dis doesn't use" in said


def test_auto_refuses_untrained_weights_rather_than_go_without(cli: CommandLine, tiny_weights: Path) -> None:
    said = cli.refused("restore", CITY, cli.folder / "out.mkv", "--weights", tiny_weights)
    assert "options of fcvg were given, and it can't be used" in said
    assert "--allow-untrained" in said


def test_auto_takes_it_where_flow_is_lost_and_leaves_it_where_flow_follows(
    cli: CommandLine, tiny_weights: Path
) -> None:
    report = cli.folder / "report.json"
    words = ("--engine", "auto", "--rate", "25", "--weights", str(tiny_weights), *QUICK, "--report", str(report))
    cli.done("restore", write_turns(cli.folder / "turns.mkv"), cli.folder / "out.mkv", *words)
    still, lost = read_report(report)["outcomes"]
    assert still["engine"] != "fcvg"
    assert "flow follows it" in still["chosen_because"]
    assert lost["engine"] == "fcvg"
    assert "flow is lost" in lost["chosen_because"]


def test_a_job_that_is_left_while_torch_computes_ends_with_its_exit_code() -> None:
    code = """
        import torch
        import codec_plugin.cli.app as app
        from codec_plugin.cli import main
        from codec_plugin.stages import ahead

        def work():
            yield 1
            numbers = torch.ones(64, 64)
            while True:
                numbers @ numbers

        def run():
            items = ahead(work(), depth=1)
            next(items)
            items.close()
            return 130

        app.run = run
        main()
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (130, b"")
