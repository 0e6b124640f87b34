"""A crew of threads. OpenCV lets go of the interpreter while it works, so threads are enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import cv2

T = TypeVar("T")


class Crew:
    """Runs small tasks side by side, and hands their results back in order."""

    def __init__(self, threads: int) -> None:
        """Starts nothing yet.

        Args:
            threads: At least 1; with 1 everything runs in the caller's thread.

        Raises:
            ValueError: Fewer than one thread.
        """
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, not {threads}")
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def run(self, *tasks: Callable[[], T]) -> list[T]:
        """Runs the tasks side by side and returns their results in order; an error in any of them is raised."""
        if self.threads == 1 or len(tasks) == 1:
            return [task() for task in tasks]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="flowfill")
        return [future.result() for future in [self._pool.submit(task) for task in tasks]]

    def bands(self, rows: int, *, most: int | None = None) -> list[tuple[int, int]]:
        """Cuts rows into half-open bands [start, stop), enough of them for every thread, none over `most` rows."""
        count = min(rows, max(self.threads, -(-rows // most) if most else 1))
        return list(pairwise(rows * index // count for index in range(count + 1)))

    def close(self) -> None:
        """Ends the threads; the next `run` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


@contextmanager
def opencv_single_threaded() -> Iterator[None]:
    """Keeps OpenCV from starting threads of its own inside.

    The crew does that better, and DIS cuts its picture into as many stripes as OpenCV has threads: with a fixed
    number a frame comes out the same on every machine. The setting belongs to the process, so it is put back.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
