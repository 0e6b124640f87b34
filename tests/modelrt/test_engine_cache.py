"""The cache of engines that were built on purpose: sidecars, locks, full disks, refused entries, list and prune."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelrt import CacheBusy, CacheKey, CacheUnusable, CompileCache
from modelrt.inventory import inventory, prune
from modelrt.locking import locked

KEY = CacheKey(
    model_digest="ab",
    precision="fp16",
    shapes=(("sample", (2, 9, 72, 128)),),
    runtime="tensorrt 11.4",
    device="GPU A",
    capability="8.9",
)


class Refused(Exception):
    """What a runtime says to an engine that it can't load."""


def engines(tmp_path: Path) -> CompileCache:
    return CompileCache(directory=tmp_path / "engines", kept=True, lock_timeout_s=5)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_sidecar_says_what_an_entry_is_when_and_of_what(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: b"engine", name="unet.onnx")

    said = json.loads((cache.directory / f"{KEY.digest}.json").read_text())
    assert said["model"] == "unet.onnx"
    assert said["key"]["device"] == "GPU A"
    assert said["key"]["shapes"] == [["sample", [2, 9, 72, 128]]]
    assert said["bytes"] == len(b"engine")
    (entry,) = inventory(cache.directory)
    assert (entry.model, entry.runtime, entry.precision) == ("unet.onnx", "tensorrt 11.4", "fp16")
    assert entry.shapes == "sample 2x9x72x128"
    assert entry.kept


def test_an_engine_from_another_gpu_is_not_taken(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: b"for A")

    other = replace(KEY, device="GPU B", capability="12.0")
    assert cache.get_or_make(other, lambda: b"for B") == b"for B"
    assert cache.get_or_make(KEY, lambda: b"never") == b"for A"


def test_an_engine_that_no_longer_loads_is_built_again_once(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: b"of an old driver")

    def load(payload: bytes) -> str:
        if payload == b"of an old driver":
            raise Refused
        return payload.decode()

    assert cache.load_or_make(KEY, make=lambda: b"new", load=load, refusal=Refused) == "new"
    assert cache.get_or_make(KEY, lambda: b"never") == b"new"


def test_an_engine_that_never_loads_is_an_error_and_not_a_loop(tmp_path: Path) -> None:
    built = []

    def make() -> bytes:
        built.append(1)
        return b"engine"

    def load(_: bytes) -> str:
        raise Refused

    with pytest.raises(Refused):
        engines(tmp_path).load_or_make(KEY, make=make, load=load, refusal=Refused)
    assert len(built) == 2


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_a_truncated_entry_is_built_again(tmp_path: Path, cut: int) -> None:
    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: b"a whole engine")
    path = cache.directory / f"{KEY.digest}.compiled"
    path.write_bytes(path.read_bytes()[:-cut])

    assert cache.get_or_make(KEY, lambda: b"again") == b"again"


def test_a_full_disk_is_named_where_a_build_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(CacheUnusable, match=r"engines can't be written \(No space left.*unet\.onnx would be compiled"):
        engines(tmp_path).get_or_make(KEY, lambda: b"engine", name="unet.onnx")
    assert [path.suffix for path in (tmp_path / "engines").iterdir()] == [".lock"]


def test_a_full_disk_costs_a_session_time_and_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING, logger="modelrt"):
        made = replace(engines(tmp_path), kept=False).get_or_make(KEY, lambda: b"engine")

    assert made == b"engine"
    assert "No space left" in caplog.text


def test_a_folder_that_can_not_be_written_is_named_where_a_build_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "engines").write_bytes(b"a file where the folder should be")

    with pytest.raises(CacheUnusable, match="can't be written"):
        engines(tmp_path).get_or_make(KEY, lambda: b"engine")


def test_a_read_only_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: b"made before")
    monkeypatch.setattr(tempfile, "mkstemp", read_only)

    assert cache.get_or_make(KEY, lambda: b"never") == b"made before"
    with pytest.raises(CacheUnusable, match="Read-only file system"):
        cache.get_or_make(replace(KEY, device="GPU B"), lambda: b"engine")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir(mode=0o500)

    with pytest.raises(CacheUnusable, match="Permission denied"):
        engines(tmp_path).get_or_make(KEY, lambda: b"engine")


BUILD = """
import sys, time
from pathlib import Path
from modelrt import CacheKey, CompileCache
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
def make():
    with log.open("a") as file: file.write("built\\n")
    (folder / "started").touch()
    time.sleep(float(sys.argv[3]))
    return b"engine"
key = CacheKey(model_digest="ab", precision="fp16", shapes=(), runtime="r", device="d")
print(CompileCache(directory=folder, kept=True).get_or_make(key, make).decode())
"""


