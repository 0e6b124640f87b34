"""`inventory` and `prune`: what lies in a cache, by its sidecars, and what of it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelrt.cache import LOCK, PART, SIDECAR, SUFFIX
from modelrt.errors import CacheUnusable

UNKNOWN = "?"
"""Stands for what a sidecar would say that is gone, or that nobody can read."""

_STALE_S = 3600  # a file that is being written is younger


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One compiled model."""

    path: Path
    """Its file."""
    bytes: int
    """Its size."""
    used: float
    """When it was last read or made, in seconds since 1970."""
    model: str
    """The model's name; `UNKNOWN` where the sidecar is gone, as below."""
    runtime: str = UNKNOWN
    """Name and version of what compiled it."""
    device: str = UNKNOWN
    """What it was compiled for."""
    precision: str = UNKNOWN
    """What it computes in."""
    shapes: str = ""
    """Its fixed shapes, for people."""
    made: str = UNKNOWN
    """When, in ISO 8601, UTC."""
    kept: bool = False
    """Whether it was built on purpose and stays until it is pruned."""

    @property
    def digest(self) -> str:
        """Its key's, in hex."""
        return self.path.stem

    def delete(self) -> None:
        """Deletes it, with its sidecar.

        Raises:
            CacheUnusable: that can't be.
        """
        try:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(SIDECAR).unlink(missing_ok=True)
        except OSError as error:
            raise CacheUnusable(f"{self.path} can't be deleted ({error.strerror})") from error


def inventory(directory: Path) -> tuple[CacheEntry, ...]:
    """The entries of a cache, the one used last first.

    Raises:
        CacheUnusable: there is no such folder, or it can't be read.
    """
    try:
        paths = [path for path in directory.iterdir() if path.name.endswith(SUFFIX)]
    except FileNotFoundError as error:
        raise CacheUnusable(f"there is no cache at {directory}: nothing was compiled there yet") from error
    except OSError as error:
        raise CacheUnusable(f"the cache {directory} can't be read ({error.strerror})") from error
    entries = []
    for path in paths:
        with suppress(FileNotFoundError):  # another process may prune, too
            entries.append(_entry(path))
    return tuple(sorted(entries, key=lambda entry: entry.used, reverse=True))


def prune(
    directory: Path, *, unused_for_s: float | None = None, down_to_bytes: int | None = None, model: str | None = None
) -> tuple[CacheEntry, ...]:
    """Deletes entries, kept ones too, and what a killed process left; gives those that are gone.

    Args:
        directory: the cache.
        unused_for_s: only those that nobody has used for so long.
        down_to_bytes: only as many, those used longest ago first, as bring the cache to this size.
        model: only those of the model with this name.

    Raises:
        CacheUnusable: there is no such folder, or an entry can't be deleted.
    """
    entries = inventory(directory)
    now, total = time.time(), sum(entry.bytes for entry in entries)
    gone = []
    for entry in reversed(entries):
        if model is not None and entry.model != model:
            continue
        if unused_for_s is not None and now - entry.used < unused_for_s:
            continue
        if down_to_bytes is not None and total <= down_to_bytes:
            continue
        entry.delete()
        total -= entry.bytes
        gone.append(entry)
    _sweep(directory, now=now)
    return tuple(gone)


def _sweep(directory: Path, *, now: float) -> None:
    """Half-written files, and locks of entries that are gone; a young one may be in use."""
    for path in directory.iterdir():
        if path.suffix in (PART, LOCK) and not path.with_suffix(SUFFIX).exists():
            with suppress(OSError):
                if now - path.stat().st_mtime > _STALE_S:
                    path.unlink()


def _entry(path: Path) -> CacheEntry:
    stat = path.stat()
    said: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):
        said = json.loads(path.with_suffix(SIDECAR).read_text(encoding="utf-8"))
    if not isinstance(said, dict) or not isinstance(said.get("key"), dict):
        return CacheEntry(path=path, bytes=stat.st_size, used=stat.st_mtime, model=UNKNOWN)
    key = said["key"]
    return CacheEntry(
        path=path,
        bytes=stat.st_size,
        used=stat.st_mtime,
        model=str(said.get("model", UNKNOWN)),
        runtime=str(key.get("runtime", UNKNOWN)),
        device=str(key.get("device", UNKNOWN)),
        precision=str(key.get("precision", UNKNOWN)),
        shapes=", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in key.get("shapes", ())),
        made=str(said.get("made", UNKNOWN)),
        kept=bool(said.get("kept")),
    )
