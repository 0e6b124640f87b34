"""Two graphs of DWPose's shapes: one takes red blocks for people, one gives them points by random weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BOX = 256
"""Width of a found person's box, in pixels of the 640 that the detector sees; it is twice as high."""


def make_pose_files(folder: Path) -> Path:
    """Writes both into a weights folder, under their published names."""
    (folder / "dwpose").mkdir(parents=True, exist_ok=True)
    (folder / "dwpose/yolox_l.onnx").write_bytes(detector())
    (folder / "dwpose/dw-ll_ucoco_384.onnx").write_bytes(whole_body())
    return folder


def detector() -> bytes:
    """(1, 3, 640, 640) to (1, 8400, 85): in its coarsest grid, a box around each cell that is redder than green."""
    weight = np.zeros((85, 3, 1, 1), np.float32)
    weight[4, :2, 0, 0] = 1 / 255, -1 / 255
    bias = np.zeros(85, np.float32)
    bias[:6] = 0.5, 0.5, math.log(BOX / 32), math.log(2 * BOX / 32), 0, 1
    nodes = [
        helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("Conv", ["cells", "weight", "bias"], ["coarse"]),
        helper.make_node("Transpose", ["coarse"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "row_shape"], ["rows"]),
        helper.make_node("ConstantOfShape", ["blank_shape"], ["blank"]),
        helper.make_node("Concat", ["blank", "rows"], ["output"], axis=1),
    ]
    constants = {
        "weight": weight,
        "bias": bias,
        "row_shape": np.array([1, 400, 85]),
        "blank_shape": np.array([1, 8000, 85]),
    }
    return _saved("detector", nodes, constants, takes=[1, 3, 640, 640], gives={"output": [1, 8400, 85]})


def whole_body() -> bytes:
    """(batch, 3, 384, 288) to (batch, 133, 576) and (batch, 133, 768): random, different for every picture."""
    random = np.random.default_rng(5)
    nodes = [
        helper.make_node("AveragePool", ["input"], ["cells"], kernel_shape=[96, 96], strides=[96, 96]),
        helper.make_node("Reshape", ["cells", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mixing"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "point_shape"], ["points"]),
    ]
    constants = {
        "flat_shape": np.array([-1, 36]),
        "point_shape": np.array([-1, 133, 8]),
        "mixing": (random.standard_normal((36, 133 * 8)) / 6).astype(np.float32),
    }
    for name, bins in (("simcc_x", 576), ("simcc_y", 768)):
        constants[f"{name}_weight"] = random.standard_normal((8, bins)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", ["points", f"{name}_weight"], [f"{name}_raw"]))
        nodes.append(helper.make_node("Sigmoid", [f"{name}_raw"], [name]))
    gives = {"simcc_x": ["batch", 133, 576], "simcc_y": ["batch", 133, 768]}
    return _saved("whole_body", nodes, constants, takes=["batch", 3, 384, 288], gives=gives)


def _saved(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    *,
    takes: list[int | str],
    gives: dict[str, list[int | str]],
) -> bytes:
    first = nodes[0].input[0]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(first, TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in gives.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