def builder(folder: Path, log: Path, *, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", BUILD, str(folder), str(log), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment)


def test_two_processes_that_need_the_same_engine_build_it_once(tmp_path: Path) -> None:
    folder, log = tmp_path / "engines", tmp_path / "log"
    folder.mkdir()
    both = [builder(folder, log, seconds=0.3) for _ in range(2)]
    try:
        said = [process.communicate(timeout=60)[0].strip() for process in both]
    finally:
        for process in both:
            process.kill()

    assert said == ["engine", "engine"]
    assert log.read_text().split() == ["built"]


def test_a_build_of_another_process_that_takes_too_long_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    key = CacheKey(model_digest="ab", precision="fp16", shapes=(), runtime="r", device="d")
    with builder(folder, tmp_path / "log", seconds=60) as process:
        try:
            until = time.monotonic() + 60
            while not (folder / "started").exists() and time.monotonic() < until:
                time.sleep(0.05)
            cache = CompileCache(directory=folder, lock_timeout_s=0.2)
            with pytest.raises(CacheBusy, match=rf"id {process.pid}\) has been building unet\.onnx"):
                cache.get_or_make(key, lambda: b"never", name="unet.onnx")
        finally:
            process.kill()
    # A killed builder leaves no lock behind.
    assert replace(cache, lock_timeout_s=30).get_or_make(key, lambda: b"mine") == b"mine"


def test_what_was_built_on_purpose_outlives_the_limit_and_takes_nothing_of_it(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    cache.get_or_make(KEY, lambda: bytes(1000), name="kept")
    sessions = replace(cache, kept=False, limit_bytes=500)
    for index in range(4):
        sessions.get_or_make(replace(KEY, model_digest=f"{index}"), lambda: bytes(100), name="other")

    left = [entry.model for entry in inventory(cache.directory)]
    assert left.count("kept") == 1
    assert left.count("other") == 3  # each takes its digest's 32 bytes besides


def test_who_waits_for_another_process_is_told_for_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("modelrt.locking._SILENT_S", 0.0)
    doing = "building unet.onnx"
    with (
        (tmp_path / "lock").open("a+") as theirs,
        (tmp_path / "lock").open("a+") as ours,
        locked(theirs.fileno(), doing=doing, timeout_s=1),
        pytest.raises(CacheBusy),
        locked(ours.fileno(), doing=doing, timeout_s=0.3),
    ):
        pytest.fail("both have the lock")

    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for another process (id {os.getpid()}), which is building unet.onnx"
    ]


def test_a_file_system_without_locks_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", refused)

    assert engines(tmp_path).get_or_make(KEY, lambda: b"engine") == b"engine"


def test_building_on_purpose_keeps_what_a_session_had_made(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    replace(cache, kept=False).get_or_make(KEY, lambda: b"engine")
    cache.get_or_make(KEY, lambda: b"never")

    assert inventory(cache.directory)[0].kept


def aged(cache: CompileCache, *, ages_s: tuple[float, ...]) -> None:
    for index, age_s in enumerate(ages_s):
        key = replace(KEY, model_digest=f"{index}")
        cache.get_or_make(key, lambda: bytes(100), name=f"model {index}")
        then = time.time() - age_s
        os.utime(cache.directory / f"{key.digest}.compiled", (then, then))


def test_pruning_takes_the_oldest_the_big_or_all(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    aged(cache, ages_s=(500, 50, 5))

    assert [entry.model for entry in prune(cache.directory, unused_for_s=100)] == ["model 0"]
    assert [entry.model for entry in prune(cache.directory, down_to_bytes=140)] == ["model 1"]
    assert prune(cache.directory, model="model 1") == ()
    assert [entry.model for entry in prune(cache.directory)] == ["model 2"]
    assert inventory(cache.directory) == ()
    assert not list(cache.directory.glob("*.json"))


def test_pruning_sweeps_up_after_a_killed_process(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    aged(cache, ages_s=(5,))
    for name, age_s in (("old.part", 7200), ("young.part", 5)):
        (cache.directory / name).write_bytes(b"half")
        os.utime(cache.directory / name, (time.time() - age_s,) * 2)
    prune(cache.directory, unused_for_s=1e6)

    assert [path.name for path in cache.directory.glob("*.part")] == ["young.part"]


def test_an_entry_without_its_sidecar_is_listed_with_what_is_known(tmp_path: Path) -> None:
    cache = engines(tmp_path)
    aged(cache, ages_s=(5,))
    for path in cache.directory.glob("*.json"):
        path.write_text("{")

    (entry,) = inventory(cache.directory)
    assert (entry.model, entry.runtime, entry.kept) == ("?", "?", False)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CacheUnusable, match="there is no cache at"):
        inventory(tmp_path / "nothing")
    with pytest.raises(CacheUnusable, match="there is no cache at"):
        prune(tmp_path / "nothing")
