"""The compile cache: keyed by content, whole or absent, safe to delete."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from modelrt import (
    CacheKey,
    CompileCache,
    OnnxModel,
    Runtime,
    SessionOptions,
    is_installed,
    open_session,
    user_cache_dir,
)

KEY = CacheKey(model_digest="00", precision="fp32", shapes=(("x", (1, 2)),), runtime="openvino 1", device="CPU")


def test_what_was_stored_is_found_and_not_made_again(tmp_path: Path) -> None:
    cache = CompileCache(directory=tmp_path / "deep" / "cache")
    assert cache.get_or_make(KEY, lambda: b"compiled") == b"compiled"
    assert cache.get_or_make(KEY, lambda: b"another") == b"compiled"


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, model_digest="01"),
        replace(KEY, precision="bf16"),
        replace(KEY, shapes=(("x", (1, 3)),)),
        replace(KEY, runtime="openvino 2"),
        replace(KEY, device="CPU with more"),
        replace(KEY, capability="9.0"),
        replace(KEY, options=(("workspace_bytes", "1"),)),
    ],
)
def test_every_part_of_the_key_counts(tmp_path: Path, other: CacheKey) -> None:
    cache = CompileCache(directory=tmp_path)
    cache.get_or_make(KEY, lambda: b"compiled")
    assert cache.get_or_make(other, lambda: b"another") == b"another"


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    cache = CompileCache(directory=tmp_path)
    cache.get_or_make(KEY, lambda: b"compiled")
    (entry,) = tmp_path.glob("*.compiled")
    entry.write_bytes(entry.read_bytes()[:-1])
    assert cache.get_or_make(KEY, lambda: b"again") == b"again"
    assert cache.get_or_make(KEY, lambda: b"never") == b"again"


def test_a_failure_to_compile_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("no compiler")

    with pytest.raises(OSError, match="no compiler"):
        CompileCache(directory=tmp_path).get_or_make(KEY, fail)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_directory_that_can_not_be_made_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = CompileCache(directory=tmp_path / "file" / "cache")
    assert cache.get_or_make(KEY, lambda: b"compiled") == b"compiled"


def test_two_at_once_compile_once(tmp_path: Path) -> None:
    made = []
    started = threading.Event()

    def compile_slowly() -> bytes:
        made.append(1)
        started.set()
        threading.Event().wait(0.2)
        return b"compiled"

    def ask() -> None:
        CompileCache(directory=tmp_path).get_or_make(KEY, compile_slowly)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_the_oldest_entries_go_when_the_limit_is_passed(tmp_path: Path) -> None:
    cache = CompileCache(directory=tmp_path, limit_bytes=300)
    for index in range(8):
        cache.get_or_make(replace(KEY, model_digest=f"{index}"), lambda: bytes(60))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.compiled")) <= 300


def test_it_lies_in_the_users_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_dir() == tmp_path / "modelrt"


def test_a_session_from_the_cache_is_the_same_and_survives_a_strange_entry(tmp_path: Path) -> None:
    if not is_installed(Runtime.OPENVINO):
        pytest.skip("the runtime openvino is not installed")
    from tests.modelrt.test_parity import SMALL, tensors

    options = SessionOptions(cache=CompileCache(directory=tmp_path))

    def run() -> bytes:
        with open_session(OnnxModel.from_file(SMALL), runtime=Runtime.OPENVINO, options=options) as session:
            return session.run(tensors())["sampled"].tobytes()

    first = run()
    (entry,) = tmp_path.glob("*.compiled")
    assert run() == first
    strange = CompileCache(directory=tmp_path / "other")
    strange.get_or_make(KEY, lambda: b"not a compiled model")
    (other,) = (tmp_path / "other").glob("*.compiled")
    entry.write_bytes(other.read_bytes())
    assert run() == first
