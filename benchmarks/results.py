"""Result files: the numbers, the command that made them, and the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.machine import Machine
from benchmarks.quality.rows import LeftOut, Measure, QualityRow, row_from
from benchmarks.speed import SpeedRow

RESULTS = Path(__file__).parent / "results"
"""Where results lie, one file for each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityResult:
    """One run of `python -m benchmarks quality`."""

    command: str
    """What was typed; the folder of clips stands as CLIPS."""
    machine: Machine
    """Where."""
    rows: tuple[QualityRow, ...]
    """What came out."""
    measures: tuple[Measure, ...] = ()
    """Every measure there is, taken or not."""
    left_out: tuple[LeftOut, ...] = ()
    """Clips and files that were passed by."""

    def with_rows(self, rows: Sequence[QualityRow]) -> QualityResult:
        """This result with more rows; one of the same clip, gap and peer takes the other's place."""
        kept = {(row.clip, row.dropped, row.peer): row for row in self.rows}
        kept |= {(row.clip, row.dropped, row.peer): row for row in rows}
        return replace(self, rows=tuple(kept.values()))

    def with_left_out(self, left_out: Sequence[LeftOut]) -> QualityResult:
        """This result with what else was passed by."""
        return replace(self, left_out=tuple(dict.fromkeys((*self.left_out, *left_out))))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedResult:
    """One run of `python -m benchmarks speed`."""

    command: str
    """What was typed; the folder of clips stands as CLIPS."""
    machine: Machine
    """Where."""
    rows: tuple[SpeedRow, ...]
    """What came out."""


class Result(Protocol):
    """Any dataclass that says what was typed, and where."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def command(self) -> str: ...

    @property
    def machine(self) -> Machine: ...


def save(result: Result, path: Path) -> None:
    """Writes a result beside its final name and moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def load_quality(path: Path) -> QualityResult:
    """Reads what `save` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return QualityResult(
        command=raw["command"],
        machine=Machine(**raw["machine"]),
        rows=tuple(row_from(row) for row in raw["rows"]),
        measures=tuple(Measure(**each) for each in raw.get("measures", ())),
        left_out=tuple(LeftOut(**each) for each in raw.get("left_out", ())),
    )


def load_speed(path: Path) -> SpeedResult:
    """Reads what `save` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(SpeedRow(**row) for row in raw["rows"])
    return SpeedResult(command=raw["command"], machine=Machine(**raw["machine"]), rows=rows)


def check_place(earlier: Machine, now: Machine, *, path: Path) -> None:
    """Refuses to set numbers beside those of another commit or machine.

    Raises:
        ValueError: with what differs.
    """
    differing = [
        f"{field.name} {getattr(earlier, field.name)} and not {getattr(now, field.name)}"
        for field in fields(Machine)
        if getattr(earlier, field.name) != getattr(now, field.name)
    ]
    if differing:
        raise ValueError(f"{path.name} was made with {', '.join(differing)}; without --add it is made anew")


def merged_speed(earlier: SpeedResult, new: SpeedResult) -> SpeedResult:
    """Both results' rows, by size; where both have a size and gap, the new ones."""
    made = {(row.width, row.height, row.dropped) for row in new.rows}
    rows = [row for row in earlier.rows if (row.width, row.height, row.dropped) not in made]
    rows = sorted([*rows, *new.rows], key=lambda row: (row.width * row.height, row.dropped))
    return replace(new, rows=tuple(rows))


def peer_names(rows: Sequence[QualityRow | SpeedRow]) -> list[str]:
    """Everyone in the rows, in the order of their first appearance."""
    return list(dict.fromkeys(row.peer for row in rows))
