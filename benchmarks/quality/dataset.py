"""Clips as folders of numbered pictures, the layout of FCVG's public test set; what is odd there is named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace

from benchmarks.cases import Case
from benchmarks.footage import LAYOUT, plane_rows
from benchmarks.quality.rows import LeftOut
from codec_plugin.picture import Picture

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_NUMBER = re.compile(r"(\d+)\D*$")
_MOST_FRAMES = 240
_QUICK_FRAMES = 25
_SHOWN = 5
_HD_HEIGHT = 576  # above it players take BT.709, as the engines do


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The clips of a folder that can be measured, and the rest."""

    cases: tuple[Case, ...]
    """Whole clips, by name."""
    left_out: tuple[LeftOut, ...]
    """Folders that are no whole clip, and files that are no frame."""


class UnusableClip(ValueError):
    """A folder of pictures is no whole clip; the message says why."""


def find_dataset(folder: Path, *, quick: bool) -> Dataset:
    """Looks through a folder of clips, each a folder of consecutive frames; no picture is decoded yet.

    Args:
        folder: holds a folder a clip.
        quick: fewer frames a clip.

    Raises:
        UnusableClip: it holds no clip at all; the message has each folder's reason.
    """
    cases, left_out = [], []
    entries = sorted(folder.iterdir())
    loose = [entry.name for entry in entries if not entry.is_dir()]
    if loose:
        left_out.append(LeftOut(clip=folder.name, why=f"{len(loose)} files beside the clips: {_few(loose)}"))
    for entry in (entry for entry in entries if entry.is_dir()):
        foreign = sorted(path.name for path in entry.iterdir() if _number(path) is None)
        if foreign:
            left_out.append(LeftOut(clip=entry.name, why=f"{len(foreign)} entries are no frames: {_few(foreign)}"))
        try:
            numbered_frames(entry)
        except UnusableClip as error:
            left_out.append(LeftOut(clip=entry.name, why=f"left out: {error}"))
            continue
        frames = _QUICK_FRAMES if quick else _MOST_FRAMES
        cases.append(Case(name=entry.name, path=entry, frames=frames, one_shot=True))
    if not cases:
        reasons = "; ".join(f"{each.clip}: {each.why}" for each in left_out) or "it is empty"
        raise UnusableClip(
            f"{folder.name} holds no clip; it takes a folder for each, with frames such as 0001.png; films go to "
            f"--clips ({reasons})"
        )
    return Dataset(cases=tuple(cases), left_out=tuple(left_out))


def numbered_frames(folder: Path) -> list[Path]:
    """A clip's frames in the order of their numbers.

    Raises:
        UnusableClip: there is none, a number is missing, or two frames have the same one.
    """
    numbered = [(number, path) for path in folder.iterdir() if (number := _number(path)) is not None]
    if not numbered:
        raise UnusableClip("it holds no PNG or JPEG with a number in its name")
    numbers = Counter(number for number, _ in numbered)
    twice = sorted(number for number, count in numbers.items() if count > 1)
    if twice:
        raise UnusableClip(f"two frames have one number: {_few(map(str, twice))}")
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - numbers.keys())
    if missing:
        raise UnusableClip(f"{len(missing)} numbers are missing between its frames: {_few(map(str, missing))}")
    return [path for _, path in sorted(numbered)]


def read_clip(folder: Path, *, frames: int) -> list[Picture]:
    """Decodes a clip's first frames, and brings them to 8-bit 4:2:0, as a film would hold them.

    Args:
        folder: a folder of frames.
        frames: The most frames to read.

    Returns:
        Pictures in `footage.LAYOUT`, keyed by their index.

    Raises:
        UnusableClip: as `numbered_frames`; a picture can't be decoded, or has another size than the first.
    """
    made: list[Picture] = []
    for path in numbered_frames(folder)[:frames]:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise UnusableClip(f"{path.name} can't be decoded")
        height, width = pixels.shape[:2]
        if made and (width, height) != (made[0].width, made[0].height):
            raise UnusableClip(
                f"{path.name} is {width}x{height}, and the frames before it {made[0].width}x{made[0].height}"
            )
        matrix = Colorspace.ITU709 if height > _HD_HEIGHT else Colorspace.ITU601
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels, dtype=np.uint8), format="bgr24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace=matrix)
        planes = tuple(plane_rows(plane).copy() for plane in frame.planes)
        made.append(Picture(planes=planes, layout=LAYOUT, key=len(made)))
    return made


def _number(path: Path) -> int | None:
    """The last number in a frame's name; None where it is no frame."""
    found = _NUMBER.search(path.stem)
    if path.suffix.lower() not in _SUFFIXES or found is None or path.name.startswith(".") or not path.is_file():
        return None
    return int(found[1])


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
