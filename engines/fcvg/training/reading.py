"""`Ahead`: examples by their numbers, read in threads before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self


class Ahead:
    """Examples in the order of their numbers. A context manager."""

    def __init__(self, example: Callable[[int], Any], *, workers: int) -> None:
        """Starts nothing yet.

        Args:
            example: makes the one of a number; a pure function, so that it doesn't matter when and where it is called.
            workers: threads; 0 to make each when it is asked for.
        """
        self._example, self._workers = example, workers
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._coming: dict[int, Future[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, numbers: Iterable[int]) -> list[Any]:
        """The examples of these numbers, the next ones already under way."""
        wanted = list(numbers)
        if self._pool is None:
            return [self._example(number) for number in wanted]
        for number in range(wanted[0], wanted[-1] + 1 + 2 * self._workers):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._example, number)
        return [self._coming.pop(number).result() for number in wanted]
