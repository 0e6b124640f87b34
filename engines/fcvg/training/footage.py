"""`Footage`: the videos of a folder, in pieces of a few seconds that are decoded when they are needed."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from codec_plugin.errors import InputError, MediaError
from codec_plugin.media.reader import Reader, Window
from codec_plugin.media.samples import to_rgb8
from codec_plugin.picture import Family, Layout, Picture
from codec_plugin.timeline.scenes import DEFAULT_SCENE_THRESHOLD, cut_score, thumbnail

PIECE_S = 8
"""About the seconds of a piece: the unit that is decoded, kept, and held out."""
HELD_OUT_EVERY = 5
"""One piece in so many is held out: the paper splits its clips 4:1."""
_NAMED = 3
_GRAY = Layout(family=Family.GRAY, depth=8)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A few seconds of a video."""

    path: Path
    """The video."""
    start: Fraction
    """Seconds from the video's first moment."""
    duration: Fraction
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A piece's frames."""

    frames: npt.NDArray[np.uint8]
    """(frame, height, width, 3): R, G, B, scaled to just cover the crop."""
    shots: tuple[tuple[int, int], ...]
    """[start, stop) of the stretches without a cut."""

    def starts(self, span: int) -> list[int]:
        """Where `span` consecutive frames of one shot begin."""
        return [at for start, stop in self.shots for at in range(start, stop - span + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What there is to train on."""

    training: tuple[Piece, ...]
    """Pieces that clips are drawn from."""
    held_out: tuple[Piece, ...]
    """Pieces that only measure."""
    left_out: tuple[str, ...]
    """Files that can't be used, each with its reason."""


def survey(folder: Path, *, crop: tuple[int, int], part: tuple[float, float] | None = None) -> Split:
    """Looks through a folder, or at one film: opens every file and decodes its first picture.

    Args:
        folder: searched with all its folders, or a single file.
        crop: (width, height); smaller videos are left out, for training on enlarged ones teaches blur.
        part: as in `TrainOptions`.

    Raises:
        InputError: it isn't there, or there is too little in it; the message names what was left out and why.
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder of videos")
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    pieces: list[Piece] = []
    left_out = []
    for path in paths:
        try:
            pieces += _pieces(path, crop=crop, part=part)
        except MediaError as error:
            left_out.append(str(error))
    training = tuple(piece for index, piece in enumerate(pieces) if not _is_held_out(index, len(pieces)))
    held_out = tuple(piece for index, piece in enumerate(pieces) if _is_held_out(index, len(pieces)))
    if not training or not held_out:
        what = "no video that can be used" if not pieces else f"a single piece of {PIECE_S} s or less"
        named = "".join(f"\n  {reason}" for reason in left_out[:_NAMED])
        more = f"\n  and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        raise InputError(
            f"{folder}: {what} among {len(paths)} files; training takes two videos at least, or one of more than "
            f"{PIECE_S * 3 // 2} s, for some of it is held out{named}{more}"
        )
    return Split(training=training, held_out=held_out, left_out=tuple(left_out))


class Footage:
    """Pieces and their decoded frames, the last used ones kept. May be asked from several threads."""

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        crop: tuple[int, int],
        cache_bytes: int,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            pieces: what there is.
            crop: (width, height) that frames are to cover.
            cache_bytes: memory for decoded pieces.
            tell: told of each piece that can't be decoded, once.
        """
        self.pieces = tuple(pieces)
        """What there is."""
        self.counts: Counter[str] = Counter()
        """Pieces decoded, and those that couldn't be."""
        self._crop, self._most, self._tell = crop, cache_bytes, tell
        self._kept: OrderedDict[int, Decoded] = OrderedDict()
        self._bad: set[int] = set()
        self._lock = Lock()

    def piece(self, index: int) -> Decoded:
        """A piece's frames; none at all where it can't be decoded."""
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        made = self._decoded(index)
        with self._lock:
            self._kept[index] = made
            while len(self._kept) > 1 and sum(kept.frames.nbytes for kept in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return made

    def _decoded(self, index: int) -> Decoded:
        piece = self.pieces[index]
        window = Window(start=piece.start, duration=piece.duration)
        try:
            with Reader(piece.path, window=window, threads=1) as reader:
                size = covering(reader.info.video.size, self._crop)
                frames = [to_rgb8(frame, size=size) for frame in reader.frames()]
        except MediaError as error:
            self._note(index, str(error))
            return Decoded(frames=np.empty((0, *self._crop[::-1], 3), np.uint8), shots=())
        self._note(index, None)
        return Decoded(frames=np.stack(frames), shots=shots_of(frames))

    def _note(self, index: int, wrong: str | None) -> None:
        with self._lock:
            if wrong is None:
                self.counts["pieces decoded"] += 1
            elif index not in self._bad:
                self._bad.add(index)
                self.counts["undecodable pieces"] += 1
                self._tell(f"left out from {float(self.pieces[index].start):g} s: {wrong}")


def shots_of(frames: Sequence[npt.NDArray[np.uint8]]) -> tuple[tuple[int, int], ...]:
    """[start, stop) of the stretches of consecutive frames that no cut parts."""
    small = [thumbnail(Picture(planes=((frame @ _LUMA).astype(np.uint8),), layout=_GRAY)) for frame in frames]
    cuts = [index for index, pair in enumerate(pairwise(small), start=1) if cut_score(*pair) >= DEFAULT_SCENE_THRESHOLD]
    return tuple(pairwise((0, *cuts, len(frames))))


def covering(picture: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a picture that is scaled so that it just covers the crop."""
    scale = max(Fraction(crop[0], picture[0]), Fraction(crop[1], picture[1]))
    width, height = (max(least, round(side * scale)) for side, least in zip(picture, crop, strict=True))
    return width, height


def _is_held_out(index: int, count: int) -> bool:
    """The last of each five; of fewer than five the last."""
    return index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 or (1 < count < HELD_OUT_EVERY and index == count - 1)


def _pieces(path: Path, *, crop: tuple[int, int], part: tuple[float, float] | None) -> list[Piece]:
    """Pieces of equal length. A file that doesn't say how long it is gives its first one."""
    with Reader(path, threads=1) as reader:
        size, duration = reader.info.video.size, reader.info.duration
        if size[0] < crop[0] or size[1] < crop[1]:
            raise InputError(f"{path}: {size[0]}x{size[1]} is smaller than the crop of {crop[0]}x{crop[1]}")
        next(reader.frames(), None)
    start, stop = Fraction(0), duration or Fraction(PIECE_S)
    if part is not None:
        start, stop = Fraction(str(part[0])), min(stop, Fraction(str(part[1])))
        if stop <= start:
            raise InputError(f"{path}: it ends before {part[0]:g} s, where the part to train on begins")
    count = max(1, round((stop - start) / PIECE_S))
    length = (stop - start) / count
    return [Piece(path=path, start=start + length * index, duration=length) for index in range(count)]
