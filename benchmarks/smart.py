"""Smart restore against encoding everything anew: time, and what of the source is still there, bit for bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import Machine
from codec_plugin import EncodeOptions, Job, Origin, RestoreOptions, RestoreReport, Smart, restore, thin, verify
from codec_plugin.thinning.thin import DropRanges

GAPS = "1000:1003,3501,6000:6005,9002:9004,12501:12504"
"""Five gaps of one to five frames, in a film of at least ten minutes at 24 frames a second."""
KEYINTS = (60, 250)
_SOURCE = EncodeOptions(encoder="libx264", preset="veryfast", crf=21)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartRow:
    """One film."""

    film: str
    """Its name, and the longest distance of its key frames."""
    frames: int
    """Of the result."""
    made: int
    """Of those, how many were made."""
    packets_copied: int
    """Picture packets of the source that are in the result."""
    packets_encoded: int
    """Source frames that were encoded anew."""
    failures: int
    """What `verify` found wrong: decode errors, frames lost, times repeated."""
    smart_wall_s: float
    """Wall time of `restore --smart`."""
    smart_cpu_s: float
    """CPU time of it, all threads."""
    whole_wall_s: float
    """Wall time of `restore`."""
    whole_cpu_s: float
    """CPU time of it."""

    @property
    def times_faster(self) -> float:
        """By wall time."""
        return self.whole_wall_s / self.smart_wall_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartResult:
    """All films."""

    command: str
    machine: Machine
    rows: tuple[SmartRow, ...]


def gapped_film(film: Path, *, keyint: int, folder: Path) -> Path:
    """The film as H.264 with five gaps; made once for a folder."""
    target = folder / f"{film.stem}_keyint{keyint}.mp4"
    if not target.exists():
        encode = EncodeOptions(
            encoder=_SOURCE.encoder, preset=_SOURCE.preset, crf=_SOURCE.crf, extra={"g": str(keyint)}
        )
        thin(film, target, pattern=DropRanges.parse(GAPS), job=Job(encode=encode))
    return target


def measure_smart(source: Path, *, preset: str, folder: Path, tell: Callable[[str], None]) -> SmartRow:
    """Restores one film both ways, with the same engine and preset."""
    options, job = RestoreOptions(engine="dis"), Job(encode=EncodeOptions(preset=preset), overwrite=True)
    quick, slow = folder / f"{source.stem}_smart.mp4", folder / f"{source.stem}_whole.mp4"
    report, smart_wall, smart_cpu = _timed(lambda: restore(source, quick, options=options, job=job, smart=Smart.ONLY))
    tell(f"{source.name}: smart {smart_wall:.1f} s")
    _, whole_wall, whole_cpu = _timed(lambda: restore(source, slow, options=options, job=job))
    tell(f"{source.name}: whole {whole_wall:.1f} s, {whole_wall / smart_wall:.1f} times as long")
    found = verify(source, quick)
    packets = found.count(found.packets)
    return SmartRow(
        film=source.stem,
        frames=report.frame_count,
        made=len(report.made),
        packets_copied=packets[Origin.COPIED],
        packets_encoded=packets[Origin.REENCODED],
        failures=len(found.failures),
        smart_wall_s=round(smart_wall, 2),
        smart_cpu_s=round(smart_cpu, 2),
        whole_wall_s=round(whole_wall, 2),
        whole_cpu_s=round(whole_cpu, 2),
    )


def save_smart(result: SmartResult, path: Path) -> None:
    """Writes the result as JSON."""
    document = asdict(result)
    for row, told in zip(document["rows"], result.rows, strict=True):
        row["times_faster"] = round(told.times_faster, 1)
        row["times_less_cpu"] = round(told.whole_cpu_s / told.smart_cpu_s, 1)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _timed(run: Callable[[], RestoreReport]) -> tuple[RestoreReport, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = run()
    return done, time.perf_counter() - wall, time.process_time() - cpu
