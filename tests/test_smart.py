"""Smart restore: what no gap touches stays bit for bit, and the spliced stream decodes as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from codec_plugin import (
    CannotSplice,
    Check,
    EncodeOptions,
    Job,
    Origin,
    PlanError,
    RestoreOptions,
    RestoreReport,
    Smart,
    Window,
    plan_file,
    restore,
    verify,
)
from codec_plugin.grids import Restore
from codec_plugin.media.gops import coded_film
from codec_plugin.media.packets import AnyPacket
from codec_plugin.media.parameters import CodedSort, sequence_sets, sort_of
from codec_plugin.media.splice import Splicer, matched
from codec_plugin.smart import splicecheck
from tests.makers import CommandLine, video_packets, write_clip
from tests.synth import digest_of, picture, shown

EXAMPLE = Path(__file__).parents[1] / "examples" / "bunny_with_gaps.mp4"
FAST = Job(encode=EncodeOptions(preset="ultrafast"))
BLEND = RestoreOptions(engine="blend", scene_threshold=100)
LENGTH = 72
DROPPED = frozenset({10, 11, 12, 40, 63})
H264_OPEN = "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=2:b-adapt=0"
HEVC_OPEN = "log-level=none:open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a clip is encoded."""

    encoder: str
    params: str
    bf: int = 2
    pixel_format: str = "yuv420p"
    rate: Fraction = Fraction(24)

    def write(
        self, path: Path, *, real: bool = False, dropped: Iterable[int] = DROPPED, start: Fraction = Fraction(0)
    ) -> Path:
        """Writes the clip: the film's own pictures, or synthesised ones; some slots are left out."""
        size = (320, 180) if real else (64, 48)
        key = {"libx264": "x264-params", "libx265": "x265-params"}[self.encoder]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                self.encoder, rate=self.rate, options={"preset": "veryfast", key: self.params, "bf": str(self.bf)}
            )
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = self.pixel_format
            stream.time_base = stream.codec_context.time_base = 1 / self.rate
            stream.codec_context.thread_count = 1
            frames = real_pictures() if real else (picture(n, pixel_format=self.pixel_format) for n in range(LENGTH))
            for number, frame in enumerate(frames):
                if number in dropped:
                    continue
                frame.pts, frame.time_base = number + int(start * self.rate), 1 / self.rate
                frame.pict_type = 0
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path


