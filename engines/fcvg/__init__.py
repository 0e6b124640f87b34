"""FCVG: frames for large gaps, made by a video diffusion model that is steered by matched lines (arXiv 2412.11755).

Importing this package loads no torch; its modules do, and those are imported when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcvg.engine import FcvgEngine
    from fcvg.options import FcvgOptions

__all__ = ["FcvgEngine", "FcvgOptions"]

_HOMES = {"FcvgEngine": "engine", "FcvgOptions": "options"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
