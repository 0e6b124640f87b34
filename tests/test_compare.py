"""Comparing two films: synthesised clips with known drops, moves, shifts and noise, against numpy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from math import inf, log10
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.cli.compare import compare_command
from codec_plugin.comparison import compare, pair_frames, read_made, spaced
from codec_plugin.errors import InputError, OptionError
from codec_plugin.media.similarity import Similarity, measured_format

RATE = Fraction(25)
MILLISECOND = Fraction(1, 1000)
FRAMES = 30
Film = list[tuple[Fraction, VideoFrame]]


def picture(index: int, pixel_format: str = "yuv420p", *, size: tuple[int, int] = (128, 72)) -> VideoFrame:
    """A textured picture that moves two samples a frame; mid-range, so that noise isn't clipped."""
    frame = VideoFrame(*size, pixel_format)
    depth = frame.format.components[0].bits
    for number, plane in enumerate(frame.planes):
        y, x = np.mgrid[: plane.height, : plane.width]
        x = x + 2 * index
        wave = np.sin(x / (5 + number)) + np.cos(y / 7 + number) + np.sin((x + 2 * y) / 11)
        samples(plane, depth)[:] = np.round((wave * 0.1 + 0.5) * (2**depth - 1))
    return frame


def noisy(frame: VideoFrame, amplitude: int, *, seed: int = 0) -> VideoFrame:
    """The frame with uniform noise in all planes."""
    source = np.random.default_rng(seed)
    depth = frame.format.components[0].bits
    result = VideoFrame(frame.width, frame.height, frame.format.name)
    for from_plane, to_plane in zip(frame.planes, result.planes, strict=True):
        values = samples(from_plane, depth)
        samples(to_plane, depth)[:] = values + source.integers(-amplitude, amplitude + 1, values.shape)
    return result


def samples(plane: av.video.plane.VideoPlane, depth: int) -> np.ndarray:
    """A writable view of a plane's samples, (height, width)."""
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height, : plane.width]


def mean_squared_error(one: VideoFrame, other: VideoFrame) -> float:
    depth = one.format.components[0].bits
    planes = zip(one.planes, other.planes, strict=True)
    errors = [((samples(a, depth).astype(float) - samples(b, depth)) ** 2).ravel() for a, b in planes]
    return float(np.concatenate(errors).mean())


def psnr(error: float, depth: int = 8) -> float:
    return 10 * log10((2**depth - 1) ** 2 / error)


def write_clip(
    path: Path, shown: Film, *, codec: str = "ffv1", time_base: Fraction = MILLISECOND, **options: str
) -> Path:
    """Encodes frames at times in seconds."""
    with av.open(str(path), "w") as container:
        first = shown[0][1]
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        stream.time_base = stream.codec_context.time_base = time_base
        for seconds, frame in shown:
            frame.pts, frame.time_base = round(seconds / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def film(
    *, frames: Sequence[int] = range(FRAMES), offset: Fraction = Fraction(0), pixel_format: str = "yuv420p"
) -> Film:
    return [(index / RATE + offset, picture(index, pixel_format)) for index in frames]


def at(*indices: int) -> tuple[Fraction, ...]:
    return tuple(index / RATE for index in indices)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "reference.mkv", film())


def write_report(path: Path, frames: Sequence[int], **changes: object) -> Path:
    content = {"version": 1, "output_time_base": "1/25", "made": list(frames), "offset": "0", **changes}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_film_is_identical_to_itself(reference: Path) -> None:
    found = compare(reference, reference)
    assert (found.overall.frames, found.overall.identical) == (FRAMES, FRAMES)
    assert found.overall.psnr.pooled == found.overall.psnr.mean == found.overall.psnr.worst_decile == inf
    assert found.overall.ssim.mean == 1
    assert found.overall.xpsnr.pooled == inf
    assert (found.missing, found.extra, found.moved, found.offset, found.notes) == ((), (), (), 0, ())
    assert found.made is found.kept is None


def test_one_noisy_frame_is_the_worst_and_the_others_stay_identical(tmp_path: Path, reference: Path) -> None:
    shown = film()
    spoilt = noisy(shown[11][1], 9)
    error = mean_squared_error(shown[11][1], spoilt)
    shown[11] = (shown[11][0], spoilt)
    found = compare(reference, write_clip(tmp_path / "noisy.mkv", shown)).overall
    assert found.identical == FRAMES - 1
    assert found.psnr.lowest == pytest.approx(psnr(error), abs=0.05)
    assert found.psnr.lowest_at == Fraction(11) / RATE
    assert found.psnr.pooled == pytest.approx(psnr(error / FRAMES), abs=0.05)
    assert found.psnr.mean == found.psnr.worst_decile == pytest.approx(psnr(error), abs=0.05)


