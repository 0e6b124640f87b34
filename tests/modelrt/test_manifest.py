"""The manifest of an exported graph: it round-trips, and notices every changed file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelrt import (
    Manifest,
    ManifestTensor,
    ModelDamaged,
    ModelUnverified,
    Parity,
    Precision,
    file_of,
    load_manifest,
    manifest_path,
)

PARITY = Parity(
    runtime="onnxruntime 1.32.0 (cpu)",
    device="a processor",
    precision=Precision.FP32,
    reference="torch 2.13.0",
    relative=1e-6,
    largest=2e-6,
)


def exported(folder: Path) -> Manifest:
    """A graph of two files and its manifest, saved."""
    (folder / "unet.onnx").write_bytes(b"a graph")
    (folder / "unet.onnx.data").write_bytes(b"its weights")
    manifest = Manifest(
        model="unet",
        graph="unet.onnx",
        files=tuple(file_of(path, folder=folder) for path in sorted(folder.glob("unet.onnx*"))),
        inputs=(ManifestTensor(name="sample", dtype="float32", shape=(2, 9, None, None)),),
        outputs=(ManifestTensor(name="noise", dtype="float32", shape=(2, 9, None, None)),),
        precision=Precision.FP16,
        opset=20,
        weights_sha256="ab" * 32,
        versions={"torch": "2.13.0"},
        tolerance=2e-2,
        reference="fcvg",
        settings={"frames": "9"},
        unverified="a forward takes 530 s here",
    )
    manifest.save(folder)
    return manifest


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest = exported(tmp_path)

    assert load_manifest(tmp_path / "unet.manifest.json") == manifest
    assert manifest_path(tmp_path / "unet.onnx") == tmp_path / "unet.manifest.json"
    held = manifest.verified(PARITY)
    held.save(tmp_path)
    assert load_manifest(tmp_path / "unet.manifest.json") == held
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_was_never_verified_is_refused_until_parity_has_passed(tmp_path: Path) -> None:
    manifest = exported(tmp_path)

    with pytest.raises(ModelUnverified, match=r"unet\.onnx is unverified \(a forward takes 530 s here\).*--verify"):
        manifest.require_verified()
    manifest.verified(PARITY).require_verified()


def test_unchanged_files_pass(tmp_path: Path) -> None:
    exported(tmp_path).check_files(tmp_path)


@pytest.mark.parametrize("name", ["unet.onnx", "unet.onnx.data"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated or changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "isn't the file that its manifest lists"),
        (lambda path: path.unlink(), "can't be read"),
    ],
    ids=["truncated", "edited", "gone"],
)
def test_a_changed_file_is_named(tmp_path: Path, name: str, change: object, complaint: str) -> None:
    manifest = exported(tmp_path)
    assert callable(change)
    change(tmp_path / name)

    with pytest.raises(ModelDamaged, match=complaint) as caught:
        manifest.check_files(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "isn't JSON"), ("[]", "format None"), ('{"format": 9}', "format 9"), ('{"format": 1}', "lacks something")],
)
def test_a_file_that_is_no_manifest_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "unet.manifest.json"
    path.write_text(text)

    with pytest.raises(ModelDamaged, match=complaint):
        load_manifest(path)


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    exported(tmp_path)
    path = tmp_path / "unet.manifest.json"
    raw = json.loads(path.read_text())
    del raw["opset"]
    path.write_text(json.dumps(raw))

    with pytest.raises(ModelDamaged, match="'opset'"):
        load_manifest(path)


def test_it_needs_parity_or_a_reason_and_its_own_graph(tmp_path: Path) -> None:
    manifest = exported(tmp_path)

    with pytest.raises(ModelDamaged, match="neither parity nor a reason"):
        replace(manifest, unverified=None)
    with pytest.raises(ModelDamaged, match=r"lists no file other\.onnx"):
        replace(manifest, graph="other.onnx")


@pytest.mark.parametrize("relative", [0.03, float("nan")])
def test_parity_beyond_its_own_tolerance_can_not_stand_in_it(tmp_path: Path, relative: float) -> None:
    with pytest.raises(ModelDamaged, match="beyond its own tolerance"):
        exported(tmp_path).verified(replace(PARITY, relative=relative))
