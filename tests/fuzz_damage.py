"""Damages small films in many ways and runs the command line on them: `python tests/fuzz_damage.py --cases 1000`.

A finding is: an error that the program did not foresee, a hang, a crash of the process (FFmpeg's, too), a file that
stays behind, an exit code that isn't 0 or 1, or a report that doesn't fit its film. Each case follows from the seed and
its number alone; `--only N` runs one again, and `--keep DIR` keeps the damaged films of the findings.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "engines")]

import av  # noqa: E402  # the path must be there first
import click  # noqa: E402
import numpy as np  # noqa: E402
from av.bitstream import BitStreamFilterContext  # noqa: E402

from tests.makers import (  # noqa: E402
    X264_REORDERED,
    add_video,
    put_sound,
    put_video,
    sound,
    video_packets,
)

FRAMES = 36
HOLES = (10, 11, 12, 25)
CODECS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "libx264": (X264_REORDERED, ("mp4", "mkv", "ts", "avi")),
    "libx265": (
        {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:bframes=2:pools=1"},
        ("mp4", "mkv", "ts"),
    ),
    "mpeg4": ({"bf": "2", "g": "12"}, ("mp4", "mkv", "ts", "avi")),
    "libvpx-vp9": ({"deadline": "realtime", "cpu-used": "8", "g": "12"}, ("mp4", "mkv", "webm")),
}
KINDS = (
    "noise",
    "noise and drop",
    "packets dropped",
    "packets cut short",
    "packets swapped",
    "cut off",
    "beginning lost",
    "bytes anywhere",
    "bytes in the header",
    "a run of zeros",
    "random bytes inserted",
    "a block moved",
)
COMMANDS = ("scan", "scan --decode", "restore", "double", "thin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One damaged film and what is done to it."""

    number: int
    """Its number in the run; with the seed it says everything else."""
    seed: int
    """Of the whole run."""
    codec: str
    """Encoder of the film."""
    ending: str
    """Its container."""
    holed: bool
    """Whether frames are missing from it."""
    kind: str
    """How it is damaged."""
    out: str
    """The container of what is written."""

    @property
    def base(self) -> str:
        """The undamaged film's name."""
        return f"{self.codec}{'-holed' if self.holed else ''}.{self.ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What should not have happened."""

    case: Case
    """In which case."""
    sort: str
    """Which sort of thing."""
    command: str
    """In which command."""
    detail: str
    """The last words."""


def make_case(number: int, *, seed: int) -> Case:
    """The case of a number; the same one every time."""
    random = np.random.default_rng([seed, number])
    codec = str(random.choice(list(CODECS)))
    return Case(
        number=number,
        seed=seed,
        codec=codec,
        ending=str(random.choice(CODECS[codec][1])),
        holed=bool(random.random() < 0.4),
        kind=str(random.choice(KINDS)),
        out=str(random.choice(["mkv", "mkv", "mp4", "ts"])),
    )


def make_bases(folder: Path) -> None:
    """All undamaged films."""
    for codec, (options, endings) in CODECS.items():
        for ending in endings:
            for holed in (False, True):
                name = f"{codec}{'-holed' if holed else ''}.{ending}"
                with av.open(str(folder / name), "w") as container:
                    stream = add_video(container, codec, options=options)
                    tone = sound(container) if ending in ("mp4", "mkv", "ts") else None
                    frames = [index for index in range(FRAMES) if not holed or index not in HOLES]
                    put_video(container, stream, frames)
                    if tone is not None:
                        put_sound(container, tone, seconds=FRAMES / 25)


def damage(case: Case, *, source: Path, target: Path) -> None:
    """Writes the damaged film."""
    random = np.random.default_rng([case.seed, case.number, 1])
    if case.kind.startswith(("noise", "packets")):
        _damage_packets(case.kind, random, source=source, target=target)
    else:
        target.write_bytes(_damaged_bytes(case.kind, random, source.read_bytes()))


def _damage_packets(kind: str, random: np.random.Generator, *, source: Path, target: Path) -> None:
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        copies = {s.index: output.add_stream_from_template(s, opaque=True) for s in container.streams}
        picture = container.streams.video[0]
        amount = random.choice(["1", "5", "20", "200", "5000"])
        noise = BitStreamFilterContext(f"noise=amount={amount}", picture)
        share = random.choice([0.05, 0.2, 0.6])
        held: list[av.Packet] = []
        for packet in container.demux():
            index = packet.stream_index
            if not packet.size:
                continue
            packets = [packet]
            if index == picture.index and random.random() < share:
                packets = _hit(kind, random, packet, noise=noise, held=held)
            for made in packets:
                made.stream = copies[index]
                try:
                    output.mux(made)
                except (av.error.FFmpegError, ValueError):
                    continue  # the muxer won't have it: then it is lost


