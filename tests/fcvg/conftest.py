"""Weights that several tests read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small spend their time waiting for each other's threads, tenfold where other work runs beside."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random set in the published layout, which no test changes."""
    pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
    from fcvg.tiny import make_tiny

    return make_tiny(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture
def weights(tiny_weights: Path, tmp_path: Path) -> Path:
    """A copy of the tiny set, to be spoilt."""
    return Path(shutil.copytree(tiny_weights, tmp_path / "weights"))


@pytest.fixture(scope="session")
def graphs(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All graphs of the tiny set at 64x64, 9 frames and 3 decoded together, which no test changes."""
    pytest.importorskip("onnxscript", reason="the export extra is not installed")
    from codec_plugin.exports import ExportRequest, graph_exporter

    folder = tmp_path_factory.mktemp("graphs")
    exporter = graph_exporter("fcvg")
    asked = ExportRequest(folder=folder, weights=tiny_weights, size="64x64", frames=(9,), decode_chunk=3)
    exporter.check(asked)
    done = exporter.export(asked, say=lambda _line: None)
    assert [graph.unverified for graph in done] == [None] * 5
    return folder
