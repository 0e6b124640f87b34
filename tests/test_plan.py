"""Plans: exactly what is missing is made, exactly what is there stays; JSON that people may edit."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codec_plugin import (
    Action,
    Duplicates,
    Multiply,
    PlanError,
    Repair,
    Resample,
    Restore,
    RestoreOptions,
    RestorePlan,
    load_plan,
    plan_to_json,
)
from codec_plugin.grids import ON_GRID, Verb
from codec_plugin.schedule import LiveSchedule, PlanSchedule, Schedule, Target
from codec_plugin.timeline.segments import Timeline
from codec_plugin.timing import output_subdivision
from tests.strategies import any_rates, kept_slots, missing, time_bases
from tests.synth import MILLISECOND, NTSC, NTSC_FILM, lattice, planned, timeline_of

PLAIN = Fraction(1, 90_000)
NEW_RATES = (
    (NTSC_FILM, Fraction(60)),
    (Fraction(60), Fraction(24)),
    (Fraction(25), NTSC),
    (Fraction(50), Fraction(25)),
    (NTSC, Fraction(25)),
    (Fraction(24), Fraction(48)),
)


@st.composite
def steady_films(draw: st.DrawFn) -> tuple[tuple[int, ...], Fraction, Timeline]:
    """Kept slots, rate, and the timeline that they make in some time base, from some time on."""
    kept, rate = draw(kept_slots(most=30)), draw(any_rates())
    time_base = draw(time_bases(rate))
    start = draw(st.sampled_from([Fraction(0), Fraction(7, 5), Fraction(59_857)]))
    pts = lattice(kept, rate=rate, time_base=time_base, start=start)
    return kept, rate, timeline_of(pts, time_base=time_base, rate=rate, max_gap=Fraction(3600))


def source_pts(timeline: Timeline, plan: RestorePlan) -> list[int]:
    """The times of all source frames, in output ticks."""
    return [int(pts) * plan.parts for segment in timeline.segments for pts in segment.pts]


def made_pts(plan: RestorePlan) -> list[int]:
    """The times of all frames to be made or held."""
    return [pts for task in plan.tasks if task.action is not Action.DROP for pts in task.target_pts]


def check_neighbours(plan: RestorePlan, timeline: Timeline) -> None:
    """Every fill stands between two source frames that are next to each other."""
    for task in plan.tasks:
        if task.action is Action.FILL:
            segment = next(s for s in timeline.segments if s.first <= (task.left_pts or 0) <= s.last)
            where = [int(pts) for pts in segment.pts].index(int(task.left_pts or 0))
            assert task.right_pts == int(segment.pts[where + 1])
            assert task.left_pts is not None
            assert all(task.left_pts * plan.parts < pts < task.right_pts * plan.parts for pts in task.target_pts)


@given(film=steady_films())
def test_a_restore_plan_names_exactly_the_dropped_slots(
    film: tuple[tuple[int, ...], Fraction, Timeline],
) -> None:
    kept, rate, timeline = film

    plan = planned(timeline)

    seconds = [(pts - timeline.segments[0].first) * timeline.time_base for pts in made_pts(plan)]
    assert [round(second * rate) for second in seconds] == missing(kept)
    tick = timeline.time_base
    assert all(abs(s - slot / rate) <= tick for s, slot in zip(seconds, missing(kept), strict=True))
    assert plan.frame_count == kept[-1] + 1
    assert plan.output_time_base == timeline.time_base
    assert {task.action for task in plan.tasks} <= {Action.FILL}
    check_neighbours(plan, timeline)


@given(film=steady_films(), factor=st.integers(2, 64))
def test_a_factor_of_k_plans_k_frames_for_each_slot_on_an_even_lattice(
    film: tuple[tuple[int, ...], Fraction, Timeline], factor: int
) -> None:
    kept, rate, timeline = film

    plan = planned(timeline, Multiply(factor))

    promised = plan.promised_pts(timeline)
    assert plan.frame_count == promised.size == factor * (kept[-1] + 1)
    tick = plan.output_time_base
    reach = timeline.time_base + tick  # the source's own rounding, and ours
    for place, pts in enumerate(promised):
        assert abs((int(pts) - int(promised[0])) * tick - place / (rate * factor)) <= reach
    last = plan.tasks[-1]
    assert (last.action, last.left_pts, last.right_pts) == (Action.HOLD, timeline.segments[0].last, None)
    assert len(last.target_pts) == factor - 1
    check_neighbours(plan, timeline)


@given(film=steady_films(), verb=st.one_of(st.just(Restore()), st.integers(2, 64).map(Multiply)))
def test_source_frames_keep_their_times_and_promised_times_rise(
    film: tuple[tuple[int, ...], Fraction, Timeline], verb: Verb
) -> None:
    _, _, timeline = film

    plan = planned(timeline, verb)

    promised = [int(pts) for pts in plan.promised_pts(timeline)]
    assert all(a < b for a, b in pairwise(promised))
    assert sorted({*source_pts(timeline, plan), *made_pts(plan)}) == promised
    assert not {*source_pts(timeline, plan)} & {*made_pts(plan)}
    assert plan.count(Action.DROP) == 0


@given(
    rates=st.sampled_from(NEW_RATES),
    kept=kept_slots(least=15),
    start=st.sampled_from([Fraction(0), Fraction(7, 5)]),
    exact=st.booleans(),
)
def test_a_new_rate_keeps_the_frames_within_an_eighth_of_a_slot_and_drops_the_others(
    rates: tuple[Fraction, Fraction], kept: tuple[int, ...], start: Fraction, exact: bool
) -> None:
    rate, new_rate = rates
    time_base = 1 / rate if exact else MILLISECOND
    pts = lattice(kept, rate=rate, time_base=time_base, start=start)
    timeline = timeline_of(pts, time_base=time_base, rate=rate)

    plan = planned(timeline, Resample(new_rate))

    places = [(int(each) - int(pts[0])) * time_base * new_rate for each in pts]
    near = [abs(place - round(place)) <= ON_GRID for place in places]
    stay: dict[int, int] = {}
    for each, place, is_near in zip(pts, places, near, strict=True):
        if is_near:
            stay.setdefault(round(place), int(each) * plan.parts)
    promised = [int(each) for each in plan.promised_pts(timeline)]
    assert set(stay.values()) <= set(promised)
    assert plan.count(Action.DROP) == len(kept) - len(stay)
    assert {*source_pts(timeline, plan)} & {*promised} == {*stay.values()}
    tick = plan.output_time_base
    numbers = [round((each - promised[0]) * tick * new_rate) for each in promised]
    assert numbers == list(range(len(promised)))
    made = [place for place in numbers if place not in stay]
    off = [abs((promised[place] - promised[0]) * tick - place / new_rate) for place in made]
    assert all(distance <= tick / 2 for distance in off)
    check_neighbours(plan, timeline)


@given(rates=st.sampled_from(NEW_RATES), slots=st.integers(10, 200))
def test_a_new_rate_lasts_as_long_as_the_old_one(rates: tuple[Fraction, Fraction], slots: int) -> None:
    rate, new_rate = rates
    timeline = timeline_of(range(slots), time_base=1 / rate, rate=rate)

    plan = planned(timeline, Resample(new_rate))

    assert plan.rate == new_rate
    assert abs(plan.frame_count / new_rate - slots / rate) < Fraction(9, 8) / new_rate


@pytest.mark.parametrize("time_base", [Fraction(1, 50), MILLISECOND, PLAIN])
def test_halving_the_rate_makes_nothing(time_base: Fraction) -> None:
    pts = lattice(range(40), rate=Fraction(50), time_base=time_base)
    timeline = timeline_of(pts, time_base=time_base, rate=Fraction(50))

    plan = planned(timeline, Resample(Fraction(25)))

    assert made_pts(plan) == []
    assert plan.frame_count == plan.count(Action.DROP) == 20


@given(steps=st.lists(st.integers(50, 9000), min_size=1, max_size=30), factor=st.integers(2, 64))
def test_a_variable_rate_gets_k_frames_for_each_frame(steps: list[int], factor: int) -> None:
    pts = np.cumsum([17, *steps])
    timeline = timeline_of(pts, time_base=PLAIN)
    assume(timeline.segments[0].clock is None)

    plan = planned(timeline, Multiply(factor))

    assert plan.frame_count == factor * pts.size
    promised = [int(each) for each in plan.promised_pts(timeline)]
    assert promised[::factor] == source_pts(timeline, plan)
    for number, (left, right) in enumerate(pairwise(source_pts(timeline, plan))):
        inner = promised[number * factor + 1 : (number + 1) * factor]
        assert all(
            abs(place - left - Fraction((right - left) * i, factor)) <= Fraction(1, 2)
            for i, place in enumerate(inner, start=1)
        )


@given(seed=st.integers(0, 500))
def test_restoring_a_truly_variable_rate_makes_nothing(seed: int) -> None:
    pts = np.cumsum(np.random.default_rng(seed).integers(1000, 9000, 50))

    plan = planned(timeline_of(pts, time_base=PLAIN))

    assert plan.changes_nothing
    assert plan.frame_count == 50


@st.composite
def segmented_films(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], Timeline]:
    """Several segments of one rate with jumps between them and a phase of their own each."""
    parts = draw(st.lists(kept_slots(most_missing=3, most=20), min_size=2, max_size=4))
    pts: list[int] = []
    at = draw(st.integers(-10_000, 10_000))
    for kept in parts:
        pts += [at + 3003 * slot for slot in kept]
        at = pts[-1] + draw(st.integers(2 * 90_000 + 1, 9_000_000))
    return parts, timeline_of(pts, time_base=PLAIN, rate=NTSC)


@given(film=segmented_films(), factor=st.integers(1, 8))
def test_nothing_is_made_between_segments_and_each_has_its_own_phase(
    film: tuple[list[tuple[int, ...]], Timeline], factor: int
) -> None:
    parts, timeline = film

    plan = planned(timeline, Multiply(factor) if factor > 1 else Restore())

    assert len(timeline.segments) == len(parts)
    assert plan.frame_count == factor * sum(kept[-1] + 1 for kept in parts)
    promised = plan.promised_pts(timeline) * plan.output_time_base
    for kept, segment in zip(parts, timeline.segments, strict=True):
        start = segment.first * PLAIN
        own = [time for time in promised if start <= time < start + (kept[-1] + 1) / NTSC]
        assert own == [start + place / (NTSC * factor) for place in range(factor * (kept[-1] + 1))]
    check_neighbours(plan, timeline)


@given(film=steady_films(), data=st.data(), factor=st.integers(1, 4))
def test_a_bad_frame_is_made_again_in_its_place(
    film: tuple[tuple[int, ...], Fraction, Timeline], data: st.DataObject, factor: int
) -> None:
    _, _, timeline = film
    pts = [int(each) for each in timeline.segments[0].pts]
    bad = data.draw(st.sets(st.sampled_from(pts), min_size=1, max_size=len(pts)))
    verb = Multiply(factor) if factor > 1 else Restore()

    plan = planned(timeline, verb, bad=dict.fromkeys(bad, "flagged as corrupt"))

    sound = planned(timeline, verb)
    assert plan.promised_pts(timeline).tolist() == sound.promised_pts(timeline).tolist()
    assert {each * plan.parts for each in bad} <= {*made_pts(plan)}
    assert not {each * plan.parts for each in pts if each not in bad} & {*made_pts(plan)}
    assert all(task.left_pts not in bad and task.right_pts not in bad for task in plan.tasks)


def test_bad_frames_at_the_ends_are_held_from_the_good_one_beside_them() -> None:
    timeline = timeline_of(range(10), time_base=Fraction(1, 25), rate=Fraction(25))
    bad = dict.fromkeys([0, 1, 8, 9], "lost in decoding")

    tasks = planned(timeline, bad=bad).tasks

    assert [(t.action, t.left_pts, t.right_pts, t.target_pts) for t in tasks] == [
        (Action.HOLD, None, 2, (0, 1)),
        (Action.HOLD, 7, None, (8, 9)),
    ]


def test_a_bad_frame_between_good_ones_is_filled_with_the_reason() -> None:
    timeline = timeline_of([0, 1, 2, 3, 5, 6, 7], time_base=Fraction(1, 25), rate=Fraction(25))

    (task,) = planned(timeline, bad={3: "flagged as corrupt"}).tasks

    assert (task.action, task.left_pts, task.right_pts, task.target_pts) == (Action.FILL, 2, 5, (3, 4))
    assert task.reason == "flagged as corrupt"
    assert task.engine == "blend"


def test_one_single_frame_is_left_alone_or_held() -> None:
    timeline = timeline_of([77], time_base=PLAIN, rate=Fraction(25))

    assert planned(timeline).changes_nothing
    doubled = planned(timeline, Multiply(2))
    assert doubled.frame_count == 2
    assert [task.action for task in doubled.tasks] == [Action.HOLD]


def options() -> st.SearchStrategy[RestoreOptions]:
    """Any options."""
    return st.builds(
        RestoreOptions,
        engine=st.sampled_from(["auto", "dis", "blend"]),
        rate=st.none() | any_rates(),
        max_gap=st.fractions(Fraction(1, 100), 3600, max_denominator=1000),
        scene_threshold=st.floats(0, 100),
        duplicates=st.sampled_from(Duplicates),
        repair=st.sampled_from(Repair),
        deinterlace=st.booleans(),
    )


@settings(max_examples=50)
@given(
    film=steady_films(),
    verb=st.one_of(
        st.just(Restore()), st.integers(2, 6).map(Multiply), st.sampled_from([60, NTSC]).map(Fraction).map(Resample)
    ),
    chosen=options(),
    bad_count=st.integers(0, 3),
    digest=st.none() | st.text(max_size=64),
)
def test_a_plan_comes_back_from_json_as_it_was(
    film: tuple[tuple[int, ...], Fraction, Timeline],
    verb: Verb,
    chosen: RestoreOptions,
    bad_count: int,
    digest: str | None,
) -> None:
    _, _, timeline = film
    bad = {int(pts): "flagged as corrupt" for pts in timeline.segments[0].pts[1 : 1 + bad_count]}
    plan = replace(planned(timeline, verb, bad=bad), options=chosen, digest=digest)

    text = json.dumps(plan_to_json(plan))

    assert load_plan(text, name="a plan") == plan


@pytest.fixture
def document() -> dict[str, Any]:
    """A sound plan as JSON values: two gaps of two and three frames."""
    timeline = timeline_of([0, 1, 2, 5, 6, 7, 8, 12, 13], time_base=Fraction(1, 25), rate=Fraction(25))
    values: dict[str, Any] = json.loads(json.dumps(plan_to_json(planned(timeline))))
    assert [task["target_pts"] for task in values["tasks"]] == [[3, 4], [9, 10, 11]]
    return values


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"target_pts": [10, 9, 11]}, id="targets out of order"),
        pytest.param({"target_pts": [9, 9]}, id="a target twice"),
        pytest.param({"target_pts": [8, 9]}, id="a target on the left neighbour"),
        pytest.param({"target_pts": [11, 12]}, id="a target on the right neighbour"),
        pytest.param({"target_pts": [3, 9]}, id="a target of another place"),
        pytest.param({"target_pts": [9.5]}, id="half a tick"),
        pytest.param({"target_pts": "910"}, id="text for targets"),
        pytest.param({"target_pts": None}, id="no targets"),
        pytest.param({"left_pts": None}, id="a fill without its left neighbour"),
        pytest.param({"right_pts": None}, id="a fill without its right neighbour"),
        pytest.param({"left_pts": "eight"}, id="a neighbour that is no number"),
        pytest.param({"engine": None}, id="a fill without an engine"),
        pytest.param({"engine": 5}, id="an engine that is no name"),
        pytest.param({"action": "explode"}, id="an unknown action"),
        pytest.param({"guards": ["scene_cut", "nonsense"]}, id="an unknown guard"),
    ],
)
def test_a_broken_task_is_refused_by_its_number(document: dict[str, Any], change: dict[str, Any]) -> None:
    document["tasks"][1] |= change

    with pytest.raises(PlanError, match=r"edited\.json.*task 1"):
        load_plan(json.dumps(document), name="edited.json")


@pytest.mark.parametrize("key", ["left_pts", "right_pts", "target_pts", "action", "engine", "guards"])
def test_a_task_that_lacks_something_is_refused_by_its_number(document: dict[str, Any], key: str) -> None:
    del document["tasks"][1][key]

    with pytest.raises(PlanError, match=rf"edited\.json.*task 1.*{key}"):
        load_plan(json.dumps(document), name="edited.json")


def test_a_target_in_two_tasks_is_refused(document: dict[str, Any]) -> None:
    again = copy.deepcopy(document["tasks"][0]) | {"id": 2}
    document["tasks"].append(again)

    with pytest.raises(PlanError, match=r"task 2: target 3 stands in another task"):
        load_plan(json.dumps(document), name="edited.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "something else"}, "not a plan"),
        ({"version": 2}, "version 2"),
        ({"verb": "triple"}, "triple"),
        ({"time_base": "1/0"}, "time_base"),
        ({"time_base": "0"}, "time_base"),
        ({"output_time_base": "1/26"}, "1/26"),
        ({"output_time_base": "0"}, "output_time_base"),
        ({"rate": "fast"}, "rate.*fast"),
        ({"options": {}}, "missing"),
        ({"tasks": {}}, "tasks"),
        ({"tasks": None}, "tasks"),
        ({"tasks": [7]}, "task 0"),
    ],
    ids=str,
)
def test_a_broken_plan_is_refused(document: dict[str, Any], change: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=rf"edited\.json.*{says}"):
        load_plan(json.dumps(document | change), name="edited.json")


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_gap", "0"), ("max_gap", "3601"), ("rate", "-1"), ("rate", "1001"), ("scene_threshold", 101)],
)
def test_options_out_of_range_are_refused_by_name(document: dict[str, Any], option: str, value: str | int) -> None:
    document["options"][option] = value

    with pytest.raises(PlanError, match=rf"edited\.json.*{option}"):
        load_plan(json.dumps(document), name="edited.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"plan"', "3", "{}"])
def test_what_is_no_plan_at_all_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"nonsense\.json"):
        load_plan(text, name="nonsense.json")


def test_an_edit_that_makes_sense_is_taken(document: dict[str, Any]) -> None:
    document["tasks"][0] |= {"action": "hold", "reason": "it flickers"}
    del document["tasks"][1]

    plan = load_plan(json.dumps(document), name="edited.json")

    assert [(task.action, task.target_pts, task.reason) for task in plan.tasks] == [
        (Action.HOLD, (3, 4), "it flickers")
    ]


def asked(schedule: Schedule, timeline: Timeline) -> tuple[list[Target], list[int]]:
    """What a schedule answers when it is asked frame by frame: what to make, and which source frames stay."""
    made: list[Target] = []
    kept: list[int] = []
    for segment in timeline.segments:
        for pts in map(int, segment.pts):
            made += schedule.up_to(pts)
            if schedule.keeps(pts):
                kept.append(pts * schedule.parts)
            assert schedule.replacement(pts) is None
    return made + schedule.rest(), kept


@given(
    parts=st.lists(kept_slots(most_missing=4, most=16), min_size=1, max_size=3),
    rate=any_rates(),
    subdivision=st.integers(1, 200),
    verb=st.one_of(
        st.just(Restore()), st.integers(2, 5).map(Multiply), st.sampled_from([24, 60, NTSC]).map(Fraction).map(Resample)
    ),
)
def test_a_live_stream_gets_what_the_plan_of_the_whole_film_gives(
    parts: list[tuple[int, ...]], rate: Fraction, subdivision: int, verb: Verb
) -> None:
    time_base, max_gap = 1 / (rate * subdivision), 9 / rate
    pts: list[int] = []
    for kept in parts:
        start = pts[-1] + 10 * subdivision + 1 if pts else 7
        pts += [start + slot * subdivision for slot in kept]
    timeline = timeline_of(pts, time_base=time_base, rate=rate, max_gap=max_gap)
    plan = planned(timeline, verb)
    assume(isinstance(verb, Restore) or 1 / ((plan.rate or 1) * plan.output_time_base) >= 2)
    live = LiveSchedule(verb=verb, engine="blend", time_base=time_base, parts=plan.parts, rate=rate, max_gap=max_gap)

    made, kept_pts = asked(live, timeline)

    planned_targets, planned_pts = asked(PlanSchedule(plan), timeline)
    assert kept_pts == planned_pts
    assert [(t.pts, t.action, t.engine, t.guards) for t in made] == [
        (t.pts, t.action, t.engine, t.guards) for t in planned_targets
    ]
    assert sorted({*kept_pts, *(t.pts for t in made)}) == plan.promised_pts(timeline).tolist()


@given(rate=any_rates(), new_rate=any_rates())
def test_output_ticks_are_exact_wherever_31_bits_allow(rate: Fraction, new_rate: Fraction) -> None:
    time_base = 1 / (rate * 1000)
    timeline = timeline_of([0, 1000, 2000], time_base=time_base, rate=rate)

    plan = planned(timeline, Resample(new_rate))

    step = 1 / (new_rate * time_base)
    assert plan.parts == output_subdivision([step], time_base=time_base)
    assert (step * plan.parts).denominator == 1 or step.denominator * time_base.denominator >= 2**31
