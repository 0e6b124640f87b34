"""Makes `small.onnx`, the graph that the parity suite runs: `python tests/modelrt/golden/make_small.py`.

A convolution, a leaky ReLU and bilinear sampling at given places, with weights from a formula, so that the suite can
build the same function as a torch module.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 4


def main() -> None:
    """Writes the graph beside this script."""
    weight = (((np.arange(CHANNELS * 3 * 9) * 7) % 13 - 6) / 16).astype(np.float32).reshape(CHANNELS, 3, 3, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "weight"], ["mixed"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
            helper.make_node("LeakyRelu", ["mixed"], ["features"], alpha=0.2),
            helper.make_node(
                "GridSample", ["features", "places"], ["sampled"], align_corners=1, mode="linear", padding_mode="border"
            ),
        ],
        "small",
        [
            helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, "height", "width"]),
            helper.make_tensor_value_info("places", TensorProto.FLOAT, [1, "rows", "columns", 2]),
        ],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, CHANNELS, "height", "width"]),
            helper.make_tensor_value_info("sampled", TensorProto.FLOAT, [1, CHANNELS, "rows", "columns"]),
        ],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    Path(__file__).with_name("small.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
