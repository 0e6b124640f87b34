"""`rife`: the flow network RIFE in the base install's runtime."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest, Finding, Take
from codec_plugin.errors import Cancelled, CannotFill, EngineError, OptionError
from codec_plugin.picture import Picture
from flowfill.exporter import RifeExporter
from flowfill.grid import SCALES, FlowGrid, scale_for
from flowfill.network import Evidence, Made, Opens, RifeNetwork, ShippedGraphs, View
from flowfill.runtimes import RifeRuntime, can_read, chosen
from modelrt import CompileCache, ModelRuntimeError, Precision, Runtime, is_installed, thread_budget
from modelrt.opening import install_hint

_SECONDS_A_POINT = 1e-6  # of the flow's grid and thread: 640x384 takes 0.12 s on 2 threads
_BYTES_A_POINT = 700
_BYTES_A_PIXEL = 160
_MIDDLE = Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RifeOptions:
    """How `rife` works."""

    flow_scale: float | None = None
    """Grid points of the flow a pixel along each axis: 2, 1, 0.5 or 0.25; None chooses by the picture's size."""
    lost_above: float = 0.16
    """Disagreement of the pictures warped to the middle of the gap from which it isn't filled. Measured within shots it
    reached 0.14 (fast motion, seven frames missing), across three cuts it was 0.23 to 0.36: a thin margin, so this
    backs up a scene detector and doesn't replace one. Near an end it says nothing: one picture is warped by all of
    the motion there, and hardly used (with 23 frames of a panned skyline missing 0.08 in the middle and 0.28 at the
    last one)."""
    runtime: RifeRuntime = RifeRuntime.OPENVINO
    """What runs the network; where it isn't installed, that is an error."""
    graphs: Path | None = None
    """A folder of `codec-plugin export --engine rife`, in place of the graphs that come with the package."""
    precision: Precision = Precision.FP32
    """What the network computes in."""
    device: str = "cpu"
    """Where it computes: cpu, or cuda:0, cuda:1 … with runtime onnxruntime and precision fp32, which the shipped graphs
    compute in (fp16 is how their weights are stored); a GPU that isn't there is an error."""
    cache: CompileCache | None = field(default_factory=CompileCache)
    """Where compiled graphs are kept between processes; None compiles each time."""

    def __post_init__(self) -> None:
        if self.device != "cpu" and not re.fullmatch(r"cuda:\d+", self.device):
            raise OptionError(f"device is cpu, cuda:0, cuda:1 …, not {self.device!r}")
        if self.flow_scale is not None and self.flow_scale not in SCALES:
            shown = ", ".join(f"{scale:g}" for scale in SCALES)
            raise OptionError(f"flow_scale is one of {shown}, not {self.flow_scale:g}")
        if not self.lost_above > 0:
            raise OptionError(f"lost_above is a difference above 0, not {self.lost_above:g}")


