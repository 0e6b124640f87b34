"""The options that commands share. Defaults and ranges come from the option dataclasses; this only gives them names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from codec_plugin.engine import CHOICES, engine_parts
from codec_plugin.errors import OptionError
from codec_plugin.media.reader import Window
from codec_plugin.options import (
    CRF_RANGE,
    HOLD,
    MAX_GAP_RANGE,
    RATE_RANGE,
    SCENE_THRESHOLD_RANGE,
    THREADS_RANGE,
    Duplicates,
    EncodeOptions,
    Range,
    Repair,
    RestoreOptions,
)

F = TypeVar("F", bound=Callable[..., Any])


class RationalType(click.ParamType[Fraction]):
    """A rational number: 30000/1001, 29.97, 25. The usual NTSC roundings become the exact rates."""

    name = "rational"

    def __init__(self, allowed: Range, *, is_rate: bool = False) -> None:
        self.allowed, self.is_rate = allowed, is_rate

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        try:
            number = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a number; write 25, 29.97 or 30000/1001", param, ctx)
        if self.is_rate:
            number = _NTSC_RATES.get(str(value), number)
        try:
            self.allowed.check(param.name or "value" if param else "value", number)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        return number


_NTSC_RATES = {
    "23.976": Fraction(24000, 1001),
    "23.98": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "47.952": Fraction(48000, 1001),
    "59.94": Fraction(60000, 1001),
    "119.88": Fraction(120000, 1001),
}

RATE = RationalType(RATE_RANGE, is_rate=True)


class TimeType(click.ParamType[Fraction]):
    """A time: seconds, or H:M:S with decimals."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        try:
            seconds = Fraction(0)
            for part in str(value).split(":"):
                seconds = seconds * 60 + Fraction(part)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a time; write 90, 1:30 or 0:01:30.5", param, ctx)
        if seconds < 0:
            self.fail(f"{value} is before the beginning", param, ctx)
        return seconds


class LengthOfTimeType(click.ParamType[Fraction]):
    """A length of time: seconds, with a unit (90s, 10min, 1.5h), or H:M:S."""

    name = "length of time"

    def __init__(self, allowed: Range) -> None:
        self.allowed = allowed

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        found = re.fullmatch(r"([\d.]+) ?(s|m|min|h)", str(value).strip())
        try:
            seconds = Fraction(found[1]) * _UNITS_S[found[2]] if found else TimeType().convert(value, param, ctx)
        except (ValueError, click.BadParameter):
            self.fail(f"{value!r} is no length of time; write 90s, 10min, 1.5h or 0:10:00", param, ctx)
        try:
            self.allowed.check(param.name or "value" if param else "value", seconds)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        return seconds


_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600}


class BitrateType(click.ParamType[int]):
    """Bits a second, with k or M."""

    name = "bitrate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        scale = {"k": 1000, "m": 1_000_000}.get(text[-1:].lower(), 1)
        try:
            return int(float(text[:-1] if scale > 1 else text) * scale)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a bit rate; write 4M, 800k or 1500000", param, ctx)


def default_of(options: type[Any], name: str) -> Any:
    """The default of a field of an option dataclass."""
    return next(field.default for field in fields(options) if field.name == name)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of several, in reading order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _ranged(allowed: Range) -> click.FloatRange:
    return click.FloatRange(allowed.least, allowed.most)


TIMING = together(
    click.option(
        "--rate",
        type=RATE,
        metavar="R",
        help="The true frame rate, believed over everything in the file (25, 29.97, 30000/1001).",
    ),
    click.option(
        "--max-gap",
        type=RationalType(MAX_GAP_RANGE),
        default=default_of(RestoreOptions, "max_gap"),
        show_default=True,
        metavar="S",
        help="Seconds; a longer hole is a discontinuity, and never filled.",
    ),
    click.option(
        "--scene-threshold",
        type=_ranged(SCENE_THRESHOLD_RANGE),
        default=default_of(RestoreOptions, "scene_threshold"),
        show_default=True,
        metavar="0-100",
        help="Cut score from which frames are held, not made; 100 makes frames across every cut.",
    ),
    click.option("--video", type=int, metavar="INDEX", help="Which video stream, by its index (see scan)."),
)

ENGINE = together(
    click.option(
        "--engine",
        default=default_of(RestoreOptions, "engine"),
        show_default=True,
        metavar="NAME",
        help="Who makes the frames: `codec-plugin engines` lists them; A+B is the mean of two, auto goes by evidence, "
        "flow does so without fcvg.",
    ),
    click.option(
        "--engine-option",
        "engine_option_texts",
        multiple=True,
        metavar="K=V",
        help="An option of the engine (`codec-plugin engines NAME` lists them), or ENGINE.K=V; may be repeated.",
    ),
    click.option(
        "--fallback",
        metavar="NAME",
        help=f"Who makes the frames that the engine says it can't; {HOLD} to hold a neighbour. "
        "By default what the engine itself says.",
    ),
)