def _hit(
    kind: str,
    random: np.random.Generator,
    packet: av.Packet,
    *,
    noise: BitStreamFilterContext,
    held: list[av.Packet],
) -> list[av.Packet]:
    if kind == "noise":
        return noise.filter(packet)
    if kind == "noise and drop":
        return [] if random.random() < 0.4 else noise.filter(packet)
    if kind == "packets dropped":
        return []
    if kind == "packets swapped":  # the bytes of one under the times of the one before
        held.append(packet)
        if len(held) < 2:
            return [packet]
        return [_like(packet, bytes(held.pop(0)))]
    return [_like(packet, bytes(packet)[: max(1, int(packet.size * random.random()))])]


def _like(packet: av.Packet, data: bytes) -> av.Packet:
    other = av.Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.is_keyframe = packet.duration, packet.is_keyframe
    return other


def _damaged_bytes(kind: str, random: np.random.Generator, data: bytes) -> bytes:
    size = len(data)
    place, length = int(random.integers(0, size)), int(random.integers(1, max(2, size // 8)))
    if kind == "cut off":
        return data[: max(1, place)]
    if kind == "beginning lost":
        return data[min(place, size // 3) :]
    if kind == "a run of zeros":
        return data[:place] + bytes(min(length, size - place)) + data[place + length :]
    if kind == "random bytes inserted":
        return data[:place] + random.bytes(length) + data[place:]
    if kind == "a block moved":
        block, rest = data[place : place + length], data[:place] + data[place + length :]
        other = int(random.integers(0, len(rest) + 1))
        return rest[:other] + block + rest[other:]
    changed = np.frombuffer(data, np.uint8).copy()
    reach = min(size, 2000) if kind == "bytes in the header" else size
    places = random.integers(0, reach, int(random.choice([1, 5, 30, 200])))
    changed[places] = random.integers(0, 256, places.size)
    return changed.tobytes()


# The worker: runs cases that come line by line, and answers line by line.


def work(folder: Path) -> None:
    """Runs cases from standard input until it ends."""
    from codec_plugin.cli.app import run

    os.environ["CODEC_PLUGIN_TRACEBACK"] = "1"
    answers = os.fdopen(os.dup(1), "w")
    log = os.open(folder / "log", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for line in sys.stdin:
        case = Case(**json.loads(line))
        room = folder / f"case-{case.number}"
        room.mkdir()
        damage(case, source=folder / case.base, target=room / f"film.{case.ending}")
        for command in COMMANDS:
            os.ftruncate(log, 0)
            os.lseek(log, 0, os.SEEK_SET)
            answers.write(json.dumps({"begun": command}) + "\n")
            answers.flush()
            code = run(_arguments(command, case, room))
            sys.stdout.flush()
            sys.stderr.flush()
            said = os.pread(log, 100_000, 0).decode(errors="replace")
            for sort, detail in _judge(command, code, said, room=room, out=case.out):
                answers.write(json.dumps({"finding": [sort, command, detail[-1500:]]}) + "\n")
        answers.write(json.dumps({"done": case.number}) + "\n")
        answers.flush()


def _arguments(command: str, case: Case, room: Path) -> list[str]:
    name, *flags = command.split()
    source, target = str(room / f"film.{case.ending}"), str(room / f"{name}-out.{case.out}")
    arguments = [name, *flags, source]
    if name == "scan":
        return arguments
    arguments += [target, "--encoder", "libx264", "--preset", "ultrafast", "--threads", "1"]
    if name == "thin":
        return [*arguments, "--keep-every", "2"]
    return [*arguments, "--engine", "blend", "--report", str(room / f"{name}-report.json")]


def _judge(command: str, code: int, said: str, *, room: Path, out: str) -> Iterator[tuple[str, str]]:
    if "did not foresee" in said or "Traceback" in said:
        yield "unforeseen error", said
    if code not in (0, 1):
        yield f"exit code {code}", said
    if code == 1 and not re.search(r"codec-plugin: error: \S", said):
        yield "failed without a word", said
    name = command.split()[0]
    target = room / f"{name}-out.{out}"
    stray = [path.name for path in room.iterdir() if ".part" in path.name]
    if stray or (code and target.exists()):
        yield "left behind", f"{stray} {said}"
    if code == 0 and name != "scan":
        try:
            yield from _judge_film(target, room / f"{name}-report.json", said)
        except (av.error.FFmpegError, OSError) as error:
            yield "unreadable output", f"{error}; {said}"


def _judge_film(target: Path, report: Path, said: str) -> Iterator[tuple[str, str]]:
    packets = video_packets(target)
    with av.open(str(target)) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    if sorted(set(times)) != times:
        yield "times don't rise", said
    if "copied packet for packet" not in said and len(times) != len(packets):
        yield "undecodable output", f"{len(packets)} packets, {len(times)} pictures; {said}"
    if not times:
        yield "empty output", said
    if report.exists():
        told = json.loads(report.read_text(encoding="utf-8"))["frames"]
        if told["all"] != told["source"] + told["made"] or told["all"] != len(times):
            yield "broken promise", f"report {told}, film {len(times)}; {said}"


# The parent: hands cases out, waits with a limit, and starts a new worker where one is lost.


class Worker:
    """A process that runs cases; killed and replaced where it hangs or crashes."""

    def __init__(self, folder: Path, *, limit_s: float) -> None:
        self.folder, self.limit_s = folder, limit_s
        self._process: subprocess.Popen[str] | None = None

    def run(self, case: Case) -> list[Finding]:
        """Runs one case; what it found, a lost worker included."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(case)) + "\n")
        process.stdin.flush()
        findings, command = [], "making it"
        while True:
            answer = self._answer(process)
            if answer is None:
                code = process.poll()
                sort = "hang" if code is None else f"crash (signal {-code})" if code < 0 else f"lost (exit {code})"
                log = (self.folder / "log").read_text(errors="replace")
                self.stop()
                return [*findings, Finding(case=case, sort=sort, command=command, detail=log[-1500:])]
            if "done" in answer:
                return findings
            if "begun" in answer:
                command = answer["begun"]
            if "finding" in answer:
                sort, command, detail = answer["finding"]
                findings.append(Finding(case=case, sort=sort, command=command, detail=detail))

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--worker", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            self._lines: Queue[str | None] = Queue()
            assert self._process.stdout is not None
            threading.Thread(target=_read_into, args=(self._lines, self._process.stdout), daemon=True).start()
        return self._process

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, object] | None:
        """The next line; None where none comes in time, or the process has ended."""
        try:
            line = self._lines.get(timeout=self.limit_s)
        except Empty:
            return None
        if line is None:
            process.wait()
            return None
        answer: dict[str, object] = json.loads(line)
        return answer


def _read_into(lines: Queue[str | None], stream: IO[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def fuzz(numbers: Sequence[int], *, seed: int, limit_s: float, keep: Path | None = None) -> list[Finding]:
    """Runs cases, shows progress on a terminal, and gives what was found."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="codec-plugin-fuzz-") as name:
        folder = Path(name)
        make_bases(folder)
        worker = Worker(folder, limit_s=limit_s)
        try:
            for count, number in enumerate(numbers, start=1):
                case = make_case(number, seed=seed)
                found = worker.run(case)
                findings += found
                room = folder / f"case-{number}"
                if found and keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(room / f"film.{case.ending}", keep / f"{seed}-{number}.{case.ending}")
                shutil.rmtree(room, ignore_errors=True)
                if sys.stderr.isatty():
                    click.echo(f"\r{count}/{len(numbers)}, {len(findings)} findings", nl=False, err=True)
        finally:
            worker.stop()
    return findings


@click.command()
@click.option("--cases", default=1000, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other cases.")
@click.option("--limit-s", default=30.0, show_default=True, help="Seconds for one command; more is a hang.")
@click.option("--only", type=int, multiple=True, help="Only the case with this number; may be repeated.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the films of the findings here.")
@click.option("--worker", type=click.Path(path_type=Path), hidden=True)
def main(cases: int, seed: int, limit_s: float, only: tuple[int, ...], keep: Path | None, worker: Path | None) -> None:
    """Damage films and see what the command line makes of them; exits with 1 where it finds something."""
    if worker is not None:
        work(worker)
        return
    began = time.monotonic()
    findings = fuzz(only or range(cases), seed=seed, limit_s=limit_s, keep=keep)
    for finding in findings:
        case = finding.case
        click.echo(f"\ncase {case.number}: {finding.sort} in {finding.command}; {case.kind}, {case.base} to {case.out}")
        click.echo("    " + finding.detail.strip().replace("\n", "\n    "))
    counts = Counter(finding.sort for finding in findings)
    count = len(only) or cases
    click.echo(f"\n{count} cases, {time.monotonic() - began:.0f} s, findings: {dict(counts) or 'none'}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
