"""YUV4MPEG2 in, YUV4MPEG2 out: what `codec-plugin pipe` runs.

    ffmpeg -i in.mp4 -f yuv4mpegpipe - | codec-plugin pipe --factor 2 | ffmpeg -i - out.mp4

`pipe` is the same between any two binary files.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from y4mfcvg.piping import PipeReport, pipe

__all__ = ["PipeReport", "pipe"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.piping"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
