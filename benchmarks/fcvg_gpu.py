"""FCVG on an NVIDIA GPU: ours in half precision, on every runtime, beside the public code.

    python -m benchmarks fcvg --public PATH_OF_PUBLIC_CHECKOUT

Weights are random: speed needs no trained ones. Each variant runs in a process of its own, so that peak memory is its
own. The floor is arithmetic: the operations of a clip over the rate of a large matrix product, measured in the same
run. Results are written after each variant; `--only` runs some, and keeps what the file has of the others where machine
and commit are the same. RIFE's graphs come last, in new frames a second at 1920x1080. Neither PyAV nor OpenCV is
imported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "fcvg_gpu.json"
_UNET, _ENCODE, _DECODE, _ENDPOINT = 79.9e12, 5.7e12, 173.6e12, 2.6e12 + 0.33e12
"""Operations at 25 frames of 576x1024: a UNet row, the control's encoding, the decoding, an endpoint (VAE, CLIP)."""
_MARK = "RESULT "


def operations(*, steps: int) -> float:
    """Of one clip of 25 frames at 576x1024: two directions and two guidance halves a step, one encoding a step."""
    return steps * (4 * _UNET + _ENCODE) + _DECODE + 2 * _ENDPOINT


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fcvg", description=__doc__)
    parser.add_argument("--public", type=Path, help="checkout of the public code; its rows are skipped without")
    parser.add_argument("--only", action="append", metavar="WORD", help="only variants with this word; repeatable")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=2, help="clips timed; the fastest counts")
    parser.add_argument("--batch", type=int, default=4, choices=(1, 2, 4), help="UNet rows at once, ours")
    parser.add_argument("--tiny", action="store_true", help="toy networks, on the CPU too: to see that it runs")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def worked(options: argparse.Namespace) -> dict[str, Any]:
    """One variant, or `rate`, in this process."""
    import torch

    from benchmarks import rife_gpu
    from benchmarks.fcvg_variants import Size, matmul_rate, measured

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.work == "rate":
        return {"rate": matmul_rate(device, tiny=options.tiny)}
    if options.work in rife_gpu.VARIANTS:
        rounds = 1 if options.tiny else options.rounds
        return rife_gpu.measured(options.work, device=device, rounds=rounds, tiny=options.tiny)
    toy, full = Size(frames=5, height=64, width=64, steps=2, tiny=True), (25, 576, 1024)
    size = toy if options.tiny else Size(frames=full[0], height=full[1], width=full[2], steps=options.steps, tiny=False)
    rounds = 1 if options.tiny else options.rounds
    return measured(options.work, size=size, device=device, rounds=rounds, batch=options.batch, public=options.public)


def asked(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One variant in a process of its own; what it failed with where it did."""
    command = [sys.executable, "-m", "benchmarks.fcvg_gpu", "--work", name]
    command += ["--steps", str(options.steps), "--rounds", str(options.rounds), "--batch", str(options.batch)]
    command += ["--tiny"] if options.tiny else []
    command += ["--public", str(options.public)] if options.public else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return answer
    return {"failed": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:300]}


def machine() -> dict[str, Any]:
    """What the numbers can't be compared without."""
    import torch

    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        "gpu": gpu.name if gpu else None,
        "gpu_bytes": gpu.total_memory if gpu else None,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("torch", "diffusers", "transformers")},
        "commit": git.stdout.strip() or "unknown",
    }


def table(rows: dict[str, dict[str, Any]], *, floor_s: float | None) -> str:
    """The rows as text, each beside the floor and beside the public code in bf16."""
    public = rows.get("public bf16", {}).get("total_s")
    titles = ("s/clip", "sample", "decode", "peak GB", "x floor", "x faster", "warm-up")
    lines = [" " * 38 + "".join(f"{title:>10}" for title in titles)]
    for name, row in rows.items():
        if "frames_per_s" in row:
            width, height = row["size"]
            lines.append(f"{name:38}{row['frames_per_s']:.1f} new frames/s at {width}x{height}")
            continue
        if "total_s" not in row:
            lines.append(f"{name:38}{row.get('skipped') or 'failed: ' + row['failed']}")
            continue
        peak = row["peak_bytes"] and row["peak_bytes"] / 1e9
        cells = [row["total_s"], row["sample_s"], row["decode_s"], peak]
        cells += [floor_s and row["total_s"] / floor_s, public and public / row["total_s"], row["warm_up_s"]]
        shown = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
        lines.append(f"{name:38}" + "".join(f"{cell:>10}" for cell in shown))
    floor = "floor: none for toy networks" if floor_s is None else f"floor: {floor_s:.2f} s of arithmetic"
    return "\n".join([*lines, floor])


def kept(path: Path, *, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows of an earlier run on the same machine, at the same commit and of the same job."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = all(earlier.get(key) == value for key, value in about.items())
    rows: dict[str, dict[str, Any]] = earlier["rows"] if same else {}
    return rows


def save(result: dict[str, Any], path: Path) -> None:
    """Writes beside the final name and moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures all variants, prints the table and, on a GPU at full size, writes the result."""
    options = parsed(arguments)
    if options.work:
        print(_MARK + json.dumps(worked(options)))
        return
    import torch

    from benchmarks import rife_gpu
    from benchmarks.fcvg_variants import GRAPHS, PUBLIC, VARIANTS

    if not options.tiny and not torch.cuda.is_available():
        raise SystemExit("this needs an NVIDIA GPU that torch sees; --tiny shows on the CPU that it runs")
    counts = torch.cuda.is_available() and not options.tiny
    about = {"machine": machine(), "job": {"steps": options.steps, "batch": options.batch, "frames": 25}}
    every = [*VARIANTS, *GRAPHS, *PUBLIC, *rife_gpu.VARIANTS]
    names = [name for name in every if not options.only or any(word in name for word in options.only)]
    rate = float(asked("rate", options)["rate"])
    floor_s = operations(steps=options.steps) / rate if counts else None
    rows = kept(options.output, about=about) if counts else {}
    for name in names:
        skipped = name in PUBLIC and options.public is None
        rows[name] = {"skipped": "skipped: no --public checkout"} if skipped else asked(name, options)
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
        if counts:
            save({**about, "matmul_operations_a_second": rate, "floor_s": floor_s, "rows": rows}, options.output)
    print(table(rows, floor_s=floor_s))
    print(f"written: {options.output.name}" if counts else "nothing written: toy networks or no GPU measure nothing")
    if any("failed" in row for row in rows.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
