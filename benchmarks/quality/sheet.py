"""Contact sheets: of each clip and gap one picture that shows what every peer made, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case, Gap
from benchmarks.footage import picture_frame
from benchmarks.peers import TICK
from codec_plugin.media.pixels import to_rgb_picture
from codec_plugin.picture import Picture

Bytes = npt.NDArray[np.uint8]

_TILE_WIDTH = 240
_LABEL_HEIGHT = 18
_COLUMNS = 5  # made frames shown of a gap
_WHITE = (255, 255, 255)


def rgb_bytes(picture: Picture) -> Bytes:  # (height, width, 3)
    """A picture as players show it, red first."""
    planes = to_rgb_picture(picture_frame(picture, pts=0, time_base=TICK)).planes
    return np.asarray(np.rint(np.stack(planes, axis=-1).clip(0, 1) * 255), dtype=np.uint8)


class SheetWriter:
    """Keeps, for each clip and gap length, the sheet of the gap that moves most, and writes them at the end."""

    def __init__(self, folder: Path) -> None:
        """Writes nothing yet.

        Args:
            folder: where the sheets go; made where it isn't there.
        """
        self._folder = folder
        self._sheets: dict[tuple[str, int], tuple[float, Bytes]] = {}

    def see(
        self, case: Case, frames: Sequence[Picture], gaps: Sequence[Gap], made: Mapping[str, Mapping[int, Picture]]
    ) -> None:
        """Takes the gap that moves most, where it moves more than the one that is kept."""
        if not gaps or not made:
            return
        gap = max(gaps, key=lambda each: _motion(frames, each))
        key, motion = (case.name, len(gap.dropped)), _motion(frames, gap)
        if key not in self._sheets or self._sheets[key][0] < motion:
            self._sheets[key] = motion, sheet(frames, gap, made)

    def write(self) -> list[Path]:
        """Writes the sheets, `CLIP-gapN.png`.

        Returns:
            The files.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        written = []
        for (clip, dropped), (_, drawn) in self._sheets.items():
            path = self._folder / f"{clip}-gap{dropped}.png"
            cv2.imwrite(str(path), drawn[..., ::-1])
            written.append(path)
        return written


def sheet(frames: Sequence[Picture], gap: Gap, made: Mapping[str, Mapping[int, Picture]]) -> Bytes:
    """One gap: the originals in the first row, what each peer made in the others, the kept frames at both ends."""
    count = min(_COLUMNS, len(gap.dropped))
    chosen = sorted({gap.dropped[round(place)] for place in np.linspace(0, len(gap.dropped) - 1, count + 2)[1:-1]})
    chosen = chosen if len(gap.dropped) > _COLUMNS else list(gap.dropped)
    rows = [("original", {index: frames[index] for index in gap.dropped}), *made.items()]
    drawn = []
    for name, pictures in rows:
        tiles = [_tile(frames[gap.left], f"{name}")]
        tiles += [_tile(pictures[index], f"+{index - gap.left}") for index in chosen]
        tiles.append(_tile(frames[gap.right], f"+{gap.right - gap.left}, kept"))
        drawn.append(np.concatenate(tiles, axis=1))
    return np.concatenate(drawn)


def _tile(picture: Picture, label: str) -> Bytes:
    height = max(1, round(picture.height * _TILE_WIDTH / picture.width))
    small = cv2.resize(rgb_bytes(picture), (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    bar = np.zeros((_LABEL_HEIGHT, _TILE_WIDTH, 3), np.uint8)
    cv2.putText(bar, label, (4, _LABEL_HEIGHT - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _WHITE, 1, cv2.LINE_AA)
    return np.concatenate((bar, np.asarray(small, dtype=np.uint8)))


def _motion(frames: Sequence[Picture], gap: Gap) -> float:
    """Mean absolute difference of the kept frames' luma."""
    return float(cv2.absdiff(frames[gap.left].planes[0], frames[gap.right].planes[0]).mean())
