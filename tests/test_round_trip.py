"""Thin and restore, plan and replay, file and iterator: the ways through agree with each other."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.frame import VideoFrame

from codec_plugin import (
    Action,
    Cause,
    EncodeOptions,
    Job,
    Multiply,
    PlanError,
    Repair,
    Resample,
    RestoreOptions,
    RestorePlan,
    RestoreReport,
    RestoringDecoder,
    Window,
    double,
    load_plan,
    made_by,
    plan_file,
    plan_to_json,
    report_to_json,
    restore,
    scan,
    thin,
    upsample,
)
from codec_plugin.cli.app import run
from codec_plugin.grids import Restore, Verb
from codec_plugin.thinning.thin import DropRanges, KeepEvery, KeepRate, Pattern
from codec_plugin.timing import rescale
from tests.synth import (
    AVI_REORDERED,
    KINDS,
    MKV,
    MKV_FFV1,
    MP4,
    NTSC,
    NTSC_FILM,
    TS,
    Clip,
    Kind,
    Shown,
    digest_of,
    number_of,
    picture,
    shown,
)

BLEND = RestoreOptions(engine="blend", scene_threshold=100)
PLAIN_FFV1 = Job(encode=EncodeOptions(encoder="ffv1", threads=1))
GAPPED = Clip(kind=MKV_FFV1, rate=NTSC, slots=24, dropped=frozenset({4, 5, 12, 19}))


@pytest.fixture
def gapped(tmp_path: Path) -> Path:
    """A lossless film with four frames dropped in three places."""
    return GAPPED.write(tmp_path / "gapped.mkv")


def command(*arguments: str | Path) -> int:
    """The command line, as typed; gives the exit code."""
    return run([str(argument) for argument in arguments])


def same_frames(one: Path, other: Path) -> bool:
    """Whether two files show the same pixels at the same times."""
    first, second = shown(one), shown(other)
    return [(f.pts, f.digest) for f in first] == [(f.pts, f.digest) for f in second]


def since_first(frames: list[Shown]) -> list[Fraction]:
    """Times after the first frame, in seconds."""
    return [frame.seconds - frames[0].seconds for frame in frames]


@pytest.mark.parametrize(
    "pattern", [KeepEvery(n=2), KeepEvery(n=3), DropRanges.parse("3:5,9,14:20")], ids=["2nd", "3rd", "ranges"]
)
@pytest.mark.parametrize("kind", [MP4, MKV, TS], ids=str)
def test_restoring_a_thinned_film_gives_every_original_time(kind: Kind, pattern: Pattern, tmp_path: Path) -> None:
    original = Clip(kind=kind, rate=NTSC_FILM, slots=25).write(tmp_path / f"original{kind.suffix}")
    thinned, restored = tmp_path / f"thinned{kind.suffix}", tmp_path / f"restored{kind.suffix}"

    thin(original, thinned, pattern=pattern)
    restore(thinned, restored, options=BLEND)

    before, after = shown(original), shown(restored)
    assert since_first(after) == since_first(before)
    if kind is not TS:  # whose muxer moves everything by the encoder's delay
        assert [frame.pts for frame in after] == [frame.pts for frame in before]
    kept = [frame.number for frame in shown(thinned)]
    assert kept[0] == 0
    assert kept[-1] == 24
    assert [after[number].number for number in kept] == kept


def test_a_film_thinned_to_a_rate_and_upsampled_again_has_its_times_again(tmp_path: Path) -> None:
    original = Clip(kind=MP4, rate=Fraction(50), slots=31).write(tmp_path / "original.mp4")
    thinned, restored = tmp_path / "thinned.mp4", tmp_path / "restored.mp4"

    done = thin(original, thinned, pattern=KeepRate(rate=Fraction(25)))
    upsample(thinned, restored, rate=Fraction(50), options=BLEND)

    assert len(done.dropped) == 15
    assert [frame.number for frame in shown(thinned)] == list(range(0, 31, 2))
    assert since_first(shown(restored)) == since_first(shown(original))


def test_what_thin_dropped_is_what_a_scan_misses(tmp_path: Path) -> None:
    original = Clip(kind=MP4, rate=NTSC, slots=30).write(tmp_path / "original.mp4")

    done = thin(original, tmp_path / "thinned.mp4", pattern=DropRanges.parse("5,8:11"))

    found = scan(tmp_path / "thinned.mp4")
    assert {gap.cause for gap in found.gaps} == {Cause.DROPPED}
    lost = [pts * found.timeline.time_base for gap in found.gaps for pts in gap.missing]
    before = scan(original).timeline.time_base
    assert lost == [pts * before for pts in done.dropped]
    assert "libx264" in done.encoder


VERBS: tuple[Verb, ...] = (Restore(), Multiply(2), Resample(Fraction(60)))


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_saved_plan_gives_the_same_output_as_no_plan(verb: Verb, gapped: Path, tmp_path: Path) -> None:
    at_once, planned = tmp_path / "at-once.mkv", tmp_path / "planned.mkv"
    _, plan = plan_file(gapped, verb=verb, options=BLEND)
    text = json.dumps(plan_to_json(plan))

    execute(gapped, at_once, verb)
    restore(gapped, planned, plan=load_plan(text, name="plan.json"))

    assert same_frames(at_once, planned)


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_report_replayed_as_a_plan_gives_the_same_output(verb: Verb, gapped: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mkv", tmp_path / "second.mkv"

    report = execute(gapped, first, verb)
    text = json.dumps(report_to_json(report))
    again = restore(gapped, second, plan=load_plan(text, name="report.json"))

    assert same_frames(first, second)
    assert again.made == report.made
    assert again.by_engine == report.by_engine
    assert again.plan == report.plan


def execute(source: Path, target: Path, verb: Verb) -> RestoreReport:
    """A verb through its public function."""
    if isinstance(verb, Multiply):
        return upsample(source, target, factor=verb.factor, options=BLEND)
    if isinstance(verb, Resample):
        return upsample(source, target, rate=verb.rate, options=BLEND)
    return restore(source, target, options=BLEND)


def test_a_report_with_a_scene_cut_replays_to_the_same_output(tmp_path: Path) -> None:
    source = with_cut().write(tmp_path / "cut.mkv")
    options = RestoreOptions(engine="blend")

    report = restore(source, tmp_path / "first.mkv", options=options)
    text = json.dumps(report_to_json(report))
    again = restore(source, tmp_path / "second.mkv", plan=load_plan(text, name="report.json"))

    assert report.by_engine == {"blend": 1, "hold": 2}
    assert again.by_engine == report.by_engine
    assert same_frames(tmp_path / "first.mkv", tmp_path / "second.mkv")


def with_cut() -> Clip:
    """A gap of one inside a scene, and a gap of two across a cut."""
    return Clip(
        kind=MKV_FFV1,
        slots=16,
        dropped=frozenset({3, 8, 9}),
        size=(160, 96),
        scene_of=lambda slot: 0 if slot < 9 else 3,
    )


def test_a_gap_with_a_scene_cut_in_it_is_held_from_the_nearer_side(tmp_path: Path) -> None:
    source, target = with_cut().write(tmp_path / "cut.mkv"), tmp_path / "restored.mkv"

    report = restore(source, target, options=RestoreOptions(engine="blend"))

    frames = shown(target)
    assert frames[8].digest == frames[7].digest
    assert frames[9].digest == frames[10].digest
    assert frames[3].digest not in (frames[2].digest, frames[4].digest)
    filled, held = report.outcomes
    assert (filled.action, filled.engine, filled.held_because) == (Action.FILL, "blend", None)
    assert (held.action, held.engine) == (Action.HOLD, None)
    assert held.held_because is not None
    assert "scene cut" in held.held_because
    assert held.cut_score is not None
    assert filled.cut_score is not None
    assert filled.cut_score < 50 <= held.cut_score


def test_the_reasons_for_held_frames_add_up_to_the_frames_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = with_cut().write(tmp_path / "cut.mkv")
    assert command("double", source, tmp_path / "doubled.mkv", "--engine", "blend") == 0

    counts = [int(count) for count in re.findall(r"(\d+) held", capsys.readouterr().err)]
    assert len(counts) == 3  # in all, at the cut, and after the last frame
    assert counts[0] == sum(counts[1:])


def test_a_threshold_of_100_fills_across_every_cut(tmp_path: Path) -> None:
    source = with_cut().write(tmp_path / "cut.mkv")

    report = restore(source, tmp_path / "restored.mkv", options=BLEND)

    assert report.by_engine == {"blend": 3}


def test_the_command_line_saves_a_plan_runs_it_and_replays_its_report(gapped: Path, tmp_path: Path) -> None:
    plan, report = tmp_path / "plan.json", tmp_path / "report.json"
    first, second = tmp_path / "first.mkv", tmp_path / "second.mkv"
    shared = ("--engine", "blend", "-q")

    assert command("restore", gapped, first, "--save-plan", plan, *shared) == 0
    assert not first.exists()
    assert command("restore", gapped, first, "--plan", plan, "--report", report, "-q") == 0
    assert command("restore", gapped, second, "--plan", report, "-q") == 0

    assert same_frames(first, second)
    assert len(shown(first)) == GAPPED.slots


def test_a_task_edited_to_hold_is_held(gapped: Path, tmp_path: Path) -> None:
    plan, target = tmp_path / "plan.json", tmp_path / "edited.mkv"
    assert command("restore", gapped, target, "--save-plan", plan, "--engine", "blend", "-q") == 0
    document = json.loads(plan.read_text())
    assert [len(task["target_pts"]) for task in document["tasks"]] == [2, 1, 1]
    document["tasks"][1]["action"] = "hold"
    del document["tasks"][2]
    plan.write_text(json.dumps(document))

    assert command("restore", gapped, target, "--plan", plan, "-q") == 0

    frames = shown(target)
    assert len(frames) == GAPPED.slots - 1  # the deleted task's frame stays away
    assert frames[12].digest == frames[11].digest
    assert frames[4].digest not in (frames[3].digest, frames[6].digest)


def test_a_task_edited_to_another_engine_is_made_by_it(gapped: Path, tmp_path: Path) -> None:
    plan = planned(gapped)
    tasks = [replace(task, engine="repeat") if task.id == 0 else task for task in plan.tasks]

    report = restore(gapped, tmp_path / "out.mkv", plan=replace(plan, tasks=tuple(tasks)))

    assert report.by_engine == {"repeat": 2, "blend": 2}


def planned(source: Path) -> RestorePlan:
    """The plan to restore a file with `blend`."""
    return plan_file(source, verb=Restore(), options=BLEND)[1]


def test_a_plan_for_another_film_is_refused_and_writes_nothing(gapped: Path, tmp_path: Path) -> None:
    other = GAPPED.thinned({4, 5, 12}).write(tmp_path / "other.mkv")
    target = tmp_path / "out.mkv"

    with pytest.raises(PlanError, match="another stream"):
        restore(other, target, plan=planned(gapped))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["gapped.mkv", "other.mkv"]


def test_a_plan_beside_frames_that_are_not_there_is_refused(gapped: Path, tmp_path: Path) -> None:
    plan = planned(gapped)
    moved = replace(plan.tasks[1], left_pts=(plan.tasks[1].left_pts or 0) - 7)

    with pytest.raises(PlanError, match="task 1"):
        restore(gapped, tmp_path / "out.mkv", plan=replace(plan, tasks=(plan.tasks[0], moved)))

    assert not (tmp_path / "out.mkv").exists()


def test_the_command_line_refuses_a_plan_for_another_film_with_exit_code_1(
    gapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = GAPPED.thinned({4, 5, 12}).write(tmp_path / "other.mkv")
    plan, target = tmp_path / "plan.json", tmp_path / "out.mkv"
    command("restore", gapped, target, "--save-plan", plan, "--engine", "blend", "-q")

    assert command("restore", other, target, "--plan", plan) == 1

    said = capsys.readouterr()
    assert "another stream" in said.err
    assert said.out == ""
    assert not target.exists()


@pytest.mark.parametrize("verb", VERBS, ids=str)
@pytest.mark.parametrize("kind", [MP4, MKV, TS], ids=str)
def test_the_decoder_gives_the_times_that_restore_writes(kind: Kind, verb: Verb, tmp_path: Path) -> None:
    source = replace(GAPPED, kind=kind).write(tmp_path / f"source{kind.suffix}")
    target = tmp_path / f"out{kind.suffix}"
    report = execute(source, target, verb)

    frames = list(RestoringDecoder(source, verb=verb, options=BLEND))

    base = report.plan.output_time_base
    assert {frame.time_base for frame in frames} == {base}
    written = shown(target)
    with av.open(str(target)) as container:
        tick = container.streams.video[0].time_base
    moved = [rescale(frame.pts, base, tick) for frame in frames]
    offsets = {after.pts - before for after, before in zip(written, moved, strict=True)}
    assert max(offsets) - min(offsets) <= 1  # one common offset, and the container's rounding
    assert tuple(frame.pts for frame in frames if made_by(frame)) == report.made
    assert {made_by(frame) for frame in frames} - {None} == set(report.by_engine)


def test_the_decoder_iterates_over_an_open_container(gapped: Path) -> None:
    with av.open(str(gapped)) as container:
        frames = list(RestoringDecoder(container, options=BLEND))

    assert [slot for slot, frame in enumerate(frames) if made_by(frame)] == sorted(GAPPED.dropped)
    assert {made_by(frame) for frame in frames} == {None, "blend"}
    assert [number_of(frame) for frame in frames if made_by(frame) is None] == list(GAPPED.kept)


class Pipe(io.RawIOBase):
    """A file that can only be read on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.name = "a pipe"

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
        super().close()


