"""Whole jobs against whole jobs: `codec-plugin double` beside FFmpeg's minterpolate, file to file, with one encoder.

Every job is a process of its own, start-up included; the peers take turns within each round. CPU seconds are those of
the process and all its threads, which a busy machine changes little; wall time is only as good as the machine was idle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from threading import Timer

from benchmarks.machine import Machine
from codec_plugin import Job, Window, scan
from codec_plugin.benching.piece import scaled_piece

MODES = {
    "minterpolate mci": "mi_mode=mci",
    "minterpolate aobmc bidir": "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1",
}
"""The filter's mode of motion compensation with all its own defaults, and with the best of its options."""
_X264 = "force-cfr=1"
_LONGEST_S = 3600  # of one job; what takes longer hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class DoublingRow:
    """One peer at one size."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    peer: str
    """Who doubled the rate."""
    frames: int
    """Frames that came out."""
    wall_s: tuple[float, ...]
    """Of each round."""
    cpu_s: tuple[float, ...]
    """Of each round, all threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoublingResult:
    """One run of `python -m benchmarks doubling`, or several, one size after the other."""

    command: str
    """What was typed last."""
    machine: Machine
    """Where."""
    load: float
    """Processes that wanted to run in the minute before the last size began."""
    ffmpeg: str
    """Whose minterpolate: a binary's version, or "PyAV" for the libraries in its wheel."""
    encoder: str
    """The same for all."""
    seconds: int
    """Of film."""
    rows: tuple[DoublingRow, ...]
    """What came out."""


def measure_doubling(
    film: Path,
    *,
    size: tuple[int, int],
    start: int,
    seconds: int,
    engines: Sequence[str],
    preset: str,
    rounds: int,
    ffmpeg: Path | None,
    tell: Callable[[str], None],
) -> list[DoublingRow]:
    """Doubles one stretch of a film with every peer.

    Args:
        film: any film.
        size: (width, height) that it is brought to.
        start: seconds into it.
        seconds: how long a stretch.
        engines: ours.
        preset: of x264, for all.
        rounds: how often each peer runs.
        ffmpeg: a binary whose minterpolate runs; None for PyAV's libraries.
        tell: hears of progress.
    """
    shown = f"{size[0]}x{size[1]}"
    with tempfile.TemporaryDirectory() as folder:
        piece, out = Path(folder) / "piece.mp4", Path(folder) / "out.mp4"
        scaled_piece(film, piece, size=size, job=Job(window=Window(start=Fraction(start), duration=Fraction(seconds))))
        rate = 2 * _rate(piece)
        commands = {f"double {name}": _ours(piece, out, engine=name, preset=preset) for name in engines}
        for name, options in MODES.items():
            commands[name] = _theirs(piece, out, options=f"fps={rate}:{options}", preset=preset, ffmpeg=ffmpeg)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        frames = {}
        for turn in range(rounds):
            for name, command in commands.items():
                taken[name].append(_timed(command))
                frames[name] = scan(out).timeline.frame_count
                tell(f"{shown}, round {turn + 1}: {name}: {taken[name][-1][0]:.1f} s, {taken[name][-1][1]:.1f} CPU s")
    return [
        DoublingRow(
            width=size[0],
            height=size[1],
            peer=name,
            frames=frames[name],
            wall_s=tuple(round(wall, 2) for wall, _ in each),
            cpu_s=tuple(round(cpu, 2) for _, cpu in each),
        )
        for name, each in taken.items()
    ]


def whose(ffmpeg: Path | None) -> str:
    """What to say of the minterpolate that ran."""
    if ffmpeg is None:
        return "PyAV"
    told = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    return " ".join(told.split()[:3])


def encoder(preset: str) -> str:
    """What every peer tells x264."""
    return f"libx264 crf=17 preset={preset} {_X264}"


def doubling_table(result: DoublingResult) -> str:
    """A row for each peer and size, with how many times as long it takes as the first of ours."""
    lines = ["|  | size | frames | CPU s | wall s | CPU, × ours | wall, × ours |", "| --- " * 7 + "|"]
    for row in result.rows:
        ours = next(each for each in result.rows if (each.width, each.height) == (row.width, row.height))
        cpu, wall = median(row.cpu_s), median(row.wall_s)
        times = (cpu / median(ours.cpu_s), wall / median(ours.wall_s))
        cells = [row.peer, f"{row.width}x{row.height}", str(row.frames), f"{cpu:.1f}", f"{wall:.1f}"]
        lines.append(f"| {' | '.join([*cells, *(f'{value:.1f}' for value in times)])} |")
    legend = (
        f"{result.seconds} s of film, file to file, {result.encoder}; medians of {len(result.rows[0].cpu_s)} rounds "
        f"in which the peers take turns; minterpolate of {result.ffmpeg}; load {result.load:.1f} before."
    )
    return "\n".join([legend, "", *lines])


def save_doubling(result: DoublingResult, path: Path) -> None:
    """Writes beside the final name and moves it there."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def load_doubling(path: Path) -> DoublingResult:
    """Reads what `save_doubling` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    rows = (DoublingRow(**{**row, "wall_s": tuple(row["wall_s"]), "cpu_s": tuple(row["cpu_s"])}) for row in raw["rows"])
    return DoublingResult(**{**raw, "machine": Machine(**raw["machine"]), "rows": tuple(rows)})


def _rate(piece: Path) -> Fraction:
    main = scan(piece).timeline.main
    if main is None or main.clock is None:
        raise SystemExit("the stretch has no steady rate to double; choose another with --start")
    return main.clock.rate


def _ours(piece: Path, out: Path, *, engine: str, preset: str) -> list[str]:
    told = ["--engine", engine, "--encoder", "libx264", "--crf", "17", "--preset", preset, "-q", "-y"]
    return [sys.executable, "-m", "codec_plugin", "double", str(piece), str(out), *told]


def _theirs(piece: Path, out: Path, *, options: str, preset: str, ffmpeg: Path | None) -> list[str]:
    if ffmpeg is None:
        return [sys.executable, "-m", "benchmarks.minterpolate_job", str(piece), str(out), options, preset, _X264]
    coded = ["-c:v", "libx264", "-crf", "17", "-preset", preset, "-x264-params", _X264]
    read = ["-v", "error", "-nostdin", "-y", "-i", str(piece), "-vf", f"minterpolate={options}"]
    return [str(ffmpeg), *read, *coded, str(out)]


def _timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    watchdog = Timer(_LONGEST_S, process.kill)
    watchdog.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    finally:
        watchdog.cancel()
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return wall, used.ru_utime + used.ru_stime
