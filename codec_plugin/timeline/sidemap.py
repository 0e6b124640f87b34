"""`SideMap`: what the notes in a stream, and the container's tag, say of frames left out and frames made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from codec_plugin.media.packets import PacketTable
from codec_plugin.media.sideinfo import TAG, SideNote
from codec_plugin.timing import Ticks, show_rate, show_time, slots_of

_SOMEBODY = "an engine that the tag doesn't name"
_JUMP_S = Fraction(2)
_MOST_OFF = Fraction(1, 4)
"""Of a slot: time stamps that stand further off a rate's lattice contradict it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideMap:
    """What travels with a film."""

    rate: Fraction | None = None
    """The clock that frames were left out of; None where nothing says it."""
    engine: str | None = None
    """Who was seen to make them again well."""
    dropped: int = 0
    """Frames that were left out."""
    made: tuple[tuple[int, str], ...] = ()
    """The frames marked as made: their times in ticks, and by whom."""
    objections: tuple[str, ...] = ()
    """Where the time stamps say otherwise: they are believed, and the map is not."""

    def notes(self, time_base: Fraction) -> list[str]:
        """What a user should know."""
        told = []
        if self.dropped:
            by = f", to be made again by {self.engine}" if self.engine else ""
            clock = f" of a clock of {show_rate(self.rate)} fps" if self.rate else ""
            told.append(f"a drop map came with the stream: {self.dropped} frames{clock} were left out{by}")
        told += [f"the drop map is not believed: {objection}" for objection in self.objections]
        if self.made:
            counts = Counter(name for _, name in self.made)
            by = ", ".join(f"{count} by {name}" for name, count in sorted(counts.items()))
            first = show_time(self.made[0][0] * time_base)
            told.append(f"{len(self.made)} frames are marked as made ({by}), the first at {first}")
        return told


def read_side_map(table: PacketTable, tags: Mapping[str, str]) -> SideMap:
    """The map of a stream, its notes before the container's tag; what the time stamps deny is objected to."""
    made = tuple((pts, note.made_by) for pts, note in table.notes if note.made_by) or _made_by_tag(table, tags)
    drops = [(pts, note) for pts, note in table.notes if note.dropped]
    noted = SideMap(
        rate=next((note.rate for _, note in drops if note.rate), None),
        engine=next((note.engine for _, note in drops if note.engine), None),
        dropped=sum(note.dropped for _, note in drops),
        made=made,
    )
    told = noted if drops else _from_tag(tags, made)
    if told.rate is None:
        return told
    objections = list(_objections(table, told.rate, drops, {pts for pts, _ in made}))
    return SideMap(
        rate=None if objections else told.rate,
        engine=told.engine,
        dropped=told.dropped,
        made=made,
        objections=tuple(objections),
    )


def _from_tag(tags: Mapping[str, str], made: tuple[tuple[int, str], ...]) -> SideMap:
    text = _tag(tags)
    if text is None:
        return SideMap(made=made)
    try:
        content = json.loads(text)
        if "made" in content and "dropped" not in content:
            return SideMap(made=made)
        rate = Fraction(content["rate"])
        count = sum(_count(part) for part in str(content["dropped"]).split(",") if part)
        engine = content.get("engine")
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return SideMap(made=made, objections=("the container's tag can't be read",))
    if rate <= 0 or not (engine is None or isinstance(engine, str)):
        return SideMap(made=made, objections=("the container's tag can't be read",))
    return SideMap(rate=rate, engine=engine, dropped=count, made=made)


def _tag(tags: Mapping[str, str]) -> str | None:
    return next((value for key, value in tags.items() if key.lower() == TAG), None)


def _made_by_tag(table: PacketTable, tags: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    """The frames that the container's tag calls made; it doesn't say by whom."""
    try:
        text = str(json.loads(_tag(tags) or "{}").get("made", ""))
        bounds = [[int(value) for value in part.split(":")] for part in text.split(",") if part]
        numbers = [number for part in bounds for number in (range(*part) if len(part) > 1 else part)]
    except (ValueError, TypeError, AttributeError):
        return ()
    return tuple((int(table.pts[number]), _SOMEBODY) for number in numbers if 0 <= number < table.pts.size)


def _count(part: str) -> int:
    bounds = [int(value) for value in part.split(":")]
    return len(range(*bounds)) if len(bounds) > 1 else 1


def _objections(table: PacketTable, rate: Fraction, drops: list[tuple[int, SideNote]], made: set[int]) -> list[str]:
    pts, period = table.pts, 1 / (rate * table.time_base)
    if pts.size < 2:
        return []
    found = []
    wrong = _off_lattice(pts, period, longest=_JUMP_S / table.time_base)
    if wrong:
        at = show_time(int(pts[wrong]) * table.time_base)
        found.append(f"no clock of {show_rate(rate)} fps has the frame at {at}")
    places = {int(time): index for index, time in enumerate(pts)}
    for time, note in drops:
        index = places.get(time)
        following = None if index is None or index + 1 >= pts.size else int(pts[index + 1])
        if following is None or following in made:
            continue
        if following - time < (note.dropped + Fraction(1, 2)) * period:
            at = show_time(time * table.time_base)
            found.append(f"{note.dropped} frames are said to be missing after {at}, and the next one is there")
            break
    return found


def _off_lattice(pts: Ticks, period: Fraction, *, longest: Fraction) -> int:
    """The first index that stands off the lattice from the first frame on, or shares a slot; 0 for none.

    Behind a step longer than `longest` ticks the phase may be another: that far is looked.
    """
    jumps = np.flatnonzero(np.diff(pts) > float(longest))
    before = pts[: int(jumps[0]) + 1] if jumps.size else pts
    slots = np.asarray(slots_of(before, origin=Fraction(int(before[0])), period=period))
    off = np.abs(before - before[0] - slots.astype(np.float64) * float(period))
    crowded = np.concatenate(([False], np.diff(slots) < 1))
    wrong = np.flatnonzero(crowded | (off > max(2.0, float(period * _MOST_OFF))))
    return int(wrong[0]) if wrong.size else 0
