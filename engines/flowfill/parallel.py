"""A crew of threads. OpenCV lets go of the interpreter while it works, so threads are enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, pairwise
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
        """Runs the tasks side by side and returns their results in order.

        The caller works too, and everyone takes the next task that is left. Were it to sleep meanwhile, the kernel
        would wake the others on its own core, one behind the other (seen with Linux 6.18 on two cores).

        Raises:
            Exception: The first error of any task, once all that had begun have ended.
        """
        helpers = min(self.threads, len(tasks)) - 1
        if helpers < 1:
            return [task() for task in tasks]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="flowfill")
        turns = count()
        made: dict[int, T] = {}

        def work() -> None:
            while (turn := next(turns)) < len(tasks):
                made[turn] = tasks[turn]()

        others = [self._pool.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            # A helper that hasn't begun yet isn't needed any more.
            errors = [other.exception() for other in others if not other.cancel()]
        for error in errors:
            if error is not None:
                raise error
        return [made[index] for index in range(len(tasks))]

    def bands(self, rows: int, *, most: int | None = None) -> list[tuple[int, int]]:
        """Cuts rows into half-open bands [start, stop), enough of them for every thread, none over `most` rows."""
        pieces = min(rows, max(self.threads, -(-rows // most) if most else 1))
        return list(pairwise(rows * index // pieces for index in range(pieces + 1)))

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
