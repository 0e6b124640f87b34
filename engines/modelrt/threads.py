"""One thread budget for the whole process, so that several sessions don't fight for the same cores.

Every backend takes its number of threads from here. Runtimes build their pools once, at the first session: the
budget can be changed up to then.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from modelrt.errors import ThreadBudgetFixed


def usable_cores() -> int:
    """The cores that this process may run on (its affinity, not the machine's count)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


@dataclass(slots=True)
class _Budget:
    """The process's one budget: mutable, because pools are the process's, too."""

    threads: int | None = None
    """None until it is set or first needed."""
    taken: bool = False
    """Whether a session runs with it."""


_budget = _Budget()
_lock = threading.Lock()


def thread_budget() -> int:
    """How many threads all sessions of this process share: the usable cores, unless it was set."""
    with _lock:
        return _budget.threads or usable_cores()


def set_thread_budget(threads: int) -> None:
    """Sets the number of threads for every session of this process.

    Raises:
        ValueError: fewer than one.
        ThreadBudgetFixed: a session was opened with another number.
    """
    if threads < 1:
        raise ValueError(f"a thread budget is at least 1, not {threads}")
    with _lock:
        if _budget.taken and threads != _budget.threads:
            raise ThreadBudgetFixed(
                f"sessions already share {_budget.threads} threads; set the budget to {threads} before "
                "the first session is opened"
            )
        _budget.threads = threads


def take_thread_budget() -> int:
    """The budget, fixed from now on. Backends call it when they open a session."""
    with _lock:
        if _budget.threads is None:
            _budget.threads = usable_cores()
        _budget.taken = True
        return _budget.threads
