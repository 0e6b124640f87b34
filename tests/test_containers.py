"""Real files of every container: dropped slots are found exactly, and what is promised is written."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec_plugin import (
    Multiply,
    Restore,
    RestoreOptions,
    Scan,
    plan_file,
    restore,
    scan,
    thin,
    upsample,
)
from codec_plugin.thinning.thin import KeepEvery
from tests.strategies import kept_slots, missing
from tests.synth import (
    AVI,
    AVI_REORDERED,
    KINDS,
    MILLISECOND,
    MKV,
    MKV_FFV1,
    MKV_HEVC,
    MOV,
    MP4,
    NTSC,
    NTSC_DOUBLE,
    NTSC_FILM,
    RATES,
    TS,
    TS_MPEG2,
    WEBM,
    Clip,
    Kind,
    shown,
    stream_end,
)

FINE_TICK = Fraction(1, 90_000)
BLEND = RestoreOptions(engine="blend", scene_threshold=100)
WRITTEN = ((MP4, NTSC), (MKV, NTSC_FILM), (MOV, NTSC_DOUBLE), (TS, Fraction(25)), (WEBM, Fraction(50)), (AVI, NTSC))


def slots_in(found: Scan, times: list[int], *, rate: Fraction) -> list[int]:
    """Times as slots after the first frame; each may be off by a tick of the container's, and no more."""
    tick, first = found.timeline.time_base, found.timeline.segments[0].first
    places = [(pts - first) * tick * rate for pts in times]
    assert all(abs(place - round(place)) <= tick * rate for place in places)
    return [round(place) for place in places]


def found_slots(found: Scan, *, rate: Fraction) -> list[int]:
    """The slots that a scan calls missing."""
    return slots_in(found, [pts for gap in found.gaps for pts in gap.missing], rate=rate)


def planned_slots(path: Path, *, rate: Fraction, options: RestoreOptions = BLEND) -> list[int]:
    """The slots that a plan for `restore` makes."""
    found, plan = plan_file(path, verb=Restore(), options=options)
    return slots_in(found, [pts for task in plan.tasks for pts in task.target_pts], rate=rate)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.2f}")
@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=4)
@given(data=st.data())
def test_a_scan_finds_exactly_the_slots_that_were_dropped(
    kind: Kind, rate: Fraction, data: st.DataObject, clips: Path
) -> None:
    kept = data.draw(kept_slots())
    if kind is AVI_REORDERED:  # its decode times end before its last picture does
        kept = (*kept, kept[-1] + 1, kept[-1] + 2)
    by_clock = st.sampled_from([None, FINE_TICK]) if kind.codec == "libx264" else st.none()
    clip = Clip(
        kind=kind,
        rate=rate,
        slots=kept[-1] + 1,
        dropped=frozenset(missing(kept)),
        time_base=data.draw(by_clock),
    )
    path = clip.write(clips / f"random{kind.suffix}")

    found = scan(path)

    assert found.timeline.frame_count == len(kept)
    assert found_slots(found, rate=rate) == missing(kept)
    assert planned_slots(path, rate=rate) == missing(kept)


@pytest.mark.parametrize("kind", [*KINDS, MKV_FFV1], ids=str)
@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.2f}")
def test_the_clock_has_the_exact_rate_whatever_the_container_rounds_it_to(
    kind: Kind, rate: Fraction, clips: Path
) -> None:
    path = Clip(kind=kind, rate=rate, dropped=frozenset({7, 8, 15})).write(clips / f"exact{kind.suffix}")

    clock = scan(path).timeline.segments[0].clock

    assert clock is not None
    assert clock.rate == rate


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_film_without_drops_has_no_gaps(kind: Kind, clips: Path) -> None:
    path = Clip(kind=kind, rate=NTSC).write(clips / f"whole{kind.suffix}")

    assert scan(path).gaps == ()
    assert planned_slots(path, rate=NTSC) == []


