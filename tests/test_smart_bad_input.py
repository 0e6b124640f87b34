"""Smart restore of films that can't be spliced, or only in part, and of plans and maps that don't fit them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from codec_plugin import (
    CannotSplice,
    EncodeOptions,
    Job,
    PlanError,
    Smart,
    Window,
    plan_file,
    restore,
    scan,
)
from codec_plugin.grids import Restore
from codec_plugin.media.gops import coded_film
from codec_plugin.media.nal import escaped, join_units, nal_units
from codec_plugin.media.sideinfo import NOTE_UUID, SideNote, note_unit
from tests.codings import BLEND, FAST, H264, H264_OPEN, HEVC, LENGTH, Coding, join, kept_of, packet_bytes, spliced
from tests.synth import picture, shown


@pytest.mark.parametrize(
    ("suffix", "encoder", "why"),
    [
        (".mkv", "mpeg4", "only H.264 and HEVC"),
        (".webm", "libvpx-vp9", "vp9"),
        (".avi", "libx264", "no presentation times"),
    ],
)
def test_what_cant_be_spliced_says_why_and_is_encoded_anew_only_if_asked(
    suffix: str, encoder: str, why: str, tmp_path: Path
) -> None:
    source = tmp_path / f"in{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream(encoder, rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in sorted(set(range(36)) - {17}):
            frame = picture(number)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    target = tmp_path / f"out{suffix}"

    with pytest.raises(CannotSplice, match=why) as caught:
        restore(source, target, options=replace(BLEND, rate=Fraction(24)), smart=Smart.ONLY)
    assert "--smart=auto" in str(caught.value)
    assert not target.exists()

    report = restore(source, target, options=replace(BLEND, rate=Fraction(24)), smart=Smart.AUTO)
    assert report.frame_count == 36
    assert any(note.kind == "choice" and why in note.text for note in report.notes)


def test_a_window_or_another_encoder_can_be_no_splice(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4")
    for job, why in (
        (Job(window=Window(duration=Fraction(2))), "preview"),
        (Job(encode=EncodeOptions(encoder="libx265")), "libx264 does"),
        (Job(encode=EncodeOptions(lossless=True)), "profile"),
    ):
        with pytest.raises(CannotSplice, match=why):
            restore(source, tmp_path / "out.mp4", options=BLEND, job=job, smart=Smart.ONLY)


@pytest.mark.parametrize("smart", list(Smart))
def test_a_film_changed_since_it_was_planned_is_refused(smart: Smart, tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4")
    _, plan = plan_file(source, verb=Restore(), options=BLEND)
    H264.write(source, dropped={30})

    with pytest.raises(PlanError, match="another stream"):
        restore(source, tmp_path / "out.mp4", plan=plan, smart=smart)
    assert not (tmp_path / "out.mp4").exists()


def test_a_plan_for_another_film_of_the_same_times_is_refused(tmp_path: Path) -> None:
    one, other = H264.write(tmp_path / "a.mp4"), replace(H264, bf=0).write(tmp_path / "b.mp4")
    _, plan = plan_file(one, verb=Restore(), options=BLEND)

    with pytest.raises(PlanError, match="another stream"):
        restore(other, tmp_path / "out.mp4", plan=plan, smart=Smart.ONLY)
    assert restore(one, tmp_path / "out.mp4", job=FAST, plan=plan, smart=Smart.ONLY).frame_count == LENGTH


def with_units(source: Path, target: Path, units: dict[int, list[bytes]]) -> Path:
    """A film with NAL units put before everything else of some packets."""
    film = coded_film(source)
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            own = list(nal_units(memoryview(packet), length_size=film.length_size))
            made = av.Packet(join_units([*units.get(number, []), *own], length_size=film.length_size))
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.duration, made.is_keyframe, made.stream = packet.duration, packet.is_keyframe, copy
            output.mux(made)
    return target


@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
@pytest.mark.parametrize(
    "lie", [SideNote(dropped=3, rate=Fraction(24)), SideNote(dropped=1, rate=Fraction(17))], ids=str
)
def test_a_drop_map_that_the_times_deny_is_reported_and_gaps_are_where_the_times_say(
    coding: Coding, lie: SideNote, tmp_path: Path
) -> None:
    source = coding.write(tmp_path / "in.mkv", dropped={17})
    codec = coded_film(source).codec
    lying = with_units(source, tmp_path / "lie.mkv", {30: [note_unit(lie, codec=codec)]})

    report = spliced(lying, tmp_path / "out.mkv")

    assert any("not believed" in note.text for note in report.notes)
    assert len(report.made) == 1
    assert report.frame_count == LENGTH


SEI_HEADS = {"h264": b"\x06", "hevc": b"\x4e\x01"}
FOREIGN = [
    bytes([5, 20]) + bytes(range(16)) + b"them\x80",  # somebody's own user data
    bytes([5, 200]) + NOTE_UUID + b"1;made=us\x80",  # says it is longer than it is
    bytes([5, 20]) + NOTE_UUID + b"\xff\xfe\xfd\xfc\x80",  # our name, and no text
    bytes([5, 26]) + NOTE_UUID + b"1;drop=-5;\x80",
    bytes([255] * 9),  # sizes without end
    b"",
]


@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_messages_from_somebody_else_are_no_notes_and_are_kept_with_their_packets(
    coding: Coding, tmp_path: Path
) -> None:
    source = coding.write(tmp_path / "in.mkv", dropped={42})
    head = SEI_HEADS[coded_film(source).codec]
    units = {number: [head + escaped(payload)] for number, payload in enumerate(FOREIGN, start=3)}
    talking = with_units(source, tmp_path / "talking.mkv", units)
    assert scan(talking).side == scan(source).side

    spliced(talking, tmp_path / "out.mkv")

    before, after = packet_bytes(talking), packet_bytes(tmp_path / "out.mkv")
    assert [after[time][-40:] for time in list(before)[3:9]] == [before[time][-40:] for time in list(before)[3:9]]
    assert all(units[number][0] in after[time] for number, time in enumerate(list(before)[:9]) if number in units)
    assert len(scan(tmp_path / "out.mkv").side.made) == 1


def test_a_film_refreshed_without_key_frames_is_encoded_anew_from_its_gap_to_its_end(tmp_path: Path) -> None:
    coding = Coding(encoder="libx264", params="keyint=12:min-keyint=12:scenecut=0:intra-refresh=1", bf=0)
    source = coding.write(tmp_path / "in.mp4", dropped={40})
    assert sum(bool(p.kind and p.kind.is_idr) for p in coded_film(source).pictures) == 1, "not refreshed"

    report = spliced(source, tmp_path / "out.mp4")

    assert kept_of(report) == (40, LENGTH - 1)


@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_a_gop_that_lost_its_random_access_point_is_never_spliced_wrong(coding: Coding, tmp_path: Path) -> None:
    whole = coding.write(tmp_path / "whole.mkv", dropped=())
    lost = [index for index, p in enumerate(coded_film(whole).pictures) if p.kind and p.kind.is_random_access][2]
    with av.open(str(whole)) as container, av.open(str(tmp_path / "in.mkv"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if number != lost:
                packet.stream = copy
                output.mux(packet)

    # Without it the decoder orders the pictures around it otherwise, so that none can be proven to be the same.
    with pytest.raises(CannotSplice, match="decodes otherwise"):
        restore(tmp_path / "in.mkv", tmp_path / "out.mkv", options=BLEND, job=FAST, smart=Smart.ONLY)
    assert not (tmp_path / "out.mkv").exists()
    report = restore(tmp_path / "in.mkv", tmp_path / "out.mkv", options=BLEND, job=FAST, smart=Smart.AUTO)

    assert report.frame_count == LENGTH == len(shown(tmp_path / "out.mkv"))
    assert any("encoded anew" in note.text for note in report.notes)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_hevc_parameter_sets_that_change_under_one_id_are_sent_again_at_entries(suffix: str, tmp_path: Path) -> None:
    other = replace(HEVC, params=f"{HEVC.params}:ctu=16:max-tu-size=16:sao=0", bf=0)
    one, two = HEVC.write(tmp_path / "a.ts", dropped={13}), other.write(tmp_path / "b.ts", dropped={8, 9})
    joined = join(one, two, tmp_path / "in.ts")
    assert len({unit for p in coded_film(joined).pictures for key, unit in p.sets.items() if key[0] == 33}) == 2

    report = spliced(joined, tmp_path / f"out{suffix}")

    assert report.frame_count == 2 * LENGTH


def test_parameter_sets_that_change_on_the_way_are_sent_again_where_they_are_needed(tmp_path: Path) -> None:
    first = H264.write(tmp_path / "a.ts", dropped={13})
    other = replace(H264, params=H264.params + ":cabac=0:ref=1:weightp=0", bf=0)
    joined = join(first, other.write(tmp_path / "b.ts", dropped={8, 9}), tmp_path / "in.ts")
    assert len({unit for p in coded_film(joined).pictures for unit in p.sets.values()}) > 2, "nothing changes"

    report = spliced(joined, tmp_path / "out.mkv")

    assert report.frame_count == 2 * LENGTH


def test_a_film_with_no_idr_at_all_cant_be_cut(tmp_path: Path) -> None:
    coding = Coding(encoder="libx264", params=H264_OPEN)
    whole = coding.write(tmp_path / "whole.ts", dropped={40})
    with av.open(str(whole)) as container, av.open(str(tmp_path / "in.ts"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        packets = [packet for packet in container.demux(video=0) if packet.size]
        start = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[start:]:
            packet.stream = copy
            output.mux(packet)

    with pytest.raises(CannotSplice, match="begins with pictures that nothing can be decoded from"):
        restore(tmp_path / "in.ts", tmp_path / "out.ts", options=BLEND, job=FAST, smart=Smart.ONLY)
