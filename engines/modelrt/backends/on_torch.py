"""PyTorch: the reference that the other runtimes are measured against, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from modelrt.backends.torch_graphs import GraphedModule
from modelrt.backends.torch_memory import check_gpu, shortages, tensor_of, torch_type
from modelrt.errors import ModelDamaged, ModelNotSupported, OptionsContradict
from modelrt.model import Model, TorchModel
from modelrt.options import Precision, SessionOptions, TorchMode
from modelrt.session import Session
from modelrt.tensor import Buffer, Tensor, TensorSpec, fixed_inputs
from modelrt.threads import take_thread_budget

_DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def version() -> str:
    """PyTorch's version."""
    return str(torch.__version__)


def load(model: Model, *, options: SessionOptions) -> Session:
    """Takes a module over, onto its device; lower precisions run under autocast, so that its weights stay as they are.

    The compile cache isn't used: torch.compile keeps one of its own.
    """
    if not isinstance(model, TorchModel):
        raise ModelDamaged(f"{model.name} is ONNX; torch runs modules: use runtime openvino, onnxruntime or tensorrt")
    if options.torch_mode is TorchMode.CUDA_GRAPHS and not options.on_gpu:
        raise OptionsContradict("CUDA graphs need an NVIDIA GPU; name it (device cuda:0), or use torch mode compile")
    inputs = fixed_inputs(model.inputs, options.shapes)
    check_gpu(options.device)
    torch.set_num_threads(take_thread_budget())
    with shortages(f"loading {model.name}", device=options.device, precision=options.precision, shapes={}):
        module = model.module.eval().to(options.device)
    return TorchSession(model, module=module, inputs=inputs, options=options)


class TorchSession(Session):
    """A module in evaluation mode."""

    def __init__(
        self, model: TorchModel, *, module: Any, inputs: tuple[TensorSpec, ...], options: SessionOptions
    ) -> None:
        super().__init__(model.name, inputs=inputs, outputs=model.outputs)
        self._options = options
        self._weights_bytes = sum(weight.numel() * weight.element_size() for weight in module.parameters())
        self._module = self._made_ready(module)

    def _made_ready(self, module: Any) -> Any:
        """The module in its mode. torch.compile works at the first run of a shape."""
        if self._options.torch_mode is TorchMode.COMPILE:
            return torch.compile(module, dynamic=False)
        if self._options.torch_mode is TorchMode.CUDA_GRAPHS:
            return GraphedModule(module, device=self._options.device)
        return module

    def _run(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        given = [
            torch.from_numpy(np.require(tensors[spec.name], requirements=["C", "W"])).to(self._options.device)
            for spec in self.inputs
        ]
        return {
            spec.name: result.cpu().numpy() for spec, result in zip(self.outputs, self._results(given), strict=True)
        }

    def _run_buffers(self, buffers: Mapping[str, Buffer]) -> Mapping[str, Buffer]:
        given = [tensor_of(buffers[spec.name], spec=spec, device=self._options.device) for spec in self.inputs]
        return dict(zip([spec.name for spec in self.outputs], self._results(given), strict=True))

    def _results(self, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        low = _DTYPES.get(self._options.precision)
        kind = "cuda" if self._options.on_gpu else "cpu"
        shapes = {spec.name: tuple(one.shape) for spec, one in zip(self.inputs, given, strict=True)}
        with (
            shortages(
                f"running {self.name}",
                device=self._options.device,
                precision=self._options.precision,
                shapes=shapes,
                weights_bytes=self._weights_bytes,
            ),
            _named(self.name, self._options.torch_mode),
            _single_precision(self._options.on_gpu and low is None),
            torch.inference_mode(),
            # A cached cast would be freed under a graph that was recorded with it.
            torch.autocast(kind, dtype=low, enabled=low is not None, cache_enabled=not _graphs(self._options)),
        ):
            made = self._module(*given)
        results = made if isinstance(made, tuple) else (made,)
        # Autocast leaves its own type, and numpy has no bfloat16.
        return tuple(one.to(torch_type(spec)) for one, spec in zip(results, self.outputs, strict=True))

    def close(self) -> None:
        super().close()
        self._module = None


def _graphs(options: SessionOptions) -> bool:
    return options.torch_mode is TorchMode.CUDA_GRAPHS


@contextmanager
def _named(name: str, mode: TorchMode) -> Iterator[None]:
    """What torch.compile can't do is an error; it never goes back to eager by itself here."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        first = str(error).strip().splitlines()[0]
        raise ModelNotSupported(f"torch can't {mode} {name}: {first}; use torch mode eager") from error


@contextmanager
def _single_precision(asked: bool) -> Iterator[None]:
    """Keeps TF32, at 10 bits of mantissa, out of what is called fp32."""
    if not asked:
        yield
        return
    cudnn: Any = torch.backends.cudnn
    matmul, convolution = torch.backends.cuda.matmul, cudnn.conv
    before = matmul.fp32_precision, convolution.fp32_precision
    matmul.fp32_precision = convolution.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision = before
