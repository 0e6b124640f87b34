"""Where `auto` asks for the generative engine: the README's table, kind by kind, and what the rule goes by."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from codec_plugin import filling
from codec_plugin.engine import EngineInfo, EngineStatus, Estimate
from codec_plugin.evidence import LEAST_MISSING, LOST_FROM, SOUND_DB, Evidence, judge
from codec_plugin.filling import Filler
from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.routing import Router
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, likeness, thumbnail
from tests.test_routing import TICK, Knowing, station
from tests.timeline.test_scenes import COLUMNS, ROWS, WORLD, Image, changed, levels, view, world

MISSING = 11
SEEDS = range(3)
README = Path(__file__).parent.parent / "README.md"

Pair = tuple[Image, Image]


def turned(seed: int, *, degrees: float = 0.0, zoom: float = 1.0) -> Image:
    """A view of a world, turned and enlarged about its middle."""
    turn = cv2.getRotationMatrix2D((COLUMNS / 2, ROWS / 2), degrees, zoom)
    turn[:, 2] -= turn[:, :2] @ np.array([120.0, 150.0])
    seen = cv2.warpAffine(world(seed), turn, (COLUMNS, ROWS), flags=cv2.INTER_LINEAR)
    return levels(np.asarray(seen, dtype=np.float32))


def grainy(seed: int, grain: int) -> Image:
    noise = np.random.default_rng(grain).normal(0, 4, (ROWS, COLUMNS))
    return levels(view(world(seed)) + noise)


def with_object(seed: int, *, x: int) -> Image:
    picture, thing = view(world(seed)).copy(), levels(world(seed + 50)[50:120, 50:100])
    left, right = max(0, x), min(COLUMNS, x + thing.shape[1])
    picture[10:80, left:right] = thing[:, left - x : right - x]
    return picture


def crowd(seed: int, *, step: int, distance: int = 9) -> Image:
    """Fifteen tiles, each a view of its own world that goes its own way."""
    picture = np.empty((ROWS, COLUMNS), np.uint8)
    for number, (y, x) in enumerate(np.ndindex(3, 5)):
        way = np.random.default_rng((seed, number)).uniform(0, 2 * np.pi)
        dy, dx = (round(step * distance * part) for part in (np.sin(way), np.cos(way)))
        tile = levels(world(seed * 100 + number)[150 + dy : 180 + dy, 150 + dx : 182 + dx])
        picture[30 * y : 30 * y + 30, 32 * x : 32 * x + 32] = tile
    return picture


KINDS: dict[str, Callable[[int], Pair]] = {
    "nothing moves": lambda seed: (view(world(seed)), view(world(seed))),
    "only noise changes": lambda seed: (grainy(seed, 1), grainy(seed, 2)),
    "a slow pan, 5 % of the width": lambda seed: (view(world(seed)), view(world(seed), x=128.0)),
    "a fast pan, 15 % of the width": lambda seed: (view(world(seed)), view(world(seed), x=144.0)),
    "a whip pan, 25 % of the width": lambda seed: (view(world(seed)), view(world(seed), x=160.0)),
    "a slow zoom, 1.1 times": lambda seed: (turned(seed), turned(seed, zoom=1.1)),
    "a fast zoom, 1.4 times": lambda seed: (turned(seed), turned(seed, zoom=1.4)),
    "a fade": lambda seed: (view(world(seed)), changed(view(world(seed)), gain=0.3, offset=5.0)),
    "a flash": lambda seed: (view(world(seed)), changed(view(world(seed)), gain=0.5, offset=120.0)),
    "a cut": lambda seed: (view(world(seed)), view(world(seed + 100))),
    "something large crosses the picture": lambda seed: (with_object(seed, x=20), with_object(seed, x=60)),
    "many things move, each its own way": lambda seed: (crowd(seed, step=0), crowd(seed, step=1)),
    "a turn by 5 degrees": lambda seed: (turned(seed, degrees=-2.5), turned(seed, degrees=2.5)),
    "a turn by 20 degrees": lambda seed: (turned(seed, degrees=-10.0), turned(seed, degrees=10.0)),
    "a turn by 45 degrees": lambda seed: (turned(seed, degrees=-22.5), turned(seed, degrees=22.5)),
}


def outcome(pair: Pair) -> str:
    layout = Layout(family=Family.GRAY, depth=8)
    alike = likeness(*(thumbnail(Picture(planes=(luma,), layout=layout)) for luma in pair))
    if alike.cut_score >= DEFAULT_SCENE_THRESHOLD:
        return "held"
    return "fcvg" if judge(Evidence.of(alike, missing=MISSING)).lost else "flow"


def rows_of_the_readme() -> dict[str, str]:
    table = README.read_text().partition("| between the two frames | `auto` |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (.+?) \| (flow|fcvg|held) \|$", table, flags=re.MULTILINE))


def test_the_readme_says_what_becomes_of_each_kind() -> None:
    assert rows_of_the_readme().keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_of_a_known_kind_goes_where_the_readme_says(kind: str) -> None:
    assert [outcome(KINDS[kind](seed)) for seed in SEEDS] == [rows_of_the_readme()[kind]] * len(SEEDS)


WILD = Evidence(missing=11, motion=0.3, unexplained=0.5, disagreement=0.4)


def test_the_rule_states_its_numbers() -> None:
    verdict = judge(WILD)
    assert verdict.lost
    assert verdict.because == (
        "flow is lost (11 frames to make, loss 0.39 of motion 30%, unexplained 50%, disagreement 40%)"
    )


@pytest.mark.parametrize(
    "evidence",
    [
        replace(WILD, missing=LEAST_MISSING - 1),
        replace(WILD, motion=0.0),
        replace(WILD, unexplained=0.01, disagreement=0.01),
        replace(WILD, probed_db=SOUND_DB),
    ],
)
def test_few_frames_little_motion_or_good_probes_are_each_enough_for_flow(evidence: Evidence) -> None:
    assert not judge(evidence).lost


def test_bad_probes_do_not_save_flow() -> None:
    assert judge(replace(WILD, probed_db=SOUND_DB - 1)).lost
    assert WILD.loss > LOST_FROM


class Inventing(Knowing):
    """A generative engine that says how long it takes."""

    def __init__(self, seconds: float) -> None:
        super().__init__("fcvg")
        self.info = EngineInfo(name="fcvg", summary="for tests", generative=True)
        self.seconds = seconds

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        return Estimate(seconds=self.seconds, bytes=0)


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Router]:
    def make(*engines: Knowing, missing: str | None = None) -> Router:
        by_name = {engine.info.name: engine for engine in engines}
        flows = tuple(name for name in by_name if name != "fcvg")
        status = EngineStatus(name="fcvg", summary="", missing=missing)
        monkeypatch.setattr(filling, "load_engine", lambda name, options=None: by_name[name])
        monkeypatch.setattr(filling, "auto_candidates", lambda options=None: flows)
        monkeypatch.setattr(filling, "generative_candidate", lambda options=None: status)
        return Router(Filler(source="film", time_base=TICK), time_base=TICK, scene_threshold=50.0)

    return make


def lost_pair(router: Router, *, count: int = 11, generative: bool = True) -> tuple[str, str]:
    left, right = KINDS["a fast zoom, 1.4 times"](0)
    beside = station(0, luma=left[:64, :96]), station(count + 1, luma=right[:64, :96])
    router.see(beside[0])
    choice = router.choose(*beside, count=count, generative=generative)
    return choice.engine, choice.because


def test_a_lost_gap_goes_to_the_generative_engine(routed: Callable[..., Router]) -> None:
    engine, because = lost_pair(routed(Knowing("dis"), Inventing(3.0)))
    assert engine == "fcvg"
    assert because.startswith("flow is lost (11 frames")


def test_a_short_gap_stays_with_flow(routed: Callable[..., Router]) -> None:
    assert lost_pair(routed(Knowing("dis"), Inventing(3.0)), count=3) == (
        "dis",
        "fewer than 5 frames to make: flow's",
    )


def test_without_weights_flow_fills_it_and_the_report_says_why(routed: Callable[..., Router]) -> None:
    router = routed(Knowing("dis"), Inventing(3.0), missing="no weights in the folder")
    engine, because = lost_pair(router)
    assert engine == "dis"
    assert because.endswith("; fcvg isn't usable here")
    assert router.unserved == {"fcvg isn't usable here": 1}


def test_the_engine_flow_never_asks_for_it(routed: Callable[..., Router]) -> None:
    router = routed(Knowing("dis"), Inventing(3.0))
    assert lost_pair(router, generative=False)[0] == "dis"
    assert not router.unserved


def test_worlds_are_large_enough_for_the_kinds() -> None:
    assert WORLD > 150 + 14 + 32
