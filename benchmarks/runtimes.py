"""RIFE on each runtime, side by side: `python -m benchmarks.runtimes --clips DIR [--weights flownet.pkl]`.

It answers which runtime the base install should bring: speed, size on disk, time to the first made frame, and what
lower precision costs in PSNR on real frames. Torch, the baseline, runs the same network from its published weights.
Times are taken in rounds, each runtime once a round and in a process of its own, so that a busy machine is equally
busy for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from codec_plugin.engine import FillRequest
from codec_plugin.picture import Family, Layout, Picture
from flowfill.network import Runs
from flowfill.rife import RifeEngine, RifeOptions
from flowfill.runtimes import RifeRuntime
from modelrt import Precision, Runtime, SessionOptions, TensorSpec, TorchModel, open_session, set_thread_budget

RESULT = Path(__file__).parent / "results" / "runtimes.json"
BASE_INSTALL = ("av", "numpy", "click", "rich", "pygments", "markdown-it-py", "mdurl")
SHIPPED = ("openvino fp32", "openvino bf16", "onnxruntime fp32")
TORCH = "torch fp32"
RUNTIME_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("openvino", "openvino-telemetry"),
    "onnxruntime": ("onnxruntime", "flatbuffers", "protobuf", "packaging"),
    "torch": ("torch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock"),
}
FIRST_FRAME = """
import sys, time
import numpy as np
from fractions import Fraction
from codec_plugin.engine import FillRequest
from codec_plugin.picture import Family, Layout, Picture
from flowfill.rife import RifeEngine, RifeOptions
from flowfill.runtimes import RifeRuntime
from modelrt import Runtime, set_thread_budget
set_thread_budget(int(sys.argv[2]))
random = np.random.default_rng(0)
pair = [Picture(planes=tuple(random.random((3, 360, 640), np.float32)), layout=Layout(family=Family.RGB, depth=32))
        for _ in range(2)]
engine = RifeEngine(RifeOptions(runtime=Runtime(sys.argv[1]), lost_above=1.0))
next(engine.fill(FillRequest(left=pair[0], right=pair[1], positions=(Fraction(1, 2),), interval=Fraction(1, 12))))
"""

Frame = npt.NDArray[np.uint8]
"""(height, width, 3), R, G, B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A stretch of a clip."""

    clip: str
    """File name."""
    start_s: float
    """Where it begins."""
    frames: int = 9
    """How many frames are read."""


CASES = (
    Case(clip="single_face.mp4", start_s=0.2),
    Case(clip="single_face.mp4", start_s=1.3),
    Case(clip="cityCC0.mpg", start_s=1.0),
    Case(clip="bbb_720p24.mp4", start_s=29.2),
    Case(clip="bbb_720p24.mp4", start_s=62.5),
    Case(clip="bbb_720p24.mp4", start_s=333.5),
)
SPEED_CASES = (Case(clip="single_face.mp4", start_s=0.2), Case(clip="bbb_720p24.mp4", start_s=62.5))


class TorchGraphs:
    """Opens the network's modules in torch, from published weights."""

    def __init__(self, weights: Path) -> None:
        from flowfill.export.ifnet import Merger
        from flowfill.export.weights import load_networks

        encoder, flow = load_networks(weights)
        self._modules = {"encoder": encoder, "flow": flow, "merger": Merger()}
        self._outputs = {"encoder": ("view",), "flow": ("flow", "mask"), "merger": ("made", "evidence")}

    def __call__(self, graph: str, /, *, shapes: Mapping[str, tuple[int, ...]]) -> Runs:
        """Opens a module at fixed shapes."""
        single = np.dtype(np.float32)
        model = TorchModel(
            name=graph,
            module=self._modules[graph],
            inputs=tuple(TensorSpec(name=name, dtype=single, shape=shape) for name, shape in shapes.items()),
            outputs=tuple(TensorSpec(name=name, dtype=single, shape=(None,) * 4) for name in self._outputs[graph]),
        )
        return open_session(model, runtime=Runtime.TORCH, options=SessionOptions())


