"""The map of what was left out of a film, as it travels with it: a note at each drop, and a tag for the whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

from codec_plugin.media.sideinfo import TAG, SideNote
from codec_plugin.timeline.scan import Scan

_SAY_RATE_EVERY_S = 1
_VERSION = 1


def drop_notes(found: Scan, dropped: Sequence[int], *, engine: str | None) -> dict[int, SideNote]:
    """The note of each frame that stays and after which some go, by its time in source ticks.

    Each says how many; the rate, and the engine that is to make them again, stand in one note a second.
    """
    gone = set(dropped)
    notes: dict[int, SideNote] = {}
    said: int | None = None
    for segment in found.timeline.segments:
        rate = segment.clock.rate if segment.clock else None
        before: int | None = None
        for pts in (int(value) for value in segment.pts):
            if pts not in gone:
                before = pts
                continue
            if before is None:
                continue
            count = notes[before].dropped + 1 if before in notes else 1
            full = said is None or before == said or (before - said) * found.timeline.time_base >= _SAY_RATE_EVERY_S
            said = before if full else said
            notes[before] = SideNote(dropped=count, rate=rate if full else None, engine=engine if full else None)
    return notes


def drop_tags(found: Scan, dropped: Sequence[int], *, engine: str | None) -> dict[str, str]:
    """The container tag: slots since the film's first frame, as start:stop:step; none without one steady clock."""
    segments = found.timeline.segments
    clock = segments[0].clock if len(segments) == 1 else None
    if clock is None or not dropped:
        return {}
    first = clock.slot_of(segments[0].first)
    slots = [clock.slot_of(pts) - first for pts in dropped]
    content = {"version": _VERSION, "rate": str(clock.rate), "engine": engine, "dropped": to_slices(slots)}
    return {TAG: json.dumps({key: value for key, value in content.items() if value is not None})}


def to_slices(numbers: Iterable[int]) -> str:
    """Rising numbers, as half-open slices: 1, 3, 5, 9 is "1:6:2,9"."""
    parts: list[list[int]] = []
    for number in numbers:
        last = parts[-1] if parts else []
        if len(last) == 1 or (len(last) > 1 and number - last[-1] == last[1] - last[0]):
            last.append(number)
        else:
            parts.append([number])
    return ",".join(_slice(part) for part in parts)


def from_slices(text: str) -> tuple[int, ...]:
    """The numbers of `to_slices`.

    Raises:
        ValueError: it isn't such a text.
    """
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        bounds = [int(value) for value in part.split(":")]
        numbers += range(*bounds) if len(bounds) > 1 else bounds
    if any(one >= other for one, other in pairwise(numbers)):
        raise ValueError("slices must rise")
    return tuple(numbers)


def _slice(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    step = numbers[1] - numbers[0]
    return f"{numbers[0]}:{numbers[-1] + 1}" + (f":{step}" if step > 1 else "")
