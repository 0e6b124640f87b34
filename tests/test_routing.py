"""`auto`: engines are chosen by what they make of known frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from codec_plugin import filling
from codec_plugin.engine import EngineInfo, Estimate, FillRequest
from codec_plugin.errors import CannotFill
from codec_plugin.filling import Filler, Station, mean
from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.routing import Choice, Router, pick_by_scores
from tests.makers import CommandLine, write_clip
from tests.synth import shown

TICK = Fraction(1, 25)
SIZE = (96, 64)


def film_luma(time: float) -> npt.NDArray[np.uint8]:
    """A texture that moves two samples a tick, so that every time has its own true picture."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    value = 120 + 50 * np.sin((x + 2 * time) / 7) + 40 * np.cos((y - time) / 5)
    return np.rint(value).astype(np.uint8)


def station(time: int, *, luma: npt.NDArray[np.uint8] | None = None) -> Station:
    frame = av.VideoFrame(*SIZE, "yuv420p")
    for index, plane in enumerate(frame.planes):
        values = (
            (film_luma(time) if luma is None else luma) if index == 0 else np.full((SIZE[1] // 2, SIZE[0] // 2), 128)
        )
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # type: ignore[call-overload]
        rows[:, : plane.width] = values
    frame.pts, frame.time_base = time, TICK
    return Station(pts=time, frame=frame)


class Knowing:
    """Makes the true picture of `film_luma`, and adds an error of its own."""

    def __init__(self, name: str, error: Callable[[float], float] = lambda time: 0.0) -> None:
        self.info = EngineInfo(name=name, summary="for tests")
        self.error = error
        self.filled: list[tuple[int, int]] = []

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        return Estimate(seconds=0.0, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        assert request.left.key is not None
        assert request.right.key is not None
        self.filled.append((request.left.key, request.right.key))
        for position in request.positions:
            time = float(request.left.key + position * (request.right.key - request.left.key))
            if np.isnan(self.error(time)):
                raise CannotFill("it is lost here")
            luma = film_luma(time).astype(np.float64) + self.error(time)
            planes = (np.clip(np.rint(luma), 0, 255).astype(np.uint8), *request.left.planes[1:])
            yield replace(request.left, planes=planes, key=None)

    def close(self) -> None: ...


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Router, Filler]]:
    def make(*engines: Knowing) -> tuple[Router, Filler]:
        by_name = {engine.info.name: engine for engine in engines}
        monkeypatch.setattr(filling, "load_engine", lambda name, options=None: by_name[name])
        monkeypatch.setattr(filling, "auto_candidates", lambda options=None: tuple(by_name))
        filler = Filler(source="film", time_base=TICK)
        return Router(filler, time_base=TICK, scene_threshold=50.0), filler

    return make


def double(router: Router, times: range) -> list[str]:
    """The choices for the gap after each kept frame, as a doubled stream asks for them."""
    chosen = []
    for left, right in itertools.pairwise(times):
        router.see(station(left))
        chosen.append(router.choose(station(left), station(right), count=1).engine)
    return chosen


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"rife": 34.0, "dis": 33.0, "blend": 30.0}, "rife"),
        ({"rife": 33.0, "dis": 34.0, "blend": 30.0}, "dis"),
        ({"rife": 34.0, "dis": 33.8, "blend": 30.0}, "rife+dis"),
        ({"rife": 34.0, "dis": 33.8, "blend": 35.9}, "rife+dis"),
        ({"rife": 34.0, "dis": 33.8, "blend": 36.1}, "blend"),
        ({"rife": 34.0, "blend": 30.0}, "rife"),
        ({"blend": 30.0}, "blend"),
        ({"rife": 0.0, "dis": 31.0, "blend": 30.0}, "dis"),
    ],
)
def test_the_rule_takes_a_clear_leader_or_the_mean_of_those_that_are_near(
    scores: dict[str, float], expected: str
) -> None:
    assert pick_by_scores(scores) == expected


def test_the_engine_that_restores_known_frames_better_is_taken(routed: Callable[..., tuple[Router, Filler]]) -> None:
    router, _ = routed(Knowing("rife", lambda time: 8.0), Knowing("dis"), Knowing("blend", lambda time: 20.0))
    chosen = double(router, range(0, 40, 2))
    assert chosen[0] == "rife+dis"
    assert set(chosen[1:]) == {"dis"}


def test_the_choice_follows_the_film(routed: Callable[..., tuple[Router, Filler]]) -> None:
    def late(time: float) -> float:
        return 9.0 if time > 100 else 0.0

    def early(time: float) -> float:
        return 9.0 if time <= 100 else 0.0

    router, _ = routed(Knowing("rife", late), Knowing("dis", early))
    chosen = double(router, range(0, 400, 2))
    assert set(chosen[1:45]) == {"rife"}
    assert set(chosen[100:]) == {"dis"}


def test_an_engine_that_cannot_fill_a_known_gap_is_not_taken(routed: Callable[..., tuple[Router, Filler]]) -> None:
    router, _ = routed(Knowing("rife", lambda time: float("nan")), Knowing("dis", lambda time: 30.0))
    assert double(router, range(0, 12, 2))[-1] == "dis"


