"""FCVG's UNet of a middling size on every runtime that is here, in turns, each in a process of its own.

Torch runs with its cross-attention folded beforehand, as in a clip. Processor seconds stand beside the clock's, since a
machine that is busy with other work slows all of them, and not evenly.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.machine import Machine, this_machine
from modelrt import Runtime, is_installed

VARIANTS = ("torch fp32", "onnxruntime fp32", "openvino fp32", "openvino bf16")
BASELINE = VARIANTS[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRow:
    """One runtime on so many threads."""

    variant: str
    """Runtime and precision."""
    threads: int
    """That it may use."""
    wall_s: tuple[float, ...]
    """Of each call, after one that warmed it up."""
    cpu_s: tuple[float, ...]
    """Likewise, of the processor, all threads together."""
    times_torch: float
    """How many times as fast as torch by the clock: the median over the rounds of the ratio within a round."""
    times_torch_by_cpu: float
    """Likewise by the processor's time."""
    relative_difference: float
    """Of its output from torch's, in the Euclidean norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimesResult:
    """One run of `python -m benchmarks fcvg-runtimes`."""

    command: str
    """What was typed."""
    machine: Machine
    """Where."""
    load_average: float
    """Of the machine, when it began: other work that ran beside."""
    parameters: int
    """Numbers in the network."""
    latents: str
    """Rows, frames, height and width of what it was given."""
    rows: tuple[RuntimeRow, ...]
    """What came out."""


def measure_runtimes(
    *, threads: Sequence[int], rounds: int, command: str, tell: Callable[[str], None]
) -> RuntimesResult:
    """Exports the network once, and has it run in turns."""
    from benchmarks.random_unet import MIDDLING, MIDDLING_SHAPE, random_unet, unet_graph
    from modelrt.export.work import parameters
    from modelrt.export.writing import Verify, export_graph
    from modelrt.options import Precision

    load = os.getloadavg()[0]
    variants = [name for name in VARIANTS if is_installed(Runtime(name.split()[0]))]
    rows: list[RuntimeRow] = []
    with tempfile.TemporaryDirectory() as folder:
        graph = unet_graph(MIDDLING, MIDDLING_SHAPE, Precision.FP32)
        manifest = export_graph(graph, Path(folder), verify=Verify.NEVER, say=tell)
        count = parameters(random_unet(MIDDLING, Precision.FP32))
        for number in threads:
            rows += _in_turns(variants, Path(folder) / manifest.graph, threads=number, rounds=rounds, tell=tell)
    shape = MIDDLING_SHAPE
    return RuntimesResult(
        command=command,
        machine=this_machine(),
        load_average=load,
        parameters=count,
        latents=f"{shape.batch}x{shape.frames}x{shape.size[1] // 8}x{shape.size[0] // 8}",
        rows=tuple(rows),
    )


def save_runtimes(result: RuntimesResult, path: Path) -> None:
    """Writes a result whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _in_turns(
    variants: Sequence[str], graph: Path, *, threads: int, rounds: int, tell: Callable[[str], None]
) -> list[RuntimeRow]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    apart: dict[str, float] = {}
    with ExitStack() as workers:
        wanted = graph.with_suffix(".npy")
        working = {}
        for name in variants:  # torch first: the others are compared with what it writes
            worker = workers.enter_context(_worker(name, graph, wanted, threads=threads))
            apart[name] = float(_answer(worker)["relative"])
            working[name] = worker
        for index in range(rounds):
            for name, worker in working.items():
                assert worker.stdin is not None
                worker.stdin.write("run\n")
                worker.stdin.flush()
                told = _answer(worker)
                taken[name].append((float(told["wall_s"]), float(told["cpu_s"])))
            tell(
                f"{threads} threads, round {index + 1}: " + ", ".join(f"{n} {t[-1][0]:.2f} s" for n, t in taken.items())
            )

    def ratio(name: str, which: int) -> float:
        pairs = zip(taken[BASELINE], taken[name], strict=True)
        return round(statistics.median(theirs[which] / ours[which] for theirs, ours in pairs), 3)

    return [
        RuntimeRow(
            variant=name,
            threads=threads,
            wall_s=tuple(round(wall, 4) for wall, _ in times),
            cpu_s=tuple(round(cpu, 4) for _, cpu in times),
            times_torch=ratio(name, 0),
            times_torch_by_cpu=ratio(name, 1),
            relative_difference=apart[name],
        )
        for name, times in taken.items()
    ]


@contextmanager
def _worker(name: str, graph: Path, wanted: Path, *, threads: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.fcvg_runtimes", name, str(graph), str(wanted), str(threads)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
    }
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def _answer(worker: subprocess.Popen[str]) -> dict[str, Any]:
    out: IO[str] | None = worker.stdout
    assert out is not None
    line = out.readline()
    if not line:
        raise RuntimeError(f"{worker.args!r} ended early; its own message stands above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _work(name: str, graph: Path, wanted: Path, threads: int) -> None:
    """Answers each line on standard input with the seconds of one call."""
    import numpy as np

    from modelrt.parity import difference
    from modelrt.threads import set_thread_budget

    set_thread_budget(threads)
    call = _torch_call(threads) if name.startswith("torch") else _session_call(name, graph)
    made = call()
    if name == BASELINE:
        np.save(wanted, made)
    apart = difference({"v": made}, {"v": np.load(wanted)}).relative
    print(json.dumps({"relative": apart}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}), flush=True)


def _torch_call(threads: int) -> Callable[[], Any]:
    import torch

    from benchmarks.random_unet import MIDDLING, MIDDLING_SHAPE, random_unet, unet_graph
    from fcvg.nets.folding import folded
    from modelrt.options import Precision

    torch.set_num_threads(threads)
    network = random_unet(MIDDLING, Precision.FP32)
    given = unet_graph(MIDDLING, MIDDLING_SHAPE, Precision.FP32).inputs

    def call() -> Any:
        # Folding takes three tokens a layer: nothing beside the call.
        with torch.inference_mode(), folded(network, given["embeddings"]):
            made = network(
                given["sample"],
                given["timestep"],
                given["picks"],
                given["told"],
                control=given["control"],
                control_scale=given["control_scale"],
            )
        return made[0].numpy()

    return call


def _session_call(name: str, graph: Path) -> Callable[[], Any]:
    from benchmarks.random_unet import MIDDLING, MIDDLING_SHAPE, unet_graph
    from modelrt import OnnxModel, Precision, SessionOptions, open_session

    runtime, precision = name.split()
    inputs = unet_graph(MIDDLING, MIDDLING_SHAPE, Precision.FP32).inputs
    given = {name: tensor.numpy() for name, tensor in inputs.items()}
    session = open_session(
        OnnxModel.from_file(graph), runtime=Runtime(runtime), options=SessionOptions(precision=Precision(precision))
    )
    return lambda: session.run(given)["v"]


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
