"""Memory that is used again from one frame to the next."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""(height, width) or (height, width, 2), float32; two channels are x and y in pixels."""


class Scratch:
    """Keeps one float32 array for each name and thread.

    Fresh arrays of some hundred kilobytes come from the system and go back to it each time; the page faults cost
    a fifth of the time of a frame.
    """

    def __init__(self) -> None:
        """Holds nothing yet."""
        self._local = threading.local()

    def array(self, name: str, shape: tuple[int, ...]) -> Field:
        """The array of that name in this thread, with what it last held; new where the shape has changed."""
        kept: dict[str, Field] = self._local.__dict__.setdefault("kept", {})
        size = int(np.prod(shape))
        whole = kept.get(name)
        if whole is None or whole.size < size:
            whole = kept[name] = np.empty(size, dtype=np.float32)
        return whole[:size].reshape(shape)

    def clear(self) -> None:
        """Lets go of everything, in every thread."""
        self._local = threading.local()