@pytest.mark.parametrize("verb", VERBS, ids=str)
@pytest.mark.parametrize("kind", [MKV, TS, MKV_FFV1], ids=str)
def test_a_stream_that_cannot_be_rewound_gives_the_same_frames(kind: Kind, verb: Verb, tmp_path: Path) -> None:
    source = replace(GAPPED, kind=kind, rate=Fraction(25)).write(tmp_path / f"source{kind.suffix}")
    options = replace(BLEND, rate=Fraction(25))

    with Pipe(source) as pipe:
        live = told(RestoringDecoder(pipe, verb=verb, options=options))

    assert live == told(RestoringDecoder(source, verb=verb, options=options))
    assert any(by == "blend" for _, _, by in live)


def told(frames: Iterable[VideoFrame]) -> list[tuple[Fraction, str, str | None]]:
    """Time, pixels and maker of each frame."""
    return [(frame.pts * frame.time_base, digest_of(frame), made_by(frame)) for frame in frames]


def test_a_pipe_is_restored_into_the_same_file(tmp_path: Path) -> None:
    source = replace(GAPPED, rate=Fraction(25)).write(tmp_path / "source.mkv")

    with Pipe(source) as pipe:
        live = restore(pipe, tmp_path / "live.mkv", options=replace(BLEND, rate=Fraction(25)))
    offline = restore(source, tmp_path / "offline.mkv", options=BLEND)

    assert same_frames(tmp_path / "live.mkv", tmp_path / "offline.mkv")
    assert live.made == offline.made
    assert any("read once" in note.text for note in live.notes)


