"""Notes in the stream: written by hand, read back in every container, believed only where the times agree."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin import DropTimes, EncodeOptions, Job, RestoreOptions, restore, scan, thin
from codec_plugin.maptag import from_slices, to_slices
from codec_plugin.media.nal import escaped, join_units, length_size_of, nal_units, unescaped
from codec_plugin.media.packets import Packet
from codec_plugin.media.sideinfo import NOTE_UUID, SideNote, note_of, note_unit, with_note, with_note_unit
from codec_plugin.thinning.thin import DropRanges, KeepEvery
from codec_plugin.timing import RateSource
from tests.makers import RATE, add_video, put_video, write_clip
from tests.synth import shown

BLEND = RestoreOptions(engine="blend", scene_threshold=100)
CARRIERS = [
    (".mp4", "libx264"),
    (".mkv", "libx264"),
    (".ts", "libx264"),
    (".mp4", "libx265"),
    (".mkv", "libx265"),
    (".ts", "libx265"),
    (".mp4", "libsvtav1"),
    (".mkv", "libsvtav1"),
    (".webm", "libsvtav1"),
]
PRESETS = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "12"}


def job_for(encoder: str) -> Job:
    """A quick job with an encoder."""
    return Job(encode=EncodeOptions(encoder=encoder, preset=PRESETS[encoder]))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A film of 48 frames without gaps."""
    return write_clip(tmp_path / "in.mkv", codec="ffv1", frames=range(48), options={})


@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 255]), max_size=200))
def test_emulation_prevention_hides_every_start_code_and_comes_off_again(values: list[int]) -> None:
    payload = bytes([*values, 0x80])

    safe = escaped(payload)

    assert not any(safe[i : i + 3] in (b"\0\0\0", b"\0\0\1", b"\0\0\2") for i in range(len(safe)))
    assert unescaped(safe) == payload


@given(
    st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b"\x41" + escaped(b) + b"\x80"), min_size=1, max_size=5)
)
def test_units_come_back_from_both_framings(units: list[bytes]) -> None:
    for length_size in (0, 2, 4):
        data = join_units(units, length_size=length_size)
        assert [bytes(u) for u in nal_units(memoryview(data), length_size=length_size)] == units


@given(
    st.builds(
        SideNote,
        made_by=st.sampled_from([None, "dis", "hold", "rife+dis"]),
        dropped=st.integers(0, 1000),
        rate=st.none() | st.fractions(min_value=1, max_value=120, max_denominator=1001),
        engine=st.sampled_from([None, "auto", "fcvg"]),
    ),
    st.sampled_from(["h264", "hevc"]),
    st.sampled_from([0, 4]),
)
def test_a_note_says_the_same_after_a_packet_carried_it(note: SideNote, codec: str, length_size: int) -> None:
    slice_unit = b"\x65\x88\x80" if codec == "h264" else b"\x26\x01\x80"
    units = with_note_unit([slice_unit], note, codec=codec)

    packet = Packet(join_units(units, length_size=length_size))

    assert note_of(packet, codec=codec, length_size=length_size) == note


@pytest.mark.parametrize("text", [b"", b"1;drop=x", b"2;made=dis", b"\xff\xfe", b"1;rate=1/0", b"1;drop=-3", b"1;a"])
def test_a_note_that_cant_be_read_is_none(text: bytes) -> None:
    assert SideNote.from_bytes(text) is None


def test_somebody_elses_sei_is_no_note_and_stays_in_the_stream(source: Path, tmp_path: Path) -> None:
    done = restore_of_thinned(source, tmp_path, "libx264", ".mkv")  # x264 puts its own user data in every film

    with av.open(str(done)) as container:
        data = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert any(b"x264 - core" in packet for packet in data)
    foreign = with_note_unit([b"\x65\x88\x80"], SideNote(made_by="dis"), codec="h264")
    packet = Packet(join_units(foreign, length_size=4).replace(NOTE_UUID, bytes(16)))
    assert note_of(packet, codec="h264", length_size=4) is None


