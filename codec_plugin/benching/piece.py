"""The stretch of a film that is measured: the film's own, or one brought to another size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from codec_plugin.errors import OptionError
from codec_plugin.job import Job
from codec_plugin.media.pixels import native_layout
from codec_plugin.media.reader import Reader
from codec_plugin.media.source import Source
from codec_plugin.media.writer import Writer
from codec_plugin.options import EncodeOptions

_FALLBACK_RATE = Fraction(25)


def check_size(size: tuple[int, int], *, pixel_format: str) -> None:
    """Refuses a size that a pixel format can't have.

    Raises:
        OptionError: with the nearest size that it can.
    """
    layout = native_layout(pixel_format)
    steps = (1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y) if layout else (1, 1)
    if any(side % step for side, step in zip(size, steps, strict=True)):
        width, height = (max(side // step, 1) * step for side, step in zip(size, steps, strict=True))
        raise OptionError(
            f"size {size[0]}x{size[1]}: sides of {pixel_format} are multiples of {steps[0]} and {steps[1]}; "
            f"take {width}x{height}"
        )


def scaled_piece(source: Source, target: Path, *, size: tuple[int, int], job: Job) -> str:
    """Writes the job's window of a film at another size, pictures only, in the film's own codec where that can be.

    Returns:
        The encoder and its options, in words.

    Raises:
        OptionError: the pixel format can't have that size.
        UnsupportedInput: the film is interlaced.
    """
    width, height = size
    with Reader(source, video=job.video, threads=job.encode.threads, window=job.window) as reader:
        check_size(size, pixel_format=reader.info.video.pixel_format)
        with Writer(
            target,
            source=reader.container,
            picture=reader.stream,
            encode=EncodeOptions(threads=job.encode.threads),
            rate=reader.info.video.rate_from_codec or reader.info.video.rate_from_header or _FALLBACK_RATE,
            time_base=reader.info.video.time_base,
            drop_unsupported=True,
            appearance=lambda: reader.appearance,
        ) as writer:
            for frame in reader.frames():
                writer.write_frame(frame.reformat(width=width, height=height), pts=frame.pts or 0)
            writer.finish()
            writer.commit()
            return writer.choice.describe() if writer.choice else ""
