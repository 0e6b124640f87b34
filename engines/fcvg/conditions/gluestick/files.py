"""GlueStick's two files: whether they are there, and whether they are to be used."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from codec_plugin.errors import EngineError
from fcvg.weights.layout import GLUESTICK, SUPERPOINT


class Lines(StrEnum):
    """How the lines of both ends are matched."""

    AUTO = "auto"
    """With GlueStick where both of its files lie in the weights folder, else as `lsd`; the report says which it was."""
    GLUESTICK = "gluestick"
    """As published: points and lines, matched by a network."""
    LSD = "lsd"
    """Without weights: LSD's segments, matched by where the motion carries them and by their looks."""


def uses_gluestick(folder: Path, wanted: Lines) -> bool:
    """Whether GlueStick is to match the lines.

    Raises:
        EngineError: it is asked for and a file isn't there.
    """
    absent = absent_files(folder)
    if wanted is Lines.GLUESTICK and absent:
        raise EngineError(
            f"lines=gluestick needs two files, and {' and '.join(map(str, absent))} isn't there: "
            f"`codec-plugin weights fetch {folder}` says from where to get them; lines=auto does without"
        )
    return wanted is not Lines.LSD and not absent


def half_there(folder: Path) -> tuple[str, ...]:
    """What the user should know where one of the two files is there without the other."""
    absent = absent_files(folder)
    return (f"GlueStick isn't used: {absent[0]} isn't there, and its other file is",) if len(absent) == 1 else ()


def absent_files(folder: Path) -> list[Path]:
    """Those that aren't there."""
    return [folder / name for name in (GLUESTICK, SUPERPOINT) if not (folder / name).is_file()]