@pytest.mark.parametrize("every", [2, 3, 8])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_regular_drops_are_found_when_the_user_names_the_rate(kind: Kind, every: int, clips: Path) -> None:
    clip = Clip(kind=kind, rate=NTSC, slots=every * 9 + 1)
    dropped = [slot for slot in range(clip.slots) if slot % every]
    path = clip.thinned(dropped).write(clips / f"regular{kind.suffix}")
    options = RestoreOptions(engine="blend", rate=NTSC)

    assert found_slots(scan(path, options=options), rate=NTSC) == dropped
    assert planned_slots(path, rate=NTSC, options=options) == dropped


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.2f}")
@pytest.mark.parametrize("kind", [MP4, MKV, MOV, TS], ids=str)
def test_regular_drops_are_found_by_the_timing_that_the_codec_keeps(kind: Kind, rate: Fraction, clips: Path) -> None:
    told = Kind(suffix=kind.suffix, codec="libx264", options={**kind.options, "x264-params": "force-cfr=1"})
    dropped = list(range(1, 30, 2))
    path = Clip(kind=told, rate=rate, slots=31, dropped=frozenset(dropped)).write(clips / f"cfr{kind.suffix}")

    found = scan(path)

    assert found_slots(found, rate=rate) == dropped
    assert any("missing regularly" in note for note in found.notes)


@pytest.mark.parametrize("every", [2, 4])
@pytest.mark.parametrize("kind", [MP4, MKV, MOV, TS, AVI], ids=str)
def test_a_thinned_film_is_known_for_one(kind: Kind, every: int, clips: Path, tmp_path: Path) -> None:
    clip = Clip(kind=kind, rate=NTSC_FILM, slots=every * 8 + 1)
    whole = clip.write(clips / f"to-thin{kind.suffix}")
    thinned = tmp_path / f"thinned{kind.suffix}"

    done = thin(whole, thinned, pattern=KeepEvery(n=every))

    dropped = [slot for slot in range(clip.slots) if slot % every]
    assert len(done.dropped) == len(dropped)
    assert [frame.number for frame in shown(thinned)] == list(range(0, clip.slots, every))
    rate = RestoreOptions(rate=NTSC_FILM) if kind is AVI else None  # MPEG-4 keeps no rate beside its container's
    assert found_slots(scan(thinned, options=rate), rate=NTSC_FILM) == dropped


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize(("kind", "rate"), WRITTEN, ids=str)
def test_a_factor_of_k_writes_k_frames_for_each_slot(
    kind: Kind, rate: Fraction, factor: int, clips: Path, tmp_path: Path
) -> None:
    clip = Clip(kind=kind, rate=rate, slots=18, dropped=frozenset({3, 4, 11}), with_audio=True)
    source, target = clip.write(clips / f"factor{kind.suffix}"), tmp_path / f"out{kind.suffix}"

    report = upsample(source, target, factor=factor, options=BLEND)

    assert report.frame_count == factor * clip.slots
    check_lattice(target, clip, factor=factor)


@pytest.mark.parametrize(("kind", "rate"), [*WRITTEN, (TS_MPEG2, NTSC), (MKV_HEVC, NTSC_DOUBLE)], ids=str)
def test_restore_writes_a_frame_for_each_slot(kind: Kind, rate: Fraction, clips: Path, tmp_path: Path) -> None:
    clip = Clip(kind=kind, rate=rate, slots=20, dropped=frozenset({1, 2, 9, 18}), with_audio=True)
    source, target = clip.write(clips / f"restore{kind.suffix}"), tmp_path / f"out{kind.suffix}"

    report = restore(source, target, options=BLEND)

    assert report.source_frames == len(clip.kept)
    check_lattice(target, clip, factor=1)


def check_lattice(target: Path, clip: Clip, *, factor: int) -> None:
    """The file shows a frame at each place of the lattice, the source's own where they were, and sound that fits."""
    frames = shown(target)
    rate = clip.rate * factor
    assert len(frames) == clip.slots * factor
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    tick = max(scan(target).timeline.time_base, Fraction(1, 90_000))
    # Made frames stand where the lattice is, to a tick of the source's rounding and one of the output's.
    assert all(abs(f.seconds - frames[0].seconds - i / rate) <= 2 * tick for i, f in enumerate(frames))
    assert [frames[slot * factor].number for slot in clip.kept] == list(clip.kept)
    pictures_end = frames[-1].seconds + 1 / rate
    sound_packet = Fraction(1024, 48_000)
    assert abs(stream_end(target, "audio") - pictures_end) <= max(1 / clip.rate, sound_packet)