def test_frames_from_anywhere_get_the_missing_ones_between_them() -> None:
    frames = [timed(picture(slot), slot) for slot in GAPPED.kept]

    out = list(RestoringDecoder(frames, options=replace(BLEND, rate=NTSC)))

    assert [frame.pts for frame in out] == list(range(GAPPED.slots))
    own = [frame for frame in out if made_by(frame) is None]
    assert all(frame is given for frame, given in zip(own, frames, strict=True))


def timed(frame: VideoFrame, pts: int) -> VideoFrame:
    """A frame at a slot of 29.97 a second."""
    frame.pts, frame.time_base = pts, 1 / NTSC
    return frame


@pytest.mark.parametrize(("first", "stop"), [(0, 10), (3, 7), (13, 14), (20, 30), (24, 60)])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_window_gives_only_its_part_with_its_gaps_filled(kind: Kind, first: int, stop: int, tmp_path: Path) -> None:
    clip = replace(GAPPED, kind=kind, rate=Fraction(25), slots=60, dropped=frozenset({4, 5, 22, 23, 50}))
    source, target = clip.write(tmp_path / f"long{kind.suffix}"), tmp_path / f"part{kind.suffix}"
    job = Job(window=Window(start=Fraction(first, 25), duration=Fraction(stop - first, 25)))

    report = restore(source, target, options=BLEND, job=job)

    frames = shown(target)
    inside = [slot for slot in clip.kept if first <= slot < stop]
    assert [frames[slot - first].number for slot in inside] == inside
    assert len(report.made) == stop - first - len(inside)
    tick = Fraction(1, 1000)
    assert all(abs(time - Fraction(slot, 25)) <= tick for slot, time in enumerate(since_first(frames)))
    assert len(frames) == stop - first