def test_the_worst_decile_is_the_mean_of_the_lowest_tenth(tmp_path: Path, reference: Path) -> None:
    shown = [(time, noisy(frame, 3 + number, seed=number)) for number, (time, frame) in enumerate(film())]
    errors = [mean_squared_error(one[1], other[1]) for one, other in zip(film(), shown, strict=True)]
    values = sorted(map(psnr, errors))
    found = compare(reference, write_clip(tmp_path / "noisy.mkv", shown)).overall
    assert found.psnr.worst_decile == pytest.approx(np.mean(values[:3]), abs=0.05)
    assert found.psnr.mean == pytest.approx(np.mean(values), abs=0.05)
    assert found.psnr.pooled == pytest.approx(psnr(float(np.mean(errors))), abs=0.05)
    assert found.ssim.worst_decile < found.ssim.mean < 1


def test_missing_extra_and_moved_frames_are_named(tmp_path: Path, reference: Path) -> None:
    shown = film(frames=[index for index in range(FRAMES) if index not in (4, 5, 17)])
    shown.append((Fraction(10) / RATE + Fraction(1, 50), picture(10)))
    shown.sort(key=lambda item: item[0])
    shown = [(time + MILLISECOND * 15 * (time == Fraction(20) / RATE), frame) for time, frame in shown]
    found = compare(reference, write_clip(tmp_path / "restored.mkv", shown))
    assert found.missing == at(4, 5, 17)
    assert found.extra == (Fraction(21, 50),)
    assert [(moved.at, moved.by) for moved in found.moved] == [(Fraction(20) / RATE, Fraction(15, 1000))]
    assert found.overall.identical == found.overall.frames == FRAMES - 3


def test_a_shifted_start_is_an_offset(tmp_path: Path, reference: Path) -> None:
    found = compare(reference, write_clip(tmp_path / "late.mkv", film(offset=Fraction(7, 5))))
    assert (found.offset, found.missing, found.extra, found.moved) == (Fraction(7, 5), (), (), ())
    assert found.overall.identical == FRAMES


@pytest.mark.parametrize("offset", [Fraction(0), Fraction(-1, 25), Fraction(3, 4)])
def test_a_lost_first_frame_is_missing_and_not_an_offset(tmp_path: Path, reference: Path, offset: Fraction) -> None:
    shown = film(frames=range(1, FRAMES), offset=offset)
    found = compare(reference, write_clip(tmp_path / "restored.mkv", shown))
    assert (found.missing, found.offset) == (at(0), offset)
    assert found.overall.identical == FRAMES - 1


def test_a_stated_offset_is_taken_as_it_is(tmp_path: Path, reference: Path) -> None:
    found = compare(reference, reference, offset=Fraction(2, 25))
    assert found.missing == at(28, 29)
    assert found.extra == (Fraction(-2, 25), Fraction(-1, 25))


def test_films_with_nothing_in_common_are_doubted(tmp_path: Path, reference: Path) -> None:
    shown = film()
    for _, frame in shown:
        for plane in frame.planes:
            samples(plane, 8)[:] = 255
    notes = compare(reference, write_clip(tmp_path / "white.mkv", shown)).notes
    assert any("begin with different pictures" in note for note in notes)


