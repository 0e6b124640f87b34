"""What a user can choose, with defaults and ranges. The command line reads them from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from math import isfinite

from codec_plugin.engine_options import split_option
from codec_plugin.errors import OptionError


class Repair(StrEnum):
    """How far restoration goes into damaged pictures."""

    MISSING = "missing"
    """Only pictures that don't come out of the decoder."""
    FLAGGED = "flagged"
    """Those, and pictures that the decoder marks as corrupt."""
    TAINTED = "tainted"
    """Those, and everything that a damaged picture reaches, up to the next random-access point."""


class Duplicates(StrEnum):
    """What to do with frozen repeats."""

    KEEP = "keep"
    """Leave them; they are the source's own frames."""
    FILL = "fill"
    """Take them for lost frames and make those again; reads the film twice."""


class Smart(StrEnum):
    """Whether `restore` keeps the packets that no gap touches, bit for bit."""

    OFF = "off"
    """No: everything is encoded anew."""
    ONLY = "only"
    """Yes, and where it can't be done that is an error."""
    AUTO = "auto"
    """Yes, and where it can't be done everything is encoded anew, and the report says why."""


class Check(StrEnum):
    """How much of a smart restoration is decoded again before it gets its name; every kept packet is held by hash."""

    SPLICES = "splices"
    """The new stretches, and the GOPs before and behind each: all that decodes otherwise if a splice is wrong."""
    ALL = "all"
    """Every picture of both films: two decodes of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A closed range that an option must lie in."""

    least: float
    """Smallest value allowed."""
    most: float
    """Largest value allowed."""

    def check(self, name: str, value: float | Fraction) -> None:
        """Raises `OptionError` for a value outside."""
        exact = Fraction(str(value)) if isinstance(value, float) and isfinite(value) else value
        if not Fraction(str(self.least)) <= exact <= Fraction(str(self.most)):
            raise OptionError(f"{name} must be from {self.least:g} to {self.most:g}, not {float(value):g}")


FACTOR_RANGE = Range(least=2, most=64)
RATE_RANGE = Range(least=0.01, most=1000)
MAX_GAP_RANGE = Range(least=0.01, most=3600)
BUDGET_RANGE = Range(least=0, most=10_000_000)
SCENE_THRESHOLD_RANGE = Range(least=0, most=100)
THREADS_RANGE = Range(least=0, most=1024)
CRF_RANGE = Range(least=0, most=63)
DEFAULT_SCENE_THRESHOLD = 50.0
DEFAULT_ENGINE = "auto"
HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How gaps are found and filled."""

    engine: str = DEFAULT_ENGINE
    """The engine's name, or several joined by "+" for the mean of what they make; "auto" chooses by evidence."""
    engine_options: Mapping[str, str] = field(default_factory=dict)
    """Options of engines as text, `{"engine.option": text}`; see `codec_plugin.engine`."""
    fallback: str | None = None
    """Which engine makes the frames that the engine says it can't; "hold" to hold a neighbour; None for what the engine
    itself says."""
    rate: Fraction | None = None
    """The true frame rate, believed over everything in the file; None to find it."""
    max_gap: Fraction = Fraction(2)
    """Seconds; a longer hole is a discontinuity, and never filled."""
    scene_threshold: float = DEFAULT_SCENE_THRESHOLD
    """Cut score from which two pictures belong to different scenes, 0 to 100; 100 never finds a cut."""
    duplicates: Duplicates = Duplicates.KEEP
    """What to do with frozen repeats."""
    repair: Repair = Repair.FLAGGED
    """How far to go into damaged pictures."""
    deinterlace: bool = False
    """Make whole frames of fields first; else interlaced video is refused."""
    budget: Fraction | None = None
    """Seconds that the generative engine may take where "auto" chooses; None for no limit."""

    def __post_init__(self) -> None:
        if self.budget is not None:
            BUDGET_RANGE.check("budget", self.budget)
            if self.engine != DEFAULT_ENGINE:
                raise OptionError(f"a budget is for engine {DEFAULT_ENGINE}, which chooses; {self.engine} doesn't")
        MAX_GAP_RANGE.check("max_gap", self.max_gap)
        SCENE_THRESHOLD_RANGE.check("scene_threshold", self.scene_threshold)
        if self.rate is not None:
            RATE_RANGE.check("rate", self.rate)
        for key in self.engine_options:
            split_option(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """How the picture stream is written."""

    encoder: str | None = None
    """FFmpeg's name of an encoder; None for one that can carry the source."""
    crf: float | None = None
    """Constant quality, in the encoder's own scale; None for one that looks like the input."""
    bitrate: int | None = None
    """Bits a second, in place of constant quality."""
    preset: str | None = None
    """The encoder's own name for a trade of speed for size."""
    lossless: bool = False
    """Bit-exact coding, for encoders that have it."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """More of the encoder's own options."""
    threads: int = 0
    """Threads for decoder and encoder each; 0 for as many as there are cores."""

    def __post_init__(self) -> None:
        THREADS_RANGE.check("threads", self.threads)
        if self.crf is not None:
            CRF_RANGE.check("crf", self.crf)
        if self.bitrate is not None and self.bitrate <= 0:
            raise OptionError(f"bitrate must be above 0 bits a second, not {self.bitrate}")
        chosen = [name for name in ("crf", "bitrate") if getattr(self, name) is not None]
        if self.lossless:
            chosen.append("lossless")
        if len(chosen) > 1:
            raise OptionError(f"{' and '.join(chosen)} contradict each other; give one of them")
