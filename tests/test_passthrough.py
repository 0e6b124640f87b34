"""Everything that isn't the picture goes through as it was, and what can't is said."""

from __future__ import annotations

import hashlib
import json
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from tests.makers import (
    ASS,
    FAST,
    FONT,
    SRT,
    X264,
    X264_REORDERED,
    CommandLine,
    Part,
    add_video,
    decoded,
    join_streams,
    opened,
    packet_digests,
    picture,
    put_sound,
    put_video,
    shown_times,
    sound,
    video_packets,
    write_clip,
    write_cover,
    write_sound,
)

pytestmark = pytest.mark.timeout(120)

CHAPTERS = ((0, 400, "Beginning"), (400, 960, "End"))
TAGS = {"title": "A small film", "ARTIST": "Nobody", "comment": "ümläut ✓", "MY_OWN_KEY": "kept"}
COVER = int(Disposition.attached_pic)


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("CODEC_PLUGIN_TRACEBACK", "1")
    return CommandLine(tmp_path, capfd)


def full_mkv(folder: Path, frames: list[int] | range = range(24)) -> Path:
    """A film with one of everything that Matroska holds."""
    film = write_clip(folder / "film.mkv", frames=frames, options=X264_REORDERED)
    angle = write_clip(folder / "angle.mkv", size=(48, 32), codec="mpeg4", options={})
    german = write_sound(folder / "german.mka", tone_hz=440)
    french = write_sound(folder / "french.mka", tone_hz=660, codec="flac")
    (folder / "words.srt").write_text(SRT, encoding="utf-8")
    (folder / "words.ass").write_text(ASS, encoding="utf-8")
    cover = write_cover(folder / "cover.png")
    d = Disposition
    parts = [
        Part(path=film, metadata={"title": "Main", "language": "eng"}, disposition=int(d.default)),
        Part(path=angle, metadata={"title": "Other angle"}),
        Part(path=german, metadata={"title": "Ton", "language": "ger"}, disposition=int(d.default)),
        Part(path=french, metadata={"title": "Commentaire", "language": "fre"}, disposition=int(d.comment)),
        Part(path=folder / "words.srt", metadata={"language": "eng"}, disposition=int(d.forced)),
        Part(
            path=folder / "words.ass",
            metadata={"language": "ita", "title": "Stile"},
            disposition=int(d.hearing_impaired),
        ),
    ]
    attachments = [("font.ttf", "font/ttf", FONT), ("cover.png", "image/png", cover)]
    return join_streams(folder / "full.mkv", parts, metadata=TAGS, chapters=CHAPTERS, attachments=attachments)


def contents(path: Path) -> list[tuple[str, str, str | None, str | None, int]]:
    """(kind, codec, language, title, disposition) of each stream."""
    with opened(path) as container:
        return [
            (
                stream.type,
                getattr(getattr(stream, "codec_context", None), "name", "") or "",
                stream.metadata.get("language"),
                stream.metadata.get("title"),
                int(stream.disposition),
            )
            for stream in container.streams
        ]


def copied_digests(path: Path) -> dict[int, list[str]]:
    """Packet digests of every stream with packets, but for the first one."""
    with opened(path) as container:
        indices = [s.index for s in container.streams if s.type != "attachment"]
    return {index: packet_digests(path, index) for index in indices[1:]}


def attachments(path: Path) -> list[tuple[str | None, str | None, str]]:
    with opened(path) as container:
        return [
            (stream.metadata.get("filename"), stream.mimetype, hashlib.md5(stream.data).hexdigest())
            for stream in container.streams
            if stream.type == "attachment"
        ]


def chapters(path: Path) -> list[tuple[float, float, str]]:
    with opened(path) as container:
        return [
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]


def tags(path: Path) -> dict[str, str]:
    """A file's tags, without those of its writer and our map of frames; in lower case, as some muxers change them."""
    own = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "codec_plugin")
    with opened(path) as container:
        return {key.lower(): value for key, value in container.metadata.items() if key.lower() not in own}


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("double", FAST),
        ("restore", FAST),
        ("thin", ("--keep-every", "2", "--preset", "ultrafast")),
        ("restore a gap", FAST),
    ],
)
def test_everything_that_matroska_holds_arrives_in_matroska(
    verb: str, told: tuple[str, ...], cli: CommandLine, tmp_path: Path
) -> None:
    frames = [*range(9), *range(11, 24)] if verb == "restore a gap" else range(24)
    source, out = full_mkv(tmp_path, frames), tmp_path / "out.mkv"
    cli.done(verb.split()[0], source, out, *told)
    assert contents(out) == contents(source)
    assert len(contents(out)) == 8
    assert copied_digests(out) == copied_digests(source)
    assert attachments(out) == attachments(source)
    assert attachments(out)[0][2] == hashlib.md5(FONT).hexdigest()
    assert chapters(out) == chapters(source)
    assert [title for _, _, title in chapters(out)] == ["Beginning", "End"]
    assert tags(out) == tags(source)
    assert tags(out)["my_own_key"] == "kept"


