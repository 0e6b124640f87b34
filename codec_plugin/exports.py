"""Networks of engines as files for other runtimes: what `codec-plugin export` asks for, and what an engine answers.

An engine class whose networks can be exported names who does it as `exporter`, a `GraphExporter`. The command works
through that alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from codec_plugin.engine import engine_class, engine_names
from codec_plugin.errors import EngineError
from codec_plugin.options import Range

FRAMES_RANGE = Range(least=3, most=1000)
CHUNK_RANGE = Range(least=1, most=25)


class ExportPrecision(StrEnum):
    """What exported graphs compute in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class ExportCheck(StrEnum):
    """Whether a graph is compared with torch once it is written."""

    AUTO = "auto"
    """Where this machine runs it in reasonable time; else it is written as unverified."""
    ALWAYS = "always"
    """Whatever it takes."""
    NEVER = "never"
    """Not at all: it is written as unverified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to be exported. What an engine has no use for, it refuses."""

    folder: Path
    """Where to; made where it isn't there."""
    weights: Path | None = None
    """The engine's weights: a folder or a file; None for where they are looked for when nobody says."""
    graphs: tuple[str, ...] = ()
    """Which graphs, by name; none for all."""
    size: str | None = None
    """What the networks see, as WxH; None for the engine's own size."""
    frames: tuple[int, ...] = ()
    """Frames of a clip; none for those that the engine makes clips of."""
    batch: int | None = None
    """Rows of a batch; None for the engine's own choice."""
    decode_chunk: int | None = None
    """Frames decoded together; None for the engine's own choice."""
    precision: ExportPrecision = ExportPrecision.FP32
    """What the graphs compute in."""
    check: ExportCheck = ExportCheck.AUTO
    """Whether they are compared with torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedGraph:
    """One graph that was written."""

    path: Path
    """The .onnx file."""
    bytes: int
    """Its size, its weights included."""
    unverified: str | None
    """Why nobody has compared it with torch; None where it was, and passed."""


@runtime_checkable
class GraphExporter(Protocol):
    """Exports an engine's networks."""

    def check(self, request: ExportRequest) -> None:
        """Looks whether everything is there that the export needs; imports no torch.

        Raises:
            EngineError: weights or a package are missing.
            OptionError: the request isn't one for this engine.
        """
        ...

    def export(self, request: ExportRequest, *, say: Callable[[str], None]) -> tuple[ExportedGraph, ...]:
        """Writes the graphs, each whole or not at all.

        Args:
            request: that `check` let pass.
            say: told what goes on, in lines.

        Raises:
            EngineError: a graph gives other numbers than its network, or can't be written.
        """
        ...


def graph_exporter(engine: str) -> GraphExporter:
    """Who exports an engine's networks.

    Raises:
        EngineError: there is no such engine, or nothing of it can be exported.
    """
    exporter = getattr(engine_class(engine), "exporter", None)
    if not isinstance(exporter, GraphExporter):
        raise EngineError(f"engine {engine} has no networks to export; those that do: {', '.join(exporting())}")
    return exporter


def exporting() -> tuple[str, ...]:
    """The engines whose networks can be exported."""
    found = []
    for name in engine_names():
        try:
            exporter = getattr(engine_class(name), "exporter", None)
        except EngineError:
            continue
        if isinstance(exporter, GraphExporter):
            found.append(name)
    return tuple(found)
