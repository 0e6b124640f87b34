"""Smart restore: what no gap touches stays bit for bit, and the spliced stream decodes as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from codec_plugin import (
    CannotSplice,
    Check,
    EncodeOptions,
    Job,
    Smart,
    restore,
    verify,
)
from codec_plugin.media.gops import coded_film
from codec_plugin.media.packets import AnyPacket
from codec_plugin.media.parameters import CodedSort, sequence_sets, sort_of
from codec_plugin.media.splice import Splicer, matched
from codec_plugin.smart import splicecheck
from tests.codings import (
    BLEND,
    DROPPED,
    FAST,
    H264,
    H264_OPEN,
    HEVC,
    HEVC_OPEN,
    LENGTH,
    Coding,
    kept_of,
    packet_bytes,
    spliced,
    tag_of,
)
from tests.makers import CommandLine
from tests.synth import digest_of, shown


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


def test_h264_names_its_new_parameter_sets_in_the_header_so_that_avc1_stays_true(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})

    spliced(source, tmp_path / "out.mp4")

    film = coded_film(tmp_path / "out.mp4")
    assert len([key for key in film.sets if key[0] == 7]) == 2
    assert not any(picture.sets for picture in film.pictures)


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


def test_copied_frames_are_the_sources_pixels(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={30})
    spliced(source, tmp_path / "out.mp4")
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        before = {frame.pts: digest_of(frame) for frame in one.decode(video=0)}
        after = {frame.pts: digest_of(frame) for frame in other.decode(video=0)}
    same = np.array([after[pts] == digest for pts, digest in before.items()])
    assert same[:24].all()
    assert same[36:].all()
