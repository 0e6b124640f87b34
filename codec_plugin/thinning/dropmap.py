"""The map of what was left out of a film, as it travels with it: a note at each drop, and a tag for the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

from codec_plugin.maptag import to_slices
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
