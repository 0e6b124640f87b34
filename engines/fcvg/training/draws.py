"""Which clip a step sees, and with what noise: functions of the seed and the step's number alone.

Nothing else is random in training, so that a run that was broken off goes on exactly as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from codec_plugin.errors import InputError
from codec_plugin.media.samples import through_codec
from fcvg.conditions.lines import LineConditioner
from fcvg.conditions.times import uniform_times
from fcvg.training.footage import Decoded, Footage
from fcvg.training.options import Place, TrainOptions

Frames = npt.NDArray[np.uint8]
"""(frame, height, width, 3): R, G, B."""
_TRIES = 200


class Stream(IntEnum):
    """Series of draws that share nothing."""

    VAE = 0
    BASE = 1
    FCVG = 2
    HELD_OUT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What was drawn for a clip, beside its place."""

    sigma: float
    """Noise level."""
    is_backward: bool
    """Whether the clip is shown in reverse, from its last frame: half of all."""
    is_blank: bool
    """Whether image and lines are blanked."""
    noise_seed: int
    """Of the noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """A clip to learn from."""

    frames: Frames
    """The film's, in order."""
    ends: tuple[Frames, Frames]
    """The first and the last as the network is shown them, (height, width, 3)."""
    lines: npt.NDArray[np.float32]
    """(frame, 3, height, width) in [0, 1]: what is matched between the ends, drawn."""
    places: tuple[tuple[int, ...], ...]
    """For each frame piece, index, row and column: equal ones are the same picture."""
    draw: Draw
    """What was drawn for it."""


def generator(options: TrainOptions, stream: Stream, number: int) -> np.random.Generator:
    """All that is drawn for one example comes from here."""
    return np.random.default_rng([options.seed, int(stream), number])


def clip_at(
    number: int, *, footage: Footage, options: TrainOptions, stream: Stream, controlled: bool, evenly: int | None = None
) -> Example:
    """The clip of a number.

    Args:
        number: counts the clips of a stream.
        footage: where it is taken from.
        options: how clips are made.
        stream: which series.
        controlled: whether lines are wanted.
        evenly: of a series of so many, none is blanked, and the noise levels are the distribution's quantiles: sums
            over the whole series then vary little.

    Raises:
        InputError: the footage has no stretch of so many frames without a cut.
    """
    random = generator(options, stream, number)
    index, decoded, start = _found(random, footage, span=(options.frame_count - 1) * options.stride + 1)
    chosen = range(start, start + (options.frame_count - 1) * options.stride + 1, options.stride)
    width, height = options.cropped
    row, column = corner(random, decoded.frames.shape[1:3], size=(height, width), place=options.place)
    frames = decoded.frames[list(chosen), row : row + height, column : column + width]
    ends = frames[0], frames[-1]
    if options.compress is not None:
        coded = through_codec(list(frames), crf=float(random.uniform(*options.compress)))
        ends = coded[0], coded[-1]
    normal = float(random.standard_normal())
    uniform, direction = random.random(2)
    if evenly is not None:
        normal = float(_quantile((number % evenly + 0.5) / evenly))
    draw = Draw(
        sigma=float(np.exp(options.sigma_mean + options.sigma_std * normal)),
        is_backward=bool(number % 2) if evenly is not None else bool(direction < 0.5),
        is_blank=evenly is None and bool(uniform < options.dropout),
        noise_seed=int(random.integers(2**62)),
    )
    places = tuple((index, frame, row, column) for frame in chosen)
    return Example(frames=frames, ends=ends, lines=_lines(ends, options, controlled), places=places, draw=draw)


def patches_at(number: int, *, footage: Footage, options: TrainOptions, stream: Stream, count: int) -> Frames:
    """(count, side, side, 3): squares of frames, for the VAE."""
    random = generator(options, stream, number)
    side = min(options.preset.patch, *options.cropped)
    squares = []
    for _ in range(count):
        _, decoded, start = _found(random, footage, span=1)
        row, column = corner(random, decoded.frames.shape[1:3], size=(side, side), place=Place.RANDOM)
        squares.append(decoded.frames[start, row : row + side, column : column + side])
    return np.stack(squares)


def corner(
    random: np.random.Generator, picture: Sequence[int], *, size: tuple[int, int], place: Place
) -> tuple[int, int]:
    """(row, column) of a crop of `size`, (height, width), from a picture of (height, width)."""
    free = [whole - part for whole, part in zip(picture, size, strict=True)]
    row, column = (space // 2 if place is Place.CENTRE else int(random.integers(space + 1)) for space in free)
    return row, column


def _found(random: np.random.Generator, footage: Footage, *, span: int) -> tuple[int, Decoded, int]:
    for _ in range(_TRIES):
        index = int(random.integers(len(footage.pieces)))
        decoded = footage.piece(index)
        starts = decoded.starts(span)
        if starts:
            return index, decoded, starts[int(random.integers(len(starts)))]
    raise InputError(
        f"no stretch of {span} frames without a cut was found in {_TRIES} tries over {len(footage.pieces)} pieces of "
        f"{len({piece.path for piece in footage.pieces})} videos: give longer shots, fewer frames or a smaller stride"
    )


def _lines(ends: tuple[Frames, Frames], options: TrainOptions, wanted: bool) -> npt.NDArray[np.float32]:
    times: Sequence[Fraction] = uniform_times(options.frame_count)
    if not wanted:
        return np.empty((0, 3, *ends[0].shape[:2]), np.float32)
    return LineConditioner(seed=options.seed)(*ends, times).pictures


def _quantile(share: float) -> float:
    """Of the standard normal distribution."""
    return NormalDist().inv_cdf(share)
