"""`build`: compiles a model for this machine into the cache, once its numbers are known to be right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modelrt import parity as parities
from modelrt.cache import CompileCache
from modelrt.choosing import choose
from modelrt.devices import device_name
from modelrt.errors import (
    CacheUnusable,
    ModelDamaged,
    ModelUnverified,
    OptionsContradict,
    ParityMissed,
    RuntimeNotInstalled,
)
from modelrt.inventory import CacheEntry, inventory
from modelrt.manifest import SUFFIX, Manifest, Parity, load_manifest, manifest_path
from modelrt.model import OnnxModel
from modelrt.opening import backend, open_session
from modelrt.options import Precision, Provider, Runtime, SessionOptions
from modelrt.parity import Case
from modelrt.session import Session

_GRAPHS = (Runtime.OPENVINO, Runtime.TENSORRT, Runtime.ONNXRUNTIME)
_AHEAD = (Provider.TENSORRT, Provider.NV_TENSORRT_RTX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A graph to build."""

    path: Path
    """Its .onnx file."""
    manifest: Manifest | None
    """What its exporter said of it; None for a graph from elsewhere, whose numbers nobody promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What became of a graph."""

    target: Target
    """Which one."""
    runtime: Runtime
    """What compiled it."""
    precision: Precision
    """What it computes in."""
    reason: str
    """Why that runtime."""
    wall_s: float
    """How long it took, loading included."""
    added: tuple[CacheEntry, ...]
    """The new entries; none where the engine was there already."""
    parity: Parity | None
    """What was measured; None where nothing was asked."""


def targets(path: Path) -> tuple[Target, ...]:
    """The graphs that a path names: an .onnx file, or all manifests of a folder.

    Raises:
        ModelDamaged: there is none, or a manifest can't be read.
    """
    if path.is_dir():
        manifests = sorted(path.glob(f"*{SUFFIX}"))
        if not manifests:
            raise ModelDamaged(f"{path} holds no manifest (*{SUFFIX}): codec-plugin export writes graphs with theirs")
        return tuple(_described(manifest) for manifest in manifests)
    if not path.exists():
        raise ModelDamaged(f"{path}: there is no such file or folder")
    described = manifest_path(path)
    if described.exists():
        return (_described(described),)
    return (Target(path=path, manifest=None),)


def build(
    target: Target,
    *,
    runtime: Runtime | None,
    options: SessionOptions,
    precision: Precision | None = None,
    verify: bool = False,
    weights: Path | None = None,
) -> Built:
    """Compiles one graph into the cache of `options`.

    Args:
        target: which one.
        runtime: what compiles it; None takes the fastest measured one that is here.
        options: device, provider, shapes, limits, and the cache.
        precision: what to compute in; None for what the graph is written in.
        verify: measures parity here, and writes it into the manifest.
        weights: the folder of the original network's weights, for `verify`.

    Raises:
        ModelUnverified: the manifest says that parity was never measured, and `verify` isn't set.
        ParityMissed: it was measured now, and is too far off; nothing is kept.
        ModelDamaged: a file isn't the one that the manifest lists.
        CacheUnusable: the cache can't be written.
    """
    manifest = target.manifest
    if manifest is None and verify:
        raise ModelUnverified(f"{target.path} has no manifest, which would name what to hold it against; export it")
    if manifest is not None:
        manifest.check_files(target.path.parent)
        if not verify:
            manifest.require_verified()
    chosen, reason = _chosen(target, runtime, options)
    _check_ahead(chosen, options, verify=verify)
    model = OnnxModel.from_file(target.path, remedy="export it again")
    settled = replace(options, precision=precision or model.written_in, shapes=dict(options.shapes))
    reference = parities.reference_of(manifest) if verify and manifest is not None else None
    before = {entry.digest for entry in _entries(options.cache)}
    began = time.monotonic()
    with open_session(model, runtime=chosen, options=settled) as session:
        wall_s = time.monotonic() - began
        added = tuple(entry for entry in _entries(options.cache) if entry.digest not in before)
        measured = None
        if reference is not None and manifest is not None:
            cases = reference(manifest, folder=target.path.parent, weights=weights)
            measured = _verified(session, cases, target, manifest, chosen, settled, added)
    return Built(
        target=target,
        runtime=chosen,
        precision=settled.precision,
        reason=reason,
        wall_s=wall_s,
        added=added,
        parity=measured,
    )


def _chosen(target: Target, runtime: Runtime | None, options: SessionOptions) -> tuple[Runtime, str]:
    if runtime is Runtime.TORCH:
        raise OptionsContradict(
            f"torch runs modules, and {target.path.name} is a graph; it compiles by itself at a first run: use runtime "
            "openvino or tensorrt"
        )
    if runtime is not None:
        return runtime, "asked for"
    model = target.manifest.model if target.manifest else target.path.stem
    among = (Runtime.TENSORRT,) if options.on_gpu else (Runtime.OPENVINO,)
    choice = choose(model, device=options.device, among=among)
    if choice is None:
        raise RuntimeNotInstalled(
            f"nothing here compiles graphs for {options.device}; install {among[0]}, or name another runtime"
        )
    return choice.runtime, choice.reason


def _check_ahead(runtime: Runtime, options: SessionOptions, *, verify: bool) -> None:
    if runtime is Runtime.ONNXRUNTIME and options.provider not in _AHEAD and not verify:
        raise OptionsContradict(
            f"ONNX Runtime's provider {options.provider} compiles nothing ahead of time: use the graph as it is "
            "(--verify measures its parity), or name another runtime"
        )


def _verified(
    session: Session,
    cases: Iterator[Case],
    target: Target,
    manifest: Manifest,
    runtime: Runtime,
    options: SessionOptions,
    added: tuple[CacheEntry, ...],
) -> Parity:
    """Measures parity, and writes it into the manifest; what misses it doesn't stay in the cache."""
    folder = target.path.parent
    provider = f" ({options.provider})" if runtime is Runtime.ONNXRUNTIME else ""
    try:
        measured = parities.measure(
            session,
            cases,
            runtime=f"{runtime} {backend(runtime).version()}{provider}",
            device=device_name(options.device),
            precision=options.precision,
            reference=str(manifest.reference),
        )
        parities.check(manifest, measured)
    except (ModelUnverified, ParityMissed):
        for entry in added:
            entry.delete()
        raise
    try:
        manifest.verified(measured).save(folder)
    except OSError as error:
        raise CacheUnusable(
            f"{target.path.name} passed with {measured.relative:.1e}, but {folder} can't be written "
            f"({error.strerror}), so that its manifest stays unverified; copy the folder to where you may write"
        ) from error
    return measured


def _described(path: Path) -> Target:
    manifest = load_manifest(path)
    return Target(path=path.parent / manifest.graph, manifest=manifest)


def _entries(cache: CompileCache | None) -> tuple[CacheEntry, ...]:
    if cache is None or not cache.directory.exists():
        return ()
    return inventory(cache.directory)
