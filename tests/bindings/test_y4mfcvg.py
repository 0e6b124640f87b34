"""The pipe: every format that ffmpeg writes, headers, back-pressure, memory, and what can go wrong."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest

from codec_plugin.errors import DamagedInput, EngineError, InputError, UnsupportedInput
from codec_plugin.grids import Multiply, Resample, Restore
from codec_plugin.options import Duplicates, RestoreOptions
from codec_plugin.picture import Matrix
from tests.bindings.broken_engine import BrokenEngine
from tests.bindings.hosts import CLIP, ENVIRONMENT, PROGRAM, digests, needs_ffmpeg, run, shell, y4m_frames, y4m_of
from tests.synth import NTSC, Clip, planes_of
from y4mfcvg import PipeReport, pipe

BLEND = RestoreOptions(engine="blend")
FORMATS = (
    "gray gray9le gray10le gray12le gray16le yuv411p yuv420p yuv422p yuv444p yuva444p "
    + " ".join(f"yuv{sub}p{bits}le" for sub in (420, 422, 444) for bits in (9, 10, 12, 14, 16))
).split()
"""All that ffmpeg's muxer takes."""
MOVING = r"nullsrc=s=64x48:r=25,geq=lum='30+mod(X*3+Y+N*9\,180)':cb='90+N*8':cr='160-N*8'"
"""For ffmpeg: a picture that no two frames share, in any plane."""


def piped(data: bytes, folder: Path, **more: object) -> tuple[PipeReport, bytes]:
    """A stream through `pipe`, doubled unless told otherwise."""
    sink = io.BytesIO()
    settings = {"verb": Multiply(2), "options": BLEND} | more
    return pipe(cast("BinaryIO", io.BytesIO(data)), sink, **settings), sink.getvalue()  # type: ignore[arg-type]


def first_line(data: bytes) -> bytes:
    return data.partition(b"\n")[0]


# What comes through.


@pytest.mark.host
@needs_ffmpeg
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_every_format_that_ffmpeg_writes_comes_through_with_its_own_pixels(pixel_format: str, tmp_path: Path) -> None:
    made = shell(
        f'ffmpeg -v error -f lavfi -i "{MOVING}" -frames:v 4 -pix_fmt {pixel_format} -strict -1 '
        "-f yuv4mpegpipe in.y4m; codec-plugin pipe --factor 2 --engine blend -q < in.y4m > out.y4m; "
        "ffmpeg -v error -i out.y4m -f null -",
        folder=tmp_path,
    )
    assert (made.returncode, made.stderr) == (0, "")
    source, result = (tmp_path / "in.y4m").read_bytes(), (tmp_path / "out.y4m").read_bytes()

    assert first_line(result) == first_line(source).replace(b"F25:1", b"F50:1")
    before, after = y4m_frames(source, tmp_path), y4m_frames(result, tmp_path)
    assert len(after) == 2 * len(before) == 8
    assert digests(after[::2]) == digests(before)
    assert not set(digests(after[1:-1:2])) & set(digests(before))


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_factor_of_k_gives_k_times_the_frames(factor: int, tmp_path: Path) -> None:
    report, data = piped(y4m_of(CLIP, tmp_path), tmp_path, verb=Multiply(factor))

    assert report.frames == len(y4m_frames(data, tmp_path)) == factor * CLIP.slots
    assert report.made == {"blend": (factor - 1) * (CLIP.slots - 1), "hold": factor - 1}
    assert b" F%d:1 " % (25 * factor) in first_line(data)


def test_a_new_rate_leaves_source_frames_out_and_counts_them(tmp_path: Path) -> None:
    clip = replace(CLIP, rate=Fraction(30))
    report, data = piped(y4m_of(clip, tmp_path), tmp_path, verb=Resample(Fraction(24)))

    assert report.dropped > 0
    assert report.frames == len(y4m_frames(data, tmp_path)) == 10  # 12 frames of 1/30 s are 0.4 s
    assert b" F24:1 " in first_line(data)