def restore_of_thinned(source: Path, folder: Path, encoder: str, suffix: str) -> Path:
    """A film thinned and restored with one encoder."""
    thin(source, folder / f"thin{suffix}", pattern=DropRanges.parse("5,9:11,30"), job=job_for(encoder))
    restore(folder / f"thin{suffix}", folder / f"back{suffix}", options=BLEND, job=job_for(encoder))
    return folder / f"back{suffix}"


@pytest.mark.parametrize(("suffix", "encoder"), CARRIERS)
def test_drops_and_made_frames_are_told_by_the_stream_itself(
    source: Path, suffix: str, encoder: str, tmp_path: Path
) -> None:
    back = restore_of_thinned(source, tmp_path, encoder, suffix)

    thinned, restored = scan(tmp_path / f"thin{suffix}"), scan(back)

    assert thinned.side.dropped == 4
    assert thinned.side.rate == RATE
    assert thinned.side.objections == ()
    assert thinned.candidates[0].source is RateSource.DROP_MAP
    assert len(restored.side.made) == 4
    first = restored.timeline.segments[0].first
    slots = [round((pts - first) * restored.timeline.time_base * RATE) for pts, _ in restored.side.made]
    assert slots == [5, 9, 10, 30]
    assert len(shown(back)) == 48


def test_the_rate_of_the_map_is_believed_where_the_steps_alone_would_mislead(source: Path, tmp_path: Path) -> None:
    thin(source, tmp_path / "thin.mp4", pattern=KeepEvery(n=2), job=job_for("libx265"))

    found = scan(tmp_path / "thin.mp4")

    main = found.timeline.main
    assert main is not None
    assert main.clock is not None
    assert main.clock.source is RateSource.DROP_MAP
    assert main.clock.rate == RATE
    assert len(found.gaps) == 23


def test_a_stripped_stream_still_restores_from_its_time_stamps(source: Path, tmp_path: Path) -> None:
    thin(source, tmp_path / "thin.mkv", pattern=DropRanges.parse("5,9:11"), job=job_for("libx264"))
    with av.open(str(tmp_path / "thin.mkv")) as container, av.open(str(tmp_path / "bare.mkv"), "w") as output:
        stream = container.streams.video[0]
        size = length_size_of(stream.codec_context.extradata, codec="h264")
        copy = output.add_stream_from_template(stream, opaque=True)
        for packet in container.demux(stream):
            if packet.size:
                kept = [u for u in nal_units(memoryview(packet), length_size=size) if u[0] & 31 != 6]
                made = Packet(join_units(kept, length_size=size))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                made.is_keyframe, made.stream = packet.is_keyframe, copy
                output.mux(made)

    report = restore(tmp_path / "bare.mkv", tmp_path / "back.mkv", options=BLEND, job=job_for("libx264"))

    assert scan(tmp_path / "bare.mkv").side.dropped == 0
    assert report.frame_count == 48


def test_the_containers_tag_speaks_where_the_codec_carries_no_notes(source: Path, tmp_path: Path) -> None:
    thin(source, tmp_path / "thin.mkv", pattern=KeepEvery(n=3))  # ffv1

    found = scan(tmp_path / "thin.mkv")

    assert found.side.dropped == 31
    assert found.side.rate == RATE


def test_a_restored_films_tag_says_which_frames_were_made_where_the_codec_carries_no_notes(
    source: Path, tmp_path: Path
) -> None:
    thin(source, tmp_path / "thin.mkv", pattern=DropRanges.parse("5,9:11"))
    restore(tmp_path / "thin.mkv", tmp_path / "back.mkv", options=BLEND)  # ffv1

    found = scan(tmp_path / "back.mkv")

    assert [round(pts * found.timeline.time_base * RATE) for pts, _ in found.side.made] == [5, 9, 10]
    assert found.side.dropped == 0
    assert found.side.objections == ()
    with av.open(str(tmp_path / "back.mkv")) as container:
        assert [key.lower() for key in container.metadata].count("codec_plugin") == 1


