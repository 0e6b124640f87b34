"""Stages of a job that run side by side, joined by bounded queues."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from queue import Empty, Full, Queue
from threading import Event, Thread
from threading import enumerate as threads
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.1
_PATIENCE_S = 2.0
_NAME = "codec-plugin stage"


class _End:
    """The last thing in a queue: the end, and what it ended with."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T], *, depth: int, abandon: Callable[[], None] = lambda: None) -> Generator[T, None, None]:
    """Runs an iterable in a thread of its own, up to `depth` items ahead of who takes them.

    An error inside comes out where the items are taken. Closing the generator stops the thread, and waits for it: an
    iterable that is a generator is closed in its own thread. `abandon` is called first: it ends what the thread may
    be waiting for.
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    stop = Event()
    thread = Thread(target=_run, args=(items, queue, stop), daemon=True, name=_NAME)
    thread.start()
    try:
        while True:
            item = queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        abandon()
        _drain(queue)
        thread.join(_PATIENCE_S)  # it may hang in a read from a pipe that gives no more; it is a daemon


def is_any_left() -> bool:
    """Whether the thread of a stage still runs, though nobody takes its items any more."""
    return any(thread.name == _NAME for thread in threads())


def _run(items: Iterable[T], queue: Queue[T | _End], stop: Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not _put(queue, item, stop):
                break
    except BaseException as caught:  # handed to the thread that takes the items
        error = caught
    finally:
        try:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        except BaseException as caught:  # likewise
            error = error or caught
        finally:
            _put(queue, _End(error), stop)


def _put(queue: Queue[T | _End], item: T | _End, stop: Event) -> bool:
    while not stop.is_set():
        try:
            queue.put(item, timeout=_POLL_S)
        except Full:
            continue
        return True
    return False


def _drain(queue: Queue[T | _End]) -> None:
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