def test_repeats_are_filled_with_a_look_ahead_as_from_a_file(tmp_path: Path) -> None:
    from codec_plugin import RestoringDecoder, made_by  # here, beside the only test that reads files

    clip = replace(CLIP, slots=40)
    frozen = {20: 19, 21: 19}
    whole = y4m_of(clip, tmp_path)
    head, _, body = whole.partition(b"\n")
    size = len(body) // clip.slots
    parts = [body[i * size : (i + 1) * size] for i in range(clip.slots)]
    data = head + b"\n" + b"".join(parts[frozen.get(i, i)] for i in range(clip.slots))
    file = tmp_path / "frozen.y4m"
    file.write_bytes(data)
    options = replace(BLEND, duplicates=Duplicates.FILL)

    report, result = piped(data, tmp_path, verb=Restore(), options=options)

    frames = list(RestoringDecoder(file, options=options))
    assert [index for index, frame in enumerate(frames) if made_by(frame)] == sorted(frozen)
    assert digests(y4m_frames(result, tmp_path)) == digests(frames)
    assert report.made == {"blend": len(frozen)}


@pytest.mark.parametrize(
    "words",
    [b"Ip A128:117 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=FULL", b"I? A0:0 C420paldv", b"Ip A1:1 Qodd XUNKNOWN=1 C420"],
)
def test_aspect_siting_range_and_unknown_tags_go_over_as_they_are(words: bytes, tmp_path: Path) -> None:
    _, data = piped(y4m_of(CLIP, tmp_path, header=b"YUV4MPEG2 W96 H64 F25:1 " + words), tmp_path)

    assert first_line(data) == b"YUV4MPEG2 W96 H64 F50:1 " + words
    assert len(y4m_frames(data, tmp_path)) == 2 * CLIP.slots


def test_a_count_of_frames_does_not_go_over_for_it_would_be_wrong(tmp_path: Path) -> None:
    _, data = piped(y4m_of(CLIP, tmp_path, header=b"YUV4MPEG2 C420 W96 H64 F25:1 Ip A0:0 XLENGTH=12"), tmp_path)

    assert first_line(data) == b"YUV4MPEG2 C420 W96 H64 F50:1 Ip A0:0"


def test_an_ntsc_rate_stays_exact_and_its_frames_stand_in_the_middle(tmp_path: Path) -> None:
    clip = replace(CLIP, rate=NTSC)
    report, data = piped(y4m_of(clip, tmp_path), tmp_path)

    assert report.header.rate == 2 * NTSC
    assert b" F60000:1001 " in first_line(data)


def test_the_matrix_that_is_said_is_the_one_converted_with(tmp_path: Path) -> None:
    data = y4m_of(replace(CLIP, slots=2), tmp_path)
    results = {}
    for matrix in (None, Matrix.BT601, Matrix.BT709):
        engine = BrokenEngine(after=99)
        piped(data, tmp_path, engine=engine, matrix=matrix)
        results[matrix] = engine.seen[0]

    assert np.array_equal(results[None], results[Matrix.BT601])  # 64 rows: as players have it
    assert not np.allclose(results[None], results[Matrix.BT709], atol=1 / 255)


def test_the_rate_that_is_said_wins_over_the_header(tmp_path: Path) -> None:
    options = replace(BLEND, rate=NTSC)
    report, data = piped(y4m_of(CLIP, tmp_path), tmp_path, options=options)

    assert report.frames == 2 * CLIP.slots
    assert b" F60000:1001 " in first_line(data)


# Bad input.


@pytest.mark.parametrize("rate", [b" F0:0", b"", b" F25:0", b" F-25:1", b" Fx:y"], ids=repr)
def test_a_header_without_a_rate_is_refused_unless_one_is_said(rate: bytes, tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path, header=b"YUV4MPEG2 W96 H64" + rate + b" Ip A1:1 C420jpeg")

    with pytest.raises(InputError, match=r"gives no frame rate .*--rate"):
        piped(data, tmp_path)
    report, result = piped(data, tmp_path, options=replace(BLEND, rate=Fraction(24)))
    assert report.frames == 2 * CLIP.slots
    assert b" F48:1" in first_line(result)


