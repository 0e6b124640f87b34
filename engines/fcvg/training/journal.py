"""`Journal`: what happened in training, a JSON object a line. A resumed run cuts off lost work."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

Entry = dict[str, str | int | float | None]
"""One line: numbers and names only."""


class Journal:
    """A file of JSON lines that is appended to. A context manager."""

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        """Opens the file.

        Args:
            path: where; made where it isn't there.
            keep_bytes: what of it stays; later lines are of work that was lost.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._file = path.open("r+b")
        self._file.truncate(keep_bytes)
        self._file.seek(0, 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def bytes(self) -> int:
        """Length of the file so far."""
        return self._file.tell()

    def note(self, entry: Entry) -> None:
        """One more line, on its way to the disk at once."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()


def read_journal(path: Path) -> list[Entry]:
    """All whole lines; the last one may be cut off where the run was killed."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
