"""`locked`: a lock between processes, on an open file. Nobody waits for it for ever, nor without a word."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modelrt.errors import CacheBusy

_POLL_S = 0.1
_SILENT_S = 5.0  # who waits longer is told for whom
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_LOG = logging.getLogger("modelrt")


@contextmanager
def locked(descriptor: int, *, doing: str, timeout_s: float) -> Iterator[None]:
    """Holds an exclusive lock, and has the file name this process.

    Where the system or the file system has no such locks, two processes may do the same work: what is written beneath
    must be whole by itself.

    Args:
        descriptor: of a file that is open for reading and appending.
        doing: what is done under it, for messages: "building unet.onnx in FOLDER".
        timeout_s: how long to wait for another process.

    Raises:
        CacheBusy: it has taken longer; the message names it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    began, is_told, is_held = time.monotonic(), False, False
    while not is_held:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except BlockingIOError:
            waited_s = time.monotonic() - began
            if waited_s >= timeout_s:
                raise CacheBusy(
                    f"another process (id {_holder(descriptor)}) has been {doing} for more than {timeout_s:g} s; wait "
                    "for it or end it, then try again"
                ) from None
            if waited_s >= _SILENT_S and not is_told:
                is_told = True
                _LOG.warning("waiting for another process (id %s), which is %s", _holder(descriptor), doing)
            time.sleep(_POLL_S)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            break
    with suppress(OSError):
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    try:
        yield
    finally:
        if is_held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _holder(descriptor: int) -> str:
    with suppress(OSError, AttributeError):  # Windows has no pread, and no lock to wait for
        return os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
    return "unknown"