def test_copied_packets_keep_their_times(cli: CommandLine, tmp_path: Path) -> None:
    source, out = full_mkv(tmp_path), tmp_path / "out.mkv"
    cli.done("double", source, out, *FAST)
    for index in range(1, 6):
        before = [pts for pts, _, _ in video_packets(source, index)]
        assert [pts for pts, _, _ in video_packets(out, index)] == before


def test_the_second_video_stream_can_be_the_one_that_is_worked_on(cli: CommandLine, tmp_path: Path) -> None:
    source, out = full_mkv(tmp_path), tmp_path / "out.mkv"
    cli.done("double", source, out, "--engine", "blend", "--video", "1")
    assert packet_digests(out, 0) == packet_digests(source, 0)
    assert len(shown_times(out, 1)) == 48


def full_mp4(folder: Path, *, options: dict[str, str] | None = None) -> Path:
    """An MP4 with what only MP4 has: rotation, time code, an edit list over the sound's priming."""
    path = folder / "full.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update({"title": "A small film", "my_own_key": "kept", "comment": "ümläut"})
        stream = add_video(container, options=options or X264)
        stream.metadata.update({"timecode": "01:02:03:04", "language": "eng", "handler_name": "Camera"})
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(4, 3)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 14, 9, 1
        tone = sound(container)
        tone.metadata.update({"language": "ger", "handler_name": "Microphone"})
        first = picture(0)
        assert first.width == context.width
        stream.set_display_rotation(90)
        put_video(container, stream, range(24))
        put_sound(container, tone)
    return path


def mp4_facts(path: Path) -> dict[str, object]:
    """What an MP4 says of its picture, as headers and decoder have it."""
    with opened(path) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        data = [s for s in container.streams if s.type == "data"]
        return {
            "rotation": frame.rotation,
            "aspect": stream.codec_context.sample_aspect_ratio,
            "primaries": int(frame.color_primaries),
            "transfer": int(frame.color_trc),
            "matrix": int(frame.colorspace),
            "range": int(frame.color_range),
            "language": stream.metadata.get("language"),
            "handler": stream.metadata.get("handler_name"),
            "timecode": stream.metadata.get("timecode"),
            "timecode tracks": [s.metadata.get("timecode") for s in data],
            "sounds": [(s.language, s.metadata.get("handler_name")) for s in container.streams.audio],
        }


@pytest.mark.parametrize("verb", ["double", "restore", "thin"])
@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_an_mp4_keeps_rotation_aspect_colour_time_code_and_tags(
    ending: str, verb: str, cli: CommandLine, tmp_path: Path
) -> None:
    source, out = full_mp4(tmp_path), tmp_path / f"out.{ending}"
    told = ("--keep-every", "2", "--preset", "ultrafast") if verb == "thin" else FAST
    cli.done(verb, source, out, *told)
    facts = mp4_facts(source)
    assert facts["rotation"] == 90  # what is compared is really there
    assert facts["aspect"] == Fraction(4, 3)
    assert facts["timecode"] == "01:02:03:04"
    assert facts["primaries"] == 9
    assert mp4_facts(out) == facts
    assert tags(out) == tags(source)
    assert tags(out)["my_own_key"] == "kept"
    assert packet_digests(out, 1) == packet_digests(source, 1)


def test_rotation_and_aspect_survive_a_change_of_container(cli: CommandLine, tmp_path: Path) -> None:
    source, out = full_mp4(tmp_path), tmp_path / "out.mkv"
    cli.done("double", source, out, *FAST, "--drop-unsupported")
    before, after = mp4_facts(source), mp4_facts(out)
    for key in ("rotation", "aspect", "primaries", "transfer", "matrix", "range", "sounds"):
        if key != "sounds":
            assert after[key] == before[key], key


def side_data(path: Path) -> dict[str, bytes]:
    """HDR10 side data of the first picture."""
    kinds = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
    with opened(path) as container:
        frame = next(container.decode(video=0))
        return {item.type.name: bytes(item) for item in frame.side_data if item.type in kinds}