def test_a_window_with_a_factor_has_the_same_frames_as_that_part_of_the_whole(tmp_path: Path) -> None:
    source = replace(GAPPED, rate=Fraction(25)).write(tmp_path / "source.mkv")
    job = Job(window=Window(start=Fraction(2, 25), duration=Fraction(8, 25)))

    upsample(source, tmp_path / "whole.mkv", factor=2, options=BLEND)
    upsample(source, tmp_path / "part.mkv", factor=2, options=BLEND, job=job)

    whole, part = shown(tmp_path / "whole.mkv"), shown(tmp_path / "part.mkv")
    assert len(part) == 16
    assert [frame.digest for frame in part][:15] == [frame.digest for frame in whole][4:19]


def damaged(source: Path, target: Path, *, hurt: dict[int, str]) -> Path:
    """A copy of a file with some of its video packets damaged: each, by its number, with options of `noise`."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        video = before.streams.video[0]
        copy = after.add_stream_from_template(video)
        for number, packet in enumerate(p for p in before.demux(video) if p.size):
            option = hurt.get(number)
            kept = BitStreamFilterContext(f"noise={option}", video).filter(packet) if option else [packet]
            for each in kept:
                each.stream = copy
                after.mux(each)
    return target


ALL_KEY = Kind(suffix=".mkv", codec="libx264", options={"preset": "ultrafast", "g": "1", "crf": "18"})
UNREADABLE = "amount=1"  # every byte changed: no slice header is left to read


def test_frames_that_cannot_be_decoded_are_made_again_in_their_places(tmp_path: Path) -> None:
    sound = Clip(kind=ALL_KEY, slots=20).write(tmp_path / "sound.mkv")
    source = damaged(sound, tmp_path / "hurt.mkv", hurt={7: UNREADABLE, 8: UNREADABLE})
    target = tmp_path / "restored.mkv"

    report = restore(source, target, options=BLEND)

    frames = shown(target)
    assert since_first(frames) == since_first(shown(sound))
    assert len(report.made) == 2
    numbers = [frame.number for frame in frames]
    assert numbers[:7] + numbers[9:] == [*range(7), *range(9, 20)]
    (outcome,) = report.outcomes
    assert (outcome.left_pts, outcome.right_pts, outcome.action) == (240, 360, Action.FILL)
    assert any(note.kind == "counted" for note in report.notes)
    assert "decod" in outcome.reason or "corrupt" in outcome.reason


def test_a_damaged_film_without_other_gaps_is_not_just_copied(tmp_path: Path) -> None:
    sound = Clip(kind=ALL_KEY, slots=12).write(tmp_path / "sound.mkv")
    source = damaged(sound, tmp_path / "hurt.mkv", hurt={5: UNREADABLE})

    looked = restore(source, tmp_path / "looked.mkv", options=BLEND)
    copied = restore(source, tmp_path / "copied.mkv", options=BLEND, job=Job(look_inside=False))

    assert len(looked.made) == 1
    assert (copied.made, copied.encoder) == ((), None)


def test_a_scan_that_decodes_names_the_damaged_pictures(tmp_path: Path) -> None:
    sound = Clip(kind=ALL_KEY, slots=20, dropped=frozenset({15})).write(tmp_path / "sound.mkv")
    source = damaged(sound, tmp_path / "hurt.mkv", hurt={7: UNREADABLE})

    found = scan(source, decode=True)

    by_cause = {gap.cause: gap.missing for gap in found.gaps}
    assert by_cause == {Cause.CORRUPT: (280,), Cause.DROPPED: (600,)}
    assert {gap.cause for gap in scan(source).gaps} == {Cause.DROPPED}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", [MKV, TS, MP4], ids=str)
def test_a_film_with_noise_in_its_packets_still_gives_every_frame_at_its_time(
    kind: Kind, seed: int, tmp_path: Path
) -> None:
    clip = replace(GAPPED, kind=kind, rate=Fraction(25), slots=40)
    sound = clip.write(tmp_path / f"sound{kind.suffix}")
    source_of = np.random.default_rng(seed)
    hurt = {int(number): f"amount={source_of.integers(20, 400)}" for number in source_of.integers(1, 36, 4)}
    source = damaged(sound, tmp_path / f"hurt{kind.suffix}", hurt=hurt)
    target = tmp_path / f"restored{kind.suffix}"

    report = restore(source, target, options=BLEND)

    frames = shown(target)
    assert len(frames) == report.frame_count
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    assert since_first(frames) == [Fraction(slot, 25) for slot in range(len(frames))]
    assert 38 <= len(frames) <= 40  # the last pictures may be lost, with nothing after them to be made from


@pytest.mark.parametrize(("repair", "least", "most"), [(Repair.MISSING, 1, 1), (Repair.TAINTED, 5, 24)])
def test_a_reference_lost_in_transmission_is_repaired_as_far_as_asked(
    repair: Repair, least: int, most: int, tmp_path: Path
) -> None:
    sound = Clip(kind=TS, slots=36, size=(96, 64)).write(tmp_path / "sound.ts")
    source = damaged(sound, tmp_path / "hurt.ts", hurt={13: "drop=1"})
    options = RestoreOptions(engine="blend", scene_threshold=100, repair=repair)

    report = restore(source, tmp_path / "out.ts", options=options)

    assert report.frame_count == len(shown(tmp_path / "out.ts")) == 36
    assert least <= len(report.made) <= most


@pytest.mark.parametrize("repair", list(Repair))
@pytest.mark.parametrize("kind", [MP4, TS], ids=str)
def test_a_film_whose_first_key_frame_is_lost_begins_at_the_next(kind: Kind, repair: Repair, tmp_path: Path) -> None:
    sound = Clip(kind=kind, slots=40).write(tmp_path / f"sound{kind.suffix}")
    source = damaged(sound, tmp_path / f"hurt{kind.suffix}", hurt={0: "drop=1"})
    options = replace(BLEND, repair=repair)

    report = double(source, tmp_path / f"out{kind.suffix}", options=options)

    frames = shown(tmp_path / f"out{kind.suffix}")
    assert frames[0].number == 12  # the second group's key frame
    assert frames[-2].number == 39
    assert report.frame_count == len(frames) == 2 * (40 - 12)


@pytest.mark.parametrize("packet", [7, 15, 22])
def test_a_reordered_avi_that_lost_a_packet_still_gives_every_slot(packet: int, tmp_path: Path) -> None:
    sound = Clip(kind=AVI_REORDERED, slots=40).write(tmp_path / "sound.avi")
    source = damaged(sound, tmp_path / "hurt.avi", hurt={packet: "drop=1"})

    report = restore(source, tmp_path / "out.mkv", options=BLEND)

    frames = shown(tmp_path / "out.mkv")
    assert report.frame_count == len(frames) == 40
    assert since_first(frames) == [Fraction(slot, 25) for slot in range(40)]


def test_doubling_a_damaged_film_gives_twice_its_slots(tmp_path: Path) -> None:
    sound = Clip(kind=ALL_KEY, slots=20, dropped=frozenset({3})).write(tmp_path / "sound.mkv")
    source = damaged(sound, tmp_path / "hurt.mkv", hurt={9: UNREADABLE})

    report = double(source, tmp_path / "doubled.mkv", options=BLEND, job=PLAIN_FFV1)

    frames = shown(tmp_path / "doubled.mkv")
    assert report.frame_count == len(frames) == 40
    assert since_first(frames) == [Fraction(place, 50) for place in range(40)]
