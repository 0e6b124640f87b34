"""VapourSynth functions: more frames for a clip, and frozen repeats made again.

    import vapoursynth as vs, vsfcvg

    clip = vs.core.bs.VideoSource("in.mp4")
    vsfcvg.fcvg(clip, factor_num=2, engine="dis").set_output()

Importing this package doesn't import VapourSynth; each function does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsfcvg.functions import fcvg, restore

__all__ = ["fcvg", "restore"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.functions"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