@pytest.mark.parametrize(("chosen", "next_ones"), [("rife", ["dis"]), ("dis", ["rife"]), ("rife+dis", ["dis"])])
def test_where_the_engine_chosen_refuses_the_other_flow_engines_are_asked(
    routed: Callable[..., tuple[Router, Filler]], chosen: str, next_ones: list[str]
) -> None:
    router, _ = routed(Knowing("rife"), Knowing("dis"), Knowing("blend"))
    assert router.others(Choice(engine=chosen, because="probes"), station(0), count=1) == (next_ones, [])


def test_probes_are_few(routed: Callable[..., tuple[Router, Filler]]) -> None:
    rife = Knowing("rife")
    router, _ = routed(rife, Knowing("dis"))
    gaps = len(double(router, range(0, 402, 2)))
    assert len(rife.filled) == router.probes
    assert 10 < router.probes <= 3 + gaps / 8


def test_where_the_stream_is_whole_around_a_gap_probes_have_the_gaps_own_width(
    routed: Callable[..., tuple[Router, Filler]],
) -> None:
    dis = Knowing("dis")
    router, _ = routed(Knowing("rife"), dis)
    for time in range(12):
        router.see(station(time))
    choice = router.choose(station(11), station(15), count=3)
    assert {right - left for left, right in dis.filled} == {4}
    assert max(right for _, right in dis.filled) == 11
    assert {finding.name for finding in choice.findings} == {"probed rife", "probed dis", "probes"}


def test_nothing_is_probed_across_a_cut(routed: Callable[..., tuple[Router, Filler]]) -> None:
    dis = Knowing("dis")
    router, _ = routed(Knowing("rife"), dis)
    other = np.random.default_rng(0).integers(0, 255, (8, 12), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for time in range(6):
        router.see(station(time, luma=other if time >= 4 else None))
    router.choose(station(5, luma=other), station(8, luma=other), count=2)
    assert all(right < 4 or left >= 4 for left, right in dis.filled)


def test_a_new_shot_begins_with_what_was_best_in_the_film_so_far(
    routed: Callable[..., tuple[Router, Filler]],
) -> None:
    dis = Knowing("dis")
    router, _ = routed(Knowing("rife", lambda time: 8.0), dis)
    assert double(router, range(0, 12, 2))[-1] == "dis"
    before = len(dis.filled)
    router.forget()
    router.see(station(20))
    assert router.choose(station(20), station(22), count=1).engine == "dis"
    assert len(dis.filled) == before


def test_a_stream_that_is_doubled_is_probed_at_twice_its_spacing_and_no_wider(
    routed: Callable[..., tuple[Router, Filler]],
) -> None:
    dis = Knowing("dis")
    router, _ = routed(Knowing("rife"), dis)
    double(router, range(0, 60, 2))
    assert {right - left for left, right in dis.filled} == {4}


def test_few_large_frames_are_kept(routed: Callable[..., tuple[Router, Filler]]) -> None:
    router, _ = routed(Knowing("rife"), Knowing("dis"))
    frame = av.VideoFrame(3840, 2160, "yuv420p")
    for time in range(10):
        router.see(Station(pts=time, frame=frame))
    assert len(router.known) == 3


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_a_mean_of_pictures_is_rounded_and_keeps_its_depth(depth: int) -> None:
    layout = Layout(family=Family.GRAY, depth=depth)
    peak = 2**depth - 1
    first, second = (
        Picture(planes=(np.full((2, 3), value, layout.dtype),), layout=layout) for value in (peak, peak - 3)
    )
    made = mean([first, second])
    assert made.planes[0].dtype == layout.dtype
    assert (made.planes[0] == peak - 1).all()


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, capfd)


def test_a_report_of_auto_names_the_engines_and_runs_again_to_the_same_film(cli: CommandLine, tmp_path: Path) -> None:
    film, first, second = (tmp_path / name for name in ("film.mkv", "first.mkv", "second.mkv"))
    with av.open(str(film), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for time in range(24):
            if time not in (10, 11, 17):
                container.mux(stream.encode(station(time).frame))
        container.mux(stream.encode(None))
    report = tmp_path / "report.json"
    lossless = ("--encoder", "ffv1")
    cli.done("restore", film, first, "--engine", "auto", "--rate", "25", "--report", report, *lossless)
    text = report.read_text()
    assert '"probed dis"' in text
    assert "chose between the engines" in text
    assert '"engine": "auto"' not in text.split('"plan"')[0]
    cli.done("restore", film, second, "--plan", report, *lossless)
    assert [one.digest for one in shown(first)] == [one.digest for one in shown(second)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--engine", "blend+blend"), "names an engine twice"),
        (("--engine", "blend+"), "no engine is called ''"),
        (("--engine", "blend+nobody"), "no engine is called 'nobody'"),
        (("--engine", "dis+blend", "--engine-option", "x=1"), "say whose with ENGINE.x"),
    ],
)
def test_a_mean_that_makes_no_sense_is_refused(
    words: tuple[str, ...], complaint: str, cli: CommandLine, tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "film.mkv")
    ran = cli("double", film, tmp_path / "out.mkv", *words)
    assert ran.code in (1, 2)
    assert complaint in ran.err


def test_the_mean_of_two_engines_is_made_by_both(cli: CommandLine, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mkv")
    report = tmp_path / "report.json"
    cli.done("double", film, tmp_path / "out.mkv", "--engine", "blend+repeat", "--report", report)
    assert '"engine": "blend+repeat"' in report.read_text()


def test_the_engines_of_auto_can_be_listed(cli: CommandLine) -> None:
    assert "blend" in cli.done("engines", "auto").out
    assert "repeat" in cli.done("engines", "blend+repeat").out