@pytest.mark.parametrize("words", [b"W96 H64 F25:1 Ip C999", b"W96 H64 F25:1 Im C420", b"H64 F25:1 Ip C420"])
def test_a_header_that_ffmpeg_does_not_know_is_an_error_that_shows_it(words: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(words.decode())):
        piped(y4m_of(CLIP, tmp_path, header=b"YUV4MPEG2 " + words), tmp_path)


@pytest.mark.parametrize("data", [b"", b"YUV4", b"\x1aE\xdf\xa3 a Matroska file", b"YUV4MPEG2 " + b"X" * 9999])
def test_what_is_no_yuv4mpeg2_is_an_error_with_the_command_that_makes_it(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ffmpeg -i FILM -f yuv4mpegpipe"):
        piped(data, tmp_path)


def test_a_header_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture"):
        piped(b"YUV4MPEG2 W96 H64 F25:1 Ip A1:1 C420jpeg\n", tmp_path)


@pytest.mark.parametrize("cut", [1, 3000, 9218], ids=lambda cut: f"{cut} bytes short")
def test_a_truncated_last_frame_is_an_error_after_all_whole_frames_went_out(cut: int, tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path)
    sink = io.BytesIO()

    with pytest.raises(DamagedInput, match=f"bytes after frame {CLIP.slots - 1} are no whole frame"):
        pipe(cast("BinaryIO", io.BytesIO(data[:-cut])), sink, verb=Multiply(2), options=BLEND)

    frames = y4m_frames(sink.getvalue(), tmp_path)
    assert len(frames) == 2 * (CLIP.slots - 1)


def test_rubbish_between_frames_is_an_error_after_the_frames_before(tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path)
    size = (len(data) - data.index(b"\n") - 1) // CLIP.slots
    start = data.index(b"\n") + 1 + 5 * size
    sink = io.BytesIO()

    with pytest.raises(DamagedInput, match="bytes after frame 5 are no whole frame"):
        pipe(cast("BinaryIO", io.BytesIO(data[:start] + b"RUBBISH" + data[start:])), sink, verb=Multiply(2))

    assert len(y4m_frames(sink.getvalue(), tmp_path)) == 10


def test_words_on_a_frame_line_are_no_rubbish(tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path).replace(b"FRAME\n", b"FRAME I1p Xfoo\n")

    assert piped(data, tmp_path)[0].frames == 2 * CLIP.slots


def test_a_stream_of_one_frame_is_held(tmp_path: Path) -> None:
    report, data = piped(y4m_of(replace(CLIP, slots=1), tmp_path), tmp_path)

    assert report.made == {"hold": 1}
    one, other = digests(y4m_frames(data, tmp_path))
    assert one == other


def test_fields_are_refused_or_woven(tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path, header=b"YUV4MPEG2 W96 H64 F25:1 It A1:1 C420jpeg")

    with pytest.raises(UnsupportedInput, match="interlaced; --deinterlace"):
        piped(data, tmp_path)
    _, result = piped(data, tmp_path, options=replace(BLEND, deinterlace=True))
    assert b" Ip " in first_line(result)
    assert len(y4m_frames(result, tmp_path)) == 2 * CLIP.slots


@pytest.mark.parametrize("after", [0, 3])
def test_an_engine_that_throws_ends_the_pipe_with_its_words(after: int, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"engine broken failed: ZeroDivisionError: it broke"):
        piped(y4m_of(CLIP, tmp_path), tmp_path, engine=BrokenEngine(after=after))


def test_an_unknown_engine_and_a_missing_option_are_told_before_anything_is_written(tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path)
    unknown = run([*PROGRAM, "pipe", "--factor", 2, "--engine", "nonesuch"], stdin=data)
    assert (unknown.returncode, unknown.stdout) == (1, b"")
    assert b"no engine is called 'nonesuch'; there are: " in unknown.stderr

    for words in ([], ["--factor", 2, "--fps", 60]):
        bad = run([*PROGRAM, "pipe", *words], stdin=data)
        assert (bad.returncode, bad.stdout) == (2, b"")
        assert b"--factor N" in bad.stderr


# The pipe as a pipe.


def test_a_reader_that_goes_ends_it_quietly_with_the_status_of_a_broken_pipe(tmp_path: Path) -> None:
    (tmp_path / "in.y4m").write_bytes(y4m_of(replace(CLIP, slots=40), tmp_path))
    line = "set +e; codec-plugin pipe --factor 8 --engine blend < in.y4m | head -c 20000 > part; echo ${PIPESTATUS[0]}"
    done = shell(line, folder=tmp_path)

    assert done.stdout.strip() == "141"
    assert done.stderr == ""


def test_the_first_frames_come_out_while_the_source_is_still_open_and_no_more_is_taken_than_needed(
    tmp_path: Path,
) -> None:
    clip = replace(CLIP, slots=100, size=(640, 360))
    data = y4m_of(clip, tmp_path)
    process = subprocess.Popen(
        [*PROGRAM, "pipe", "--factor", "2", "--engine", "blend", "-q"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    descriptor = process.stdin.fileno()
    os.set_blocking(descriptor, False)
    given, quiet_since = 0, time.monotonic()
    while time.monotonic() - quiet_since < 2.0:  # nobody reads: it must stop taking
        try:
            given += os.write(descriptor, data[given : given + 65536])
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    frame_bytes = 640 * 360 * 3 // 2
    assert given < 45 * frame_bytes  # queues of 8 and the pipes' own buffers, of 100 frames
    taken: list[bytes] = []
    drain = threading.Thread(target=lambda: taken.append(process.stdout.read()))  # type: ignore[union-attr]
    drain.start()
    os.set_blocking(descriptor, True)
    os.write(descriptor, data[given:])
    process.stdin.close()
    drain.join(60)

    assert process.wait(60) == 0
    process.stdout.close()
    assert len(taken[0]) - len(first_line(taken[0])) - 1 == 2 * clip.slots * (frame_bytes + 6)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("fed", [10, 40, 30_000], ids=["in the header", "after it", "after frames"])
def test_an_interrupt_ends_a_pipe_that_waits(fed: int, by: signal.Signals, tmp_path: Path) -> None:
    data = y4m_of(CLIP, tmp_path)
    process = subprocess.Popen(
        [*PROGRAM, "pipe", "--factor", "2", "--engine", "blend"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdin is not None
    process.stdin.write(data[:fed])
    process.stdin.flush()
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(by)
    try:
        _, words = process.communicate(timeout=10)
    finally:
        process.kill()

    assert process.returncode == (130 if by is signal.SIGINT else 143)
    assert b"Traceback" not in words


def test_planes_keep_their_padding_to_themselves(tmp_path: Path) -> None:
    """Odd sizes: FFmpeg rounds chroma up, and rows in memory are longer than those in the stream."""
    clip: Clip = replace(CLIP, size=(67, 45), slots=3)
    before = y4m_of(clip, tmp_path)
    after = piped(before, tmp_path)[1]

    frames = y4m_frames(after, tmp_path)
    assert digests(frames[::2]) == digests(y4m_frames(before, tmp_path))
    left, middle, right = (planes_of(frame)[1].astype(float) for frame in frames[:3])
    assert np.abs(middle - (left + right) / 2).max() <= 1


def peak_memory(data: bytes, frame: bytes, *, frames: int) -> int:
    """Kilobytes that a pipe has held at most, after a stream of so many frames."""
    with subprocess.Popen(
        [*PROGRAM, "pipe", "--factor", "2", "--engine", "blend", "-q", "--duplicates", "fill"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(first_line(data) + b"\n")
        for _ in range(frames // 100):
            process.stdin.write(frame * 100)
        process.stdin.flush()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1])  # type: ignore[index]
        process.stdin.close()
        assert process.wait(60) == 0
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory in /proc")
def test_five_minutes_take_no_more_memory_than_one(tmp_path: Path) -> None:
    data = y4m_of(replace(CLIP, slots=2), tmp_path)
    body = data[data.index(b"\n") + 1 :]
    one_minute, five_minutes = (peak_memory(data, body, frames=25 * seconds // 2) for seconds in (60, 300))

    assert five_minutes <= one_minute + 2048
