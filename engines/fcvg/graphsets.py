"""Folders of exported graphs: finding those that a clip takes, exporting what is small, opening sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from codec_plugin.errors import EngineError
from fcvg.export.shape import ExportShape, GraphName
from fcvg.weights.check import Checked
from modelrt.cache import CompileCache, user_cache_dir
from modelrt.errors import ModelDamaged, ModelRuntimeError
from modelrt.locking import locked
from modelrt.manifest import SUFFIX, Manifest, load_manifest
from modelrt.model import OnnxModel
from modelrt.opening import open_session
from modelrt.options import CPU, Precision, Provider, Runtime, SessionOptions
from modelrt.session import Session

_PATIENCE_S = 1800  # for another process that exports the same graphs; a minute or two each is usual


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSet:
    """The graphs in a folder."""

    folder: Path
    """Where they lie."""
    manifests: tuple[Manifest, ...]
    """What they are."""

    @classmethod
    def of(cls, folder: Path) -> GraphSet:
        """Reads the manifests of a folder.

        Raises:
            EngineError: the folder isn't there, or a manifest is damaged.
        """
        if not folder.is_dir():
            raise EngineError(f"graphs: there is no folder {folder}; codec-plugin export --engine fcvg makes one")
        try:
            found = tuple(load_manifest(path) for path in sorted(folder.glob(f"*{SUFFIX}")))
        except ModelDamaged as error:
            raise EngineError(str(error)) from error
        return cls(folder=folder, manifests=tuple(one for one in found if one.settings.get("engine") == "fcvg"))

    def find(
        self, name: GraphName, settings: Mapping[str, str], *, precision: Precision | None, weights: str | None = None
    ) -> Manifest | None:
        """The graph of a kind and shape.

        Args:
            name: its kind.
            settings: what its manifest must say.
            precision: what is wanted; a graph in fp32 stands in for it. None for fp32, else whatever there is.
            weights: the digest that its weights must have; None for any.
        """
        fitting = [
            one
            for one in self.manifests
            if one.model == name and settings.items() <= one.settings.items() and weights in (None, one.weights_sha256)
        ]
        order = (precision, Precision.FP32) if precision is not None else (Precision.FP32, *Precision)
        return next((one for kind in order for one in fitting if one.precision is kind), None)


def require(
    graphs: GraphSet, name: GraphName, shape: ExportShape, *, precision: Precision | None, weights: str, folder: Path
) -> tuple[Manifest, ...]:
    """The graphs of a kind that a clip takes.

    Args:
        graphs: where they are looked for.
        name: the kind.
        shape: the clip's; a UNet of a smaller batch will do.
        precision: as for `GraphSet.find`.
        weights: the digest of the weights in use.
        folder: the weights folder, for the message.

    Raises:
        EngineError: one isn't there, was exported from other weights, or nobody has seen that its numbers are right;
            the message says what to export.
    """
    found = []
    for settings in shape.settings(name):
        batches = [str(batch) for batch in (4, 2, 1) if shape.batch % batch == 0] if "batch" in settings else [""]
        choices = [{**settings, "batch": batch} if batch else settings for batch in batches]
        one = _first(graphs.find(name, choice, precision=precision, weights=weights) for choice in choices)
        if one is None:
            other = _first(graphs.find(name, choice, precision=precision) for choice in choices)
            raise EngineError(_lacking(graphs, name, settings, folder=folder, shape=shape, other=other))
        if one.unverified is not None:
            raise EngineError(
                f"{graphs.folder / one.graph} is unverified ({one.unverified}): nobody has seen yet that its numbers "
                "are right; `codec-plugin build --verify` measures it on the machine where it is to run"
            )
        found.append(one)
    return tuple(found)


def _first(found: Iterator[Manifest | None]) -> Manifest | None:
    return next((one for one in found if one is not None), None)


def _lacking(
    graphs: GraphSet,
    name: GraphName,
    settings: Mapping[str, str],
    *,
    folder: Path,
    shape: ExportShape,
    other: Manifest | None,
) -> str:
    command = (
        f"codec-plugin export --engine fcvg --weights {folder} --size {shape.size[0]}x{shape.size[1]} "
        f"--frames {shape.frames} --batch {shape.batch} --decode-chunk {shape.decode_chunk} --graphs {name} "
        f"{graphs.folder}"
    )
    if other is not None:
        return f"{graphs.folder / other.graph} was exported from other weights than those in {folder}; {command}"
    wanted = ", ".join(f"{key} {value}" for key, value in settings.items())
    there = [one.graph for one in graphs.manifests if one.model == name]
    shown = f"there are {', '.join(there)}" if there else "there is none of its kind"
    return f"{graphs.folder} has no {name}{f' of {wanted}' if wanted else ''}: {shown}; {command}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Opens graphs on a runtime."""

    folder: Path
    """Where they lie."""
    runtime: Runtime
    """What runs them."""
    precision: Precision | None
    """What is asked for; None for what each graph is written in."""
    device: str = CPU
    """As `SessionOptions.device`."""
    cache: CompileCache | None = None
    """Where compiled graphs are kept."""

    def __call__(self, manifest: Manifest) -> Session:
        """A session.

        Raises:
            ModelRuntimeError: the file was changed, or the runtime can't run it.
        """
        manifest.check_files(self.folder)
        options = SessionOptions(
            precision=self.precision_of(manifest),
            cache=self.cache,
            device=self.device,
            provider=Provider.CPU if self.device == CPU else Provider.CUDA,
        )
        model = OnnxModel.from_file(self.folder / manifest.graph, remedy="export it again")
        return open_session(model, runtime=self.runtime, options=options)

    def precision_of(self, manifest: Manifest) -> Precision:
        """What the session computes in: OpenVINO goes by the hint alone, the others by what the graph is written in."""
        decodes = manifest.model in (GraphName.VAE_ENCODER, GraphName.VAE_DECODER)
        if self.runtime is Runtime.OPENVINO:
            return Precision.FP32 if decodes or self.precision is None else self.precision
        return manifest.precision if decodes or self.precision is None else self.precision


