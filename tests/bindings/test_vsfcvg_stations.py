"""Where VapourSynth's new frames stand: the places that a plan for the whole clip has."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.grids import Multiply, Resample
from codec_plugin.plan import Action
from tests.synth import RATES, planned, timeline_of
from vsfcvg.stations import Stations

RATIOS = st.fractions(min_value=Fraction(1, 3), max_value=Fraction(5), max_denominator=24)


@given(rate=st.sampled_from(RATES), frames=st.integers(1, 40), factor=st.integers(2, 9))
def test_a_factor_has_the_places_of_the_plan(rate: Fraction, frames: int, factor: int) -> None:
    stations = Stations(Multiply(factor), rate=rate, frames=frames)

    assert stations.count == frames * factor
    check(stations, Multiply(factor), rate=rate, frames=frames)


@given(rate=st.sampled_from(RATES), frames=st.integers(1, 40), ratio=RATIOS)
def test_a_rate_has_the_places_of_the_plan(rate: Fraction, frames: int, ratio: Fraction) -> None:
    check(Stations(Resample(rate * ratio), rate=rate, frames=frames), Resample(rate * ratio), rate=rate, frames=frames)


def check(stations: Stations, verb: Multiply | Resample, *, rate: Fraction, frames: int) -> None:
    timeline = timeline_of(range(frames), time_base=1 / rate, rate=rate)
    plan = planned(timeline, verb)
    assert plan.parts == stations.parts
    places = [stations.station(number) for number in range(stations.count)]

    assert [place.pts for place in places] == plan.promised_pts(timeline).tolist()
    made = [pts for task in plan.tasks if task.action is not Action.DROP for pts in task.target_pts]
    assert [place.pts for place in places if not place.is_source] == sorted(made)
    lefts = np.array([place.left for place in places])
    assert [place.is_last for place in places] == [*(np.diff(lefts) != 0).tolist(), True]
    gaps = {task.left_pts: task.target_pts for task in plan.tasks if task.action is not Action.DROP}
    for place in places:
        if not place.is_source:
            assert stations.gap(place.left) == gaps[place.left]