@pytest.mark.parametrize(
    ("tag", "objection"),
    [
        ('{"version": 1, "rate": "29", "dropped": "1:9"}', "no clock of 29 fps"),
        ("nonsense", "can't be read"),
        ('{"rate": 3, "dropped": "x"}', "can't be read"),
        ('{"rate": "-25", "dropped": ""}', "can't be read"),
    ],
)
def test_a_map_that_the_time_stamps_deny_is_reported_and_not_believed(tag: str, objection: str, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "in.mkv", frames=range(24), metadata={"CODEC_PLUGIN": tag})

    found = scan(film)

    main = found.timeline.main
    assert main is not None
    assert main.clock is not None
    assert main.clock.rate == RATE
    assert any(objection in text for text in found.side.objections)
    assert any("not believed" in note for note in found.notes)


def test_a_note_of_missing_frames_that_are_there_is_reported(tmp_path: Path) -> None:
    lie = SideNote(dropped=3, rate=RATE)
    with av.open(str(tmp_path / "in.ts"), "w") as container:
        stream = add_video(container)
        put_video(container, stream, range(24))
    with av.open(str(tmp_path / "in.ts")) as container, av.open(str(tmp_path / "lie.ts"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size:
                told = with_note(packet, lie, codec="h264", length_size=0) if number == 7 else packet
                told.stream = copy
                output.mux(told)

    found = scan(tmp_path / "lie.ts")

    assert any("3 frames are said to be missing" in text for text in found.side.objections)
    assert found.gaps == ()


def test_the_engine_that_the_drops_were_chosen_with_travels_too(source: Path, tmp_path: Path) -> None:
    some = tuple(int(pts) for pts in scan(source).timeline.segments[0].pts[[3, 7]])
    thin(source, tmp_path / "thin.mp4", pattern=DropTimes(pts=some, engine="dis"), job=job_for("libx264"))

    assert scan(tmp_path / "thin.mp4").side.engine == "dis"


def test_auto_restores_with_the_engine_that_the_map_names(source: Path, tmp_path: Path) -> None:
    some = tuple(int(pts) for pts in scan(source).timeline.segments[0].pts[[3, 7]])
    thin(source, tmp_path / "thin.mkv", pattern=DropTimes(pts=some, engine="blend"), job=job_for("libx264"))

    by_map = restore(tmp_path / "thin.mkv", tmp_path / "back.mkv", job=job_for("libx264"))
    by_name = restore(
        tmp_path / "thin.mkv", tmp_path / "other.mkv", options=RestoreOptions(engine="repeat"), job=job_for("libx264")
    )

    assert by_map.by_engine == {"blend": 2}
    assert by_name.by_engine == {"repeat": 2}


@given(st.sets(st.integers(0, 300)))
def test_slices_name_exactly_their_numbers(numbers: set[int]) -> None:
    assert from_slices(to_slices(sorted(numbers))) == tuple(sorted(numbers))


def test_a_long_regular_pattern_is_a_short_text() -> None:
    assert to_slices(range(1, 14_315, 2)) == "1:14314:2"


def test_a_note_keeps_all_else_of_a_packet() -> None:
    packet = Packet(join_units([note_unit(SideNote(), codec="hevc"), b"\x26\x01\x80"], length_size=4))
    packet.pts, packet.dts, packet.duration, packet.time_base = 7, 5, 2, Fraction(1, 90_000)
    packet.is_keyframe = True

    made = with_note(packet, replace(SideNote(), made_by="dis"), codec="hevc", length_size=4)

    assert (made.pts, made.dts, made.duration, made.time_base, made.is_keyframe) == (7, 5, 2, Fraction(1, 90_000), True)
