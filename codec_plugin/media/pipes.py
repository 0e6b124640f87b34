"""Pipes as PyAV's file objects: one that waits can be interrupted, and told to give up."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event

_POLL_MS = 100
_PIPE_BYTES = 1 << 20  # Linux's default of 64 KiB means twenty reads for one HD picture


class ReadInterrupted(Exception):
    """Ctrl-C or SIGTERM came while a read was waiting.

    PyAV carries an `Exception` out of a file object's read, and loses any other: so it travels in this one.
    """

    def __init__(self, by: BaseException) -> None:
        super().__init__(repr(by))
        self.by = by


class PipeSource:
    """The reading end of a pipe.

    A plain file object that hangs in a read can't be interrupted inside PyAV, and a thread that hangs in it can't be
    ended. This one waits in short turns.
    """

    def __init__(self, descriptor: int, *, name: str) -> None:
        """Takes an open file descriptor, which it doesn't close."""
        self.name = name
        self.taken = 0
        """Bytes read so far."""
        self._descriptor = descriptor
        self._poll = select.poll() if hasattr(select, "poll") else None  # Windows waits without turns
        if self._poll is not None:
            self._poll.register(descriptor, select.POLLIN)
        self._given_up = Event()
        _enlarge(descriptor)

    def readable(self) -> bool:
        """Whether it can be read from."""
        return True

    def seekable(self) -> bool:
        """Whether it can go back."""
        return False

    def read(self, size: int = -1) -> bytes:
        """What is there, at most `size` bytes; empty at the end, or once it was told to give up.

        Raises:
            ReadInterrupted: a signal's handler raised something while it waited.
            OSError: the pipe can't be read.
        """
        try:
            data = self._next(size if size >= 0 else _PIPE_BYTES)
        except Exception:
            raise
        except BaseException as error:
            # FFmpeg asks again where it had a part of what it wanted, and PyAV prints a second exception.
            self._given_up.set()
            raise ReadInterrupted(error) from error
        self.taken += len(data)
        return data

    def give_up(self) -> None:
        """Ends a read that waits in another thread; from now on the pipe is at its end."""
        self._given_up.set()

    def _next(self, size: int) -> bytes:
        while not self._given_up.is_set():
            if self._poll is None or self._poll.poll(_POLL_MS):
                with suppress(BlockingIOError):  # whoever made the pipe may have made it non-blocking
                    return os.read(self._descriptor, size)
        return b""


def _enlarge(descriptor: int) -> None:
    """Gives a pipe more room, where the system can."""
    with suppress(ImportError, OSError, AttributeError):  # not POSIX; not a pipe, or more than a user may; not Linux
        import fcntl  # POSIX only

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets out what interrupted a read inside PyAV."""
    try:
        yield
    except ReadInterrupted as error:
        raise error.by from None
