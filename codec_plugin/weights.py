"""Weights of engines that can't come with them: what is there, what is missing, and what may be fetched.

An engine class whose weights lie in a folder of the user's names who keeps them as `weights`, a `WeightsKeeper`. The
command `codec-plugin weights` works through that alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from codec_plugin.engine import engine_class, engine_names
from codec_plugin.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """On what terms weights are given away."""

    name: str
    """Short, as in `--accept-licence`."""
    summary: str
    """What a user must know before taking them."""
    gated: bool = False
    """Whether the owner asks for an account and a consent of his own first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPart:
    """Weights that come from one place."""

    name: str
    """Short."""
    what: str
    """What it is, in a line."""
    source: str
    """Where it is to be had."""
    place: str
    """Where it goes, from the weights folder."""
    licence: Licence
    """On what terms."""
    needed: bool = True
    """Whether the engine can't work without it."""
    fetched: bool = False
    """Whether `WeightsKeeper.fetch` can get it; else a person must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a weights folder."""

    file: str
    """Which file, from the weights folder."""
    what: str
    """What is wrong with it."""
    remedy: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """What a weights folder holds."""

    folder: Path
    """Which one."""
    problems: tuple[Problem, ...]
    """What stands in the way; none for a folder that can be used."""
    notes: tuple[str, ...]
    """What was found, for people."""
    absent: tuple[WeightsPart, ...]
    """Optional parts that aren't there."""
    untrained: tuple[str, ...] = ()
    """Files that say of themselves that they are random."""


@runtime_checkable
class WeightsKeeper(Protocol):
    """Knows an engine's weights."""

    def default_folder(self) -> Path:
        """Where they are looked for when nobody says."""
        ...

    def parts(self) -> tuple[WeightsPart, ...]:
        """Everything there is, in the order in which a user should get it."""
        ...

    def check(self, folder: Path) -> WeightsReport:
        """What is in a folder. Reads no tensors; never raises for what it finds.

        Raises:
            EngineError: something that the check itself needs isn't installed.
        """
        ...

    def fetch(self, part: WeightsPart, folder: Path, *, say: Callable[[str], None]) -> None:
        """Downloads a part, the user having accepted its licence.

        Raises:
            EngineError: it can't be had, with the reason and what to do.
        """
        ...


def weights_keeper(engine: str) -> WeightsKeeper:
    """Who keeps an engine's weights.

    Raises:
        EngineError: there is no such engine, or it comes with all it needs.
    """
    keeper = getattr(engine_class(engine), "weights", None)
    if not isinstance(keeper, WeightsKeeper):
        raise EngineError(f"engine {engine} needs no weights from outside; those that do: {', '.join(keeping())}")
    return keeper


def keeping() -> tuple[str, ...]:
    """The engines whose weights a user has to get."""
    found = []
    for name in engine_names():
        try:
            keeper = getattr(engine_class(name), "weights", None)
        except EngineError:
            continue
        if isinstance(keeper, WeightsKeeper):
            found.append(name)
    return tuple(found)
