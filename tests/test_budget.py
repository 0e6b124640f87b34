"""`--budget`: what the generative engine may take, and where it is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin import RestoreOptions, engine, filling, preflight, routing, runner, survey
from codec_plugin.budget import Offer, Purse, best_offers
from codec_plugin.engine import EngineInfo, EngineStatus, Estimate, FillRequest
from codec_plugin.errors import OptionError
from codec_plugin.picture import Picture
from tests.makers import CommandLine
from tests.test_lost_motion import turned

SECONDS_A_GAP = 40.0


def test_a_purse_without_a_budget_affords_everything() -> None:
    assert Purse().refusal(1e9) is None


def test_a_purse_says_what_is_left() -> None:
    purse = Purse(Fraction(10))
    assert purse.refusal(9.0) is None
    purse.spent_s = 4.0
    assert purse.refusal(9.0) == "it takes about 9 s, and 6 s are left of the budget of 10 s"


def test_only_the_time_of_making_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0, 100.0, 102.0, 300.0, 300.5])
    monkeypatch.setattr("codec_plugin.budget.time.monotonic", lambda: next(now))
    purse = Purse(Fraction(10))
    assert list(purse.timed("ab")) == ["a", "b"]
    assert purse.spent_s == 7.5


OFFERS = st.lists(
    st.builds(
        lambda seconds, gain: (seconds, gain),
        st.floats(0.1, 100, allow_nan=False),
        st.floats(0, 10, allow_nan=False),
    ),
    max_size=12,
).map(lambda pairs: [Offer(id=number, seconds=s, gain=g) for number, (s, g) in enumerate(pairs)])


@given(OFFERS, st.integers(0, 300))
def test_a_budget_is_kept_and_nothing_that_still_fits_is_left_out(offers: list[Offer], budget_s: int) -> None:
    taken = best_offers(offers, budget_s=Fraction(budget_s))
    spent = sum(Fraction(offer.seconds) for offer in offers if offer.id in taken)
    assert spent <= budget_s
    assert all(offer.seconds > budget_s - spent for offer in offers if offer.id not in taken)


def test_the_best_a_second_comes_first() -> None:
    offers = [
        Offer(id=1, seconds=10, gain=1.0),
        Offer(id=2, seconds=10, gain=3.0),
        Offer(id=3, seconds=1, gain=0.2),
    ]
    assert best_offers(offers, budget_s=Fraction(11)) == {2, 3}


def test_a_budget_is_for_auto_only() -> None:
    with pytest.raises(OptionError, match="a budget is for engine auto"):
        RestoreOptions(engine="dis", budget=Fraction(60))


class Painting:
    """A generative engine that gives white pictures."""

    info = EngineInfo(name="fcvg", summary="for tests", generative=True)
    options_type = None

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        return Estimate(seconds=SECONDS_A_GAP, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        for _ in request.positions:
            planes = tuple(np.full_like(plane, 235) for plane in request.left.planes)
            yield Picture(planes=planes, layout=request.left.layout, color=request.left.color)

    def close(self) -> None: ...


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fcvg` is there, and is `Painting`."""
    load = engine.load_engine

    def loaded(name: str, options: dict[str, str] | None = None) -> engine.Engine:
        return Painting() if name == "fcvg" else load(name, options)

    status = EngineStatus(name="fcvg", summary="", missing=None)
    for module in (engine, filling, preflight, survey):
        monkeypatch.setattr(module, "load_engine", loaded)
        monkeypatch.setattr(module, "generative_candidate", lambda options=None: status, raising=False)
    monkeypatch.setattr(runner, "generative_candidate", lambda options=None: status)
    monkeypatch.setattr(routing, "_FULL", 0)  # no probes: the films here have no history


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three gaps of six frames: the first is still, the second a turn, the third a wilder one."""
    path = tmp_path / "film.mkv"
    views = [turned(0), turned(0), turned(0, degrees=15.0), turned(0, degrees=37.0, zoom=1.1)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number, luma in enumerate(views):
            for pts in ({0: (0, 1), 1: (8, 9), 2: (16, 17), 3: (24, 25, 26, 27)})[number]:
                frame = av.VideoFrame.from_ndarray(np.stack([luma] * 3, axis=-1), "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = pts, Fraction(1, 25)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, capfd)


def restored(cli: CommandLine, film: Path, *words: str) -> list[tuple[str, str]]:
    """The engine of each gap and what spoke for it."""
    report = film.with_suffix(".json")
    cli.done("restore", film, film.with_name("out.mkv"), "-y", "--rate", "25", "--report", report, *words)
    outcomes = json.loads(report.read_text())["outcomes"]
    return [(outcome["engine"], outcome["chosen_because"] or "") for outcome in outcomes]


@pytest.mark.usefixtures("painted")
def test_auto_gives_every_lost_gap_to_the_generative_engine(cli: CommandLine, film: Path) -> None:
    chosen = restored(cli, film)
    assert [name == "fcvg" for name, _ in chosen] == [False, True, True]
    assert "flow follows it" in chosen[0][1]
    assert "flow is lost" in chosen[1][1]


@pytest.mark.usefixtures("painted")
def test_a_budget_for_one_gap_goes_to_the_one_that_is_lost_most(cli: CommandLine, film: Path) -> None:
    assert [name == "fcvg" for name, _ in restored(cli, film, "--budget", "1min")] == [False, False, True]


@pytest.mark.usefixtures("painted")
def test_no_budget_at_all_leaves_it_to_flow(cli: CommandLine, film: Path) -> None:
    assert "fcvg" not in {name for name, _ in restored(cli, film, "--budget", "0")}


@pytest.mark.usefixtures("painted")
def test_a_plan_shows_where_the_budget_goes_and_runs_so(cli: CommandLine, film: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    cli.done("restore", film, tmp_path / "out.mkv", "--rate", "25", "--budget", "60s", "--save-plan", plan)
    tasks = json.loads(plan.read_text())["tasks"]
    assert [task["engine"] for task in tasks] == ["flow", "flow", "fcvg"]
    assert "which other gaps need more" in tasks[1]["reason"]
    assert "budget" in tasks[2]["guards"]
    assert [name == "fcvg" for name, _ in restored(cli, film, "--plan", str(plan))] == [False, False, True]


@pytest.mark.usefixtures("painted")
def test_what_was_planned_and_can_no_longer_be_afforded_goes_to_flow(
    cli: CommandLine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "plan.json"
    cli.done("restore", film, tmp_path / "out.mkv", "--rate", "25", "--budget", "60s", "--save-plan", plan)
    monkeypatch.setattr(Painting, "estimate", lambda *_, **__: Estimate(seconds=61.0, bytes=0))
    last = restored(cli, film, "--plan", str(plan))[-1]
    assert last[0] != "fcvg"
    assert "60 s are left of the budget of 60 s" in last[1]


def test_a_budget_without_weights_is_refused(
    cli: CommandLine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = EngineStatus(name="fcvg", summary="", missing="no weights there")
    monkeypatch.setattr(survey, "generative_candidate", lambda options=None: missing)
    ran = cli("restore", film, tmp_path / "out.mkv", "--rate", "25", "--budget", "1h")
    assert ran.code == 1
    assert "--budget is for fcvg, which isn't usable here" in ran.err


@pytest.mark.parametrize(
    ("words", "complaint"), [(("--budget", "soon"), "no length of time"), (("--budget", "-5"), "")]
)
def test_a_budget_that_is_no_length_of_time_is_refused(
    cli: CommandLine, film: Path, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    ran = cli("restore", film, tmp_path / "out.mkv", *words)
    assert ran.code == 2
    assert complaint in ran.err
