"""The codec's round trip: a film thinned and restored, for each codec and container, and what a bitstream must hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin import (
    EncodeOptions,
    Job,
    Origin,
    RestoreOptions,
    RestoreReport,
    Smart,
    plan_file,
    restore,
    thin,
    verify,
)
from codec_plugin.grids import Restore
from codec_plugin.media.streams import stream_digests
from codec_plugin.thinning.thin import DropRanges, KeepEvery
from tests.makers import put_sound, sound
from tests.synth import digest_of, picture, shown, stream_end

BLEND = RestoreOptions(engine="blend")
SLOTS = 48
GAPS = DropRanges.parse("5,9:12,30:32")
FFMPEG = shutil.which("ffmpeg")
NEEDS_FFMPEG = pytest.mark.skipif(FFMPEG is None, reason="no program ffmpeg here: install the distribution's package")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An encoder in a container."""

    encoder: str
    suffix: str
    preset: str = "ultrafast"
    extra: str = ""

    def __str__(self) -> str:
        return f"{self.encoder}{self.extra and '-' + self.extra}{self.suffix}"

    @property
    def job(self) -> Job:
        """Encodes so."""
        params = {"libx264": "x264-params", "libx265": "x265-params"}
        extra = {params[self.encoder]: self.extra} if self.extra else {}
        preset = self.preset if self.encoder in (*params, "libsvtav1") else None
        return Job(encode=EncodeOptions(encoder=self.encoder, preset=preset, extra=extra))


_OPEN = "open-gop=1:keyint=12:min-keyint=12"
WAYS = [
    *(Way(encoder="libx264", suffix=s) for s in (".mp4", ".mkv", ".ts", ".mov")),
    *(Way(encoder="libx264", suffix=s, preset="medium") for s in (".mp4", ".mkv", ".ts")),
    *(Way(encoder="libx264", suffix=s, preset="medium", extra=_OPEN) for s in (".mp4", ".mkv", ".ts")),
    *(Way(encoder="libx265", suffix=s) for s in (".mp4", ".mkv", ".ts")),
    *(Way(encoder="libx265", suffix=s, extra=_OPEN) for s in (".mp4", ".mkv", ".ts")),
    *(Way(encoder="libsvtav1", suffix=s, preset="12") for s in (".mp4", ".mkv", ".webm")),
    *(Way(encoder="libvpx-vp9", suffix=s) for s in (".webm", ".mkv")),
    Way(encoder="ffv1", suffix=".mkv"),
    Way(encoder="mpeg2video", suffix=".ts"),
]