def test_rounding_and_codec_and_container_may_differ(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    shown = [(index / rate, picture(index)) for index in range(FRAMES)]
    exact, coarse = tmp_path / "reference.mp4", tmp_path / "restored.mkv"
    write_clip(exact, shown, codec="libx264", time_base=1 / rate, qp="0")
    write_clip(coarse, shown, codec="libx264", crf="23")
    found = compare(exact, coarse)
    assert (found.missing, found.extra, found.moved) == ((), (), ())
    assert abs(found.offset) < MILLISECOND
    assert 30 < found.overall.psnr.mean < 60
    assert 30 < found.overall.xpsnr.mean < 70


def test_a_millisecond_container_on_the_way_moves_nothing(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    shown = [(index / rate, picture(index)) for index in range(FRAMES)]
    rounded = [(round(time / MILLISECOND) * MILLISECOND, frame) for time, frame in shown]
    exact, coarse = tmp_path / "reference.mp4", tmp_path / "restored.mp4"
    write_clip(exact, shown, codec="libx264", time_base=1 / rate, qp="0")
    write_clip(coarse, rounded, codec="libx264", time_base=Fraction(1, 16000), qp="0")
    found = compare(exact, coarse)
    assert (found.offset, found.missing, found.extra, found.moved) == (0, (), (), ())


def test_open_files_do_as_well_as_paths(reference: Path) -> None:
    with reference.open("rb") as one, reference.open("rb") as other:
        assert compare(one, other).overall.identical == FRAMES


def test_a_report_tells_made_frames_from_source_frames(tmp_path: Path, reference: Path) -> None:
    shown = film(offset=Fraction(1, 5))
    for index in (3, 8):
        shown[index] = shown[index][0], noisy(shown[index][1], 9)
    report = write_report(tmp_path / "report.json", [3, 8], offset="1/5")
    found = compare(reference, write_clip(tmp_path / "restored.mkv", shown), report=report)
    assert (found.made.frames, found.made.identical) == (2, 0)
    assert found.kept.frames == found.kept.identical == FRAMES - 2
    assert found.notes == ()


def test_a_report_of_another_film_is_noted(tmp_path: Path, reference: Path) -> None:
    found = compare(reference, reference, report=write_report(tmp_path / "report.json", [300]))
    assert found.made is None
    assert any("another film" in note for note in found.notes)


def test_a_report_whose_offset_is_not_the_films_is_noted(tmp_path: Path, reference: Path) -> None:
    found = compare(reference, reference, report=write_report(tmp_path / "report.json", [3], offset="2/25"))
    assert found.made.psnr.lowest_at == Fraction(5) / RATE
    assert any("report's offset, 2/25 s; the films' is 0 s" in note for note in found.notes)


def test_made_frames_without_a_partner_are_noted(tmp_path: Path) -> None:
    reference = write_clip(tmp_path / "half.mkv", film(frames=range(0, FRAMES, 2)))
    doubled = write_clip(tmp_path / "doubled.mkv", film())
    found = compare(reference, doubled, report=write_report(tmp_path / "report.json", range(1, FRAMES, 2)))
    assert (found.missing, found.extra) == ((), at(*range(1, FRAMES, 2)))
    assert any(note.startswith("15 made frames have no partner") for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": None}, "version"),
        ({"made": "all"}, "'made'"),
        ({"made": [1.5]}, "'made'"),
        ({"output_time_base": "1/0"}, "'output_time_base'"),
        ({"output_time_base": "0"}, "'output_time_base'"),
        ({"offset": None}, "'offset'"),
    ],
)
def test_a_report_that_is_none_is_an_error(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_made(write_report(tmp_path / "report.json", [3], **changes))
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    for name, why in (("broken.json", "not a JSON report"), ("nowhere.json", "can't read")):
        with pytest.raises(InputError, match=why):
            read_made(tmp_path / name)


def test_sizes_must_agree(tmp_path: Path, reference: Path) -> None:
    small = write_clip(tmp_path / "small.mkv", [(Fraction(0), picture(0, size=(64, 36)))])
    with pytest.raises(InputError, match=r"128x72.*64x36"):
        compare(reference, small)


def test_another_pixel_format_is_converted_and_said(tmp_path: Path, reference: Path) -> None:
    found = compare(reference, write_clip(tmp_path / "deep.mkv", film(pixel_format="yuv420p10le")))
    assert found.notes == ("the restored film's yuv420p10le was converted to yuv420p for the measurement",)
    assert found.overall.psnr.mean > 50


@pytest.mark.parametrize(
    "pixel_format",
    [
        *("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp", "yuv420p10le", "yuv422p10le", "yuv444p12le"),
        *("gray10le", "gbrp12le", "gray16le", "yuv420p16le"),
    ],
)
def test_psnr_is_numpys_in_every_format(pixel_format: str) -> None:
    frame = picture(0, pixel_format)
    depth = frame.format.components[0].bits
    other = noisy(frame, 2 ** (depth - 5))
    similarity = Similarity(rate=RATE)
    scores = similarity.score(frame, other)
    assert scores.psnr == pytest.approx(psnr(mean_squared_error(frame, other), depth), abs=0.05)
    assert 0 < scores.ssim < 1
    assert (scores.xpsnr is None) == (depth == 16) == bool(similarity.notes)
    assert similarity.score(frame, frame).psnr == inf


def luma_xpsnr_of_the_filter(one: VideoFrame, other: VideoFrame) -> float:
    graph = av.filter.Graph()
    arguments = f"video_size={one.width}x{one.height}:pix_fmt={one.format.name}:time_base=1/25:frame_rate=25"
    sources = [graph.add("buffer", arguments) for _ in range(2)]
    measuring, sink = graph.add("xpsnr"), graph.add("buffersink")
    for number, source in enumerate(sources):
        source.link_to(measuring, 0, number)
    measuring.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, (one, other), strict=True):
        frame.pts = 0
        source.push(frame)
    return float(graph.vpull().metadata["lavfi.xpsnr.xpsnr.y"])


def test_xpsnr_is_not_believed_where_ffmpeg_misreads_padded_rows() -> None:
    frame, twin = picture(0, "yuv420p10le", size=(100, 60)), picture(0, "yuv420p10le", size=(100, 60))
    assert luma_xpsnr_of_the_filter(frame, twin) < 40, "FFmpeg has mended its filter"
    similarity = Similarity(rate=RATE)
    assert similarity.score(frame, twin).xpsnr is None
    assert any("XPSNR isn't measured" in note for note in similarity.notes)


def test_padded_rows_of_a_decoder_do_not_spoil_xpsnr(tmp_path: Path) -> None:
    shown = [(index / RATE, picture(index, "yuv420p10le", size=(144, 72))) for index in range(3)]
    deep = write_clip(tmp_path / "deep.mkv", shown)
    with av.open(str(deep)) as container:
        plane = next(container.decode(video=0)).planes[0]
        assert plane.line_size != 2 * plane.width, "the decoder doesn't pad: take another width"
    assert compare(deep, deep).overall.xpsnr.lowest == inf


def test_luma_xpsnr_is_the_filters_own() -> None:
    frame, other = picture(0, "gray"), noisy(picture(0, "gray"), 9)
    expected = luma_xpsnr_of_the_filter(frame, other)
    assert Similarity(rate=RATE).score(frame, other).xpsnr == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (10, 10), (40, 40)])