def real_pictures() -> Iterable[av.VideoFrame]:
    """The first pictures of the example, which is real content, made small."""
    with av.open(str(EXAMPLE)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == LENGTH:
                return
            yield frame.reformat(width=320, height=180)


H264 = Coding(encoder="libx264", params="keyint=12:min-keyint=12:scenecut=0:open-gop=0")
HEVC = Coding(encoder="libx265", params="log-level=none:open-gop=0:keyint=12:min-keyint=12:scenecut=0")


def kept_of(report: RestoreReport) -> tuple[int, int]:
    """(Packets kept, all of the source's), as the report says: 0 of 0 where smart mode was not taken."""
    note = next((note.text for note in report.notes if note.kind == "smart" and "packets kept" in note.text), "0 of 0")
    kept, _, total = note.split()[:3]
    return int(kept), int(total)


def spliced(source: Path, target: Path, *, job: Job = FAST) -> RestoreReport:
    """A smart restore that must have been one, proven from the file."""
    report = restore(source, target, options=BLEND, job=job, smart=Smart.ONLY)
    kept, total = kept_of(report)
    assert 0 < kept <= total
    found = verify(source, target)
    assert found.failures == ()
    assert found.count(found.packets)[Origin.COPIED] == kept
    assert found.count(found.frames)[Origin.COPIED] >= kept
    assert found.count(found.frames)[Origin.MADE] == len(report.made)
    assert found.made_by == report.by_engine
    assert len(found.frames) == report.frame_count
    times = [frame.seconds for frame in shown(target)]
    assert all(one < other for one, other in pairwise(times))
    return report


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_a_real_film_is_spliced_in_every_container(coding: Coding, suffix: str, tmp_path: Path) -> None:
    source = coding.write(tmp_path / f"in{suffix}", real=True)

    report = spliced(source, tmp_path / f"out{suffix}")

    assert report.frame_count == LENGTH
    assert len(report.made) == len(DROPPED)
    kept, total = kept_of(report)
    assert kept >= total // 2


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".ts", ".mov"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_a_film_is_spliced_from_any_container_into_any_other(
    coding: Coding, suffix: str, target: str, tmp_path: Path
) -> None:
    spliced(coding.write(tmp_path / f"in{suffix}", dropped={17, 18}), tmp_path / f"out{target}")


@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_packets_of_untouched_gops_are_the_very_same_bytes(coding: Coding, tmp_path: Path) -> None:
    source = coding.write(tmp_path / "in.mp4", dropped={30})

    spliced(source, tmp_path / "out.mp4")

    before, after = packet_bytes(source), packet_bytes(tmp_path / "out.mp4")
    # GOPs begin at 0, 12, 24, 37 …; the gap is in the third.
    untouched = [t for t in before if t < Fraction(24, 24) or t >= Fraction(37, 24)]
    assert len(untouched) > LENGTH // 2
    changed = [t for t in untouched if before[t] != after[t]]
    if coding is H264:
        assert changed == []
    else:  # x265 knows one id only, so that random-access points repeat their sets; what follows those is the same
        assert changed == [Fraction(slot, 24) for slot in (0, 12, 37, 49, 61)]
        assert [t for t in changed if not after[t].endswith(before[t])] == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_who_seeks_from_a_splice_to_anywhere_sees_the_right_pictures(
    coding: Coding, suffix: str, tmp_path: Path
) -> None:
    source = coding.write(tmp_path / f"in{suffix}", dropped={17, 42})
    spliced(source, tmp_path / f"out{suffix}")
    right = {frame.pts: frame.digest for frame in shown(tmp_path / f"out{suffix}")}

    with av.open(str(tmp_path / f"out{suffix}")) as container:
        stream = container.streams.video[0]
        for slot in (18, 60, 2, 44, 70, 30, 17, 12):  # one decoder, which keeps the sets of the last place
            container.seek(int(slot / coding.rate / stream.time_base), stream=stream)
            for _, frame in zip(range(8), container.decode(stream), strict=False):
                assert digest_of(frame) == right[frame.pts]


def packet_bytes(path: Path) -> dict[Fraction, bytes]:
    """Every picture packet by its time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {p.pts * p.time_base: bytes(p) for p in container.demux(stream) if p.size}


def test_h264_names_its_new_parameter_sets_in_the_header_so_that_avc1_stays_true(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})

    spliced(source, tmp_path / "out.mp4")

    film = coded_film(tmp_path / "out.mp4")
    assert len([key for key in film.sets if key[0] == 7]) == 2
    assert not any(picture.sets for picture in film.pictures)


def tag_of(path: Path) -> str:
    """MP4's name of the picture's coding."""
    with av.open(str(path)) as container:
        return str(container.streams.video[0].codec_context.codec_tag)


def test_hevc_in_mp4_says_hev1_and_the_report_says_who_minds(tmp_path: Path) -> None:
    source = HEVC.write(tmp_path / "in.mp4", dropped={17})

    report = spliced(source, tmp_path / "out.mp4")

    assert tag_of(tmp_path / "out.mp4") == "hev1"
    assert any("hev1" in note.text for note in report.notes)


@pytest.mark.parametrize("dropped", [{17}, {17, 42, 43}], ids=str)
def test_hevc_in_mp4_stays_hvc1_where_the_encoder_makes_the_films_own_parameter_sets(
    dropped: set[int], tmp_path: Path
) -> None:
    level = "level-idc=2.0"
    source = replace(HEVC, params=f"{HEVC.params}:{level}").write(tmp_path / "in.mp4", dropped=dropped)
    told = {"x265-params": level, "bf": str(HEVC.bf)}
    same = Job(encode=EncodeOptions(preset="veryfast", crf=28, extra=told))

    report = spliced(source, tmp_path / "out.mp4", job=same)

    assert tag_of(tmp_path / "out.mp4") == "hvc1"
    assert not any("hev1" in note.text for note in report.notes)
    film = coded_film(tmp_path / "out.mp4")
    assert not any(picture.sets for picture in film.pictures)
    before, after = packet_bytes(source), packet_bytes(tmp_path / "out.mp4")
    assert sum(after[time] == data for time, data in before.items()) >= kept_of(report)[0]


def test_hevc_that_is_encoded_or_copied_whole_is_hvc1_in_mp4(tmp_path: Path) -> None:
    source = HEVC.write(tmp_path / "in.mkv", dropped={17})
    for suffix in (".mp4", ".mov"):
        encoded, copied = tmp_path / f"encoded{suffix}", tmp_path / f"copied{suffix}"
        restore(source, encoded, options=BLEND, job=FAST)
        restore(encoded, copied, options=BLEND, smart=Smart.ONLY)

        assert tag_of(encoded) == tag_of(copied) == "hvc1"
        assert len(shown(encoded)) == len(shown(copied)) == LENGTH


def sorts_of(path: Path) -> set[CodedSort | None]:
    """Profile, level and tier of every sequence parameter set in a file."""
    film = coded_film(path)
    every = [film.sets, *(picture.sets for picture in film.pictures)]
    units = sorted(sequence_sets(every, codec=film.codec))
    return {sort_of({(33 if film.codec == "hevc" else 7, 0): unit}, codec=film.codec) for unit in units}


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize(
    ("coding", "more"),
    [
        (H264, "8x8dct=0:level=3.1"),
        (H264, "8x8dct=1:level=4.2"),
        (H264, "cabac=0:8x8dct=0:weightp=0:level=2"),
        (HEVC, "level-idc=4.1:high-tier=1"),
        (HEVC, "level-idc=5:high-tier=0"),
        (HEVC, "level-idc=3.1"),
    ],
    ids=["main", "high", "cavlc", "high-tier", "level-5", "level-3.1"],
)
def test_splices_state_the_films_own_profile_level_and_tier_at_every_preset(
    coding: Coding, more: str, preset: str, tmp_path: Path
) -> None:
    bf = 0 if "cabac=0" in more else coding.bf
    source = replace(coding, params=f"{coding.params}:{more}", bf=bf).write(tmp_path / "in.mkv", dropped={17})

    spliced(source, tmp_path / "out.mkv", job=Job(encode=EncodeOptions(preset=preset)))

    assert len(sorts_of(source)) == 1
    assert sorts_of(tmp_path / "out.mkv") == sorts_of(source)


def test_an_encoder_that_states_another_profile_than_the_film_is_refused(tmp_path: Path) -> None:
    one, other = (coded_film(coding.write(tmp_path / name)) for coding, name in ((H264, "a.mp4"), (HEVC, "b.mp4")))
    splice = matched(EncodeOptions(), film=one, reorder_depth=2, every_set=[])
    splice.check(one.sets, codec="h264")
    high = {key: unit[:3] + bytes([unit[3] + 1]) + unit[4:] for key, unit in one.sets.items()}
    with pytest.raises(CannotSplice, match=r"the encoder states profile 100, level 1\.1.* the film is profile 100"):
        splice.check(high, codec="h264")
    splice = matched(EncodeOptions(), film=other, reorder_depth=2, every_set=[])
    with pytest.raises(CannotSplice, match="main tier"):
        splice.check({key: unit.replace(b"\0\x1e", b"\0\x5d") for key, unit in other.sets.items()}, codec="hevc")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("gap", [11, 12, 13, 23, 24, 30, 47, 48])
def test_an_hevc_film_with_open_gops_is_spliced_with_its_leading_pictures(
    gap: int, suffix: str, tmp_path: Path
) -> None:
    coding = Coding(encoder="libx265", params=HEVC_OPEN, bf=3)
    source = coding.write(tmp_path / f"in{suffix}", dropped={gap})
    assert any(p.kind and p.kind.is_skipped_leading for p in coded_film(source).pictures), "not an open GOP"

    spliced(source, tmp_path / f"out{suffix}")


def test_an_h264_film_with_open_gops_is_spliced_from_idr_to_idr_only(tmp_path: Path) -> None:
    coding = Coding(encoder="libx264", params=H264_OPEN)
    source = coding.write(tmp_path / "in.mkv", dropped={40})
    film = coded_film(source)
    keys = [p for p in film.pictures if p.is_key]
    assert len(keys) > 3
    assert sum(bool(p.kind and p.kind.is_idr) for p in keys) == 1, "not an open GOP"

    report = spliced(source, tmp_path / "out.mkv")

    assert kept_of(report)[0] <= 40  # nothing behind the gap: there is no IDR


@pytest.mark.parametrize("bf", [0, 1, 3])
@pytest.mark.parametrize("dropped", [{1}, {70}, {11}, {12}, {5, 6, 30, 31, 32}], ids=str)
def test_gaps_at_the_edges_of_gops_and_of_the_film_find_room_for_their_decode_times(
    dropped: set[int], bf: int, tmp_path: Path
) -> None:
    spliced(replace(H264, bf=bf).write(tmp_path / "in.mp4", dropped=dropped), tmp_path / "out.mp4")


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "25"])
def test_broadcast_rates_keep_their_exact_times(rate: str, tmp_path: Path) -> None:
    coding = replace(H264, rate=Fraction(rate))
    source = coding.write(tmp_path / "in.mp4", dropped={20, 21})

    spliced(source, tmp_path / "out.mp4")

    assert [frame.seconds for frame in shown(tmp_path / "out.mp4")] == [n / coding.rate for n in range(LENGTH)]


def test_ten_bits_stay_ten_bits_in_both_codecs(tmp_path: Path) -> None:
    for coding in (replace(H264, pixel_format="yuv420p10le"), replace(HEVC, pixel_format="yuv420p10le")):
        source = coding.write(tmp_path / f"{coding.encoder}.mkv", dropped={17})
        spliced(source, tmp_path / f"{coding.encoder}-out.mkv")
        with av.open(str(tmp_path / f"{coding.encoder}-out.mkv")) as container:
            assert {frame.format.name for frame in container.decode(video=0)} == {"yuv420p10le"}


def test_lossless_hevc_gives_every_source_frame_bit_for_bit_even_in_the_splices(tmp_path: Path) -> None:
    source = HEVC.write(tmp_path / "in.mkv", dropped={17})

    spliced(source, tmp_path / "out.mkv", job=Job(encode=EncodeOptions(lossless=True)))

    before = {frame.pts: frame.digest for frame in shown(source)}
    after = {frame.pts: frame.digest for frame in shown(tmp_path / "out.mkv")}
    assert [pts for pts, digest in before.items() if after[pts] != digest] == []


def test_a_film_without_gaps_is_copied_as_ever(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped=())

    report = restore(source, tmp_path / "out.mp4", options=BLEND, job=FAST, smart=Smart.ONLY)

    assert [note.kind for note in report.notes] == ["copied"]


def test_damage_that_only_decoding_shows_is_spliced_too(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mkv", dropped=())
    damaged = tmp_path / "damaged.mkv"
    with av.open(str(source)) as container, av.open(str(damaged), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            made = packet
            if number == 28:  # its slice is cut short: an undecodable picture
                made = av.Packet(bytes(packet)[:9])
                made.pts, made.dts, made.time_base, made.duration = packet.pts, packet.dts, packet.time_base, 1
            made.stream = copy
            output.mux(made)

    report = restore(damaged, tmp_path / "out.mkv", options=BLEND, job=FAST, smart=Smart.ONLY)

    kept, total = kept_of(report)
    assert total - 12 <= kept < total
    assert len(report.made) > 0
    assert verify(damaged, tmp_path / "out.mkv").failures == ()


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


def test_a_plan_for_another_film_or_a_film_changed_since_is_refused(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4")
    _, plan = plan_file(source, verb=Restore(), options=BLEND)
    H264.write(source, dropped={30})

    with pytest.raises(PlanError, match="another stream"):
        restore(source, tmp_path / "out.mp4", plan=plan, smart=Smart.AUTO)
    assert not (tmp_path / "out.mp4").exists()


def test_parameter_sets_that_change_on_the_way_are_sent_again_where_they_are_needed(tmp_path: Path) -> None:
    first = H264.write(tmp_path / "a.ts", dropped={13})
    other = replace(H264, params=H264.params + ":cabac=0:ref=1:weightp=0", bf=0)
    joined = join(first, other.write(tmp_path / "b.ts", dropped={8, 9}), tmp_path / "in.ts")
    assert len({unit for p in coded_film(joined).pictures for unit in p.sets.values()}) > 2, "nothing changes"

    report = spliced(joined, tmp_path / "out.mkv")

    assert report.frame_count == 2 * LENGTH


def join(one: Path, other: Path, target: Path) -> Path:
    """Both films' packets one after the other, start codes and all."""
    with av.open(str(target), "w") as output:
        with av.open(str(one)) as container:
            copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        later = 0
        for path in (one, other):
            times = [pts for pts, _, _ in video_packets(path)]
            later = later - min(times) if path is other else 0
            with av.open(str(path)) as container:
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + later, packet.dts + later
                        packet.stream = copy
                        output.mux(packet)
            later = max(times) + 3750
    return target


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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    "coding", [H264, HEVC, Coding(encoder="libx265", params=HEVC_OPEN, bf=3)], ids=["h264", "hevc", "hevc-open"]
)
def test_a_full_check_decodes_every_picture_and_finds_nothing_wrong(
    coding: Coding, suffix: str, tmp_path: Path
) -> None:
    source = coding.write(tmp_path / f"in{suffix}", dropped={11, 12, 63}, start=Fraction(1))

    report = spliced(source, tmp_path / f"out{suffix}", job=replace(FAST, check=Check.ALL))

    assert any("every picture was decoded" in note.text for note in report.notes)


