"""Flow engines for small gaps: `rife` (a network), `dis` (optical flow) and the baselines `blend` and `repeat`.

Importing this package loads neither numpy nor OpenCV; each engine is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowfill.blend import BlendEngine
    from flowfill.dis import DisEngine
    from flowfill.repeat import RepeatEngine
    from flowfill.rife import RifeEngine

__all__ = ["BlendEngine", "DisEngine", "RepeatEngine", "RifeEngine"]

_HOMES = {"BlendEngine": "blend", "DisEngine": "dis", "RepeatEngine": "repeat", "RifeEngine": "rife"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
