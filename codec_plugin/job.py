"""`Job`: everything about one run that isn't in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from codec_plugin.engine import Engine
from codec_plugin.media.reader import Window
from codec_plugin.options import Check, EncodeOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is."""

    stage: str
    """"look" while the film is read to find damage or repeats, "restore" or "thin" while frames are written."""
    frames: int
    """Frames done."""
    total: int | None
    """Frames there will be; None where the stream can be read only once."""
    made: int
    """Of the frames done, those that were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything about one run that isn't in the plan."""

    encode: EncodeOptions = field(default_factory=EncodeOptions)
    """How the picture stream is written."""
    window: Window = field(default_factory=Window)
    """Which part of the film."""
    video: int | None = None
    """Index of the video stream; None for the film's own."""
    overwrite: bool = False
    """Whether an existing output may be replaced."""
    drop_unsupported: bool = False
    """Leave out streams that the container can't hold, and report it; else they are an error."""
    look_inside: bool = True
    """Where no frame is missing by its time, decode once to see whether pictures are damaged."""
    check: Check = Check.SPLICES
    """How much of a smart restoration is decoded again before it gets its name."""
    progress: Callable[[Progress], None] = lambda progress: None
    """Called after each frame."""
    cancelled: Callable[[], bool] = lambda: False
    """Asked often; True stops the job and leaves nothing behind."""
    engine: Engine | None = None
    """An engine to use in place of one loaded by name."""
