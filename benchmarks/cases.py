"""Which frames are dropped from which clips, and which of the gaps count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av

from benchmarks.footage import cuts
from codec_plugin.picture import Picture

GAPS = (1, 3, 7, 12, 23)
"""Frames dropped between two kept ones."""

_SUFFIXES = frozenset({".avi", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".y4m"})
_LONGEST_EXCERPT = 240
_LONG_FILM_S = 120.0
_FILM_POSITIONS_S = tuple(25.0 + 455.0 * index / 9 for index in range(10))
_FILM_FRAMES = 49


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A clip, and what of it is measured."""

    name: str
    """The file's name."""
    path: Path
    """Where it lies."""
    starts_s: tuple[float, ...] = (0.0,)
    """Where the excerpts begin, in seconds."""
    frames: int = _LONGEST_EXCERPT
    """The most frames of an excerpt."""
    moving_below_db: float | None = None
    """Only gaps that a cross-dissolve fills with less luma PSNR than this; None for all. A film's still gaps
    say nothing about motion, and there are enough others."""
    one_shot: bool = False
    """Whether the clip is known to have no cut, so that none is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Two kept frames of an excerpt and those dropped between them."""

    left: int
    """Index of the kept frame before."""
    right: int
    """Index of the kept frame after."""

    @property
    def dropped(self) -> range:
        """Indices of the frames to make."""
        return range(self.left + 1, self.right)


def find_cases(clips: Path, *, quick: bool) -> list[Case]:
    """Every video file of a folder.

    Args:
        clips: The folder.
        quick: Shorter excerpts, and fewer of a film.
    """
    frames = 25 if quick else _LONGEST_EXCERPT
    made = []
    for path in sorted(entry for entry in clips.iterdir() if entry.suffix.lower() in _SUFFIXES):
        length_s = _length_s(path)
        if length_s is None:
            continue
        if length_s > _LONG_FILM_S:
            starts = tuple(start for start in _FILM_POSITIONS_S if start + 3.0 < length_s)
            chosen = starts[1::3] if quick else starts
            few = min(frames, _FILM_FRAMES)
            made.append(Case(name=path.name, path=path, starts_s=chosen, frames=few, moving_below_db=33.0))
        else:
            made.append(Case(name=path.name, path=path, frames=frames))
    return made


def whole_gaps(frames: list[Picture], *, dropped: int, one_shot: bool = False) -> list[Gap]:
    """The gaps of "keep every (dropped + 1)-th frame" that lie within one shot; cuts are looked for unless told."""
    starts = frozenset[int]() if one_shot else cuts(frames)
    step = dropped + 1
    gaps = (Gap(left=left, right=left + step) for left in range(0, len(frames) - step, step))
    return [gap for gap in gaps if not starts.intersection(range(gap.left + 1, gap.right + 1))]


def _length_s(path: Path) -> float | None:
    """Seconds that the file says it lasts (0 where it doesn't say); None where it holds no readable video."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return None
            return container.duration / av.time_base if container.duration else 0.0
    except av.FFmpegError:
        return None
