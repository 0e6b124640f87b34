"""`Engine`: what makes the missing pictures. This page is all that someone needs to write another one.

An engine is a class with an `info`, an `estimate` and a `fill`:

    class Left:
        '''Repeats the left picture.'''

        info = EngineInfo(name="left", summary="repeats the frame on the left")

        def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
            return Estimate(seconds=0.0, bytes=0)

        def fill(self, request: FillRequest) -> Iterator[Picture]:
            for _ in request.positions:
                yield replace(request.left, key=None)

        def close(self) -> None: ...

Register it in the entry-point group `codec_plugin.engines` under the name that `--engine` shall take:

    [project.entry-points."codec_plugin.engines"]
    left = "my_package:Left"

An engine with choices keeps them in a frozen dataclass, every field with a default, names it as `options_type` and
takes one as its first argument:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class LeftOptions:
        shade: float = 1.0

    class Left:
        options_type = LeftOptions

        def __init__(self, options: LeftOptions | None = None) -> None: ...

Fields of type str, int, float, bool, Path, Fraction, an enum or a Literal, also with `| None`, can then be set with
`--engine-option left.shade=0.5`; plan and report record them as they were given. An engine without `options_type` has
no options and is made without an argument.

The restorer promises: both pictures have the same size and layout, one of `info.layouts` (it converts where the
source has another, and converts back what was made); positions are strictly rising and inside (0, 1); `fill` is
called from one thread at a time; requests come in presentation order, so that the right picture of one is often the
left picture of the next (compare `Picture.key`). The engine promises: one picture for each position, in order,
of the same size and layout; it never writes to what it was given; it raises `CannotFill` with a reason, before
the first picture where it can, instead of yielding something that it knows is bad. What it measures on the way it
may `tell`, and the report holds it.

An engine may say more, for `codec-plugin bench` alone: where it computes, and how many operations a gap takes; see
`codec_plugin.engine_work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cache
from importlib import import_module, metadata
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

from codec_plugin.engine_options import OptionField, option_fields, options_for, read_options, split_option
from codec_plugin.errors import EngineError, OptionError
from codec_plugin.options import HOLD
from codec_plugin.picture import Picture

ENTRY_POINT_GROUP = "codec_plugin.engines"

_BUILT_IN = {
    "rife": "flowfill:RifeEngine",
    "dis": "flowfill:DisEngine",
    "blend": "flowfill:BlendEngine",
    "repeat": "flowfill:RepeatEngine",
    "fcvg": "fcvg:FcvgEngine",
}


class Take(StrEnum):
    """Which pixels an engine wants."""

    NATIVE = "native"
    """The source's own planes: integers of 8 to 16 bits, any family and subsampling."""
    RGB = "rgb"
    """R'G'B' as float32 in [0, 1], in the source's own transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine says of itself before it is given anything."""

    name: str
    """The name it goes by, as in `--engine`."""
    summary: str
    """One line for `codec-plugin engines`."""
    take: Take = Take.NATIVE
    """Which pixels it wants."""
    max_positions: int | None = None
    """The most frames it makes in one gap; None for any number."""
    min_size: int = 1
    """The least width and height in pixels that it can work on."""
    fallback: str | None = None
    """Which engine makes the frames that this one says it can't; None to hold a neighbour."""
    generative: bool = False
    """Whether it invents what moves, at a price, rather than follow it: "auto" takes it only where flow is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a fill is going to cost, roughly; for warnings and budgets, not for accounts."""

    seconds: float
    """Wall time on this machine."""
    bytes: int
    """Memory beside the pictures themselves."""


