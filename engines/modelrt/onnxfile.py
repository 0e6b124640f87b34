"""Reads of an ONNX file, without the onnx package, which other files it names and what its weights are stored in.

ONNX is a protobuf message; the field numbers below are those of onnx.proto. Only the messages on the way to a tensor
are looked into, everything else is stepped over, so that 10 MB of graph take a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE, _TENSOR, _FUNCTION = range(7)
_INSIDE: dict[int, dict[int, int]] = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
}
"""Which fields of which message lead to a tensor."""

_DIMS, _DATA_TYPE, _TENSOR_NAME, _EXTERNAL_DATA, _ENTRY_KEY, _ENTRY_VALUE = 1, 2, 8, 13, 1, 2
_NODE_INPUT, _OP_TYPE, _NODE_ATTRIBUTE, _ATTRIBUTE_NUMBER = 1, 4, 5, 3
FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16
"""Numbers of TensorProto's data types."""


class NotOnnx(ValueError):
    """The bytes don't follow protobuf's wire format, or they name a file that isn't beside them."""


def external_files(graph: bytes | memoryview) -> tuple[str, ...]:
    """The files that hold a model's tensors, as paths from the model's folder, sorted.

    Args:
        graph: the bytes of the .onnx file.

    Raises:
        NotOnnx: the bytes break off or are something else, or a path leads out of the model's folder.
    """
    found = {name for tensor in _tensors(memoryview(graph), _MODEL) if (name := _location(tensor)) is not None}
    for name in found:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise NotOnnx(f"its tensors lie in {name!r}, outside the model's folder")
    return tuple(sorted(found))


def elements_by_type(graph: bytes | memoryview) -> Mapping[int, int]:
    """How many elements of a model's tensors are computed with in each type, by the type's number.

    A tensor that a Cast widens where it is used counts as what it is widened to: such a graph stores its weights in
    half the space and computes in float32 all the same.

    Raises:
        NotOnnx: the bytes break off or are something else.
    """
    counted: dict[int, int] = {}
    casts = dict(_casts(memoryview(graph), _MODEL))
    for tensor in _tensors(memoryview(graph), _MODEL):
        extents, kind, name = [], 0, b""
        for number, value in _fields(tensor):
            if number == _DIMS:
                extents += list(_varints(value)) if isinstance(value, memoryview) else [value]
            elif number == _DATA_TYPE and isinstance(value, int):
                kind = value
            elif number == _TENSOR_NAME and isinstance(value, memoryview):
                name = bytes(value)
        kind = casts.get(name, kind)
        counted[kind] = counted.get(kind, 0) + math.prod(extents)
    return counted


def _casts(message: memoryview, kind: int) -> Iterator[tuple[bytes, int]]:
    """What the Cast nodes are given, and the type they make of it."""
    if kind == _NODE:
        fields = [*_fields(message)]
        if any(
            number == _OP_TYPE and isinstance(value, memoryview) and bytes(value) == b"Cast" for number, value in fields
        ):
            given = [
                bytes(value) for number, value in fields if number == _NODE_INPUT and isinstance(value, memoryview)
            ]
            made = [
                number
                for field, value in fields
                if field == _NODE_ATTRIBUTE and isinstance(value, memoryview)
                for key, number in _fields(value)
                if key == _ATTRIBUTE_NUMBER and isinstance(number, int)
            ]
            yield from zip(given, made, strict=False)
        return
    for number, value in _fields(message):
        inner = _INSIDE.get(kind, {}).get(number)
        if inner in (_GRAPH, _NODE, _FUNCTION) and isinstance(value, memoryview):
            yield from _casts(value, inner)


def _tensors(message: memoryview, kind: int) -> Iterator[memoryview]:
    if kind == _TENSOR:
        yield message
        return
    inside = _INSIDE[kind]
    for number, value in _fields(message):
        if number in inside and isinstance(value, memoryview):
            yield from _tensors(value, inside[number])


def _location(tensor: memoryview) -> str | None:
    for number, value in _fields(tensor):
        if number == _EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {key: bytes(text) for key, text in _fields(value) if isinstance(text, memoryview)}
            if entry.get(_ENTRY_KEY) == b"location":
                return entry.get(_ENTRY_VALUE, b"").decode("utf-8", "replace")
    return None


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The length-delimited fields and the integers of a message, by number."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(message, at)
            if at + size > end:
                raise NotOnnx("it breaks off within a field")
            yield number, message[at : at + size]
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise NotOnnx(f"a field of wire type {wire}, which ONNX has none of")
    if at > end:
        raise NotOnnx("it breaks off within a field")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise NotOnnx("it breaks off within a number")
