"""Engines with options, and engines that can't: as another package's author and a command-line user meet them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from codec_plugin import OptionError, RestoreOptions, RestoringDecoder, engine_names, load_engine
from codec_plugin.engine import pick_engine
from codec_plugin.engine_options import option_fields, options_for, read_options
from codec_plugin.errors import EngineError, PlanError
from codec_plugin.planfile import load_plan
from tests.makers import CommandLine, decoded, write_clip

GAP = (10, 11, 12)

TOY = '''
from dataclasses import dataclass, replace
import numpy as np
from codec_plugin.engine import EngineInfo, Estimate
from codec_plugin.errors import CannotFill, EngineError

@dataclass(frozen=True, slots=True, kw_only=True)
class ToyOptions:
    shade: int = 200
    gives_up_after: int | None = None
    most: int = 100

class Toy:
    info = EngineInfo(name="toy", summary="one shade of grey", fallback="repeat")
    options_type = ToyOptions

    def __init__(self, options=None):
        self.options = options or ToyOptions()

    def estimate(self, size, *, positions):
        if positions > self.options.most:
            raise EngineError(f"{positions} frames of {size[0]}x{size[1]} would take a year")
        return Estimate(seconds=0.0, bytes=0)

    def fill(self, request):
        for index, _ in enumerate(request.positions):
            if index == self.options.gives_up_after:
                raise CannotFill(f"gave up at picture {index}")
            planes = tuple(np.full_like(plane, self.options.shade) for plane in request.left.planes)
            yield replace(request.left, planes=planes, key=None)

    def close(self):
        pass

class Plain(Toy):
    """An engine as one wrote it before there were options."""
    info = EngineInfo(name="plain", summary="no options")
    options_type = None
    def __init__(self):
        super().__init__()
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package, installed: its engines stand in the entry-point group."""
    site = tmp_path / "site"
    info = site / "toy_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_engine.py").write_text(TOY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[codec_plugin.engines]\ntoy = toy_engine:Toy\nplain = toy_engine:Plain\n")
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("toy_engine", None)


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, toy: None) -> CommandLine:
    monkeypatch.setenv("COLUMNS", "160")
    return CommandLine(tmp_path / "films", capfd)


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """24 slots at 25 fps, three of them empty."""
    (tmp_path / "films").mkdir()
    return write_clip(tmp_path / "films" / "holed.mkv", frames=[n for n in range(24) if n not in GAP])


def shades(path: Path) -> list[float]:
    """Mean luma of the frames in the gap."""
    frames = decoded(path)
    return [float(frames[index].to_ndarray(format="gray").mean()) for index in GAP]


class Mode(StrEnum):
    SLOW = "slow"
    FAST = "fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    count: int = 3
    scale: float | None = None
    share: Fraction = Fraction(1, 2)
    place: Path = Path("here")
    mode: Mode = Mode.SLOW
    word: Literal["one", "two"] = "one"
    loud: bool = False
    name: str = ""
    crowd: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.count < 0:
            raise OptionError(f"count is at least 0, not {self.count}")