AUTO = "auto"
FLOW = "flow"
CHOICES = (AUTO, FLOW)
"""Names that leave it open which engine fills a gap: any by evidence, or any but the generative one."""
_AUTO_ORDER = ("rife", "dis", "blend")
_GENERATIVE = "fcvg"


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was measured while a gap was filled; it stands in the report."""

    name: str
    """What was measured, in a word or two: "disagreement", "lines matched"."""
    value: float
    """How much."""
    unit: str = ""
    """Of the value: "dB", "s", "bytes"; empty for shares and counts."""
    position: Fraction | None = None
    """Of the picture that it is about; None for the gap as a whole."""


def _unheard(finding: Finding) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRequest:
    """One gap to fill: the two pictures beside it, and where between them the new ones stand."""

    left: Picture
    """The last picture before the gap."""
    right: Picture
    """The first picture after it; same size, layout and colour."""
    positions: tuple[Fraction, ...]
    """Where the pictures stand between left (0) and right (1): exact, strictly rising, inside (0, 1)."""
    interval: Fraction
    """Seconds from left to right."""
    seed: int = 0
    """For engines with randomness; derived from the task, so that a gap comes out the same in any order."""
    cancelled: Callable[[], bool] = field(default=_never, compare=False)
    """A slow engine asks this between its steps and stops with `Cancelled` once it says True."""
    progress: Callable[[float], None] | None = field(default=None, compare=False)
    """Where given, a slow engine calls it with the share done, 0 to 1."""
    tell: Callable[[Finding], None] = field(default=_unheard, compare=False)
    """Takes what the engine measures on the way, for the report."""

    def __post_init__(self) -> None:
        inside = all(0 < position < 1 for position in self.positions)
        rising = all(a < b for a, b in pairwise(self.positions))
        if not self.positions or not inside or not rising:
            shown = ", ".join(str(position) for position in self.positions)
            raise ValueError(f"positions must rise strictly inside (0, 1), not: {shown or 'none'}")
        if self.left.layout != self.right.layout or self.left.planes[0].shape != self.right.planes[0].shape:
            raise ValueError("left and right must have one size and one layout")


@runtime_checkable
class Engine(Protocol):
    """Makes the pictures between two others. See the module's docstring for the promises on both sides."""

    info: EngineInfo

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """What filling one gap of `positions` frames at `size` (width, height) pixels costs here.

        It is asked for each engine's longest gap before a film's first frame is read, and ends the job if it raises.

        Raises:
            EngineError: it can't be done here (but `CannotFill` waits until the gap is met: its fallback may).
        """
        ...

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields one picture for each of the request's positions, in their order.

        Raises:
            CannotFill: the engine can't fill this gap well; the plan's fallback makes the frames, or holds one,
                and the report has the reason.
        """
        ...

    def close(self) -> None:
        """Frees what the engine holds. It may be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Whether an engine can be used here, for `codec-plugin engines`."""

    name: str
    """As in `--engine`."""
    summary: str
    """One line of what it is; empty where it could not be loaded."""
    missing: str | None
    """What is missing and how to get it; None where the engine is usable."""


def engine_names() -> tuple[str, ...]:
    """The names of every engine, usable or not: the built-in ones, then those of other packages."""
    others = (entry.name for entry in metadata.entry_points(group=ENTRY_POINT_GROUP))
    return tuple(dict.fromkeys((*_BUILT_IN, *sorted(others))))


def engine_class(name: str) -> type[Engine]:
    """The class behind an engine's name, imported but not made.

    Raises:
        EngineError: there is no such engine, or its package can't be imported.
    """
    targets = {entry.name: entry.value for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)} | _BUILT_IN
    if name not in targets:
        raise EngineError(f"no engine is called {name!r}; there are: {', '.join(engine_names())}")
    module_name, _, attribute = targets[name].partition(":")
    try:
        loaded = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineError(f"engine {name!r} can't be loaded from {targets[name]}: {error}") from error
    return loaded  # type: ignore[no-any-return]  # an entry point's type can't be known


def engine_option_fields(name: str) -> tuple[OptionField, ...]:
    """The options of an engine that can be given as text.

    Raises:
        EngineError: as `engine_class` does.
    """
    return option_fields(_options_type(name))


def load_engine(name: str, options: Mapping[str, str] | None = None) -> Engine:
    """Makes an engine by its name.

    Args:
        name: as in `--engine`.
        options: as in `RestoreOptions.engine_options`, `{"engine.option": text}`; those of other engines are passed by.

    Raises:
        EngineError: there is no such engine, or something that it needs is missing.
        OptionError: it has no such option, or the text isn't a value of it.
    """
    made: Callable[..., Engine] = engine_class(name)
    settings = _read_engine_options(name, options or {})
    return made() if settings is None else made(settings)


def pick_engine(name: str, options: Mapping[str, str] | None = None, *, fallback: str | None = None) -> str:
    """Makes sure of an engine: one that is named is there, and "auto" has something to choose from.

    Args:
        name: as in `--engine`.
        options: `{"engine.option": text}`; checked, so that a wrong one is told before any work.
        fallback: as in `RestoreOptions.fallback`.

    Returns:
        The name; that of the only candidate where "auto" has but one.

    Raises:
        EngineError: the engine named isn't there or isn't usable; nothing else is taken in its place.
        OptionError: an option is wrong, or is for an engine that isn't going to be used.
    """
    options = options or {}
    if fallback is not None and fallback != HOLD:
        engine_class(fallback)
    _check_owners(options, name=name, fallback=fallback)
    if name not in CHOICES:
        parts = engine_parts(name)
        if len(set(parts)) < len(parts):
            raise EngineError(f"--engine {name} names an engine twice")
        for part in parts:
            engine_class(part)
            _read_engine_options(part, options)
        return name
    candidates = auto_candidates(options)
    generative = generative_candidate(options) if name == AUTO else None
    if generative and generative.missing is not None and options_for(generative.name, options):
        raise EngineError(f"options of {generative.name} were given, and it can't be used: {generative.missing}")
    open_still = len(candidates) > 1 or (generative and generative.missing is None)
    return name if open_still else candidates[0]


def engine_parts(name: str) -> list[str]:
    """The engines that a name stands for: "rife+dis" is the mean of what two engines make."""
    return name.split("+")


def auto_candidates(options: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The engines that "auto" chooses from, the likeliest to be best first: those that are usable here.

    Args:
        options: `{"engine.option": text}`.

    Raises:
        EngineError: none is.
    """
    return _usable(tuple(sorted((options or {}).items())))


