"""The tables in READMEs, generated from the result files: `python -m benchmarks tables [--check]`.

A table stands between two marker lines, `<!-- table: quality -->` and `<!-- /table -->`; a page shows those tables
that it has markers for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.doubling import DoublingResult, doubling_table, load_doubling
from benchmarks.machine import Machine
from benchmarks.profiles import load_profiles, profiles_table
from benchmarks.quality.table import difference_lines
from benchmarks.rd_table import rd_table
from benchmarks.results import QualityResult, SpeedResult, load_quality, load_speed, peer_names
from benchmarks.survey import survey_table
from benchmarks.thin import thin_table

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).parent / "README.md")
"""The pages that show tables."""

_BLOCK = re.compile(r"(<!-- table: (?P<name>\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def quality_table(result: QualityResult) -> str:
    """A row for each clip and gap, a column for each peer; the best PSNR of a row is bold."""
    names = peer_names(result.rows)
    lines = [_line("clip", "dropped", "frames", *names), _line(*["---"] * (3 + len(names)))]
    keys = sorted({(row.clip, row.dropped) for row in result.rows})
    for clip, dropped in keys:
        cells = {row.peer: row.summary for row in result.rows if (row.clip, row.dropped) == (clip, dropped)}
        measured = [cell for cell in cells.values() if cell is not None]
        best = max((cell.psnr_db for cell in measured), default=None)
        shown = []
        for name in names:
            cell = cells.get(name)
            if cell is None:
                shown.append("n/a")
                continue
            psnr = f"**{cell.psnr_db:.2f}**" if cell.psnr_db == best else f"{cell.psnr_db:.2f}"
            shown.append(f"{psnr} · {cell.ssim:.4f} ({cell.psnr_db_worst:.2f})")
        lines.append(_line(clip, str(dropped), str(max((cell.frames for cell in measured), default=0)), *shown))
    legend = "Luma PSNR in dB · SSIM (PSNR of the worst tenth of the frames), means over the frames made."
    return "\n".join([legend, "", *lines, "", _origin(result.command, result.machine)])


_FAMILIES = {"minterpolate": "minterpolate, its best mode", "MV": "MVTools or MVUtensils, the better"}


def summary_table(result: QualityResult) -> str:
    """PSNR alone; of each family of peers the best, which may be another one in each row."""
    names = list(dict.fromkeys(_family(name) for name in peer_names(result.rows)))
    lines = [_line("clip", "dropped", *names), _line(*["---"] * (2 + len(names)))]
    for clip, dropped in sorted({(row.clip, row.dropped) for row in result.rows}):
        best: dict[str, float] = {}
        for row in result.rows:
            if (row.clip, row.dropped) == (clip, dropped) and row.summary is not None:
                name = _family(row.peer)
                best[name] = max(best.get(name, 0.0), row.summary.psnr_db)
        top = max(best.values(), default=0.0)
        shown = (_decibels(best.get(name), best=top) for name in names)
        lines.append(_line(clip, str(dropped), *shown))
    legend = "Luma PSNR in dB, means over the frames made; SSIM and the worst tenth stand in benchmarks/README.md."
    return "\n".join([legend, "", *lines, "", _origin(result.command, result.machine)])


def long_table(result: QualityResult) -> str:
    """A row for each clip, gap and peer of the long gaps, with differences and their intervals."""
    legend = (
        "Means over the frames made. In brackets where that mean lies with 95 % confidence, the gaps of the clip "
        "resampled: with so few that says little of other clips."
    )
    return "\n".join([legend, "", *difference_lines(result.rows), "", _origin(result.command, result.machine)])


def _decibels(value: float | None, *, best: float) -> str:
    if value is None:
        return "n/a"
    return f"**{value:.2f}**" if value == best else f"{value:.2f}"


def _family(peer: str) -> str:
    return next((family for prefix, family in _FAMILIES.items() if peer.startswith(prefix)), peer)


def speed_table(result: SpeedResult) -> str:
    """A row for each peer, a column for each size and gap."""
    columns = list(dict.fromkeys((row.width, row.height, row.dropped) for row in result.rows))
    heads = [f"{width}x{height}, {dropped} dropped" for width, height, dropped in columns]
    lines = [_line("", *heads), _line(*["---"] * (1 + len(columns)))]
    rates = {(row.peer, row.width, row.height, row.dropped): row for row in result.rows}
    for name in peer_names(result.rows):
        shown = (f"{rates[name, *column].frames_per_s_best:.1f}" for column in columns)
        lines.append(_line(name, *shown))
    rounds = {f"{row.width}x{row.height}": row.rounds for row in result.rows}
    turns = ", ".join(f"{count} at {size}" for size, count in rounds.items())
    legend = f"New frames a second, 8-bit 4:2:0, the best of the rounds in which the peers take turns ({turns})."
    return "\n".join([legend, "", *lines, "", _origin(result.command, result.machine)])


def _doubling(result: DoublingResult) -> str:
    return "\n".join([doubling_table(result), "", _origin(result.command, result.machine)])


def refresh(*, results: Path, check: bool) -> list[Path]:
    """Brings every page's tables up to date.

    Args:
        results: The folder of the result files.
        check: Only tell, write nothing.

    Returns:
        The pages that were stale.

    Raises:
        ValueError: A page has a marker for a table that doesn't exist.
    """
    makers: dict[str, Callable[[], str]] = {
        "quality": lambda: quality_table(load_quality(results / "quality.json")),
        "summary": lambda: summary_table(load_quality(results / "quality.json")),
        "long": lambda: long_table(load_quality(results / "quality_long.json")),
        "speed": lambda: speed_table(load_speed(results / "speed.json")),
        "doubling": lambda: _doubling(load_doubling(results / "doubling.json")),
        "survey": lambda: survey_table(results / "smart_survey.json"),
        "thin": lambda: thin_table(results / "thin.json"),
        "rd": lambda: rd_table(results / "rd"),
        "profiles": lambda: profiles_table(load_profiles(results / "profiles.json")),
    }

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in makers:
            raise ValueError(f"there is no table {name!r}; there are: {', '.join(makers)}")
        return f"{found[1]}{makers[name]()}\n{found[3]}"

    stale = []
    for page in PAGES:
        if not page.exists():
            continue
        before = page.read_text(encoding="utf-8")
        after = _BLOCK.sub(made, before)
        if after != before:
            stale.append(page)
            if not check:
                page.write_text(after, encoding="utf-8")
    return stale


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _origin(command: str, machine: Machine) -> str:
    return (
        f"`{command}` on {machine.cores} cores of {machine.cpu}, Python {machine.python}, PyAV {machine.av}, "
        f"OpenCV {machine.opencv}, commit {machine.commit}."
    )
