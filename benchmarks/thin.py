"""Thinning in a closed loop: are the frames that come back as good as was asked, and what bits does it save?"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean

from benchmarks.machine import Machine, this_machine
from codec_plugin import EncodeOptions, Job, RestoreOptions, Window, restore
from codec_plugin.comparison import pair_frames, spaced
from codec_plugin.media.reader import Reader
from codec_plugin.media.similarity import Similarity, timed_frames
from codec_plugin.thinning.candidates import Quality, value_of
from codec_plugin.thinning.closedloop import ClosedLoop, thin_to_quality
from codec_plugin.timing import round_half_up

_SUFFIX = ".mkv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinRow:
    """One film, thinned down to a quality and restored."""

    command: str
    """What was typed."""
    machine: Machine
    """Where."""
    film: str
    """The file's name."""
    start_s: float
    """Where the part that was looked at begins."""
    frames: int
    """Of that part."""
    engine: str
    """Who makes the frames again."""
    encoder: str
    """Of the thinned film, and what it was told."""
    measure: str
    """"psnr" (all planes, dB) or "ssim"."""
    asked: float
    """The least that a made frame must reach."""
    made: int
    """Frames left out, and made again."""
    below: int
    """Of those, how many are worse than asked in the restored file, or not there."""
    worst: float | None
    """The lowest value among the made frames; None where none was left out."""
    mean: float | None
    """Their mean."""
    full_bytes: int
    """Of the picture stream with every frame, encoded alike."""
    thinned_bytes: int
    """Of the picture stream that was written, notes included."""
    saved: float
    """The share of the bytes saved; below 0 for a loss."""
    rounds: int
    """How often the loop encoded the film thinned."""
    thin_wall_s: float
    """Wall time of `thin --quality`."""
    thin_cpu_s: float
    """CPU time of it, all threads."""
    restore_cpu_s: float
    """CPU time of `restore`."""


def measure_thin(
    film: Path,
    *,
    window: Window,
    quality: Quality,
    engine: str,
    encode: EncodeOptions,
    command: str,
    tell: Callable[[str], None],
) -> ThinRow:
    """Thins a film, restores it by the public functions, and holds the restored file against the source.

    The loop's own figures aren't taken on trust: the made frames are measured again from the final files.
    """
    options = RestoreOptions(engine=engine)
    job = Job(encode=encode, window=window)
    with tempfile.TemporaryDirectory() as folder:
        thinned, restored = Path(folder) / f"thin{_SUFFIX}", Path(folder) / f"restored{_SUFFIX}"
        wall, cpu = time.perf_counter(), time.process_time()
        loop = thin_to_quality(film, thinned, quality=quality, job=job, options=options)
        thin_wall, thin_cpu = time.perf_counter() - wall, time.process_time() - cpu
        tell(f"{film.name}: {len(loop.thinning.dropped)} of {loop.thinning.frames} frames dropped, {thin_cpu:.0f} s")
        cpu = time.process_time()
        report = restore(thinned, restored, options=options, job=Job(encode=encode))
        restore_cpu = time.process_time() - cpu
        offset = loop.thinning.offset + report.offset
        values = list(_values(film, restored, loop, window=window, offset=offset, measure=quality.measure))
    row = ThinRow(
        command=command,
        machine=this_machine(),
        film=film.name,
        start_s=float(window.start),
        frames=loop.thinning.frames,
        engine=engine,
        encoder=loop.thinning.encoder,
        measure=quality.measure,
        asked=quality.least,
        made=len(report.made),
        below=sum(value < quality.least for value in values) + len(loop.thinning.dropped) - len(values),
        worst=round(min(values), 4) if values else None,
        mean=round(fmean(values), 4) if values else None,
        full_bytes=loop.full_bytes,
        thinned_bytes=loop.thinned_bytes,
        saved=round(loop.saved, 4),
        rounds=loop.rounds,
        thin_wall_s=round(thin_wall, 1),
        thin_cpu_s=round(thin_cpu, 1),
        restore_cpu_s=round(restore_cpu, 1),
    )
    tell(f"{film.name}: {row.made} made, {row.below} below {quality}, worst {row.worst}, {row.saved:.1%} saved")
    return row


def _values(
    film: Path, restored: Path, loop: ClosedLoop, *, window: Window, offset: Fraction, measure: str
) -> Iterator[float]:
    """The value of each frame that was left out, from the source and the restored file."""
    wanted, similarity = set(loop.thinning.dropped), Similarity(measures=(measure,))
    with Reader(film, window=window) as one, Reader(restored) as other:
        tick = one.info.video.time_base
        rounding = tick + other.info.video.time_base
        pairs = pair_frames(spaced(timed_frames(one)), spaced(timed_frames(other)), offset=offset, rounding=rounding)
        for own, made in pairs:
            if own is not None and made is not None and round_half_up(own.time / tick) in wanted:
                yield value_of(similarity.score(own.picture, made.picture), measure)


def save_thin(row: ThinRow, path: Path) -> None:
    """Puts a row into the JSON file, in place of the film's last one."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    rows = [other for other in rows if other["film"] != row.film]
    path.write_text(json.dumps({"rows": [*rows, asdict(row)]}, indent=1) + "\n", encoding="utf-8")


def thin_table(path: Path) -> str:
    """A row for each film."""
    lines = [
        "| film | asked | made | below | worst | mean | bits saved | engine, encoder |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    commands = []
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        unit = " dB" if row["measure"] == "psnr" else " SSIM"
        worst, mean = ("–" if row[key] is None else f"{row[key]:.2f}" for key in ("worst", "mean"))
        lines.append(
            f"| {row['film']} | {row['asked']:g}{unit} | {row['made']} of {row['frames']} | {row['below']} | {worst} | "
            f"{mean} | {row['saved']:.1%} | {row['engine']}, {row['encoder']} |"
        )
        commands.append(f"`{row['command']}` ({row['thin_cpu_s']:.0f} s of CPU), commit {row['machine']['commit']}.")
    return "\n".join([*lines, "", *commands])
