"""The container tag of a restored film: which of its frames aren't the source's own; and numbers as slices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from codec_plugin.media.sideinfo import TAG
from codec_plugin.plan import Action, RestorePlan
from codec_plugin.timing import Ticks

VERSION = 1
"""Of the tag."""


def made_tags(plan: RestorePlan, promised: Ticks | None) -> dict[str, str]:
    """The tag that says which frames of the output, counted from 0, are made or held; none where none is.

    It is written before the work, and so says what is planned; the notes in the stream say what was done.

    Args:
        plan: what is to be made.
        promised: the times of all frames, in output ticks, rising; None where nobody knows yet.
    """
    made = [pts for task in plan.tasks if task.action is not Action.DROP for pts in task.target_pts]
    if promised is None or not made:
        return {}
    numbers = np.searchsorted(promised, np.asarray(sorted(made), dtype=np.int64))
    return {TAG: json.dumps({"version": VERSION, "made": to_slices(int(number) for number in numbers)})}


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
