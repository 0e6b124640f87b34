"""DWPose's two files: where they lie, and whether they are to be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from codec_plugin.errors import EngineError

DETECTOR, POINTS = "dwpose/yolox_l.onnx", "dwpose/dw-ll_ucoco_384.onnx"
"""In the weights folder."""


class Poses(StrEnum):
    """Whether people are drawn over the lines."""

    AUTO = "auto"
    """Where both of DWPose's files lie in the weights folder; the report says which it was."""
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseFiles:
    """Both files."""

    detector: Path
    """Finds people."""
    points: Path
    """Finds a person's points."""


def pose_files(folder: Path, wanted: Poses) -> PoseFiles | None:
    """The files to be used; None where people aren't to be drawn.

    Raises:
        EngineError: they are asked for and one isn't there.
    """
    if wanted is Poses.OFF:
        return None
    absent = absent_files(folder)
    if not absent:
        return PoseFiles(detector=folder / DETECTOR, points=folder / POINTS)
    if wanted is Poses.ON:
        raise EngineError(
            f"poses=on needs both of DWPose's files, and {absent[0]} isn't there: "
            f"`codec-plugin weights fetch {folder}` says from where to get them; poses=auto does without"
        )
    return None


def absent_files(folder: Path) -> list[Path]:
    """Those that aren't there."""
    return [folder / name for name in (DETECTOR, POINTS) if not (folder / name).is_file()]