def test_tiny_pictures_end_in_a_note_and_not_in_a_crash(size: tuple[int, int]) -> None:
    similarity = Similarity()
    scores = similarity.score(picture(0, size=size), picture(1, size=size))
    assert scores.xpsnr is None
    assert any("too small" in note for note in similarity.notes)


@pytest.mark.parametrize(
    ("pixel_format", "measured"),
    [("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("rgb24", "gbrp"), ("bgra", "gbrp"), ("pal8", "gbrp"),
     ("ya8", "gray"), ("gray", "gray"), ("yuvj420p", "yuvj420p"), ("yuva422p10le", "yuv422p10le"),
     ("yuv411p", "yuv411p"), ("rgb48be", "gbrp16le")],
)  # fmt: skip
def test_formats_are_measured_in_their_planar_relative(pixel_format: str, measured: str) -> None:
    assert measured_format(pixel_format) == measured


@given(
    dropped=st.sets(st.integers(0, 19), max_size=19),
    jitter=st.lists(st.integers(-9, 9), min_size=20, max_size=20),
)
def test_any_set_of_dropped_frames_is_missing_and_nothing_else(dropped: set[int], jitter: list[int]) -> None:
    reference = [(Fraction(index, 25), index) for index in range(20)]
    moved = [(time + Fraction(by, 500), index) for (time, index), by in zip(reference, jitter, strict=True)]
    restored = [item for item in moved if item[1] not in dropped]
    pairs = list(pair_frames(spaced(reference), spaced(restored), offset=Fraction(0), rounding=MILLISECOND))
    assert {one.picture for one, other in pairs if one and not other} == dropped
    assert all(one.picture == other.picture for one, other in pairs if one and other)
    assert all(one for one, _ in pairs)


def test_a_tick_as_long_as_a_frame_does_not_pair_neighbours() -> None:
    films = [spaced((Fraction(index, 25), index) for index in frames) for frames in (range(5), (0, 1, 2, 3, 5))]
    pairs = list(pair_frames(films[0], films[1], offset=Fraction(0), rounding=Fraction(2, 25)))
    assert [one.picture for one, other in pairs if one and not other] == [4]
    assert [other.picture for one, other in pairs if other and not one] == [5]


def test_what_is_not_a_film_is_an_error(tmp_path: Path, reference: Path) -> None:
    (tmp_path / "text.mkv").write_text("no film", encoding="utf-8")
    with pytest.raises(InputError, match="not a video"):
        compare(reference, tmp_path / "text.mkv")
    with pytest.raises(InputError, match="no such file"):
        compare(tmp_path / "nowhere.mkv", reference)


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, reference: Path) -> None:
    shown = film()
    shown[3] = shown[3][0], noisy(shown[3][1], 9)
    del shown[7]
    restored = write_clip(tmp_path / "restored.mkv", shown)
    report, target = write_report(tmp_path / "report.json", [3]), tmp_path / "result.json"
    arguments = [str(reference), str(restored), "--report", str(report), "--json", str(target)]
    printed = CliRunner().invoke(compare_command, arguments, catch_exceptions=False).stdout
    assert all(text in printed for text in ("missing    1: 0:00:00.280", "1 made", "28 source"))
    content = json.loads(target.read_text(encoding="utf-8"))
    assert (content["missing"], content["offset"], content["kept"]["psnr"]["mean"]) == ([0.28], "0", "inf")
    piped = CliRunner().invoke(compare_command, [str(reference), str(reference), "--json", "-"])
    assert json.loads(piped.stdout)["overall"]["identical"] == FRAMES


def test_the_command_checks_its_options_before_it_decodes(reference: Path, tmp_path: Path) -> None:
    for options in (["--offset", "soon"], ["--json", str(tmp_path / "nowhere" / "result.json")]):
        result = CliRunner().invoke(compare_command, [str(reference), str(reference), *options])
        assert isinstance(result.exception, OptionError)