def _spelled_out(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    return "onnxruntime" if value == "onnx" else value


RUNTIME = click.option(
    "--runtime",
    metavar="NAME",
    callback=_spelled_out,
    help="What runs the engine's networks: torch, onnx, openvino, tensorrt, or auto for the fastest measured one that "
    "is here; short for --engine-option ENGINE.runtime=NAME.",
)

FILLING = together(
    ENGINE,
    click.option(
        "--duplicates",
        type=click.Choice([str(value) for value in Duplicates]),
        default=str(default_of(RestoreOptions, "duplicates")),
        show_default=True,
        help="Frozen repeats: leave them, or make those frames again (reads the film twice).",
    ),
    click.option(
        "--repair",
        type=click.Choice([str(value) for value in Repair]),
        default=str(default_of(RestoreOptions, "repair")),
        show_default=True,
        help="Damaged pictures: only those missing; also those flagged; also all that they reach.",
    ),
    click.option("--deinterlace", is_flag=True, help="Make whole frames of fields first."),
)

ENCODING = together(
    click.option("--encoder", metavar="NAME", help="Any of FFmpeg's; by default one that can carry the source."),
    click.option("--crf", type=_ranged(CRF_RANGE), help="Constant quality, in the encoder's own scale."),
    click.option("--bitrate", type=BitrateType(), metavar="BITS", help="Bits a second: 4M, 800k."),
    click.option("--preset", metavar="NAME", help="The encoder's own speed preset."),
    click.option(
        "--encoder-option",
        "encoder_options",
        multiple=True,
        metavar="K=V",
        help="One more of the encoder's own options; may be repeated.",
    ),
    click.option(
        "--lossless",
        is_flag=True,
        help="Bit-exact: ffv1 always is; libx264 qp=0, libx265 and libsvtav1 lossless=1, libvpx-vp9 lossless, "
        "nvenc tune=lossless; other encoders refuse.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(int(THREADS_RANGE.least), int(THREADS_RANGE.most)),
        default=default_of(EncodeOptions, "threads"),
        show_default=True,
        help="For decoder and encoder each; 0 for as many as there are cores.",
    ),
    click.option("--drop-unsupported", is_flag=True, help="Leave out streams the container can't hold, and say so."),
)

PREVIEW = together(
    click.option("--start", type=TimeType(), metavar="TIME", help="Begin here: a quick preview."),
    click.option("--duration", type=TimeType(), metavar="TIME", help="Stop after this long."),
)

MANNERS = together(
    click.option("-y", "--yes", is_flag=True, help="Overwrite the output."),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
)


def encode_options(
    *,
    encoder: str | None,
    crf: float | None,
    bitrate: int | None,
    preset: str | None,
    encoder_options: tuple[str, ...],
    lossless: bool,
    threads: int,
) -> EncodeOptions:
    """The encoding options out of the command line's."""
    extra = _pairs(encoder_options, option="--encoder-option")
    return EncodeOptions(
        encoder=encoder,
        crf=crf,
        bitrate=bitrate,
        preset=preset,
        lossless=lossless,
        extra=extra,
        threads=threads,
    )


def engine_options(texts: tuple[str, ...], *, engine: str) -> dict[str, str]:
    """`{"engine.option": text}` out of `--engine-option`; a bare option is the chosen engine's."""
    found = {}
    for key, value in _pairs(texts, option="--engine-option").items():
        if "." not in key and engine in CHOICES:
            raise click.UsageError(f"--engine-option {key}: say whose with ENGINE.{key}, or choose an --engine")
        if "." not in key and len(engine_parts(engine)) > 1:
            raise click.UsageError(f"--engine-option {key}: say whose with ENGINE.{key}, {engine} are several")
        found[key if "." in key else f"{engine}.{key}"] = value
    return found


def _pairs(texts: tuple[str, ...], *, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{option} takes K=V, not {text!r}")
        pairs[key] = value
    return pairs


def window(start: Fraction | None, duration: Fraction | None) -> Window:
    """The preview window out of the command line's options."""
    return Window(start=start or Fraction(0), duration=duration)


def output_path() -> Callable[[F], F]:
    """The argument OUT."""
    return click.argument("target", metavar="OUT", type=click.Path(path_type=Path))


def input_path() -> Callable[[F], F]:
    """The argument IN: a file, or - for standard input."""
    return click.argument("source", metavar="IN", type=click.Path(allow_dash=True, readable=False))
