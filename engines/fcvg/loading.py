"""`Loader`: the networks of one engine on the runtime that was chosen: torch's once, graphs for each shape of clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from codec_plugin.errors import EngineError
from fcvg.cost import unet_flops
from fcvg.export.shape import ExportShape, GraphName
from fcvg.graphsets import GraphSet, Opener, cached_folder, export_missing, require
from fcvg.models import Models, Networks
from fcvg.options import FcvgOptions, UNetWeights
from fcvg.options import Precision as Asked
from fcvg.place import Place
from fcvg.runtimes import can_export, chosen, needs_torch
from fcvg.sampling.profile import ProfileName
from fcvg.sampling.settings import Fusion
from fcvg.sessions import SessionEncoder, SessionNetworks, SessionUNet
from fcvg.weights.check import Checked
from fcvg.weights.layout import FEATURE_EXTRACTOR_CONFIG, VAE
from fcvg.weights.load import feature_extractor, load_checked
from modelrt.cache import CompileCache
from modelrt.manifest import Manifest
from modelrt.opening import backend, install_hint, is_installed
from modelrt.options import CPU, Precision, Runtime
from modelrt.session import Session
from modelrt.threads import thread_budget

SMALL = 4e12
"""Floating-point operations of a call of the UNet up to which graphs are exported at their first use: about a minute
on two cores, exported and compared."""


class Loader:
    """Opens networks, and keeps them until `close`."""

    def __init__(self, options: FcvgOptions, checked: Checked, *, folder: Path, place: Place) -> None:
        """Loads nothing yet.

        Args:
            options: how the engine works.
            checked: the weights, without problems.
            folder: the weights folder.
            place: where clips are made.
        """
        self._options, self._checked, self._folder, self._place = options, checked, folder, place
        self._tuned = options.unet is UNetWeights.TUNED
        self._models: Models | None = None
        self._sessions: dict[str, Session] = {}
        self._opened: dict[ExportShape, SessionNetworks] = {}
        self._computes: dict[ExportShape, Precision] = {}
        self._digests: dict[GraphName, str] = {}

    @property
    def loaded(self) -> bool:
        """Whether networks are in memory."""
        return self._models is not None or bool(self._sessions)

    def runtime(self, size: tuple[int, int], *, frames: int) -> Runtime:
        """What a clip is made on.

        Args:
            size: (width, height) that the networks see.
            frames: of the clip.

        Raises:
            EngineError: the runtime that was asked for isn't installed, or doesn't run where the clip is to be made.
        """
        options, device = self._options, self._place.device.type
        runtime = chosen(
            options.runtime,
            torch_only=needs_torch(options.fusion, options.profile) is not None,
            device=device,
            graphs_given=options.graphs is not None,
            small=lambda: self._is_small(self._shape(size, frames)),
        )
        if not is_installed(runtime):
            raise EngineError(f"fcvg was asked to run on {runtime}, which isn't installed: {install_hint(runtime)}")
        if runtime is Runtime.OPENVINO and device != "cpu":
            raise EngineError(
                f"OpenVINO runs on the CPU, and device is {options.device}: choose device=cpu, or a runtime"
            )
        if runtime is Runtime.TENSORRT and device == "cpu":
            raise EngineError(
                "TensorRT runs on an NVIDIA GPU, and there is none that torch sees: choose another runtime"
            )
        return runtime

    def check(self, size: tuple[int, int], *, frames: int) -> None:
        """Looks whether a clip's graphs are there, or can be exported. Args and raises as for `networks`."""
        runtime, shape = self.runtime(size, frames=frames), self._shape(size, frames)
        if runtime is Runtime.TORCH:
            return
        if self._options.graphs is None:
            self._check_export(shape)
        else:
            self._found(GraphSet.of(self._options.graphs), shape)

    def networks(self, size: tuple[int, int], *, frames: int, say: Callable[[str], None]) -> Networks:
        """The networks for clips of a shape. Args and raises as for `runtime`.

        Raises:
            EngineError: graphs are missing or can't be used; the message says what to export.
            ModelRuntimeError: the runtime can't open them.
        """
        runtime = self.runtime(size, frames=frames)
        if runtime is Runtime.TORCH:
            return self._torch()
        shape = self._shape(size, frames)
        if shape not in self._opened:
            self._opened[shape] = self._open(runtime, shape, say=say)
        return self._opened[shape]

    def ran_on(self, size: tuple[int, int], *, frames: int) -> str:
        """What runs a clip, in words; ask when its `networks` are open."""
        runtime = self.runtime(size, frames=frames)
        threads = torch.get_num_threads() if runtime is Runtime.TORCH else thread_budget()
        if runtime is not Runtime.TORCH:
            precision = str(self._computes[self._shape(size, frames)])
        else:
            precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self._place.dtype]
        where = f"{threads} CPU threads" if self._place.device.type == "cpu" else str(self._place.device)
        return f"run by {runtime} {backend(runtime).version()} in {precision} on {where}"

    def close(self) -> None:
        """Frees everything. It may be called twice."""
        self._models = None
        self._opened.clear()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _torch(self) -> Models:
        if self._models is None:
            self._models = load_checked(
                self._checked,
                device=self._place.device,
                dtype=self._place.dtype,
                offload=self._place.offload,
                tuned=self._tuned,
                backward=self._options.fusion is Fusion.GI,
                consistency=self._options.profile is ProfileName.LCM,
            )
        return self._models

    def _shape(self, size: tuple[int, int], frames: int) -> ExportShape:
        options = self._options
        batch = options.batch if options.graphs is not None else min(2, options.batch)
        return ExportShape(size=size, frames=frames, batch=batch, decode_chunk=options.decode_chunk)

    def _is_small(self, shape: ExportShape) -> bool:
        return unet_flops(self._checked, size=shape.size, frames=shape.window) * shape.batch <= SMALL

    def _open(self, runtime: Runtime, shape: ExportShape, *, say: Callable[[str], None]) -> SessionNetworks:
        graphs = self._graphs(shape, say=say)
        found = self._found(graphs, shape)
        device = CPU if self._place.device.type == "cpu" else f"cuda:{self._place.device.index or 0}"
        opens = Opener(
            folder=graphs.folder, runtime=runtime, precision=self._precision, device=device, cache=CompileCache()
        )

        self._computes[shape] = opens.precision_of(found[GraphName.UNET][0])

        def session(manifest: Manifest) -> Session:
            if manifest.graph not in self._sessions:
                self._sessions[manifest.graph] = opens(manifest)
            return self._sessions[manifest.graph]

        return SessionNetworks(
            unet=SessionUNet(session(found[GraphName.UNET][0])),
            encoder=SessionEncoder(session(found[GraphName.CONDITION][0])),
            latents=session(found[GraphName.VAE_ENCODER][0]),
            decoders={int(one.settings["frames"]): session(one) for one in found[GraphName.VAE_DECODER]},
            embeddings=session(found[GraphName.IMAGE_ENCODER][0]),
            latent_scale=float(self._checked.configs[VAE.name].get("scaling_factor", 0.18215)),
            scheduler_config=self._checked.configs["scheduler"],
            feature_extractor=feature_extractor(self._checked.svd / FEATURE_EXTRACTOR_CONFIG),
            device=self._place.device,
        )

    @property
    def _precision(self) -> Precision | None:
        asked = self._options.precision
        return None if asked is Asked.AUTO else Precision(asked.value)

    def _found(self, graphs: GraphSet, shape: ExportShape) -> dict[GraphName, tuple[Manifest, ...]]:
        return {
            name: require(
                graphs, name, shape, precision=self._precision, weights=self._digest(name), folder=self._folder
            )
            for name in GraphName
        }

    def _graphs(self, shape: ExportShape, *, say: Callable[[str], None]) -> GraphSet:
        """The folder that was named; else the cache's, where what is small is exported at its first use."""
        if self._options.graphs is not None:
            return GraphSet.of(self._options.graphs)
        self._check_export(shape)
        folder = cached_folder([self._digest(name) for name in GraphName])
        return export_missing(self._checked, shape, folder, tuned=self._tuned, say=say)

    def _check_export(self, shape: ExportShape) -> None:
        """Whether graphs may be exported at their first use."""
        command = (
            f"codec-plugin export --engine fcvg --weights {self._folder} --size {shape.size[0]}x{shape.size[1]} "
            f"--frames {shape.frames} --batch {shape.batch} DIR"
        )
        if not self._is_small(shape):
            raise EngineError(
                f"these networks are too large to be exported at their first use; {command} does it, "
                "and --engine-option fcvg.graphs=DIR names it"
            )
        if not can_export():
            raise EngineError(
                "fcvg runs on exported graphs there, and exporting needs onnx and onnxscript: "
                "pip install 'codec-plugin[export]'"
            )

    def _digest(self, name: GraphName) -> str:
        from fcvg.export.making import weights_digest

        if name not in self._digests:
            self._digests[name] = weights_digest(self._checked, name, tuned=self._tuned)
        return self._digests[name]
