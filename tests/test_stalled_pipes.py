"""Standard input that gives nothing for a while, or whose times jump back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from codec_plugin.media.pipes import PipeSource, ReadInterrupted
from codec_plugin.stages import ahead
from tests.makers import FAST, X264_REORDERED, write_clip
from tests.test_cli import ENVIRONMENT, outside

SHORT_OF_A_HEADER = 40


@contextmanager
def stalled(arguments: Sequence[str], *, fed: bytes, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line, whose standard input stays open and gives no more than this."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "codec_plugin", *arguments],
        cwd=folder,
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    os.close(reading)
    try:
        os.write(writing, fed)
        yield process
    finally:
        process.kill()
        process.communicate()
        os.close(writing)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("fed", ["nothing", "half a header", "half a film"])
@pytest.mark.parametrize("command", [["double", "-", "out.mkv", *FAST], ["scan", "-"]], ids=lambda words: words[0])
def test_an_interrupt_ends_a_job_whose_input_stalls(
    command: list[str], fed: str, by: signal.Signals, tmp_path: Path
) -> None:
    data = write_clip(tmp_path / "film.ts", options=X264_REORDERED).read_bytes()
    given = {"nothing": b"", "half a header": data[:SHORT_OF_A_HEADER], "half a film": data[: len(data) // 2]}[fed]
    with stalled(command, fed=given, folder=tmp_path) as process:
        time.sleep(1.0)  # until it waits
        assert process.poll() is None
        sent = time.monotonic()
        process.send_signal(by)
        _, words = process.communicate(timeout=20)
        took = time.monotonic() - sent

    assert process.returncode == (130 if by is signal.SIGINT else 143), words
    assert "Traceback" not in words
    assert "ignored" not in words
    assert took < 5
    assert [path.name for path in tmp_path.iterdir()] == ["film.ts"]


def test_a_read_that_waits_ends_when_told_to_give_up() -> None:
    reading, writing = os.pipe()
    source = PipeSource(reading, name="a pipe")
    os.write(writing, b"some")
    stage = ahead(iter(lambda: source.read(100), b""), depth=2, abandon=source.give_up)

    assert next(stage) == b"some"
    began = time.monotonic()
    stage.close()

    assert time.monotonic() - began < 1.5  # well below the patience with a thread that hangs
    assert source.read(100) == b""
    assert source.taken == 4
    os.close(reading)
    os.close(writing)


def test_what_a_signal_raises_comes_out_of_a_read_as_an_ordinary_exception() -> None:
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    reading, writing = os.pipe()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(ReadInterrupted) as caught:
            PipeSource(reading, name="a pipe").read(100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(reading)
        os.close(writing)

    assert isinstance(caught.value.by, KeyboardInterrupt)


def test_a_stream_read_once_whose_times_jump_back_is_refused_as_a_file_is(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.ts", frames=range(24), options=X264_REORDERED)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)

    words = []
    for source, data in ((joined, None), ("-", joined.read_bytes())):
        done = outside(["double", source, tmp_path / "out.mkv", *FAST], folder=tmp_path, stdin=data)
        assert done.returncode == 1
        words.append(done.stderr.decode())

    assert all("times jump back at" in text for text in words), words
    assert not (tmp_path / "out.mkv").exists()
