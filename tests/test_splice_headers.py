"""What a spliced film says of itself: its parameter sets and where they stand, its profile, level and tier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
from av.bitstream import BitStreamFilterContext

from codec_plugin import CannotSplice, EncodeOptions, Job, Smart, restore
from codec_plugin.media.gops import coded_film
from codec_plugin.media.parameters import CodedSort, sequence_sets, sort_of
from codec_plugin.media.splice import matched
from tests.codings import BLEND, FAST, H264, HEVC, LENGTH, Coding, kept_of, packet_bytes, spliced, tag_of
from tests.synth import shown


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


def test_a_film_that_states_a_lower_level_than_its_size_needs_is_refused_and_auto_encodes_it(tmp_path: Path) -> None:
    source = HEVC.write(tmp_path / "in.ts", real=True, dropped={17})
    low = tmp_path / "low.ts"
    with av.open(str(source)) as container, av.open(str(low), "w") as output:
        stream = container.streams.video[0]
        lower = BitStreamFilterContext("hevc_metadata=level=1", stream)
        copy = output.add_stream_from_template(stream, opaque=True)
        for packet in container.demux(stream):
            for lowered in lower.filter(packet) if packet.size else ():
                lowered.stream = copy
                output.mux(lowered)

    with pytest.raises(CannotSplice, match="level may be too low"):
        restore(low, tmp_path / "out.ts", options=BLEND, job=FAST, smart=Smart.ONLY)
    report = restore(low, tmp_path / "out.ts", options=BLEND, job=FAST, smart=Smart.AUTO)

    assert report.frame_count == LENGTH
    assert any("encoded anew" in note.text for note in report.notes)
