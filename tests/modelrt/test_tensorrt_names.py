"""Every name of TensorRT's API that the backend calls is one that the API has.

Here nobody can run TensorRT: its libraries come from NVIDIA's own index. The list is made from the bindings on PyPI by
`golden/list_tensorrt_names.py`, class by class; the backend's variables are told apart by their names.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import modelrt

LISTED = json.loads((Path(__file__).parent / "golden" / "tensorrt_names.json").read_text())
BACKENDS = [Path(modelrt.__file__).parent / "backends" / name for name in ("on_tensorrt.py", "tensorrt_build.py")]
CLASS_OF = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "tensor": "ITensor",
}
"""The class of each variable that holds an object of TensorRT's."""
UNVERIFIED: set[str] = set()
"""Names that the backend calls and the list doesn't have; none."""


def called() -> Iterator[tuple[str, str]]:
    """Class (or "module") and name of each attribute that the backend takes from TensorRT."""
    for path in BACKENDS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            base = node.value
            if isinstance(base, ast.Name) and base.id == "tensorrt":
                yield "module", node.attr
            elif isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id == "tensorrt":
                yield base.attr, node.attr
            elif isinstance(base, ast.Name) and base.id in CLASS_OF:
                # In on_tensorrt a tensor is torch's.
                if base.id != "tensor" or path.name == "tensorrt_build.py":
                    yield CLASS_OF[base.id], node.attr
            elif isinstance(base, ast.Attribute) and base.attr in CLASS_OF:
                yield CLASS_OF[base.attr], node.attr
            elif isinstance(base, ast.Call) and ast.unparse(base.func).endswith(".get_timing_cache"):
                yield "ITimingCache", node.attr


def test_the_api_has_every_name_that_is_called() -> None:
    unknown = set()
    for owner, name in called():
        if owner == "module":
            known = name in LISTED["module"]
        elif owner == "ILogger":
            known = name in ("Severity", "__init__")
        else:
            known = name in LISTED["classes"][owner]
        if not known:
            unknown.add(f"{owner}.{name}")

    assert unknown == UNVERIFIED


def test_enumerations_inside_classes_have_their_values() -> None:
    values = {
        node.attr
        for path in BACKENDS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "Severity"
    }

    assert values
    assert values <= set(LISTED["classes"]["Severity"])


def test_the_check_sees_what_the_backend_cannot_do_without() -> None:
    seen = set(called())

    assert len(seen) > 35
    assert {
        ("Builder", "build_serialized_network"),
        ("IBuilderConfig", "set_memory_pool_limit"),
        ("IBuilderConfig", "set_timing_cache"),
        ("IExecutionContext", "execute_async_v3"),
        ("IOptimizationProfile", "set_shape"),
        ("ITimingCache", "serialize"),
        ("MemoryPoolType", "WORKSPACE"),
        ("OnnxParser", "parse_from_file"),
        ("Runtime", "deserialize_cuda_engine"),
        ("ITensor", "shape"),
    } <= seen


def test_the_list_says_of_what_version_it_is() -> None:
    assert LISTED["package"].startswith("tensorrt_cu13_bindings 11.")