def test_only_a_full_check_looks_at_pictures_far_from_any_splice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={2})
    keep = Splicer.keep

    def keep_another(self: Splicer, packet: AnyPacket, *, index: int) -> None:
        if index == 50:
            made = av.Packet(bytes(packet)[:-4] + bytes(4))
            made.pts, made.dts, made.time_base, made.stream = packet.pts, packet.dts, packet.time_base, packet.stream
            packet = made
        keep(self, packet, index=index)

    monkeypatch.setattr(Splicer, "keep", keep_another)
    with pytest.raises(CannotSplice, match=r"1 of .* packets that were to be kept"):
        restore(source, tmp_path / "out.mp4", options=BLEND, job=FAST, smart=Smart.ONLY)

    monkeypatch.setattr(splicecheck, "_check_packets", lambda *given: None)
    with pytest.raises(CannotSplice, match="decodes otherwise"):
        restore(source, tmp_path / "out.mp4", options=BLEND, job=replace(FAST, check=Check.ALL), smart=Smart.ONLY)
    assert not (tmp_path / "out.mp4").exists()
    restore(source, tmp_path / "out.mp4", options=BLEND, job=FAST, smart=Smart.ONLY)


def test_verify_tells_a_film_that_was_tampered_with(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    spliced(source, tmp_path / "good.mp4")
    with av.open(str(tmp_path / "good.mp4")) as container, av.open(str(tmp_path / "bad.mp4"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size and number != 2:  # a reference of the first GOP is gone
                packet.stream = copy
                output.mux(packet)

    found = verify(source, tmp_path / "bad.mp4")

    assert any("is missing" in failure for failure in found.failures)
    assert any("decodes otherwise" in failure or "cleanly" in failure for failure in found.failures)


def test_a_whole_encode_is_told_from_a_splice(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    restore(source, tmp_path / "out.mp4", options=BLEND, job=FAST)

    found = verify(source, tmp_path / "out.mp4")

    assert found.failures == ()
    assert found.count(found.packets) == {Origin.COPIED: 0, Origin.REENCODED: LENGTH - 1, Origin.MADE: 1}


def test_verify_tells_another_picture_from_one_that_was_encoded_again(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped=())
    with av.open(str(source)) as container, av.open(str(tmp_path / "bad.mp4"), "w") as output:
        video = container.streams.video[0]
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = video.time_base
        for number, frame in enumerate(container.decode(video)):
            if number == 20:
                luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
                luma[: frame.height // 4, : frame.width // 4] = 255 - luma[: frame.height // 4, : frame.width // 4]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    found = verify(source, tmp_path / "bad.mp4")

    assert len(found.failures) == 1
    assert "another picture than the source's" in found.failures[0]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, run in a folder."""
    return CommandLine(tmp_path, capsys)


def test_the_command_line_takes_smart_with_and_without_a_value(command: CommandLine, tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    ran = command.done("restore", "--smart", source, tmp_path / "a.mp4", "--engine", "blend")
    assert "kept bit for bit" in ran.err
    command.done("restore", "--smart=auto", source, tmp_path / "b.mp4", "--engine", "blend")

    ran = command.done("verify", source, tmp_path / "a.mp4", "--json", tmp_path / "proof.json")

    proof = json.loads((tmp_path / "proof.json").read_text())
    assert proof["packets"]["made"] == 1
    assert proof["failures"] == []
    assert "copied" in ran.out
    said = command.refused("restore", "--smart", source, tmp_path / "c.mp4", "--duration", "1")
    assert "--smart=auto" in said
    ran = command.done("restore", "--smart", "--check", "all", source, tmp_path / "d.mp4", "--engine", "blend")
    assert "every picture was decoded" in ran.err
    said = command.refused("restore", "--check=all", source, tmp_path / "e.mp4", code=2)
    assert "--check goes with --smart" in said


def test_verify_says_of_two_different_films_that_they_are_and_lists_no_faults(
    command: CommandLine, tmp_path: Path
) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    others = {
        "real.mp4": H264.write(tmp_path / "real.mp4", real=True),
        "later.mp4": write_clip(tmp_path / "later.mp4", rate=H264.rate, frames=range(500, 500 + LENGTH)),
    }
    for name, other in others.items():
        said = command.refused("verify", source, other)

        assert "are different films" in said
        assert name in said
        assert "missing" not in said


def test_verify_shows_how_many_packets_and_frames_are_copied_encoded_again_and_made(
    command: CommandLine, tmp_path: Path
) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    report = spliced(source, tmp_path / "out.mp4")

    ran = command.done("verify", source, tmp_path / "out.mp4")

    rows = [line.split() for line in ran.out.splitlines()]
    kept, total = kept_of(report)
    assert ["copied", "re-encoded", "made"] in rows
    assert ["packets", str(kept), str(total - kept), "1"] in rows
    assert any(row[:1] == ["frames"] and row[-1] == "1" for row in rows)
    assert "marked in the stream as made: 1 by blend" in ran.out


def test_verify_fails_where_frames_of_the_source_are_missing(command: CommandLine, tmp_path: Path) -> None:
    source, less = H264.write(tmp_path / "in.mp4", dropped=()), HEVC.write(tmp_path / "less.mp4", dropped={30})

    said = command.refused("verify", source, less)

    assert "is missing" in said


def test_copied_frames_are_the_sources_pixels(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={30})
    spliced(source, tmp_path / "out.mp4")
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        before = {frame.pts: digest_of(frame) for frame in one.decode(video=0)}
        after = {frame.pts: digest_of(frame) for frame in other.decode(video=0)}
    same = np.array([after[pts] == digest for pts, digest in before.items()])
    assert same[:24].all()
    assert same[36:].all()
