"""`codec-plugin bench`: it starts, counts what it says, fits 80 columns, and says what is wrong with its input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec_plugin.benching import bench as bench_module
from codec_plugin.benching.bench import bench
from codec_plugin.benching.energy import energy_meters
from codec_plugin.benching.meters import Round, Stage, StageResult
from codec_plugin.benching.results import BenchSettings
from codec_plugin.benching.watched import Watched, device_of, watched
from codec_plugin.cli.bench import bench_command
from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.engine_work import Operations
from codec_plugin.job import Job
from codec_plugin.options import EncodeOptions, RestoreOptions
from codec_plugin.picture import Family, Layout, Picture
from tests.makers import FAST, CommandLine, write_clip, write_sound

pytestmark = pytest.mark.timeout(120)
QUICK = ("--rounds", "2", *FAST)


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("CODEC_PLUGIN_TRACEBACK", "1")
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(tmp_path, capfd)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """24 frames of 64x48, none missing."""
    return write_clip(tmp_path / "film.mkv")


def stages_of(document: dict[str, Any], size: int = 0) -> dict[str, dict[str, Any]]:
    """The stages of a size, by name."""
    return {stage["stage"]: stage for stage in document["sizes"][size]["stages"]}


def test_no_option_of_the_command_is_named_twice() -> None:
    names = Counter(name for parameter in bench_command.params for name in (*parameter.opts, parameter.name))

    assert [name for name, count in names.items() if count > 1 and not str(name).isidentifier()] == []


def test_every_stage_is_measured_and_the_table_fits_80_columns(cli: CommandLine, film: Path) -> None:
    shown = cli.done("bench", film, *QUICK).out

    assert all(any(line.strip().startswith(stage) for line in shown.splitlines()) for stage in Stage)
    assert "23 made by blend, 1 held" in " ".join(shown.split())
    table = [line for line in shown.splitlines() if not line.startswith(("note:", str(film)))]
    assert max(map(len, table)) <= 80


def test_json_has_every_round_beside_its_medians(cli: CommandLine, film: Path) -> None:
    document = json.loads(cli.done("bench", film, *QUICK, "--json", "-").out)
    stages = stages_of(document)

    assert {name: stage["frames"] for name, stage in stages.items()} == {
        "decode": 24,
        "fill": 23,
        "encode": 48,
        "job": 48,
        "job, no fill": 48,
    }
    assert all(len(stage["rounds"]) == 2 for stage in stages.values())
    assert all(each["wall_s"] > 0 and each["cpu_s"] >= 0 for stage in stages.values() for each in stage["rounds"])
    assert stages["job"]["floor_frames_per_s"] > 0
    assert document["machine"]["cores"] >= 1
    assert (document["sizes"][0]["width"], document["sizes"][0]["height"]) == (64, 48)


def test_sizes_are_scaled_to_and_the_film_itself_is_left_alone(cli: CommandLine, film: Path) -> None:
    before = film.read_bytes()
    told = ("--size", "96x64", "--size", "64x48", "--duration", "0.4", "--json", "-")
    document = json.loads(cli.done("bench", film, *QUICK, *told).out)

    assert [(size["width"], size["height"]) for size in document["sizes"]] == [(96, 64), (64, 48)]
    assert stages_of(document)["decode"]["frames"] == stages_of(document, 1)["decode"]["frames"] == 10
    assert sum("96x64: the stretch was scaled" in note for note in document["notes"]) == 1
    assert film.read_bytes() == before


def test_an_existing_json_file_is_kept_unless_overwriting_was_asked_for(cli: CommandLine, film: Path) -> None:
    kept = film.with_name("kept.json")
    kept.write_text("mine", encoding="utf-8")

    assert "kept.json" in cli.refused("bench", film, *QUICK, "--json", kept)
    assert kept.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        (["--size", "65x48"], 1, "take 64x48"),
        (["--size", "64"], 2, "write 1280x720"),
        (["--size", "-64x48"], 2, "write 1280x720"),
        (["--size", "8x8"], 2, "16 to 16384"),
        (["--rounds", "0"], 2, "rounds"),
        (["--engine", "none-such"], 1, "none-such"),
        (["--runtime", "openvino"], 1, "blend has no choice of runtime"),
        (["--runtime", "openvino", "--engine", "auto"], 1, "name one engine"),
        (["--runtime", "openvino", "--engine", "flow"], 1, "name one engine"),
        (["--engine-option", "shade=1"], 1, "blend has no options"),
        (["--start", "50"], 1, "no frame lies in the window"),
        (["--duration", "0.04"], 1, "no frame was made"),
        (["--encoder", "none-such"], 1, "none-such"),
        (["--json", "/nowhere/bench.json"], 1, "bench.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_said(told: list[str], code: int, said: str, cli: CommandLine, film: Path) -> None:
    assert said in " ".join(cli.refused("bench", film, *QUICK, *told, code=code).split())


def test_films_that_are_not_there_or_hold_no_pictures_are_refused(cli: CommandLine, tmp_path: Path) -> None:
    text, tone = tmp_path / "text.mkv", write_sound(tmp_path / "tone.mp4")
    text.write_text("no film", encoding="utf-8")

    assert "none.mkv" in cli.refused("bench", tmp_path / "none.mkv", *QUICK)
    assert "text.mkv" in cli.refused("bench", text, *QUICK)
    assert "video" in cli.refused("bench", tone, *QUICK)
    assert "pipe" in cli.refused("bench", "-", *QUICK)


def test_a_stretch_that_memory_would_not_hold_is_cut_and_that_is_noted(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "_HELD_BYTES", 64 * 48 * 3 * 2 * 6)
    options, job = RestoreOptions(engine="blend"), Job(encode=EncodeOptions(preset="ultrafast"))
    result = bench(film, settings=BenchSettings(rounds=1), options=options, job=job)

    assert result.sizes[0].decoded == 6
    assert any("first 6 of 24 frames" in note for note in result.notes)


def test_medians_and_quartiles_are_those_of_the_rounds() -> None:
    rounds = tuple(
        Round(wall_s=wall, cpu_s=2 * wall, joules={"package-0": wall}) for wall in (1.0, 2.0, 4.0, 5.0, 10.0)
    )
    result = StageResult(stage=Stage.FILL, frames=20, rounds=rounds, floor_s=0.5)

    assert (result.wall_s, result.cpu_s, result.joules) == (4.0, 8.0, {"package-0": 4.0})
    assert result.frames_per_s == 5.0
    assert result.middle_half == (4.0, 10.0)
    assert result.floor_frames_per_s == 40.0
    assert replace(result, rounds=rounds[:1]).middle_half == (20.0, 20.0)


def package(folder: Path, number: str, *, microjoules: int, most: int) -> Path:
    """A processor package as the kernel shows it."""
    path = folder / f"intel-rapl:{number}"
    path.mkdir()
    for name, value in (("name", f"package-{number}"), ("energy_uj", microjoules), ("max_energy_range_uj", most)):
        (path / name).write_text(f"{value}\n", encoding="ascii")
    return path


def test_energy_counters_are_read_and_may_wrap(tmp_path: Path) -> None:
    path = package(tmp_path, "0", microjoules=9_000_000, most=10_000_000)
    package(tmp_path, "0:0", microjoules=1, most=10)
    meters = energy_meters(gpu=False, powercap=tmp_path)
    before = meters.read()
    (path / "energy_uj").write_text("1500000", encoding="ascii")

    assert meters.spent(before, meters.read()) == pytest.approx({"package-0": 2.5})


def test_energy_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    assert energy_meters(gpu=False, powercap=tmp_path / "none").missing[0].startswith("the processor's energy isn't")
    (package(tmp_path, "0", microjoules=1, most=2) / "energy_uj").unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()
    assert "can't be read" in energy_meters(gpu=False, powercap=tmp_path).missing[0]


class Clock:
    """A device's clock on which each piece of work takes a second."""

    def __init__(self) -> None:
        self.pieces = 0

    def around(self) -> AbstractContextManager[None]:
        self.pieces += 1
        return nullcontext()

    def taken_s(self) -> float:
        taken, self.pieces = float(self.pieces), 0
        return taken