@pytest.mark.parametrize(
    ("kind", "rate", "new_rate"),
    [
        (MP4, NTSC_FILM, Fraction(60)),
        (MKV, NTSC_FILM, Fraction(60)),
        (TS, Fraction(60), Fraction(24)),
        (MOV, Fraction(25), NTSC),
        (WEBM, Fraction(50), Fraction(25)),
    ],
    ids=str,
)
def test_a_new_rate_is_written_with_the_source_frames_that_stand_on_it(
    kind: Kind, rate: Fraction, new_rate: Fraction, clips: Path, tmp_path: Path
) -> None:
    clip = Clip(kind=kind, rate=rate, slots=30, dropped=frozenset({4, 5}), with_audio=True)
    source, target = clip.write(clips / f"fps{kind.suffix}"), tmp_path / f"out{kind.suffix}"

    upsample(source, target, rate=new_rate, options=BLEND)

    frames = shown(target)
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    assert abs(len(frames) - clip.slots / rate * new_rate) <= 1
    start = frames[0].seconds
    # Each frame is within an eighth of a slot of its place, and a tick or two of rounding.
    reach = Fraction(1, 8) / new_rate + Fraction(2, 1000)
    assert all(abs(frame.seconds - start - i / new_rate) <= reach for i, frame in enumerate(frames))
    on_grid = [slot for slot in clip.kept if off_grid(slot / rate * new_rate) < Fraction(1, 10)]
    by_place = {round((frame.seconds - start) * new_rate): frame.number for frame in frames}
    assert [by_place[round(slot / rate * new_rate)] for slot in on_grid] == on_grid
    assert abs(stream_end(target, "audio") - frames[-1].seconds - 1 / new_rate) <= max(1 / rate, Fraction(1, 40))


def off_grid(place: Fraction) -> Fraction:
    """How far from a whole slot."""
    return abs(place - round(place))


@pytest.mark.parametrize("kind", [MP4, TS, AVI], ids=str)
def test_what_a_plan_promises_is_what_a_scan_of_the_output_shows(kind: Kind, clips: Path, tmp_path: Path) -> None:
    source = Clip(kind=kind, rate=NTSC, dropped=frozenset({5, 6, 7})).write(clips / f"promise{kind.suffix}")
    target = tmp_path / f"out{kind.suffix}"
    found, plan = plan_file(source, verb=Multiply(2), options=BLEND)

    report = upsample(source, target, factor=2, options=BLEND)

    promised = [int(pts) * plan.output_time_base + report.offset for pts in plan.promised_pts(found.timeline)]
    after = scan(target)
    assert after.gaps == ()
    assert after.timeline.frame_count == plan.frame_count == len(promised)
    tick = after.timeline.time_base
    times = [int(pts) * tick for segment in after.timeline.segments for pts in segment.pts]
    assert all(abs(time - promise) <= tick for time, promise in zip(times, promised, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".webm", ".avi"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_film_may_move_to_any_other_container(kind: Kind, suffix: str, clips: Path, tmp_path: Path) -> None:
    clip = Clip(kind=kind, rate=NTSC, slots=15, dropped=frozenset({3, 4, 11}))
    source, target = clip.write(clips / f"mover{kind.suffix}"), tmp_path / f"moved{suffix}"

    restore(source, target, options=BLEND)

    frames = shown(target)
    assert [frames[slot].number for slot in clip.kept] == list(clip.kept)
    assert all(abs(f.seconds - frames[0].seconds - i / NTSC) <= MILLISECOND for i, f in enumerate(frames))
    assert len(frames) == clip.slots


def test_a_broadcast_that_starts_at_59857_seconds_keeps_its_times(clips: Path, tmp_path: Path) -> None:
    clip = Clip(kind=TS, rate=NTSC, dropped=frozenset({3, 4, 11}), start=Fraction(59_857), with_audio=True)
    source = clip.write(clips / "late.ts")

    assert found_slots(scan(source), rate=NTSC) == [3, 4, 11]
    kept = restore(source, tmp_path / "late.ts", options=BLEND)
    moved = restore(source, tmp_path / "moved.mp4", options=BLEND)

    before, after = shown(source), shown(tmp_path / "late.ts")
    assert {frame.seconds for frame in before} < {frame.seconds for frame in after}
    assert kept.offset == 0
    at_zero = shown(tmp_path / "moved.mp4")
    assert at_zero[0].seconds < 1
    assert abs(at_zero[0].seconds - before[0].seconds - moved.offset) < Fraction(1, 10_000)
    assert len(after) == len(at_zero) == clip.slots