def read(case: Case, clips: Path) -> list[Frame]:
    """The frames of a case."""
    frames: list[Frame] = []
    with av.open(str(clips / case.clip)) as container:
        stream = container.streams.video[0]
        origin = container.start_time or 0
        container.seek(origin + int(case.start_s * av.time_base))
        for frame in container.decode(stream):
            if frame.time is not None and frame.time - origin / av.time_base >= case.start_s:
                frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
            if len(frames) == case.frames:
                break
    return frames


def picture_of(frame: Frame, *, key: int | None) -> Picture:
    """A frame as an engine of this kind takes it."""
    planes = tuple(np.ascontiguousarray(plane) for plane in (frame / np.float32(255)).transpose(2, 0, 1))
    return Picture(planes=planes, layout=Layout(family=Family.RGB, depth=32), key=key)


def request_for(frames: Sequence[Frame], left: int, missing: int) -> FillRequest:
    """The gap of `missing` frames after frame `left`."""
    right = left + missing + 1
    positions = tuple(Fraction(index, missing + 1) for index in range(1, missing + 1))
    return FillRequest(
        left=picture_of(frames[left], key=left),
        right=picture_of(frames[right], key=right),
        positions=positions,
        interval=Fraction(1, 24),
    )


def psnr(made: Picture, truth: Frame) -> float:
    """Over R, G and B at 8 bits, in dB."""
    shown = np.rint(np.stack(made.planes, -1) * 255)
    error = float(np.mean((shown - truth) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def engine_of(name: str, weights: Path | None) -> RifeEngine:
    """The engine behind a row's name."""
    runtime, precision = name.split()
    choice = RifeOptions(runtime=RifeRuntime(runtime), precision=Precision(precision), cache=None)
    if choice.runtime is not RifeRuntime.TORCH:
        return RifeEngine(choice)
    if weights is None:
        raise SystemExit("the torch baseline needs --weights")
    return RifeEngine(choice, opens=TorchGraphs(weights))


def timed(name: str, case: Case, *, clips: Path, weights: Path | None) -> dict[str, list[float]]:
    """Seconds a gap: one frame with nothing kept, one with the left frame's features kept, three frames."""
    frames = read(case, clips)
    engine = engine_of(name, weights)
    new, following, several = request_for(frames, 0, 1), request_for(frames, 2, 1), request_for(frames, 0, 3)
    list(engine.fill(new))
    seconds: dict[str, list[float]] = {"one_new_s": [], "one_next_s": [], "three_s": []}
    for _ in range(3):
        for kind, request, forget in (
            ("one_new_s", new, True),
            ("one_next_s", following, False),
            ("three_s", several, True),
        ):
            if forget:
                engine.forget()
            start = time.perf_counter()
            list(engine.fill(request))
            seconds[kind].append(time.perf_counter() - start)
    engine.close()
    return seconds


def scored(name: str, *, clips: Path, weights: Path | None) -> list[float]:
    """PSNR of every made frame of every case, at gaps of 1 and 3."""
    scores = []
    for case in CASES:
        frames = read(case, clips)
        engine = engine_of(name, weights)
        for missing in (1, 3):
            made = engine.fill(request_for(frames, 0, missing))
            scores += [psnr(picture, frames[index]) for index, picture in enumerate(made, 1)]
        engine.close()
    return scores


def asked(options: argparse.Namespace, *work: str) -> Any:
    """One piece of work in a process of its own, so that no runtime's idle threads slow another's down."""
    command = [sys.executable, "-m", "benchmarks.runtimes", "--clips", str(options.clips)]
    command += ["--threads", str(options.threads), "--work", *work]
    if options.weights is not None:
        command += ["--weights", str(options.weights)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    print(*work, file=sys.stderr, flush=True)
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(answer.stdout)


def answer(options: argparse.Namespace) -> Any:
    """Does one piece of work: `speed NAME INDEX` or `quality NAME`."""
    kind, name, *rest = options.work
    if kind == "speed":
        return timed(name, SPEED_CASES[int(rest[0])], clips=options.clips, weights=options.weights)
    return scored(name, clips=options.clips, weights=options.weights)


def speeds(options: argparse.Namespace, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each size the median seconds of each row, and how many times as fast as torch it is."""
    rows = []
    for index, case in enumerate(SPEED_CASES):
        rounds = [{name: asked(options, "speed", name, str(index)) for name in names} for _ in range(options.rounds)]
        medians = {
            name: {
                kind: statistics.median(second for one in rounds for second in one[name][kind])
                for kind in rounds[0][name]
            }
            for name in names
        }
        ratios = {}
        if TORCH in names:
            for name in names:
                each = [min(one[TORCH]["one_next_s"]) / min(one[name]["one_next_s"]) for one in rounds]
                ratios[name] = statistics.median(each)
        print(case.clip, ratios, file=sys.stderr, flush=True)
        rows.append({"clip": case.clip, "median": medians, "times_torch": ratios, "rounds": rounds})
    return rows


def qualities(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Mean PSNR of the made frames, and each row's loss against fp32."""
    scores = {name: asked(options, "quality", name) for name in names}
    reference = scores[TORCH] if TORCH in scores else scores["openvino fp32"]
    rows = {}
    for name, values in scores.items():
        losses = [a - b for a, b in zip(reference, values, strict=True)]
        rows[name] = {
            "mean_psnr_db": statistics.fmean(values),
            "mean_loss_db": statistics.fmean(losses),
            "worst_loss_db": max(losses),
            "frames": len(values),
        }
    return rows


def first_frame_s(runtime: str, *, threads: int) -> dict[str, float]:
    """Wall seconds of a process that starts, makes one frame at 640x360 and ends: without and with a compile cache."""
    with tempfile.TemporaryDirectory() as cache:
        taken = []
        for _ in range(4):
            start = time.perf_counter()
            environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run([sys.executable, "-c", FIRST_FRAME, runtime, str(threads)], check=True, env=environment)
            taken.append(time.perf_counter() - start)
    return {"no_cache_s": taken[0], "with_cache_s": statistics.median(taken[1:])}


def bytes_on_disk(packages: Sequence[str]) -> int:
    """What packages take once installed, bytecode included."""
    total = 0
    for package in packages:
        for file in metadata.files(package) or ():
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.is_file() else 0
    return total


def installs() -> dict[str, int]:
    """Bytes on disk of the base install without a runtime, and of each runtime with what only it needs."""
    return {"base": bytes_on_disk(BASE_INSTALL)} | {
        name: bytes_on_disk(packages) for name, packages in RUNTIME_PACKAGES.items()
    }


def machine(threads: int) -> dict[str, Any]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    return {
        "processor": platform.processor() or platform.machine(),
        "bf16": "avx512_bf16" in flags or "amx_bf16" in flags,
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("openvino", "onnxruntime", "torch", "numpy", "av")},
        "commit": commit.strip() or None,
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="the folder with the clips")
    parser.add_argument("--weights", type=Path, help="RIFE's flownet.pkl, for the torch baseline")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_thread_budget(options.threads)
    if options.work:
        json.dump(answer(options), sys.stdout)
        return
    names = [*SHIPPED, *([TORCH] if options.weights else [])]
    parts: dict[str, Callable[[], Any]] = {
        "machine": lambda: machine(options.threads),
        "install_bytes": installs,
        "first_frame": lambda: {
            name: first_frame_s(name, threads=options.threads) for name in ("openvino", "onnxruntime")
        },
        "speed": lambda: speeds(options, names),
        "quality": lambda: qualities(options, names),
    }
    result: dict[str, Any] = {"cases": [asdict(case) for case in CASES]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name, measured in parts.items():
        result[name] = measured()
        # After each part, so that an hour's figures don't hang on the last minute.
        options.out.write_text(json.dumps(result, indent=2) + "\n")
        print(name, json.dumps(result[name], indent=2), flush=True)


if __name__ == "__main__":
    main()
