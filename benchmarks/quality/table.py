"""The table of long gaps: what each peer reaches, how far from another one, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.quality.bootstrap import Difference
from benchmarks.quality.rows import QualityRow


def difference_lines(rows: Sequence[QualityRow]) -> list[str]:
    """A row for each clip, gap and peer: PSNR, SSIM, XPSNR, and PSNR beside the other peer with its interval.

    The best PSNR of a clip and gap is bold.
    """
    others = dict.fromkeys(row.against.peer for row in rows if row.against is not None)
    beside = f"PSNR less that of {' or '.join(others)}" if others else "PSNR beside another"
    heads = ("clip", "dropped", "gaps", "peer", "PSNR, dB", "SSIM", "XPSNR, dB", f"{beside}, dB [95 %]", "not its own")
    lines = [_line(heads), _line(["---"] * len(heads))]
    keys = sorted({(row.clip, row.dropped) for row in rows})
    for key in keys:
        own = [row for row in rows if (row.clip, row.dropped) == key]
        best = max((row.summary.psnr_db for row in own if row.summary is not None), default=None)
        lines += [_line(_cells(row, best=best)) for row in own]
    return lines


def _cells(row: QualityRow, *, best: float | None) -> list[str]:
    head = [row.clip, str(row.dropped), str(row.gaps), row.peer]
    found = row.summary
    if found is None:
        return [*head, "n/a", "n/a", "n/a", "n/a", row.missing or ""]
    psnr = f"**{found.psnr_db:.2f}**" if found.psnr_db == best else f"{found.psnr_db:.2f}"
    xpsnr = "n/a" if found.xpsnr_db is None else f"{found.xpsnr_db:.2f}"
    beside = "" if row.against is None else _difference(row.against.psnr_db)
    return [*head, psnr, f"{found.ssim:.4f}", xpsnr, beside, _not_own(row, frames=found.frames)]


def _difference(found: Difference) -> str:
    if found.interval is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f} [{found.interval.low:+.2f}, {found.interval.high:+.2f}]"


def _not_own(row: QualityRow, *, frames: int) -> str:
    """How many of a row's frames the engine did not make itself."""
    counts = [f"{count} of {frames} {how}" for count, how in ((row.held, "held"), (row.by_fallback, "by its fallback"))]
    return ", ".join(text for text, count in zip(counts, (row.held, row.by_fallback), strict=True) if count)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