def mastering(path: Path) -> list[Fraction]:
    """The ten numbers of the mastering display."""
    numbers = struct.unpack_from("<20i", side_data(path)["MASTERING_DISPLAY_METADATA"])
    return [Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]


def light(path: Path) -> tuple[int, int]:
    """MaxCLL and MaxFALL."""
    return struct.unpack_from("<2I", side_data(path)["CONTENT_LIGHT_LEVEL"])


HDR10 = (
    "log-level=none:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
)


def hdr10_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x265-params": HDR10}
        stream = add_video(container, "libx265", pixel_format="yuv420p10le", size=(96, 64), options=options)
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        put_video(container, stream, range(8))
    return path


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_hdr10_stays_hevc_with_ten_bits_and_its_mastering_data(ending: str, cli: CommandLine, tmp_path: Path) -> None:
    source, out = hdr10_clip(tmp_path / f"hdr.{ending}"), tmp_path / f"out.{ending}"
    assert light(source) == (1000, 400)
    cli.done("double", source, out, *FAST)
    with opened(out) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("hevc", "yuv420p10le")
        frame = next(container.decode(video=0))
        assert (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)) == (9, 16, 9)
    assert light(out) == (1000, 400)
    assert mastering(out) == mastering(source)
    assert len(decoded(out)) == 16


def test_hdr10_can_become_av1_with_its_mastering_data(cli: CommandLine, tmp_path: Path) -> None:
    source, out = hdr10_clip(tmp_path / "hdr.mkv"), tmp_path / "out.mkv"
    cli.done("double", source, out, "--engine", "blend", "--encoder", "libsvtav1", "--preset", "12", "--threads", "2")
    assert light(out) == (1000, 400)
    assert [float(value) for value in mastering(out)] == pytest.approx(
        [float(value) for value in mastering(source)], abs=1e-4
    )
    with opened(out) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p10le"


def test_av1_becomes_av1_again(cli: CommandLine, tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "film.mkv",
        codec="libsvtav1",
        size=(64, 64),
        frames=range(8),
        options={"preset": "12", "svtav1-params": "lp=1"},
    )
    out = tmp_path / "out.mkv"
    ran = cli.done("double", source, out, "--engine", "blend", "--preset", "12", "--threads", "2")
    assert "libsvtav1" in ran.err
    with opened(out) as container:
        assert container.streams.video[0].codec_context.name in ("libdav1d", "av1")
    assert len(decoded(out)) == 16


@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts", "mov", "webm"])
def test_a_film_without_gaps_is_copied_packet_for_packet(ending: str, cli: CommandLine, tmp_path: Path) -> None:
    codec, options = ("libvpx-vp9", {"cpu-used": "8"}) if ending == "webm" else ("libx264", X264_REORDERED)
    source = write_clip(tmp_path / f"film.{ending}", codec=codec, options=options)
    out = tmp_path / f"out.{ending}"
    ran = cli.done("restore", source, out, *FAST)
    assert "no gaps" in ran.err
    before, after = video_packets(source), video_packets(out)
    if ending == "ts":  # which repeats parameter sets and delimiters as it likes, and has its own first moment
        assert [pts - after[0][0] for pts, _, _ in after] == [pts - before[0][0] for pts, _, _ in before]
    else:
        assert [(pts, data) for pts, _, data in after] == [(pts, data) for pts, _, data in before]
    assert np.array_equal(*(np.stack([frame.to_ndarray() for frame in decoded(path)]) for path in (source, out)))


@pytest.mark.parametrize("before", ["mp4", "mkv"])
def test_mpeg_4_part_2_can_be_read_again_from_a_transport_stream(before: str, cli: CommandLine, tmp_path: Path) -> None:
    """MP4 and Matroska keep its headers beside the packets; a transport stream has no such place."""
    source = write_clip(tmp_path / f"film.{before}", codec="mpeg4", options={"bf": "2", "g": "12"})
    cli.done("restore", source, tmp_path / "out.ts", "--engine", "blend")
    assert len(decoded(tmp_path / "out.ts")) == 24