def content(kind: str, slot: int) -> VideoFrame:
    """Frame `slot` of a fixture: one that moves, or one of those that trip up who makes frames."""
    frame = picture(slot, scene=int(kind == "cut" and slot >= SLOTS // 2))
    if kind == "still":
        frame = picture(0)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    if kind == "fade":
        luma[:] = (luma * (1 - slot / SLOTS)).astype(np.uint8)
    elif kind == "black" and 8 <= slot < 14:
        luma[:] = 16
    elif kind == "flash" and slot in (10, 31):
        luma[:] = 235
    return frame


def write_film(
    path: Path,
    *,
    rate: Fraction = Fraction(24),
    kind: str = "moving",
    with_sound: bool = False,
    start_slots: int = 0,
    pixel_format: str = "yuv420p",
    hdr: bool = False,
) -> Path:
    """A lossless film of `SLOTS` frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.time_base = stream.codec_context.time_base = 1 / rate
        if hdr:
            stream.codec_context.color_primaries, stream.codec_context.color_trc = 9, 16
            stream.codec_context.colorspace, stream.codec_context.color_range = 9, 1
        tone = sound(container, codec="aac") if with_sound else None
        for slot in range(SLOTS):
            frame = content(kind, slot) if pixel_format == "yuv420p" else picture(slot, pixel_format=pixel_format)
            frame.pts, frame.time_base = slot + start_slots, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            put_sound(container, tone, seconds=float(SLOTS / rate))
    return path


def there_and_back(source: Path, folder: Path, way: Way, *, smart: Smart = Smart.OFF) -> tuple[Path, RestoreReport]:
    """The film thinned and restored."""
    thinned, back = folder / f"thin{way.suffix}", folder / f"back{way.suffix}"
    thin(source, thinned, pattern=GAPS, job=way.job)
    _, plan = plan_file(thinned, verb=Restore(), options=BLEND)
    report = restore(thinned, back, options=BLEND, job=way.job, smart=smart)
    assert plan.frame_count == report.frame_count == len(shown(back))
    return back, report


def since_first(path: Path) -> list[Fraction]:
    """Times after the first frame, in seconds."""
    frames = shown(path)
    return [frame.seconds - frames[0].seconds for frame in frames]


def decode_times(path: Path) -> list[int]:
    """Every decode time that the container tells, in its order."""
    with av.open(str(path)) as container:
        return [packet.dts for packet in container.demux(video=0) if packet.size and packet.dts is not None]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_original_time_comes_back_and_decode_times_rise(way: Way, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", rate=Fraction(25))

    back, report = there_and_back(source, tmp_path, way)

    tick = Fraction(1, 1000)
    after = since_first(back)
    assert len(after) == SLOTS
    assert all(abs(time - Fraction(slot, 25)) <= tick for slot, time in enumerate(after))
    assert len(report.made) == 6
    times = decode_times(back)
    assert all(one < other for one, other in pairwise(times))


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "25", "50"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_and_picture_end_together_at_every_broadcast_rate(suffix: str, rate: str, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", rate=Fraction(rate), with_sound=True)
    way = Way(encoder="libx264", suffix=suffix)

    back, _ = there_and_back(source, tmp_path, way, smart=Smart.AUTO)

    def apart(path: Path) -> Fraction:
        return stream_end(path, "video") - stream_end(path, "audio")

    # The last packets' lengths are rounded to the container's ticks; sound comes in pieces of 21 ms.
    assert abs(apart(back) - apart(source)) <= 1 / Fraction(rate)
    digests = [stream.digest for stream in stream_digests(tmp_path / f"thin{suffix}")]
    assert [stream.digest for stream in stream_digests(back)] == digests


@pytest.mark.parametrize("kind", ["cut", "fade", "black", "flash", "still"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_fixtures_that_trip_up_frame_makers_keep_every_source_frame(encoder: str, kind: str, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", kind=kind)
    way = Way(encoder=encoder, suffix=".mkv", extra="keyint=8:min-keyint=8:open-gop=0")

    back, report = there_and_back(source, tmp_path, way, smart=Smart.ONLY)

    found = verify(tmp_path / "thin.mkv", back)
    assert found.failures == ()
    assert found.count(found.frames)[Origin.COPIED] > 20
    assert found.count(found.frames)[Origin.MADE] == len(report.made)


def test_a_gap_over_a_cut_shows_its_neighbours_again(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", kind="cut")
    thin(source, tmp_path / "thin.mkv", pattern=DropRanges.parse("23:25"))

    report = restore(tmp_path / "thin.mkv", tmp_path / "back.mkv", options=BLEND)

    assert report.by_engine == {"hold": 2}
    numbers = [frame.number for frame in shown(tmp_path / "back.mkv")]
    assert numbers[22:26] == [22, 22, 25, 25]


@pytest.mark.parametrize("way", [w for w in WAYS if w.encoder in ("libx264", "libx265")], ids=str)
def test_lossless_on_the_way_back_keeps_the_pixels_of_every_frame_that_was_kept(way: Way, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv")
    thin(source, tmp_path / f"thin{way.suffix}", pattern=KeepEvery(n=2), job=way.job)
    before = shown(tmp_path / f"thin{way.suffix}")

    restore(
        tmp_path / f"thin{way.suffix}",
        tmp_path / "back.mkv",
        options=BLEND,
        job=Job(encode=EncodeOptions(lossless=True)),
    )

    after = shown(tmp_path / "back.mkv")
    assert [frame.digest for frame in after[::2]][: len(before) - 1] == [frame.digest for frame in before][:-1]


def test_ten_bits_and_hdr_tags_go_there_and_back(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", pixel_format="yuv420p10le", hdr=True)
    for way in (Way(encoder="libx265", suffix=".mkv"), Way(encoder="libx264", suffix=".mp4")):
        back, _ = there_and_back(source, tmp_path, way)
        with av.open(str(back)) as container:
            frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_spliced_frames_have_the_colours_and_bits_of_those_that_were_kept(
    encoder: str, suffix: str, tmp_path: Path
) -> None:
    source = write_film(tmp_path / "film.mkv", pixel_format="yuv420p10le", hdr=True)
    way = Way(encoder=encoder, suffix=suffix, extra="keyint=8:min-keyint=8:open-gop=0")

    back, report = there_and_back(source, tmp_path, way, smart=Smart.ONLY)

    assert any(note.kind == "smart" for note in report.notes)
    with av.open(str(back)) as container:
        looks = {
            (frame.format.name, frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
            for frame in container.decode(video=0)
        }
    assert looks == {("yuv420p10le", 9, 16, 9, 1)}


def test_a_film_that_begins_before_zero_is_spliced_with_its_edit_list(tmp_path: Path) -> None:
    way = Way(encoder="libx264", suffix=".mp4", extra="keyint=8:min-keyint=8:bframes=3:b-adapt=0:open-gop=0")
    source = write_film(tmp_path / "film.mkv")
    thin(source, tmp_path / "thin.mp4", pattern=GAPS, job=way.job)
    early = tmp_path / "early.mp4"
    with av.open(str(tmp_path / "thin.mp4")) as container, av.open(str(early), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        for packet in container.demux(stream):
            if packet.size:
                packet.pts -= int(Fraction(4, 24) / stream.time_base)
                packet.dts -= int(Fraction(4, 24) / stream.time_base)
                packet.stream = copy
                output.mux(packet)

    report = restore(early, tmp_path / "back.mp4", options=BLEND, job=way.job, smart=Smart.ONLY)

    found = verify(early, tmp_path / "back.mp4")
    assert found.failures == ()
    assert found.count(found.frames)[Origin.MADE] == len(report.made) > 0
    assert len(found.frames) == report.frame_count


def test_a_truly_variable_rate_is_left_alone(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(3).integers(17, 90, 30)])
    with av.open(str(tmp_path / "vfr.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = picture(number)
            frame.pts, frame.time_base = int(time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    report = restore(tmp_path / "vfr.mkv", tmp_path / "back.mkv", options=BLEND, smart=Smart.ONLY)

    assert report.made == ()
    assert [frame.pts for frame in shown(tmp_path / "back.mkv")] == [int(time) for time in times]


def outputs(folder: Path) -> Iterator[Path]:
    """Films of ours of many sorts: thinned, restored whole, and spliced."""
    source = write_film(folder / "film.mkv", rate=Fraction(25))
    keyed = "keyint=8:min-keyint=8"
    for number, way in enumerate(WAYS):
        place = folder / str(number)
        place.mkdir()
        spliced = way.encoder in ("libx264", "libx265") and way.suffix in (".mp4", ".mkv", ".ts")
        if spliced and not way.extra:
            way = replace(way, extra=f"{keyed}:open-gop=0")
        back, _ = there_and_back(source, place, way, smart=Smart.AUTO if spliced else Smart.OFF)
        yield from (place / f"thin{way.suffix}", back)


@pytest.mark.host
@NEEDS_FFMPEG
def test_a_second_ffmpeg_decodes_every_output_without_one_warning(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for path in outputs(tmp_path):
        assert FFMPEG is not None
        ran = subprocess.run(
            [FFMPEG, "-v", "warning", "-nostdin", "-i", str(path), "-f", "null", "-"],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode or ran.stderr.strip():
            said[f"{path.parent.name}/{path.name} {WAYS[int(path.parent.name)]}"] = ran.stderr[:300]
    assert said == {}


@pytest.mark.host
@NEEDS_FFMPEG
def test_a_second_ffmpeg_sees_the_same_pixels_in_a_spliced_film(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv")
    for encoder in ("libx264", "libx265"):
        way = Way(encoder=encoder, suffix=".mp4", extra="keyint=8:min-keyint=8:open-gop=0")
        back, _ = there_and_back(source, tmp_path, replace(way), smart=Smart.ONLY)
        assert FFMPEG is not None
        ran = subprocess.run(
            [FFMPEG, "-v", "error", "-i", str(back), "-fps_mode", "passthrough", "-f", "framemd5", "-"],
            capture_output=True,
            text=True,
            check=True,
        )
        theirs = [line.split(",")[-1].strip() for line in ran.stdout.splitlines() if not line.startswith("#")]
        with av.open(str(back)) as container:
            ours = [digest_of(frame) for frame in container.decode(video=0)]
        assert theirs == ours
        back.unlink()
        (tmp_path / "thin.mp4").unlink()
