"""RIFE's graphs in torch: the modules that they were exported from, with the weights that lie in the graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import nn

from flowfill.export.ifnet import Encoder, FlowNet, Merger
from modelrt import ModelDamaged, OnnxModel, Precision, Runtime, Session, SessionOptions, TensorSpec, TorchModel
from modelrt.opening import open_session

_MODULES: Mapping[str, Callable[[], nn.Module]] = {"encoder": Encoder, "flow": FlowNet, "merger": Merger}
_OUTPUTS = {"encoder": ("view",), "flow": ("flow", "mask"), "merger": ("made", "evidence")}
_HALF = ".half"  # the ending of a weight that lies there in half precision, with a cast beside it


def open_in_torch(
    graph: str, model: OnnxModel, *, shapes: Mapping[str, tuple[int, ...]], precision: Precision, device: str
) -> Session:
    """Opens a graph's module.

    Args:
        graph: encoder, flow or merger.
        model: where its weights lie.
        shapes: of its inputs, in order.
        precision: what it computes in.
        device: cpu, or cuda:0, cuda:1 …

    Raises:
        ModelDamaged: the graph can't be read, or its weights aren't the module's.
    """
    single = np.dtype(np.float32)
    opened = TorchModel(
        name=model.name,
        module=_module(graph, model),
        inputs=tuple(TensorSpec(name=name, dtype=single, shape=shape) for name, shape in shapes.items()),
        outputs=tuple(TensorSpec(name=name, dtype=single, shape=(None,) * 4) for name in _OUTPUTS[graph]),
    )
    return open_session(opened, runtime=Runtime.TORCH, options=SessionOptions(precision=precision, device=device))


def _module(graph: str, model: OnnxModel) -> nn.Module:
    module = _MODULES[graph]()
    try:
        loaded = onnx.load_from_string(model.data) if model.data is not None else onnx.load(str(model.path))
        weights = {
            weight.name.removesuffix(_HALF): torch.from_numpy(onnx.numpy_helper.to_array(weight).astype(np.float32))
            for weight in loaded.graph.initializer
        }
        module.load_state_dict(weights, strict=True)
    except Exception as error:  # protobuf's and torch's errors share no better base
        raise ModelDamaged(
            f"{model.name} doesn't hold the weights of RIFE's {graph} ({type(error).__name__}: {error}); {model.remedy}"
        ) from error
    return module.eval()
