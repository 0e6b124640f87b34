"""Lists the names of TensorRT's Python API: `python list_tensorrt_names.py WHEEL SOURCES`.

WHEEL is a tensorrt-cu13-bindings wheel from PyPI, whose compiled module can be read but not imported without NVIDIA's
libraries; SOURCES a folder with the sources of those bindings (python/src of NVIDIA's open repository), which say what
belongs to which class. A name is listed where both have it; `tensorrt_names.json` is what comes out.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

CLASSES = (
    "BuilderFlag Builder DataType IBuilderConfig ICudaEngine IExecutionContext IHostMemory ILogger "
    "INetworkDefinition IOptimizationProfile ITensor ITimingCache MemoryPoolType OnnxParser Runtime Severity "
    "TensorIOMode"
).split()
"""What the backend uses, and their enumerations."""


def main() -> None:
    """Writes the list beside this script."""
    wheel, sources = Path(sys.argv[1]), Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as archive:
        binary = archive.read("tensorrt_bindings/tensorrt.so")
        package = archive.read("tensorrt_bindings/__init__.py").decode()
    classes: dict[str, list[str]] = {}
    for path in sorted(sources.rglob("*.cpp")):
        for name, members in members_of(path.read_text()).items():
            if name in CLASSES:
                classes[name] = sorted(
                    classes.get(name, []) + [member for member in members if in_binary(binary, member)]
                )
    missing = sorted(name for name in CLASSES if name not in classes or not in_binary(binary, name))
    assert not missing, missing
    name, version, *_ = wheel.name.split("-")
    listed = {
        "package": f"{name} {version}",
        "module": sorted({*classes, *re.findall(r"^(__version__)", package, re.MULTILINE)}),
        "classes": dict(sorted(classes.items())),
    }
    Path(__file__).with_name("tensorrt_names.json").write_text(json.dumps(listed, indent=1) + "\n")


def in_binary(binary: bytes, name: str) -> bool:
    """Whether a name is a string of the compiled module, or the end of one: linkers merge strings that end alike."""
    return name.encode() + b"\0" in binary


def members_of(source: str) -> dict[str, set[str]]:
    """By class: what the bindings' source defines on it."""
    found: dict[str, set[str]] = {}
    starts = re.compile(r'py::(?:class_|enum_)<[^;]*?>\s*(?:\w+)?\s*[({]\s*\w+,\s*"(\w+)"')
    marks = [*starts.finditer(source)]
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        body = source[mark.end() : after.start() if after else len(source)]
        found[mark[1]] = set(
            re.findall(r'\.(?:def|value|def_property|def_property_readonly|def_readwrite)\(\s*"(\w+)"', body)
        )
    return found


if __name__ == "__main__":
    main()
