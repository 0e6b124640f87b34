"""`MotionPath`: how far things have come at a time. Lines and poses go from one end to the other along the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from codec_plugin.errors import OptionError

Knot = tuple[Fraction, Fraction]
"""(time, progress)."""

_SHAPES: dict[str, Callable[[Fraction], Fraction]] = {
    "linear": lambda time: time,
    "ease-in": lambda time: time * time,
    "ease-out": lambda time: 1 - (1 - time) ** 2,
    "ease-in-out": lambda time: time * time * (3 - 2 * time),
}
PATH_NAMES = tuple(_SHAPES)
"""The paths that have a name."""
_MIRRORS = {"ease-in": "ease-out", "ease-out": "ease-in"}
_BEGIN: Knot = Fraction(0), Fraction(0)
_END: Knot = Fraction(1), Fraction(1)
_FILE_LIMIT = 1 << 20
_FINEST = 10**9  # denominators of a file's numbers: 0.333333333333 is a third


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionPath:
    """A monotone way from (0, 0) to (1, 1), exact at both ends and in between.

    A clip that is made from its other end, on the path's `mirrored`, has the same pictures in reverse. `linear` and
    `ease-in-out` are their own mirror images; `ease-in` and `ease-out` are each other's.
    """

    name: str = "linear"
    """One of `PATH_NAMES`, or the file that it was read from."""
    knots: tuple[Knot, ...] = ()
    """Of a path from a file: times rise strictly from 0 to 1, progress never falls; straight in between."""

    def __call__(self, time: Fraction) -> Fraction:
        """The progress at a time, both from 0 to 1."""
        if not self.knots:
            return _SHAPES[self.name](time)
        for (before, low), (after, high) in pairwise(self.knots):
            if time <= after:
                return low + (high - low) * (time - before) / (after - before)
        return Fraction(1)

    def mirrored(self) -> MotionPath:
        """The path of the clip in reverse: 1 - path(1 - time)."""
        if not self.knots:
            return MotionPath(name=_MIRRORS.get(self.name, self.name))
        turned = tuple((1 - time, 1 - progress) for time, progress in reversed(self.knots))
        return MotionPath(name=self.name, knots=turned)


def path_of(text: str) -> MotionPath:
    """The path of a name, or of a file.

    A file has a time and a progress a line, in numbers from 0 to 1 with blanks or a comma between; it begins with 0 0
    and ends with 1 1. Empty lines, and what follows a #, are left out.

    Raises:
        OptionError: there is no such name or file, or the file holds no path; the message has the file and the line.
    """
    if text in _SHAPES:
        return MotionPath(name=text)
    file = Path(text).expanduser()
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        near = get_close_matches(file.name.lower().replace("_", "-"), PATH_NAMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise OptionError(
            f"path is {', '.join(PATH_NAMES)} or a file, and {text!r} is none of them ({error.strerror}){hint}"
        ) from error
    if len(data) > _FILE_LIMIT:
        raise OptionError(f"{file} is too long for a path file (more than {_FILE_LIMIT} bytes): is it the right file?")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise OptionError(f"{file} is no text file: a path file has two columns of numbers") from error
    return MotionPath(name=text, knots=_knots(file, lines))


def _knots(file: Path, lines: list[str]) -> tuple[Knot, ...]:
    """The knots of a file's lines, checked.

    Raises:
        OptionError: they are no path.
    """
    knots: list[Knot] = []
    last = 0
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        knot = _knot(file, number, words)
        _check_step(file, number, [*knots[-1:], knot])
        knots.append(knot)
        last = number
    if len(knots) < 2:
        raise OptionError(f"{file} has {len(knots)} line(s) of numbers: a path has two at least, 0 0 and 1 1")
    if knots[-1] != _END:
        raise OptionError(f"{file}, line {last}: a path ends with 1 1, not with {lines[last - 1].strip()}")
    return tuple(knots)


def _knot(file: Path, number: int, words: list[str]) -> Knot:
    if len(words) != 2:
        raise OptionError(f"{file}, line {number}: {len(words)} number(s) where there should be a time and a progress")
    values = []
    for word, meaning in zip(words, ("time", "progress"), strict=True):
        try:
            value = float(word)
        except ValueError as error:
            raise OptionError(f"{file}, line {number}: the {meaning} {word!r} is no number") from error
        if not 0 <= value <= 1:
            raise OptionError(f"{file}, line {number}: the {meaning} must be from 0 to 1, not {word}")
        values.append(Fraction(value).limit_denominator(_FINEST))
    return values[0], values[1]


def _check_step(file: Path, number: int, steps: list[Knot]) -> None:
    """Checks the knot of a line against the one before, if there is one."""
    if len(steps) == 1:
        if steps[0] != _BEGIN:
            raise OptionError(f"{file}, line {number}: a path begins with 0 0, not with {_shown(steps[0])}")
        return
    (before, low), (after, high) = steps
    if after <= before:
        raise OptionError(
            f"{file}, line {number}: time {float(after):g} doesn't come after {float(before):g}: times rise"
        )
    if high < low:
        raise OptionError(
            f"{file}, line {number}: progress goes back from {float(low):g} to {float(high):g}: nothing may turn round"
        )


def _shown(knot: Knot) -> str:
    return " ".join(f"{float(value):g}" for value in knot)
