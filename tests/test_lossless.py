"""Source frames keep their exact pixels: from decoder to encoder as they are, converted and copied by nobody."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from codec_plugin import (
    EncodeOptions,
    EngineInfo,
    Estimate,
    FillRequest,
    Job,
    Picture,
    RestoreOptions,
    RestoringDecoder,
    Take,
    double,
    made_by,
    restore,
    upsample,
)
from codec_plugin.media import pixels
from codec_plugin.media.reader import Reader
from codec_plugin.media.sideinfo import SideNote
from codec_plugin.media.writer import Writer
from tests.synth import MKV_FFV1, NTSC, Clip, digest_of, picture, planes_of, shown

PIXEL_FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray", "bgr0")
DROPPED = frozenset({4, 9, 10})
CONVERSIONS = ("to_picture", "to_rgb_picture", "to_frame", "copy_frame")
BLEND = RestoreOptions(engine="blend", scene_threshold=100)
NO_CUTS = RestoreOptions(scene_threshold=100)


@pytest.fixture(params=PIXEL_FORMATS)
def clip(request: pytest.FixtureRequest) -> Clip:
    """A lossless film with three frames dropped."""
    return Clip(
        kind=MKV_FFV1, rate=NTSC, slots=16, dropped=DROPPED, pixel_format=request.param, size=(72, 46), with_audio=True
    )


def source_digests(target: Path, clip: Clip, *, factor: int) -> list[str]:
    """The digests of an output's frames that stand where source frames stood."""
    frames = shown(target)
    return [frames[slot * factor].digest for slot in clip.kept]


@pytest.mark.parametrize("engine", ["blend", "dis"])
def test_restore_leaves_the_pixels_of_every_source_frame_as_they_were(clip: Clip, engine: str, tmp_path: Path) -> None:
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "restored.mkv"

    report = restore(source, target, options=RestoreOptions(engine=engine, scene_threshold=100))

    assert report.by_engine == {engine: len(DROPPED)}
    assert source_digests(target, clip, factor=1) == [frame.digest for frame in shown(source)]


@pytest.mark.parametrize("engine", ["blend", "dis"])
def test_double_leaves_the_pixels_of_every_source_frame_as_they_were(clip: Clip, engine: str, tmp_path: Path) -> None:
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "doubled.mkv"

    double(source, target, options=RestoreOptions(engine=engine, scene_threshold=100))

    assert source_digests(target, clip, factor=2) == [frame.digest for frame in shown(source)]


def test_the_output_has_the_pixel_format_of_the_source(clip: Clip, tmp_path: Path) -> None:
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "restored.mkv"

    restore(source, target, options=BLEND)

    with av.open(str(target)) as after:
        assert after.streams.video[0].codec_context.pix_fmt == clip.pixel_format


