"""`RifeNetwork`: RIFE's three graphs, opened for pictures of one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np

from flowfill.grid import FlowGrid, Planes
from modelrt import (
    CompileCache,
    OnnxModel,
    Precision,
    Provider,
    Runtime,
    SessionOptions,
    Tensor,
    load_manifest,
    manifest_path,
    open_session,
)
from modelrt.errors import ModelDamaged

REMEDY = "its package is damaged; reinstall it: pip install --force-reinstall --no-deps codec-plugin"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the network keeps of one frame. It depends on no other frame, so it serves both its gaps."""

    picture: Planes
    """(1, 3, height, width), R, G, B in [0, 1]."""
    features: Planes
    """(1, 7, rows, columns): the picture on the flow's grid, and the encoder's features of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured while a picture was made. Differences are root mean squares over the picture, 0 to 1."""

    disagreement: float
    """How far the left and the right picture are apart once both are warped to the made one's position."""
    difference: float
    """How far they are apart as they are."""
    blended: float
    """Share of the picture that is a plain blend, because nothing moves there or the flow doesn't help."""
    unmoved: float
    """Share of the picture that doesn't move at all and was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One made picture."""

    picture: Planes
    """(1, 3, height, width), R, G, B in [0, 1]."""
    evidence: Evidence
    """What was measured on the way."""


class Runs(Protocol):
    """What the network needs of a session."""

    def run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Runs a graph."""
        ...

    def close(self) -> None:
        """Frees it."""
        ...


class Opens(Protocol):
    """Opens one of the graphs at fixed shapes; tests put another one in its place."""

    def __call__(self, graph: str, /, *, shapes: Mapping[str, tuple[int, ...]]) -> Runs:
        """Opens `graph`: encoder, flow or merger."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedGraphs:
    """Opens the graphs that come with the package, or those in a folder of `codec-plugin export`."""

    runtime: Runtime
    """What runs them."""
    precision: Precision
    """What the network computes in; the merger always computes in fp32, since its arithmetic is positions."""
    cache: CompileCache | None
    """Where compiled graphs are kept."""
    device: str = "cpu"
    """Where they run: cpu, or cuda:0, cuda:1 …"""
    folder: Path | None = None
    """Where other graphs lie; None for the package's own."""

    def __call__(self, graph: str, /, *, shapes: Mapping[str, tuple[int, ...]]) -> Runs:
        """Opens a graph.

        Raises:
            RuntimeNotInstalled: the runtime isn't there.
            ModelDamaged: the file is gone or broken; the message says to reinstall.
        """
        precision = Precision.FP32 if graph == "merger" else self.precision
        model = shipped_model(graph) if self.folder is None else exported_model(graph, self.folder)
        if self.runtime is Runtime.TORCH:
            from flowfill.torchgraphs import open_in_torch

            return open_in_torch(graph, model, shapes=shapes, precision=precision, device=self.device)
        options = SessionOptions(
            precision=precision,
            shapes=shapes,
            cache=self.cache,
            device=self.device,
            provider=Provider.CPU if self.device == "cpu" else Provider.CUDA,
        )
        return open_session(model, runtime=self.runtime, options=options)


def shipped_model(graph: str) -> OnnxModel:
    """A graph from the package's data.

    Raises:
        ModelDamaged: it isn't there.
    """
    file = resources.files("flowfill") / "data" / "rife" / f"{graph}.onnx"
    try:
        return OnnxModel(name=f"rife/{graph}.onnx", data=file.read_bytes(), remedy=REMEDY)
    except OSError as error:
        raise ModelDamaged(f"rife/{graph}.onnx can't be read ({error.strerror}): {REMEDY}") from error


def exported_model(graph: str, folder: Path) -> OnnxModel:
    """A graph from a folder of `codec-plugin export --engine rife`.

    Raises:
        ModelDamaged: it isn't there, or was changed.
        ModelUnverified: it was never compared with torch.
    """
    path = folder / f"{graph}.onnx"
    manifest = load_manifest(manifest_path(path))
    manifest.check_files(folder)
    manifest.require_verified()
    return OnnxModel.from_file(path, remedy="export it again")


class RifeNetwork:
    """The graphs at one size of picture."""

    def __init__(self, grid: FlowGrid, *, opens: Opens) -> None:
        self.grid = grid
        """The size that it was opened for."""
        rows, columns = grid.padded
        picture, used = (1, 3, grid.height, grid.width), grid.used
        view = (1, 7, rows, columns)
        self._encoder = opens("encoder", shapes={"picture": (1, 3, rows, columns)})
        self._flow = opens("flow", shapes={"left": view, "right": view, "position": (1, 1, 1, 1)})
        self._merger = opens(
            "merger",
            shapes={
                "left": picture,
                "right": picture,
                "flow": (1, 4, *used),
                "mask": (1, 1, *used),
                "position": (1, 1, 1, 1),
            },
        )

    def view(self, picture: Planes) -> View:
        """Encodes one frame (1, 3, height, width)."""
        features = self._encoder.run({"picture": self.grid.sampled(picture)})["view"]
        return View(picture=picture, features=features)

    def between(self, left: View, right: View, *, position: float) -> Made:
        """Makes the picture at `position` between two frames, 0 (left) to 1 (right).

        Where the network gives numbers that are not finite, so does this: the caller looks at the evidence.
        """
        time = np.full((1, 1, 1, 1), position, np.float32)
        moved = self._flow.run({"left": left.features, "right": right.features, "position": time})
        merged = self._merger.run(
            {
                "left": left.picture,
                "right": right.picture,
                "flow": self.grid.cropped(moved["flow"]),
                "mask": self.grid.cropped(moved["mask"]),
                "position": time,
            }
        )
        disagreement, difference, blended, unmoved = (float(fact) for fact in merged["evidence"].flat)
        evidence = Evidence(
            disagreement=disagreement**0.5, difference=difference**0.5, blended=blended, unmoved=unmoved
        )
        return Made(picture=merged["made"], evidence=evidence)

    def close(self) -> None:
        """Frees the sessions."""
        for session in (self._encoder, self._flow, self._merger):
            session.close()
