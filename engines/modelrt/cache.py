"""`CompileCache`: compiled models on disk, keyed by all that they depend on.

An entry is a file named by the SHA-256 of its key, holding the SHA-256 of its payload and the payload. It is
written beside its name and moved there, under a lock that keeps two processes from compiling the same thing.
Anything in the directory may be deleted at any time; an entry that doesn't match its digest is dropped and made
again.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_DIGEST_BYTES = 32
_SUFFIX = ".compiled"


def user_cache_dir() -> Path:
    """`modelrt` in the user's cache directory: XDG_CACHE_HOME, or what the system has in its place."""
    configured = os.environ.get("XDG_CACHE_HOME")
    if configured and Path(configured).is_absolute():
        return Path(configured) / "modelrt"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "modelrt" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "modelrt"
    return Path.home() / ".cache" / "modelrt"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """All that a compiled model depends on."""

    model_digest: str
    """SHA-256 of the model's bytes, in hex."""
    precision: str
    """What it computes in."""
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    """Fixed shapes by input, sorted."""
    runtime: str
    """Name and version of the runtime."""
    device: str
    """Device, with whatever of it the compiler looked at (name, instruction sets, threads)."""

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, in hex: the entry's name."""
        parts = (self.model_digest, self.precision, repr(self.shapes), self.runtime, self.device)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCache:
    """A directory of compiled models."""

    directory: Path = field(default_factory=user_cache_dir)
    """Made when the first entry is stored."""
    limit_bytes: int = 1 << 30
    """Beyond it the entries used longest ago are deleted."""

    def get_or_make(self, key: CacheKey, make: Callable[[], bytes]) -> bytes:
        """The entry of `key`, made and stored where there is none. An unwritable directory only costs time."""
        found = self._read(key)
        if found is not None:
            return found
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / f"{key.digest}.lock").open("a")
        except OSError:
            return make()
        with lock, _locked(lock.fileno()):
            found = self._read(key)
            if found is not None:
                return found
            payload = make()
            # A full cache costs time, never the result.
            with suppress(OSError):
                self._write(key, payload)
        self._shrink()
        return payload

    def discard(self, key: CacheKey) -> None:
        """Deletes an entry that the runtime refused."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: CacheKey) -> Path:
        return self.directory / f"{key.digest}{_SUFFIX}"

    def _read(self, key: CacheKey) -> bytes | None:
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        payload = stored[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != stored[:_DIGEST_BYTES]:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # what _shrink goes by
        return payload

    def _write(self, key: CacheKey, payload: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self.directory, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(payload).digest())
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path(key))
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _shrink(self) -> None:
        entries: list[tuple[float, int, Path]] = []
        for path in self.directory.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Holds an exclusive lock on an open file; where the system has none, the rename is still atomic."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
