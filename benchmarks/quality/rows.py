"""What a quality run finds: a row for each peer, clip and gap, and what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.quality.bootstrap import Difference, Interval
from benchmarks.score import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Where the means of a summary lie, with 95 % confidence."""

    psnr_db: Interval | None
    """Of PSNR; None where there is one group only."""
    ssim: Interval | None
    """Of SSIM, likewise."""
    xpsnr_db: Interval | None
    """Of XPSNR, likewise, and where it can't be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A peer beside another one, frame by frame."""

    peer: str
    """The other one."""
    psnr_db: Difference
    """Above 0 where this one is nearer to the originals."""
    ssim: Difference
    """Likewise."""
    xpsnr_db: Difference | None
    """Likewise; None where it can't be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScore:
    """What a network given as a file says."""

    measure: str
    """Its name."""
    value: float
    """Lower is better, for all of them."""
    count: int
    """Frames, or videos for FVD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One peer on one clip at one gap."""

    clip: str
    """The file's or folder's name, or "all of N clips"."""
    dropped: int
    """Frames between two kept ones."""
    peer: str
    """Who made them."""
    gaps: int
    """How many gaps counted."""
    summary: Summary | None
    """How it did; None where it did nothing, and `missing` says why."""
    intervals: Intervals | None = None
    """Gaps resampled in a clip's row, clips in a row of all."""
    against: Against | None = None
    """The peer beside the one that was asked for; None for that one itself, or where none was."""
    held: int = 0
    """Frames in these numbers that show a neighbour again, because the engine can't make them and has no fallback."""
    by_fallback: int = 0
    """Frames in these numbers that the engine's fallback made."""
    because: str | None = None
    """Why the first of those was not made by the engine itself."""
    missing: str | None = None
    """Why there are no numbers."""
    pooled: bool = False
    """Whether it is over all clips of a run."""
    networks: tuple[NetworkScore, ...] = ()
    """LPIPS, FID and FVD, where their networks were given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure, and whether it was taken."""

    name: str
    """As in the literature."""
    taken: bool
    """Whether the rows have it."""
    how: str
    """By what it was taken, or what is missing for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that the measurement passed by."""

    clip: str
    """The clip's file or folder."""
    why: str
    """The reason."""


def row_from(raw: Mapping[str, Any]) -> QualityRow:
    """A row from JSON; rows of older files have fewer fields."""
    found = dict(raw)
    found["summary"] = None if raw["summary"] is None else Summary(**raw["summary"])
    intervals, against = raw.get("intervals"), raw.get("against")
    if intervals is not None:
        found["intervals"] = Intervals(**{name: _interval(value) for name, value in intervals.items()})
    if against is not None:
        measured = {name: _difference(against[name]) for name in ("psnr_db", "ssim")}
        xpsnr = against["xpsnr_db"] and _difference(against["xpsnr_db"])
        found["against"] = Against(peer=against["peer"], xpsnr_db=xpsnr, **measured)
    found["networks"] = tuple(NetworkScore(**each) for each in raw.get("networks", ()))
    return QualityRow(**found)


def _interval(raw: Mapping[str, Any] | None) -> Interval | None:
    return None if raw is None else Interval(**raw)


def _difference(raw: Mapping[str, Any]) -> Difference:
    return Difference(mean=raw["mean"], interval=_interval(raw["interval"]))
