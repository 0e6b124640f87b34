"""What was made, written out for measures that have programs of their own: FVMD and VBench."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
from av.video.stream import VideoStream

from benchmarks.cases import Case, Gap
from benchmarks.footage import picture_frame
from benchmarks.peers import TICK
from benchmarks.quality.rows import Measure
from benchmarks.quality.sheet import rgb_bytes
from codec_plugin.picture import Picture

_ORIGINAL = "original"
_RATE = Fraction(1) / TICK


class PictureWriter:
    """Writes each gap with its two kept frames: as numbered PNGs, and as a lossless film."""

    def __init__(self, folder: Path) -> None:
        """Writes nothing yet.

        Args:
            folder: where everything goes: `PEER/gapN/frames/CLIP/0000.png` and `PEER/gapN/films/CLIP.mp4`.
        """
        self._folder = folder
        self._seen: dict[tuple[str, int], int] = {}

    def see(
        self, case: Case, frames: Sequence[Picture], gaps: Sequence[Gap], made: Mapping[str, Mapping[int, Picture]]
    ) -> None:
        """Writes every gap."""
        for gap in gaps:
            number = self._seen.get((case.name, len(gap.dropped)), 0)
            self._seen[case.name, len(gap.dropped)] = number + 1
            ends = {index: frames[index] for index in (gap.left, gap.right)}
            original = {index: frames[index] for index in gap.dropped}
            for name, pictures in ((_ORIGINAL, original), *made.items()):
                shown = [{**ends, **pictures}[index] for index in range(gap.left, gap.right + 1)]
                at = self._folder / folder_name(name) / f"gap{len(gap.dropped)}"
                _write_frames(at / "frames" / f"{case.name}-{number:03}", shown)
                _write_film(at / "films" / f"{case.name}-{number:03}.mp4", shown)

    def measures(self) -> tuple[Measure, ...]:
        """The commands that measure what was written."""
        return (
            Measure(
                name="FVMD",
                taken=False,
                how="pictures were written; run: python -m fvmd --log_dir LOG PICTURES/PEER/gapN/frames "
                f"PICTURES/{_ORIGINAL}/gapN/frames",
            ),
            Measure(
                name="VBench",
                taken=False,
                how="films were written; run in VBench's checkout: python evaluate.py --mode=custom_input "
                "--videos_path PICTURES/PEER/gapN/films --dimension DIMENSION",
            ),
        )


def absent_measures() -> tuple[Measure, ...]:
    """The same two where nothing is written."""
    return tuple(
        Measure(name=name, taken=False, how="--pictures DIR writes what its own program takes, and the command")
        for name in ("FVMD", "VBench")
    )


def folder_name(peer: str) -> str:
    """A peer's name as a folder's."""
    return re.sub(r"[^\w.=+-]+", "_", peer)


def _write_frames(folder: Path, pictures: Sequence[Picture]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:04}.png"), rgb_bytes(picture)[..., ::-1])


def _write_film(path: Path, pictures: Sequence[Picture]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"qp": "0", "preset": "veryfast"})
        assert isinstance(stream, VideoStream)
        whole = [_even(picture) for picture in pictures]
        stream.width, stream.height, stream.pix_fmt = whole[0].width, whole[0].height, "yuv420p"
        for index, picture in enumerate(whole):
            container.mux(stream.encode(picture_frame(picture, pts=index, time_base=TICK)))
        container.mux(stream.encode(None))


def _even(picture: Picture) -> Picture:
    """The picture without an odd last row or column, which the encoder doesn't take."""
    rows, columns = picture.height // 2, picture.width // 2
    y, u, v = picture.planes
    return replace(picture, planes=(y[: 2 * rows, : 2 * columns], u[:rows, :columns], v[:rows, :columns]))