class Counting:
    """An engine that dissolves, and says where and how many operations that takes."""

    info = EngineInfo(name="counting", summary="dissolves and counts")
    device = "cpu"

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        return Estimate(seconds=0.0, bytes=0)

    def operations(self, size: tuple[int, int], *, positions: int) -> Operations:
        return Operations(flops=3.0 * size[0] * size[1] * positions, flops_per_s=1e6)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        for _ in request.positions:
            yield replace(request.left, key=None)

    def close(self) -> None:
        pass


def test_each_picture_is_timed_by_the_device_that_makes_it() -> None:
    picture = Picture(planes=(np.zeros((8, 8), np.uint8),), layout=Layout(family=Family.GRAY, depth=8))
    request = FillRequest(
        left=picture, right=picture, positions=(Fraction(1, 3), Fraction(2, 3)), interval=Fraction(1, 25)
    )
    engine = Watched(Counting(), clock=Clock())

    assert len(list(engine.fill(request))) == 2
    assert engine.device_s() == 3.0  # two pictures, and the end
    assert watched(Counting()).device_s() is None
    assert device_of(Counting()) == "cpu"


def test_an_engine_that_counts_its_operations_has_a_floor(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfill.blend.BlendEngine.operations", Counting.operations, raising=False)
    options, job = RestoreOptions(engine="blend"), Job(encode=EncodeOptions(preset="ultrafast"))
    result = bench(film, settings=BenchSettings(rounds=1), options=options, job=job)

    assert result.sizes[0].stage(Stage.FILL).floor_s == pytest.approx(23 * 3 * 64 * 48 / 1e6)