@pytest.mark.parametrize("verb", ["double", "restore"])
def test_a_late_start_moves_sound_and_picture_alike_and_is_reported(
    verb: str, cli: CommandLine, tmp_path: Path
) -> None:
    source = tmp_path / "late.ts"
    with av.open(str(source), "w", options={"muxdelay": "0"}) as container:
        stream, tone = add_video(container), sound(container)
        # The picture begins 0.2 s after the sound.
        frames = [*range(9), *range(11, 24)]
        put_video(container, stream, frames, start_ticks=40, flush=True)
        put_sound(container, tone, start_s=1.4)
    out = tmp_path / "out.mp4"
    ran = cli.done(verb, source, out, *FAST, "--report", tmp_path / "report.json")
    lag_before, lag_after = lag_of_picture(source), lag_of_picture(out)
    assert lag_before == pytest.approx(0.2, abs=0.03)
    assert lag_after == pytest.approx(lag_before, abs=0.002)
    offset = Fraction(json.loads((tmp_path / "report.json").read_text())["offset"])
    assert "all times moved" in ran.err
    assert float(shown_times(out)[0]) == pytest.approx(float(shown_times(source)[0] + offset), abs=0.001)
    assert float(offset) == pytest.approx(-1.4, abs=0.05)


def lag_of_picture(path: Path) -> float:
    """How long after the sound the picture begins, in seconds."""
    with opened(path) as container:
        first: dict[str, float] = {}
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            if packet.pts is not None and not packet.is_discard:
                at = float(packet.pts * packet.time_base)
                kind = packet.stream.type
                first[kind] = min(first.get(kind, at), at)
    return first["video"] - first["audio"]


def test_sound_and_picture_end_together(cli: CommandLine, tmp_path: Path) -> None:
    source, out = full_mp4(tmp_path), tmp_path / "out.mp4"
    cli.done("double", source, out, *FAST)
    with opened(out) as container:
        ends = {}
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream.type] = max(ends.get(packet.stream.type, end), end)
    assert ends["video"] == pytest.approx(0.96, abs=0.001)
    assert ends["audio"] == pytest.approx(1.0, abs=0.04)


def test_a_preview_takes_sound_and_subtitles_of_its_window_only(cli: CommandLine, tmp_path: Path) -> None:
    source, out = full_mkv(tmp_path), tmp_path / "out.mkv"
    cli.done("double", source, out, *FAST, "--start", "0.4", "--duration", "0.4")
    times = [float(time) for time in shown_times(out)]
    assert times[0] == pytest.approx(0, abs=0.001)
    assert len(times) == 20
    assert np.diff(times) == pytest.approx(np.full(19, 0.02), abs=0.0011)
    sound_times = [pts / 1000 for pts, _, _ in video_packets(out, 2)]
    assert min(sound_times) >= 0
    assert max(sound_times) < 0.4
    words = [data for _, _, data in video_packets(out, 4)]
    assert words == [b"General <i>greetings</i>"]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts"])
def test_a_preview_that_is_over_before_the_sound_begins_has_its_pictures(
    ending: str, cli: CommandLine, tmp_path: Path
) -> None:
    """MP4 leaves out tracks without samples, and the picture isn't where it was among the streams."""
    source, out = tmp_path / "film.mov", tmp_path / f"out.{ending}"
    with av.open(str(source), "w") as container:
        tone, stream = sound(container), add_video(container)
        put_video(container, stream, range(24))
        put_sound(container, tone, start_s=0.8, seconds=0.2)
    cli.done("double", source, out, *FAST, "--duration", "0.4")
    assert len(decoded(out)) == 20


def test_what_matroska_cannot_say_of_a_vp9_picture_is_reported(cli: CommandLine, tmp_path: Path) -> None:
    source = full_mp4(tmp_path)
    ran = cli.done(
        "double", source, tmp_path / "out.mkv", "--engine", "blend", "--encoder", "libvpx-vp9", "--preset", "8"
    )
    assert "sample aspect ratio 4:3" in ran.err


@pytest.mark.parametrize(("before", "after"), [("mkv", "mkv"), ("mkv", "mp4"), ("mp4", "mp4"), ("mp4", "mkv")])
def test_cover_art_goes_from_container_to_container(before: str, after: str, cli: CommandLine, tmp_path: Path) -> None:
    film, cover = write_clip(tmp_path / "film.mkv"), write_cover(tmp_path / "cover.png")
    parts = [Part(path=film, metadata={})]
    if before == "mp4":
        parts.append(Part(path=tmp_path / "cover.png", metadata={}, disposition=COVER))
    attached = [("cover.png", "image/png", cover)] if before == "mkv" else []
    source = join_streams(tmp_path / f"covered.{before}", parts, attachments=attached)
    out = tmp_path / f"out.{after}"
    cli.done("double", source, out, *FAST)
    with opened(out) as container:
        assert [bool(s.disposition & Disposition.attached_pic) for s in container.streams] == [False, True]
    assert [data for _, _, data in video_packets(out, 1)] == [cover]
    assert len(shown_times(out, 0)) == 48
