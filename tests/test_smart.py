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
    scan,
    thin,
    verify,
)
from codec_plugin.media.gops import coded_film
from codec_plugin.media.packets import AnyPacket
from codec_plugin.media.splice import Splicer
from codec_plugin.smart import splicecheck
from codec_plugin.thinning.thin import DropRanges
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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("coding", [H264, HEVC], ids=["h264", "hevc"])
def test_a_spliced_film_that_loses_pictures_again_is_spliced_again(coding: Coding, suffix: str, tmp_path: Path) -> None:
    spliced(coding.write(tmp_path / f"in{suffix}", dropped={17}), tmp_path / f"once{suffix}")
    film = coded_film(tmp_path / f"once{suffix}")
    spare = [index for index, p in enumerate(film.pictures) if p.kind and not p.kind.is_reference]
    lost = {spare[3], spare[-3]}
    with av.open(str(tmp_path / f"once{suffix}")) as container, av.open(str(tmp_path / f"less{suffix}"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        copy.codec_context.codec_tag = container.streams.video[0].codec_context.codec_tag
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if number not in lost:
                packet.stream = copy
                output.mux(packet)

    report = restore(tmp_path / f"less{suffix}", tmp_path / f"twice{suffix}", options=BLEND, job=FAST, smart=Smart.ONLY)

    assert report.frame_count == LENGTH
    assert len(report.made) == 2
    assert verify(tmp_path / f"less{suffix}", tmp_path / f"twice{suffix}").failures == ()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_a_drop_map_in_kept_packets_stays_true_once_the_frames_are_there_and_marked(
    encoder: str, suffix: str, tmp_path: Path
) -> None:
    coding = H264 if encoder == "libx264" else HEVC
    whole = coding.write(tmp_path / "whole.mkv", dropped=())
    params = {"libx264": "x264-params", "libx265": "x265-params"}[encoder]
    job = Job(encode=EncodeOptions(encoder=encoder, preset="ultrafast", extra={params: "keyint=12:open-gop=0"}))
    thin(whole, tmp_path / f"thin{suffix}", pattern=DropRanges.parse("5,30:32,57"), job=job)
    assert scan(tmp_path / f"thin{suffix}").side.dropped == 4

    spliced(tmp_path / f"thin{suffix}", tmp_path / f"back{suffix}", job=job)

    found = scan(tmp_path / f"back{suffix}")
    assert found.side.objections == ()
    assert len(found.side.made) == 4
    assert found.gaps == ()


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
