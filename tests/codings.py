"""Clips in H.264 and HEVC with gaps, and what must hold of a smart restore of any of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.video.stream import VideoStream

from codec_plugin import EncodeOptions, Job, Origin, RestoreOptions, RestoreReport, Smart, restore, verify
from tests.makers import video_packets
from tests.synth import picture, shown

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


def packet_bytes(path: Path) -> dict[Fraction, bytes]:
    """Every picture packet by its time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {p.pts * p.time_base: bytes(p) for p in container.demux(stream) if p.size}


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


def tag_of(path: Path) -> str:
    """MP4's name of the picture's coding."""
    with av.open(str(path)) as container:
        return str(container.streams.video[0].codec_context.codec_tag)
