"""Whole jobs: how near they come to their slowest stage, how much memory they take, how fast a scan is.

    python -m benchmarks.job --film FILM        # a film of a minute or more

- Overlap: decode, fill and encode are timed each alone (frames held in memory), then the whole job from file to file.
  The floor is the larger of the slowest stage's wall time and all stages' CPU time over the cores.
- Memory: the peak of a process that doubles 10 s, and of one that doubles 60 s.
- Scan: wall time of a demux-only scan against the film's length, in one process and as a command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

import click

from benchmarks.machine import this_machine
from codec_plugin import EncodeOptions, Job, Multiply, RestoreOptions, Window, plan_file, scan
from codec_plugin.media.reader import Frame, Reader
from codec_plugin.media.writer import Writer
from codec_plugin.plan import RestorePlan
from codec_plugin.runner import run_file, weave_settings
from codec_plugin.schedule import PlanSchedule
from codec_plugin.weave import OutputFrame, Weaver

_RESULT = Path(__file__).parent / "results" / "job.json"
_VERB = Multiply(2)


@dataclass(slots=True)
class Cost:
    """What a stage took."""

    wall_s: float = 0.0
    """Wall time in seconds."""
    cpu_s: float = 0.0
    """CPU time of all threads in seconds."""


@contextmanager
def _costing(cost: Cost) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    cost.wall_s, cost.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


@click.command()
@click.option("--film", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--start", default=120, show_default=True, help="Seconds into the film.")
@click.option("--seconds", default=8, show_default=True, help="Length for the overlap.")
@click.option("--engine", default="dis", show_default=True)
@click.option("--preset", default="medium", show_default=True, help="Of x264, for the overlap.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--output", default=_RESULT, type=click.Path(path_type=Path))
def main(film: Path, start: int, seconds: int, engine: str, preset: str, rounds: int, output: Path) -> None:
    """Measures whole jobs on one film."""
    job = Job(
        encode=EncodeOptions(preset=preset),
        window=Window(start=Fraction(start), duration=Fraction(seconds)),
        overwrite=True,
    )
    result = {
        "command": " ".join(["python -m benchmarks.job", *("FILM" if a == str(film) else a for a in sys.argv[1:])]),
        "machine": asdict(this_machine()),
        "overlap": _overlap(film, job, RestoreOptions(engine=engine), rounds=rounds),
        "memory": _memory(film, engine=engine, start=start),
        "scan": _scan(film),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(json.dumps({key: result[key] for key in ("overlap", "memory", "scan")}, indent=1))


def _overlap(film: Path, job: Job, options: RestoreOptions, *, rounds: int) -> dict[str, object]:
    runs = [_overlap_once(film, job, options) for _ in range(rounds)]
    ratios = [run["ratio"] for run in runs]
    return {"median_ratio": round(median(ratios), 3), "best_ratio": round(min(ratios), 3), "rounds": runs}


def _overlap_once(film: Path, job: Job, options: RestoreOptions) -> dict[str, float]:
    decode, fill, encode, whole = Cost(), Cost(), Cost(), Cost()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        _, plan = plan_file(film, verb=_VERB, options=options, job=job)
        with Reader(film, window=job.window) as reader:
            with _costing(decode):
                frames = list(reader.frames())
            woven = _filled(reader, frames, plan, options, fill)
        with Reader(film, window=job.window) as reader, _costing(encode):
            _encoded(reader, woven, plan, job, target)
        del frames, woven
        with _costing(whole):
            run_file(film, target, verb=_VERB, options=options, job=job)
    stages = (decode, fill, encode)
    cores = len(os.sched_getaffinity(0))
    floor = max(max(stage.wall_s for stage in stages), sum(stage.cpu_s for stage in stages) / cores)
    return {
        "decode_wall_s": round(decode.wall_s, 3),
        "fill_wall_s": round(fill.wall_s, 3),
        "encode_wall_s": round(encode.wall_s, 3),
        "stages_cpu_s": round(sum(stage.cpu_s for stage in stages), 3),
        "whole_wall_s": round(whole.wall_s, 3),
        "whole_cpu_s": round(whole.cpu_s, 3),
        "floor_s": round(floor, 3),
        "ratio": round(whole.wall_s / floor, 3),
    }


def _filled(
    reader: Reader, frames: list[Frame], plan: RestorePlan, options: RestoreOptions, cost: Cost
) -> list[OutputFrame]:
    weaver = Weaver(PlanSchedule(plan), weave_settings(reader, options, engine=options.engine))
    with _costing(cost):
        return [item for item in weaver.weave(iter(frames)) if isinstance(item, OutputFrame)]


def _encoded(reader: Reader, woven: list[OutputFrame], plan: RestorePlan, job: Job, target: Path) -> None:
    """The pictures and, as in a whole job, the sound."""
    with Writer(
        target,
        source=reader.container,
        picture=reader.stream,
        encode=job.encode,
        rate=plan.rate or Fraction(25),
        time_base=plan.output_time_base,
    ) as writer:
        for item in woven:
            writer.write_frame(item.frame, pts=item.pts)
        writer.finish()


def _memory(film: Path, *, engine: str, start: int) -> dict[str, float]:
    peaks = {seconds: _peak_mb(film, engine=engine, start=start, seconds=seconds) for seconds in (10, 60)}
    return {
        "peak_10_s_mb": round(peaks[10], 1),
        "peak_60_s_mb": round(peaks[60], 1),
        "ratio": round(peaks[60] / peaks[10], 3),
    }


def _peak_mb(film: Path, *, engine: str, start: int, seconds: int) -> float:
    """The peak of a process of its own, as it reads it from /proc: getrusage would remember the parent's too."""
    with tempfile.TemporaryDirectory() as folder:
        words = [str(film), f"{folder}/out.mp4", "--engine", engine, "--preset", "ultrafast", "-q"]
        words += ["--start", str(start), "--duration", str(seconds)]
        program = (
            "import sys; from codec_plugin.cli.app import run; code = run(['double', *sys.argv[1:]]); "
            "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
        )
        ran = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return int(ran.stdout.split()[-2]) * 1024 / 1e6


def _scan(film: Path) -> dict[str, float]:
    found = scan(film)
    length = float(found.timeline.duration)
    inside = _best(lambda: scan(film))
    command = _best(lambda: subprocess.run([sys.executable, "-m", "codec_plugin", "scan", str(film), "-q"], check=True))
    return {
        "film_s": round(length, 1),
        "frames": found.timeline.frame_count,
        "scan_s": round(inside, 4),
        "times_real_time": round(length / inside),
        "command_s": round(command, 3),
        "command_times_real_time": round(length / command),
    }


def _best(run: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


if __name__ == "__main__":
    main()
