"""`Manifest`: what an exported graph is, in a JSON file beside it (`unet.onnx`, `unet.manifest.json`).

Whoever exports writes it last, so that a graph without one is half written; whoever builds checks every file's hash.
A graph that was too large to run where it was exported has no parity but a reason in `unverified`, and isn't built
until parity has passed on the target.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modelrt.errors import ModelDamaged, ModelUnverified
from modelrt.options import Precision

FORMAT = 1
"""The version of the format."""
SUFFIX = ".manifest.json"
"""Of the file's name; before it stands the graph's without .onnx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file of the model."""

    name: str
    """From the manifest's folder, with forward slashes."""
    sha256: str
    """Of its bytes, in hex."""
    bytes: int
    """Its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestTensor:
    """One input or output of the graph."""

    name: str
    """As in the graph."""
    dtype: str
    """As numpy calls it, or bfloat16."""
    shape: tuple[int | None, ...]
    """The extent of every axis; None where any is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How near the graph came to its reference, measured once."""

    runtime: str
    """What ran the graph, with provider and version."""
    device: str
    """What it ran on, by the device's own name."""
    precision: Precision
    """What it computed in."""
    reference: str
    """What it was held against, with its version."""
    relative: float
    """The largest over the outputs of |made - wanted| / |wanted|, both in the Euclidean norm."""
    largest: float
    """The largest over the outputs of the greatest difference of two elements over the greatest wanted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an exported graph is, where it came from, and how far it can be trusted."""

    model: str
    """Which model: unet, vae-decoder …"""
    graph: str
    """The .onnx file's name; one of `files`."""
    files: tuple[ManifestFile, ...]
    """Everything that belongs to the graph: itself and its external data."""
    inputs: tuple[ManifestTensor, ...]
    """What it takes, in order. A bf16 graph takes and gives fp32, for numpy has no bfloat16."""
    outputs: tuple[ManifestTensor, ...]
    """What it gives, in order."""
    precision: Precision
    """What its weights are stored in and its arithmetic is written in."""
    opset: int
    """ONNX's."""
    weights_sha256: str
    """Of the weights that it was made from, so that another set is told apart."""
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the packages that made it: torch, onnx, onnxscript, codec-plugin …"""
    tolerance: float
    """The largest `Parity.relative` that it may have."""
    reference: str | None = None
    """Who can compute what the graph should give: a name in `modelrt.parity`'s table, for `build --verify`."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the reference has to know to build the same network: sizes, frames, variants. Words only."""
    parity: tuple[Parity, ...] = ()
    """What was measured; empty where nothing was."""
    unverified: str | None = None
    """Why nothing was measured; None once parity has passed."""

    def __post_init__(self) -> None:
        if self.graph not in {file.name for file in self.files}:
            raise ModelDamaged(f"the manifest of {self.model} lists no file {self.graph}, its own graph")
        if not self.parity and not self.unverified:
            raise ModelDamaged(f"the manifest of {self.model} has neither parity nor a reason why it is unverified")
        missed = [held for held in self.parity if not held.relative <= self.tolerance]
        if missed:
            raise ModelDamaged(
                f"the manifest of {self.model} lists a parity of {missed[0].relative:.1e} on {missed[0].runtime}, "
                f"beyond its own tolerance of {self.tolerance:.1e}; export it again"
            )

    def verified(self, parity: Parity) -> Manifest:
        """This manifest with a parity that has passed."""
        return replace(self, parity=(*self.parity, parity), unverified=None)

    def require_verified(self) -> None:
        """Nothing where parity has passed.

        Raises:
            ModelUnverified: it hasn't; the message has the reason and what to do.
        """
        if self.unverified is not None:
            raise ModelUnverified(
                f"{self.graph} is unverified ({self.unverified}): nobody has seen yet that it gives the right "
                "numbers; codec-plugin build --verify measures it here"
            )

    def check_files(self, folder: Path) -> None:
        """Holds every file against its size and hash.

        Raises:
            ModelDamaged: a file is missing, truncated or changed; the message names it.
        """
        for file in self.files:
            path = folder / file.name
            try:
                size = path.stat().st_size
                if size != file.bytes:
                    raise ModelDamaged(
                        f"{path} has {size} bytes, its manifest says {file.bytes}: it was truncated or changed; "
                        "export it again, or copy it again with its manifest"
                    )
                found = file_sha256(path)
            except OSError as error:
                raise ModelDamaged(
                    f"{path}, a file of {self.graph}, can't be read ({error.strerror}); copy it again"
                ) from error
            if found != file.sha256:
                raise ModelDamaged(
                    f"{path} isn't the file that its manifest lists (SHA-256 {found[:12]}…, not "
                    f"{file.sha256[:12]}…): it was changed; export it again, or copy it again with its manifest"
                )

    def save(self, folder: Path) -> Path:
        """Writes the manifest beside its graph, whole or not at all, and gives its path."""
        path = manifest_path(folder / self.graph)
        part = folder / f".{path.name}.{secrets.token_hex(4)}"
        try:
            with part.open("x", encoding="utf-8") as file:
                json.dump({"format": FORMAT, **_plain(self)}, file, indent=1)
                file.write("\n")
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        return path


def manifest_path(graph: Path) -> Path:
    """Where the manifest of a graph's file lies."""
    return graph.with_name(graph.name.removesuffix(".onnx") + SUFFIX)


def file_of(path: Path, *, folder: Path) -> ManifestFile:
    """Measures one file for a manifest."""
    return ManifestFile(name=path.relative_to(folder).as_posix(), sha256=file_sha256(path), bytes=path.stat().st_size)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def load_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Raises:
        ModelDamaged: it can't be read, or isn't one of this format.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelDamaged(f"manifest {path} can't be read ({error.strerror}); export the model again") from error
    except ValueError as error:
        raise ModelDamaged(f"manifest {path} isn't JSON ({error}); export the model again") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise ModelDamaged(f"manifest {path} has format {found}; this version reads {FORMAT}: export the model again")
    try:
        return _manifest(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelDamaged):
            raise ModelDamaged(f"{path}: {error}") from error
        raise ModelDamaged(f"manifest {path} lacks something ({error!r}); export the model again") from error


def _plain(manifest: Manifest) -> dict[str, Any]:
    """As JSON has it. asdict can't copy the read-only mappings."""
    words = {"versions": dict(manifest.versions), "settings": dict(manifest.settings)}
    return asdict(replace(manifest, versions=words["versions"], settings=words["settings"]))


def _manifest(raw: Mapping[str, Any]) -> Manifest:
    return Manifest(
        model=str(raw["model"]),
        graph=str(raw["graph"]),
        files=tuple(ManifestFile(**file) for file in raw["files"]),
        inputs=tuple(_tensor(spec) for spec in raw["inputs"]),
        outputs=tuple(_tensor(spec) for spec in raw["outputs"]),
        precision=Precision(raw["precision"]),
        opset=int(raw["opset"]),
        weights_sha256=str(raw["weights_sha256"]),
        versions=MappingProxyType({str(name): str(version) for name, version in raw["versions"].items()}),
        tolerance=float(raw["tolerance"]),
        reference=raw["reference"],
        settings=MappingProxyType({str(name): str(value) for name, value in raw["settings"].items()}),
        parity=tuple(Parity(**{**held, "precision": Precision(held["precision"])}) for held in raw["parity"]),
        unverified=raw["unverified"],
    )


def _tensor(raw: Mapping[str, Any]) -> ManifestTensor:
    return ManifestTensor(name=raw["name"], dtype=raw["dtype"], shape=tuple(raw["shape"]))
