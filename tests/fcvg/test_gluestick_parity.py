"""GlueStick, ours beside the public code, at equal pictures, segments and weights. `tests/golden/make_gluestick.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("safetensors", reason="the fcvg extra is not installed")

from safetensors import safe_open

from fcvg.conditions.gluestick.loading import Networks
from fcvg.conditions.gluestick.matcher import GlueStickMatcher, Matched
from fcvg.conditions.gluestick.network import GlueStick
from fcvg.conditions.gluestick.scored import ScoredSegments, find_scored
from fcvg.conditions.gluestick.superpoint import SuperPoint
from tests.fcvg import scenes

GOLDEN = Path(__file__).parents[1] / "golden" / "gluestick" / "pairs.safetensors"
COMMIT = "7d816730ef939caa1c61e2564eceda77304874fa"
EVERY = 64
# Descriptors: what was asked for. Scores go through the network's 27 layers; sums in another order are behind both.
DESCRIPTOR, PLACE, SCORE = 1e-4, 1e-3, 1e-3


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with safe_open(GOLDEN, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()} | {"about": file.metadata()}  # noqa: SIM118


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(
        superpoint=scenes.weighted(SuperPoint(), "superpoint"), gluestick=scenes.weighted(GlueStick(), "gluestick")
    )


def segments(side: scenes.Side, *, most: int) -> ScoredSegments:
    def detect(gray: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.float32]:
        assert gray is side.gray
        return scenes.rows_of(side, scale)

    return find_scored(side.gray, most=most, detect=detect)


def matched(networks: Networks, index: int) -> Matched:
    limits = scenes.limits_of(index)
    left, right = scenes.pair_of(index)
    found = segments(left, most=limits.lines), segments(right, most=limits.lines)
    return GlueStickMatcher(networks, most_points=limits.points).match(left.gray, right.gray, segments=found)


def apart(made: Any, wanted: Any) -> float:
    assert made.shape == wanted.shape
    return float((made - wanted).abs().max())


def digest(module: Any) -> str:
    lines = sorted(f"{key} {tuple(value.shape)}\n" for key, value in module.state_dict().items())
    return f"{len(lines)} {hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def test_the_golden_file_names_the_commit_it_was_made_from(golden: dict[str, Any]) -> None:
    assert golden["about"]["commit"] == COMMIT


def test_both_networks_have_the_public_ones_keys_and_shapes(golden: dict[str, Any], networks: Networks) -> None:
    assert digest(networks.superpoint) == golden["about"]["superpoint"]
    assert digest(networks.gluestick) == golden["about"]["gluestick"]


@pytest.mark.parametrize("index", range(scenes.PAIRS))
def test_points_lines_descriptors_and_matches_are_the_public_ones(
    golden: dict[str, Any], networks: Networks, index: int
) -> None:
    made = matched(networks, index)

    for which, one in (("left", made.left), ("right", made.right)):
        wanted = {name: golden[f"{index}.{which}.{name}"] for name in ("places", "node_scores", "descriptors", "lines")}
        assert apart(one.places, wanted["places"]) <= PLACE
        assert apart(one.lines, wanted["lines"]) <= PLACE
        assert apart(one.scores[::EVERY], wanted["node_scores"]) <= DESCRIPTOR
        assert apart(one.descriptors[:, ::EVERY], wanted["descriptors"]) <= DESCRIPTOR
    assert torch.equal(made.nodes.right, golden[f"{index}.matches"].long())
    assert torch.equal(made.lines.right, golden[f"{index}.line_matches"].long())
    assert apart(made.nodes.scores, golden[f"{index}.scores"]) <= SCORE
    assert apart(made.lines.scores, golden[f"{index}.line_scores"]) <= SCORE


def test_the_golden_matches_are_many_and_not_in_order(golden: dict[str, Any]) -> None:
    nodes = torch.cat([golden[f"{index}.matches"] for index in range(scenes.PAIRS)])
    lines = [golden[f"{index}.line_matches"] for index in range(scenes.PAIRS)]

    assert (nodes >= 0).sum() > 300
    assert sum(int((found >= 0).sum()) for found in lines) > 100
    assert any((found[found >= 0].diff() < 0).any() for found in lines)
