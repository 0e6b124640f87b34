"""`CompileCache`: compiled models on disk, keyed by all that they depend on.

An entry is a file named by the SHA-256 of its key, holding the SHA-256 of its payload and the payload; beside it lies
a JSON file that says what it is, of what, and when it was made. It is written beside its name and moved there, under
a lock that keeps two processes from compiling the same thing. Anything in the directory may be deleted at any time; an
entry that doesn't match its digest, or that its runtime refuses, is dropped and made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from modelrt.errors import CacheUnusable
from modelrt.locking import locked

SUFFIX, SIDECAR, LOCK, PART = ".compiled", ".json", ".lock", ".part"
"""What the files of a cache end with."""
FORMAT = 1
"""The version of the sidecar's format."""

_DIGEST_BYTES = 32
_LOG = logging.getLogger("modelrt")
_LOADED = TypeVar("_LOADED")


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
    capability: str = ""
    """A GPU's compute capability; empty for a processor."""
    options: tuple[tuple[str, str], ...] = ()
    """Whatever else the compiler was told, sorted: ranges of shapes, limits."""

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, in hex: the entry's name."""
        parts = (self.model_digest, self.precision, repr(self.shapes), self.runtime, self.device)
        more = (self.capability, repr(self.options)) if self.capability or self.options else ()
        return hashlib.sha256("\0".join(parts + more).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCache:
    """A directory of compiled models."""

    directory: Path = field(default_factory=user_cache_dir)
    """Made when the first entry is stored."""
    limit_bytes: int = 1 << 30
    """Beyond it the entries used longest ago are deleted. Those made with `kept` stay, and don't count."""
    kept: bool = False
    """For who builds on purpose: entries stay until they are pruned, and one that can't be stored is an error."""
    lock_timeout_s: float = 1800
    """How long to wait for another process that builds the same thing."""

    def get_or_make(self, key: CacheKey, make: Callable[[], bytes], *, name: str = "a model") -> bytes:
        """The entry of `key`, made and stored where there is none.

        A directory that can't be written costs time only, and a line in the log; with `kept` it is an error.

        Args:
            key: what it depends on.
            make: compiles it.
            name: the model's, for the sidecar and messages.

        Raises:
            CacheBusy: another process has been building it for longer than `lock_timeout_s`.
            CacheUnusable: it can't be stored, and `kept` is set.
        """
        found = self._read(key)
        if found is not None:
            return self._pinned(key, found)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / f"{key.digest}{LOCK}").open("a+")
        except OSError as error:
            self._complain(name, error)
            return make()
        doing = f"building {name} in {self.directory}"
        with lock, locked(lock.fileno(), doing=doing, timeout_s=self.lock_timeout_s):
            found = self._read(key)
            if found is not None:
                return self._pinned(key, found)
            began = time.monotonic()
            payload = make()
            try:
                self._write(key, payload, name=name, build_s=time.monotonic() - began)
            except OSError as error:
                self._complain(name, error)
        self._shrink(but=key.digest)
        return payload

    def load_or_make(
        self,
        key: CacheKey,
        *,
        make: Callable[[], bytes],
        load: Callable[[bytes], _LOADED],
        refusal: type[Exception],
        name: str = "a model",
    ) -> _LOADED:
        """What `load` makes of the entry; one that it refuses is dropped, made again and loaded once more.

        Args:
            key: what the entry depends on.
            make: compiles it.
            load: hands the entry to its runtime.
            refusal: what `load` raises for an entry that it can't take.
            name: the model's, for the sidecar and messages.
        """
        payload = self.get_or_make(key, make, name=name)
        try:
            return load(payload)
        except refusal:
            self.discard(key)
        return load(self.get_or_make(key, make, name=name))

    def discard(self, key: CacheKey) -> None:
        """Deletes an entry that the runtime refused."""
        for suffix in (SUFFIX, SIDECAR):
            with suppress(OSError):
                (self.directory / f"{key.digest}{suffix}").unlink(missing_ok=True)

    def read_beside(self, name: str) -> bytes:
        """A compiler's own notes (TensorRT's timing cache); empty where there are none."""
        try:
            return (self.directory / name).read_bytes()
        except OSError:
            return b""

    def write_beside(self, name: str, content: bytes) -> None:
        """Keeps a compiler's own notes, whole or not at all; where that can't be, they are lost."""
        with suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._replace(self.directory / name, content)

    def _path(self, key: CacheKey) -> Path:
        return self.directory / f"{key.digest}{SUFFIX}"

    def _read(self, key: CacheKey) -> bytes | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                digest, payload = file.read(_DIGEST_BYTES), file.read()
        except OSError:
            return None
        if hashlib.sha256(payload).digest() != digest:
            self.discard(key)
            return None
        with suppress(OSError):
            os.utime(path)  # what _shrink goes by
        return payload

    def _pinned(self, key: CacheKey, payload: bytes) -> bytes:
        """The payload; an entry that a session had made on its way stays from now on, where it was asked for."""
        path = self._path(key).with_suffix(SIDECAR)
        with suppress(OSError, ValueError):
            said = json.loads(path.read_text(encoding="utf-8"))
            if self.kept and not said.get("kept"):
                self._replace(path, _text({**said, "kept": True}))
        return payload

    def _write(self, key: CacheKey, payload: bytes, *, name: str, build_s: float) -> None:
        self._replace(self._path(key), hashlib.sha256(payload).digest(), payload)
        said = {
            "format": FORMAT,
            "model": name,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "build_s": round(build_s, 3),
            "bytes": len(payload),
            "kept": self.kept,
            "key": asdict(key),
        }
        self._replace(self._path(key).with_suffix(SIDECAR), _text(said))

    def _replace(self, path: Path, *contents: bytes) -> None:
        descriptor, part = tempfile.mkstemp(dir=self.directory, suffix=PART)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for content in contents:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(part).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(part).unlink()
            raise

    def _complain(self, name: str, error: OSError) -> None:
        text = (
            f"the cache {self.directory} can't be written ({error.strerror or error}), so that {name} would be "
            "compiled again each time; free space there, or name another folder"
        )
        if self.kept:
            raise CacheUnusable(text) from error
        _LOG.warning("%s", text)

    def _shrink(self, *, but: str) -> None:
        entries: list[tuple[float, int, Path]] = []
        for path in self.directory.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                stat = path.stat()
                if not _is_kept(path):
                    entries.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                break
            if path.stem == but:
                continue
            with suppress(OSError):
                path.unlink()
                path.with_suffix(SIDECAR).unlink(missing_ok=True)
            total -= size


def _text(said: object) -> bytes:
    return (json.dumps(said, indent=1) + "\n").encode()


def _is_kept(entry: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads(entry.with_suffix(SIDECAR).read_text(encoding="utf-8")).get("kept"))
    return False