def generative_candidate(options: Mapping[str, str] | None = None) -> EngineStatus:
    """The engine that "auto" takes where flow is lost, and whether it is usable here.

    Args:
        options: `{"engine.option": text}`.
    """
    return _generative(tuple(sorted((options or {}).items())))


@cache
def _generative(options: tuple[tuple[str, str], ...]) -> EngineStatus:
    return engine_status(_GENERATIVE, dict(options))


@cache
def _usable(options: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    usable = tuple(name for name in _AUTO_ORDER if engine_status(name, dict(options)).missing is None)
    if not usable:
        raise EngineError("no engine is usable here; `codec-plugin engines` says what is missing for each")
    return usable


def _options_type(name: str) -> type[Any] | None:
    return getattr(engine_class(name), "options_type", None)


def _read_engine_options(name: str, options: Mapping[str, str]) -> object | None:
    """An engine's options, made; None where it has none, or all are its own defaults."""
    given, kind = options_for(name, options), _options_type(name)
    if not given:
        return None
    if kind is None:
        raise OptionError(f"{name} has no options, and was given {', '.join(sorted(given))}")
    settings: object = read_options(kind, given, engine=name)
    return settings


def _own_fallback(name: str) -> str | None:
    """What an engine says should fill in its place where it can't; None where it says nothing."""
    info = getattr(engine_class(engine_parts(name)[0]), "info", None)
    return info.fallback if isinstance(info, EngineInfo) else None


def _check_owners(options: Mapping[str, str], *, name: str, fallback: str | None) -> None:
    """Refuses options that would have no effect."""
    for key in options:
        engine, option = split_option(key)
        used: tuple[str | None, ...] = (*engine_parts(name), fallback)
        if name in CHOICES:
            used = (*_AUTO_ORDER, *([_GENERATIVE] if name == AUTO else []))
        elif fallback is None:
            used = (*used, _own_fallback(name))
        if engine not in (*used, fallback):
            raise OptionError(f"option {option} is for engine {engine}, which --engine {name} doesn't use")


def engine_status(name: str, options: Mapping[str, str] | None = None) -> EngineStatus:
    """Whether an engine is usable here; never raises for one that isn't."""
    try:
        engine = load_engine(name, options)
    except EngineError as error:
        return EngineStatus(name=name, summary="", missing=str(error))
    summary = engine.info.summary
    engine.close()
    return EngineStatus(name=name, summary=summary, missing=None)