def test_a_held_frame_has_the_very_pixels_of_its_neighbour(clip: Clip, tmp_path: Path) -> None:
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "held.mkv"

    restore(source, target, options=RestoreOptions(engine="blend", scene_threshold=0))

    frames = shown(target)
    assert frames[4].digest == frames[3].digest
    assert (frames[9].digest, frames[10].digest) == (frames[8].digest, frames[11].digest)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_new_rate_leaves_the_pixels_of_the_frames_it_keeps(pixel_format: str, tmp_path: Path) -> None:
    clip = Clip(kind=MKV_FFV1, rate=Fraction(24), slots=13, pixel_format=pixel_format)
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "at60.mkv"

    upsample(source, target, rate=Fraction(60), options=BLEND)

    after = {round(frame.seconds * 60): frame.digest for frame in shown(target)}
    before = [frame.digest for frame in shown(source)]
    assert [after[slot * 5 // 2] for slot in range(0, 13, 2)] == before[::2]


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_lossless_coding_by_other_encoders_is_bit_exact_too(encoder: str, pixel_format: str, tmp_path: Path) -> None:
    clip = Clip(kind=MKV_FFV1, slots=10, dropped=frozenset({3}), pixel_format=pixel_format)
    source, target = clip.write(tmp_path / "source.mkv"), tmp_path / "restored.mkv"
    job = Job(encode=EncodeOptions(encoder=encoder, lossless=True, preset="ultrafast"))

    restore(source, target, options=BLEND, job=job)

    assert source_digests(target, clip, factor=1) == [frame.digest for frame in shown(source)]


class Spy:
    """Notes which frame objects the reader gave, which the writer got, and every conversion of a frame."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.decoded: list[VideoFrame] = []
        self.written: list[VideoFrame] = []
        self.memory: dict[str, list[int]] = {"decoded": [], "written": []}
        self.calls: Counter[str] = Counter()
        self.converted: list[VideoFrame] = []
        for name in CONVERSIONS:
            self._watch_everywhere(name, patch)
        patch.setattr(pixels, "VideoReformatter", self._reformatter(pixels.VideoReformatter))
        self._watch_ends(patch)

    def _watch_everywhere(self, name: str, patch: pytest.MonkeyPatch) -> None:
        """Modules import these functions by name, so each module that did is watched."""
        original = getattr(pixels, name)

        def noted(first: object, **given: object) -> object:
            self._note(name, first)
            return original(first, **given)

        for module in [module for key, module in sys.modules.items() if key.startswith("codec_plugin")]:
            if vars(module).get(name) is original:
                patch.setattr(module, name, noted)

    def _reformatter(self, original: Callable[[], object]) -> Callable[[], object]:
        spy = self

        class Watched:
            def reformat(self, frame: VideoFrame, **given: object) -> VideoFrame:
                spy._note("reformat", frame)
                return original().reformat(frame, **given)  # type: ignore[attr-defined]

        return Watched

    def _watch_ends(self, patch: pytest.MonkeyPatch) -> None:
        items, write = Reader.items, Writer.write_frame

        def noting_items(reader: Reader, **options: tuple[int, ...]) -> Iterator[object]:
            for item in items(reader, **options):
                if isinstance(item, VideoFrame):
                    self.decoded.append(item)
                    self.memory["decoded"].append(item.planes[0].buffer_ptr)
                yield item

        def noting_write(writer: Writer, frame: VideoFrame, *, pts: int, note: SideNote | None = None) -> None:
            self.written.append(frame)
            if any(frame is other for other in self.decoded):
                self.memory["written"].append(frame.planes[0].buffer_ptr)
            write(writer, frame, pts=pts, note=note)

        patch.setattr(Reader, "items", noting_items)
        patch.setattr(Writer, "write_frame", noting_write)

    def _note(self, name: str, first: object) -> None:
        self.calls[name] += 1
        if isinstance(first, VideoFrame):
            self.converted.append(first)

    def read_through(self) -> list[int]:
        """Which source frames were looked at, as indices in their order, each once."""
        return [i for i, frame in enumerate(self.decoded) if any(frame is other for other in self.converted)]

    def passed_untouched(self) -> list[int]:
        """Which source frames reached the encoder as the decoder's own objects."""
        return [i for i, frame in enumerate(self.decoded) if any(frame is other for other in self.written)]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Counts conversions from here on."""
    return Spy(monkeypatch)


def test_source_frames_reach_the_encoder_as_the_decoders_own_objects(clip: Clip, spy: Spy, tmp_path: Path) -> None:
    source = clip.write(tmp_path / "source.mkv")

    restore(source, tmp_path / "restored.mkv", options=BLEND)

    assert spy.passed_untouched() == list(range(len(clip.kept)))
    assert spy.memory["written"] == spy.memory["decoded"]
    assert len(spy.written) == clip.slots
    assert {frame.format.name for frame in spy.written} == {clip.pixel_format}
    assert {(frame.width, frame.height) for frame in spy.written} == {clip.size}


def test_only_the_neighbours_of_made_frames_are_read_through(clip: Clip, spy: Spy, tmp_path: Path) -> None:
    source = clip.write(tmp_path / "source.mkv")

    restore(source, tmp_path / "restored.mkv", options=BLEND)

    neighbours = [clip.kept.index(slot) for slot in (3, 5, 8, 11)]
    assert spy.read_through() == neighbours
    assert spy.calls["to_picture"] == len(neighbours)
    assert spy.calls["to_frame"] == len(DROPPED)
    assert spy.calls.keys() <= {"to_picture", "to_frame"}


def test_doubling_reads_each_source_frame_once_and_converts_none(clip: Clip, spy: Spy, tmp_path: Path) -> None:
    source = clip.write(tmp_path / "source.mkv")

    double(source, tmp_path / "doubled.mkv", options=BLEND)

    assert spy.passed_untouched() == list(range(len(clip.kept)))
    assert spy.calls["to_picture"] == len(clip.kept)
    assert spy.calls["to_rgb_picture"] == spy.calls["reformat"] == 0
    assert spy.calls["copy_frame"] == 1  # the hold after the last frame


def test_a_film_without_gaps_is_copied_without_any_conversion(clip: Clip, spy: Spy, tmp_path: Path) -> None:
    whole = clip.thinned(())
    source, target = whole.write(tmp_path / "source.mkv"), tmp_path / "copied.mkv"

    report = restore(source, target, options=BLEND)

    assert spy.calls == Counter()
    assert spy.written == []
    assert report.made == ()
    assert packets_of(target) == packets_of(source)


def packets_of(path: Path) -> list[tuple[int, int | None, bytes]]:
    """Stream, time and payload of every packet."""
    with av.open(str(path)) as container:
        return [(p.stream_index, p.pts, bytes(p)) for p in container.demux() if p.size]


def test_an_engine_that_takes_rgb_gets_converted_neighbours_and_nothing_else_is(
    clip: Clip, spy: Spy, tmp_path: Path
) -> None:
    source = clip.write(tmp_path / "source.mkv")

    restore(source, tmp_path / "restored.mkv", options=NO_CUTS, job=Job(engine=Middle()))

    assert spy.passed_untouched() == list(range(len(clip.kept)))
    assert spy.read_through() == [clip.kept.index(slot) for slot in (3, 5, 8, 11)]
    assert spy.calls["to_rgb_picture"] == 4


class Middle:
    """The mean of both neighbours, in RGB."""

    info = EngineInfo(name="middle", summary="the mean of both neighbours", take=Take.RGB)

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        return Estimate(seconds=0.0, bytes=0)

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        mean = tuple((a + b) / 2 for a, b in zip(request.left.planes, request.right.planes, strict=True))
        for _ in request.positions:
            yield Picture(planes=mean, layout=request.left.layout, color=request.left.color)

    def close(self) -> None:
        pass


def test_the_decoder_hands_out_the_source_frames_with_their_own_pixels(clip: Clip, tmp_path: Path) -> None:
    source = clip.write(tmp_path / "source.mkv")

    frames = list(RestoringDecoder(source, options=BLEND))

    own = [digest_of(frame) for frame in frames if made_by(frame) is None]
    assert own == [frame.digest for frame in shown(source)]
    assert [slot for slot, frame in enumerate(frames) if made_by(frame)] == sorted(DROPPED)


@given(
    pixel_format=st.sampled_from([*PIXEL_FORMATS, "yuv422p10le", "yuv444p12le", "gbrp", "gray10le", "rgb24"]),
    width=st.integers(16, 70),
    height=st.integers(16, 50),
    number=st.integers(0, 255),
)
def test_a_frame_that_becomes_a_picture_and_a_frame_again_is_unchanged(
    pixel_format: str, width: int, height: int, number: int
) -> None:
    frame = picture(number, size=(width, height), pixel_format=pixel_format)

    again = pixels.to_frame(pixels.to_picture(frame), like=frame, pts=7, time_base=Fraction(1, 25))

    if pixel_format == "bgr0":  # the fourth byte means nothing
        colors = [planes_of(each)[0].reshape(height, width, 4)[..., :3] for each in (frame, again)]
        assert np.array_equal(*colors)
    else:
        assert digest_of(again) == digest_of(frame)
    assert (again.pts, again.time_base) == (7, Fraction(1, 25))
