"""Frozen repeats in real clips: `python -m benchmarks.duplicates --clips DIR [--quick]`.

Random frames of real clips are replaced by the frame before them, the clip is encoded again, and `find_repeats`
looks at what the decoder gives. Recall counts runs found with both ends right; false alarms count frames that are
no repeats. Runs beside a scene cut are counted, though nothing would be made there. The untouched clips follow.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import metadata
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.duplicates import RepeatFinder, difference

RESULT = Path(__file__).parent / "results" / "duplicates.json"
LONGEST_EXCERPT = 160
EXCERPTS = (
    ("bbb_720p24.mp4", 900),
    ("bbb_720p24.mp4", 2500),
    ("bbb_720p24.mp4", 7500),
    ("bbb_720p24.mp4", 10080),
    ("cityCC0.mpg", 0),
    ("single_face.mp4", 0),
    ("carphone_pristine.mp4", 0),
    ("vtest.avi", 0),
)
UNTOUCHED = (
    "bbb_720p24.mp4",
    "cityCC0.mpg",
    "single_face.mp4",
    "carphone_pristine.mp4",
    "vtest.avi",
    "face_noface.mov",
    "no_face.mp4",
    "movie-hello.mp4",
    "sintel-captions.ts",
)
ENCODERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("x264 crf 18", "libx264", {"crf": "18", "preset": "fast"}),
    ("x264 crf 23", "libx264", {"crf": "23", "preset": "fast"}),
    ("x264 crf 28", "libx264", {"crf": "28", "preset": "fast"}),
    ("x264 crf 35", "libx264", {"crf": "35", "preset": "fast"}),
    ("x265 crf 24", "libx265", {"crf": "24", "preset": "fast", "x265-params": "log-level=none"}),
    ("x265 crf 32", "libx265", {"crf": "32", "preset": "fast", "x265-params": "log-level=none"}),
    ("mpeg4 qscale 4", "mpeg4", {"qmin": "4", "qmax": "4", "g": "60"}),
    ("mpeg4 qscale 10", "mpeg4", {"qmin": "10", "qmax": "10", "g": "60"}),
)
GRAY = Layout(family=Family.GRAY, depth=8)

Runs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found in one clip."""

    clip: str
    """File and first frame."""
    encoder: str
    """How it was encoded again; empty for the clip as it is."""
    frames: int
    """Frames looked at."""
    runs: int
    """Runs of repeats that were put in."""
    found: int
    """Runs of those found with both ends right."""
    false_frames: int
    """Frames that were called repeats and are none."""


def luma(frame: VideoFrame) -> Picture:
    """The first plane, still in the decoder's memory."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return Picture(planes=(rows[: frame.height, : frame.width],), layout=GRAY)


def find(frames: Iterator[VideoFrame]) -> tuple[int, Runs]:
    """How many frames there are, and the runs of repeats among them."""
    finder, runs, count = RepeatFinder(), [], 1
    for before, after in pairwise(frames):
        count += 1
        runs += finder.push(difference(luma(before), luma(after)))
    runs += finder.finish()
    return count, [(run.start, run.stop) for run in runs]


def read_excerpt(path: Path, *, first: int) -> list[npt.NDArray[np.uint8]]:
    """Planar frames from the first one on, as many as `LONGEST_EXCERPT`."""
    with av.open(path) as source:
        chosen = islice(source.decode(video=0), first, first + LONGEST_EXCERPT)
        return [planar(frame) for frame in chosen]


def planar(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """(3/2 height, width) of 4:2:0 with even sides."""
    even = frame.reformat(width=frame.width // 2 * 2, height=frame.height // 2 * 2, format="yuv420p")
    return np.asarray(even.to_ndarray(), dtype=np.uint8)


def choose_runs(frames: int, *, seed: int) -> Runs:
    """Random runs of 1 to 4 frames, 4 to 19 frames apart."""
    random = np.random.default_rng(seed)
    runs: Runs = []
    start = 4
    while True:
        start += int(random.integers(4, 20))
        stop = start + int(random.choice([1, 1, 1, 2, 2, 3, 4]))
        if stop > frames - 3:
            return runs
        runs.append((start, stop))
        start = stop


def encode(frames: Sequence[npt.NDArray[np.uint8]], *, codec: str, options: dict[str, str]) -> io.BytesIO:
    """The frames in Matroska, in memory."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0] * 2 // 3, "yuv420p"
        for index, image in enumerate(frames):
            frame = VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    file.seek(0)
    return file


def measure_excerpt(clips: Path, *, name: str, first: int, seed: int) -> Iterator[Row]:
    """One row for each encoder."""
    frames = read_excerpt(clips / name, first=first)
    wanted = choose_runs(len(frames), seed=seed)
    repeated = list(frames)
    for start, stop in wanted:
        repeated[start:stop] = [frames[start - 1]] * (stop - start)
    for encoder, codec, options in ENCODERS:
        with av.open(encode(repeated, codec=codec, options=options), "r") as source:
            count, found = find(source.decode(video=0))
        repeats = {index for start, stop in wanted for index in range(start, stop)}
        called = {index for start, stop in found for index in range(start, stop)}
        yield Row(
            clip=f"{name} {first}",
            encoder=encoder,
            frames=count,
            runs=len(wanted),
            found=len(set(found) & set(wanted)),
            false_frames=len(called - repeats),
        )


def measure_untouched(clips: Path, *, name: str) -> Row:
    """A clip as it is, in which any repeat is a false alarm."""
    with av.open(clips / name) as source:
        source.streams.video[0].thread_type = "AUTO"
        count, found = find(source.decode(video=0))
    false_frames = sum(stop - start for start, stop in found)
    return Row(clip=name, encoder="", frames=count, runs=0, found=0, false_frames=false_frames)


def main() -> None:
    """Measures, prints the table, writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="directory with the clips")
    parser.add_argument("--quick", action="store_true", help="leaves out the untouched clips, writes nothing")
    arguments = parser.parse_args()
    rows: list[Row] = []

    def note(row: Row) -> None:
        rows.append(row)
        recall = f"{row.found}/{row.runs}" if row.runs else "-"
        print(f"{row.clip:28s} {row.encoder:16s} {row.frames:6d} frames  found {recall:6s} false {row.false_frames}")

    for seed, (name, first) in enumerate(EXCERPTS):
        for row in measure_excerpt(arguments.clips, name=name, first=first, seed=seed):
            note(row)
    for encoder, *_ in ENCODERS:
        of_it = [row for row in rows if row.encoder == encoder]
        print(f"{encoder:16s} recall {sum(row.found for row in of_it) / sum(row.runs for row in of_it):.3f}")
    if arguments.quick:
        return
    for name in UNTOUCHED:
        note(measure_untouched(arguments.clips, name=name))
    result = {
        "command": "python -m benchmarks.duplicates --clips DIR",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: metadata.version(name) for name in ("av", "numpy")},
        "rows": [asdict(row) for row in rows],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