def cached_folder(digests: Sequence[str]) -> Path:
    """Where graphs are kept that were exported at their first use, by what they were made from and with."""
    made_with = [metadata.version(name) for name in ("torch", "onnxscript", "codec-plugin")]
    key = hashlib.sha256("\0".join([*digests, *made_with]).encode()).hexdigest()
    return user_cache_dir() / "graphs" / f"fcvg-{key[:24]}"


def export_missing(
    checked: Checked, shape: ExportShape, folder: Path, *, tuned: bool, say: Callable[[str], None] = lambda _line: None
) -> GraphSet:
    """Exports the graphs of a clip's shape that a folder lacks, in fp32.

    Raises:
        EngineError: the folder can't be written.
        ModelRuntimeError: a graph missed its tolerance, or another process has been exporting them for too long.
    """
    from fcvg.export.making import export_graphs
    from modelrt.export.writing import export_graph

    doing = f"exporting graphs into {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Where there are no locks, each graph is written whole all the same.
        with (folder / ".lock").open("a+") as lock, locked(lock.fileno(), doing=doing, timeout_s=_PATIENCE_S):
            there = GraphSet.of(folder)
            for graph in export_graphs(checked, [shape], names=tuple(GraphName), precision=Precision.FP32, tuned=tuned):
                if not any(one.graph == f"{graph.stem}.onnx" for one in there.manifests):
                    export_graph(graph, folder, say=say)
    except ModelRuntimeError:
        raise  # some are OSErrors too
    except OSError as error:
        raise EngineError(
            f"graphs are exported into {folder} at their first use, and that can't be written ({error.strerror}); "
            "set XDG_CACHE_HOME, or export them with codec-plugin export and name the folder: fcvg.graphs=DIR"
        ) from error
    return GraphSet.of(folder)