def test_each_kind_of_option_is_read_from_its_text() -> None:
    texts = {
        "count": "7",
        "scale": "0.5",
        "share": "1/3",
        "place": "a/b",
        "mode": "fast",
        "word": "two",
        "loud": "yes",
        "name": "none",
    }

    assert read_options(Everything, texts, engine="x") == Everything(
        count=7, scale=0.5, share=Fraction(1, 3), place=Path("a/b"), mode=Mode.FAST, word="two", loud=True, name="none"
    )
    assert read_options(Everything, {"scale": "none"}, engine="x").scale is None
    assert read_options(Everything, {}, engine="x") == Everything()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("count", "many", "x.count takes a whole number, not 'many'"),
        ("count", "none", "a whole number"),
        ("share", "1/0", "a number"),
        ("mode", "best", r"slow \| fast"),
        ("word", "three", r"one \| two"),
        ("loud", "perhaps", r"yes \| no"),
        ("crowd", "1", "no option 'crowd'"),
        ("colour", "red", "it has: count, loud, mode"),
        ("count", "-1", "at least 0"),
    ],
)
def test_a_text_that_is_no_value_is_refused_with_what_would_be(name: str, text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        read_options(Everything, {name: text}, engine="x")


def test_only_what_can_be_written_as_text_is_listed() -> None:
    names = [found.name for found in option_fields(Everything)]

    assert names == ["count", "scale", "share", "place", "mode", "word", "loud", "name"]
    assert option_fields(None) == ()


def test_options_are_addressed_by_engine() -> None:
    assert options_for("a", {"a.x": "1", "b.x": "2", "a.y": "3"}) == {"x": "1", "y": "3"}
    with pytest.raises(OptionError, match=r"ENGINE\.OPTION"):
        RestoreOptions(engine_options={"x": "1"})


def test_an_engine_without_options_is_made_as_before(toy: None) -> None:
    assert {"toy", "plain"} <= set(engine_names())
    assert load_engine("plain").info.name == "plain"
    with pytest.raises(OptionError, match="plain has no options, and was given shade"):
        load_engine("plain", {"plain.shade": "1"})


def test_an_option_for_an_engine_that_is_not_used_is_refused(toy: None) -> None:
    with pytest.raises(OptionError, match="option shade is for engine toy, which --engine dis doesn't use"):
        pick_engine("dis", {"toy.shade": "1"})
    with pytest.raises(OptionError, match="--engine auto doesn't use"):
        pick_engine("auto", {"toy.shade": "1"})

    assert pick_engine("dis", {"toy.shade": "1"}, fallback="toy") == "dis"


def test_a_fallback_that_is_not_there_is_refused_at_once(toy: None) -> None:
    with pytest.raises(EngineError, match="no engine is called 'nobody'"):
        pick_engine("dis", fallback="nobody")


def test_the_command_line_gives_an_engine_its_options_and_a_plan_keeps_them(cli: CommandLine, holed: Path) -> None:
    plan, out, again = (holed.with_name(name) for name in ("plan.json", "out.mkv", "again.mkv"))
    told = ("--engine", "toy", "--engine-option", "shade=100", "--lossless")

    cli.done("restore", holed, out, *told, "--report", plan)
    cli.done("restore", holed, again, "--plan", plan, "--lossless")

    assert load_plan(plan.read_text(), name="plan").options.engine_options == {"toy.shade": "100"}
    assert shades(out) == shades(again)
    assert np.ptp(shades(out)) == 0


def test_an_option_beside_a_plan_is_laid_over_it(cli: CommandLine, holed: Path) -> None:
    plan, first, second = (holed.with_name(name) for name in ("plan.json", "first.mkv", "second.mkv"))
    cli.done("restore", holed, first, "--engine", "toy", "--engine-option", "toy.shade=100", "--save-plan", plan)

    cli.done("restore", holed, first, "--plan", plan)
    cli.done("restore", holed, second, "--plan", plan, "--engine-option", "shade=180")

    assert shades(second)[0] > shades(first)[0] + 50


def test_a_wrong_option_is_refused_before_the_film_is_read(cli: CommandLine, holed: Path) -> None:
    out = holed.with_name("out.mkv")

    assert "shade takes a whole number" in cli.refused(
        "restore", holed, out, "--engine", "toy", "--engine-option", "shade=dark"
    )
    assert "takes K=V" in cli.refused("restore", holed, out, "--engine", "toy", "--engine-option", "shade", code=2)
    assert "say whose" in cli.refused("restore", holed, out, "--engine-option", "shade=1", code=2)


def test_an_engine_that_cannot_do_the_work_here_says_so_before_it_starts(cli: CommandLine, holed: Path) -> None:
    told = ("--engine", "toy", "--engine-option", "most=2")

    assert "3 frames of 64x48 would take a year" in cli.refused("restore", holed, holed.with_name("out.mkv"), *told)
    with pytest.raises(EngineError, match="a year"):
        list(RestoringDecoder(holed, options=RestoreOptions(engine="toy", engine_options={"toy.most": "2"})))


def test_the_options_of_an_engine_can_be_listed(cli: CommandLine, holed: Path) -> None:
    said = cli.done("engines", "toy").out

    assert "shade: a whole number (by default 200)" in said
    assert "gives_up_after: a whole number | none (by default none)" in said
    assert "no options" in cli.done("engines", "plain").out


def test_the_engines_own_fallback_makes_what_it_cannot_and_the_report_says_so(cli: CommandLine, holed: Path) -> None:
    out, report = holed.with_name("out.mkv"), holed.with_name("report.json")

    said = cli.done(
        "restore", holed, out, "--engine", "toy", "--engine-option", "gives_up_after=1", "--report", report
    ).err
    document = json.loads(report.read_text())

    assert "2 made by the fallback: toy can't fill it: gave up at picture 1" in said
    assert document["frames"]["by_engine"] == {"toy": 1, "repeat": 2}
    assert [outcome["fallback_because"] for outcome in document["outcomes"]] == [
        None,
        "toy can't fill it: gave up at picture 1",
    ]


@pytest.mark.parametrize(("fallback", "expected"), [("hold", {"hold": 3}), ("blend", {"blend": 3})])
def test_the_user_chooses_the_fallback(cli: CommandLine, holed: Path, fallback: str, expected: dict[str, int]) -> None:
    out, report = holed.with_name("out.mkv"), holed.with_name("report.json")
    told = ("--engine", "toy", "--engine-option", "gives_up_after=0", "--fallback", fallback)

    cli.done("restore", holed, out, *told, "--report", report)
    document = json.loads(report.read_text())

    assert document["frames"]["by_engine"] == expected
    assert document["plan"]["options"]["fallback"] == fallback


def test_where_the_fallback_cannot_either_a_frame_is_held_with_both_reasons(cli: CommandLine, holed: Path) -> None:
    out, report = holed.with_name("out.mkv"), holed.with_name("report.json")
    options = ("--engine-option", "gives_up_after=0", "--engine-option", "rife.lost_above=1e-9")

    cli.done("restore", holed, out, "--engine", "toy", "--fallback", "rife", *options, "--report", report)
    (outcome,) = json.loads(report.read_text())["outcomes"]

    assert outcome["action"] == "hold"
    assert "gave up at picture 0; rife can't fill it" in outcome["held_because"]


def test_plans_from_before_there_were_options_still_run(cli: CommandLine, holed: Path) -> None:
    plan = holed.with_name("plan.json")
    cli.done("restore", holed, holed.with_name("out.mkv"), "--engine", "blend", "--save-plan", plan)
    document = json.loads(plan.read_text())
    del document["options"]["engine_options"], document["options"]["fallback"]

    assert load_plan(json.dumps(document), name="plan").options == RestoreOptions(engine="blend")

    document["options"]["engine_options"] = {"blend.x": 3}
    with pytest.raises(PlanError, match=r"blend\.x must be text"):
        load_plan(json.dumps(document), name="plan")