class RifeEngine:
    """Fills gaps with RIFE.

    Features of a frame are computed once, and the right frame of one gap keeps them as the left of the next. For
    each picture it tells how far its two sources disagreed, and how much of it is kept or blended.
    """

    options_type = RifeOptions
    exporter = RifeExporter()
    info = EngineInfo(
        name="rife",
        summary="a flow network (RIFE) at any position; keeps what doesn't move",
        take=Take.RGB,
        min_size=2,
    )

    def __init__(self, options: RifeOptions | None = None, *, opens: Opens | None = None) -> None:
        """Checks that the runtime is there; the network is opened at the first gap, for its size.

        Args:
            options: how it works.
            opens: what opens the graphs in place of those shipped with the package.

        Raises:
            EngineError: the runtime isn't installed; the message says how to install it.
        """
        self.options = options or RifeOptions()
        """How this engine works."""
        self._runtime = chosen(self.options.runtime, device=self.options.device)
        if opens is None and not is_installed(self._runtime):
            raise EngineError(
                f"rife runs on {self._runtime}, which isn't installed; install it with: {install_hint(self._runtime)}"
            )
        if opens is None and self._runtime is Runtime.TORCH and not can_read():
            raise EngineError("rife runs on torch with the package onnx, which isn't installed: pip install onnx")
        self._opens: Opens = opens or ShippedGraphs(
            runtime=self._runtime,
            precision=self.options.precision,
            cache=self.options.cache,
            folder=self.options.graphs,
            device=self.device,
        )
        self._network: RifeNetwork | None = None
        self._views: dict[int, View] = {}

    @property
    def device(self) -> str:
        """Where the network computes, as torch names it."""
        on_first_gpu = self._runtime is Runtime.TENSORRT and self.options.device == "cpu"  # it runs nowhere else
        return "cuda:0" if on_first_gpu else self.options.device

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Time and memory of one gap.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.
        """
        grid = self._grid(*size)
        points, pixels = math.prod(grid.padded), math.prod(size)
        return Estimate(
            seconds=points * positions * _SECONDS_A_POINT / thread_budget(),
            bytes=points * _BYTES_A_POINT + pixels * _BYTES_A_PIXEL,
        )

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields one picture for each position; the one nearest to the middle is made first, and says whether to go on.

        Raises:
            CannotFill: the two frames have too little in common (a cut, most of the time), or the network gave
                numbers that are not finite.
            Cancelled: the caller asked to stop.
            EngineError: the network can't be opened or run.
        """
        try:
            network = self._opened(request.left)
            left, right = self._view(network, request.left), self._view(network, request.right)
            middle = min(request.positions, key=lambda position: abs(position - _MIDDLE))
            judged = self._made(request, network, left, right, middle)
            self._judge(judged.evidence)
            for index, position in enumerate(request.positions):
                made = judged if position == middle else self._made(request, network, left, right, position)
                if request.progress is not None:
                    request.progress((index + 1) / len(request.positions))
                yield Picture(planes=tuple(made.picture[0]), layout=request.left.layout, color=request.left.color)
        except ModelRuntimeError as error:
            raise EngineError(f"rife can't run its network: {error}") from error

    def forget(self) -> None:
        """Drops the features kept from the last gap."""
        self._views.clear()

    def close(self) -> None:
        """Frees the network and the features it kept. It may be called twice."""
        if self._network is not None:
            self._network.close()
        self._network = None
        self.forget()

    def _made(self, request: FillRequest, network: RifeNetwork, left: View, right: View, position: Fraction) -> Made:
        """One picture, its evidence told."""
        if request.cancelled():
            raise Cancelled(f"rife was asked to stop before the picture at {position} of the gap")
        made = network.between(left, right, position=float(position))
        for finding in _findings(made.evidence, position):
            request.tell(finding)
        if not (math.isfinite(made.evidence.disagreement) and np.isfinite(made.picture).all()):
            raise CannotFill("the network gave numbers that are not finite")
        return made

    def _judge(self, middle: Evidence) -> None:
        """Refuses a gap by what the picture nearest to its middle showed."""
        if middle.disagreement > self.options.lost_above:
            raise CannotFill(
                f"the two frames have too little in common: warped to one time they still differ by "
                f"{middle.disagreement:.2f} (more than {self.options.lost_above:g})"
            )

    def _grid(self, width: int, height: int) -> FlowGrid:
        scale = self.options.flow_scale or scale_for(width, height)
        return FlowGrid(width=width, height=height, scale=scale)

    def _opened(self, like: Picture) -> RifeNetwork:
        grid = self._grid(like.width, like.height)
        if self._network is None or self._network.grid != grid:
            self.close()
            self._network = RifeNetwork(grid, opens=self._opens)
        return self._network

    def _view(self, network: RifeNetwork, picture: Picture) -> View:
        """The view of a frame: the one that was kept, or a new one."""
        kept = None if picture.key is None else self._views.get(picture.key)
        # A key is a pts, and another file's frame may have the same one: the pixels decide.
        if kept is not None and all(
            np.array_equal(ours, theirs) for ours, theirs in zip(kept.picture[0], picture.planes, strict=True)
        ):
            return kept
        view = network.view(np.stack(picture.planes)[None])
        if picture.key is not None:
            self._views.pop(picture.key, None)
            while len(self._views) > 1:
                del self._views[next(iter(self._views))]
            self._views[picture.key] = view
        return view


def _findings(evidence: Evidence, position: Fraction) -> tuple[Finding, ...]:
    """The evidence for one picture, as the report takes it."""
    facts = {"disagreement": evidence.disagreement, "blended": evidence.blended}
    return tuple(Finding(name=name, value=round(fact, 4), position=position) for name, fact in facts.items())
