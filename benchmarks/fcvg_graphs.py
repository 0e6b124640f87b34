"""FCVG's networks with random weights as exported graphs, on the runtimes that take those."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fcvg.export.making import module_of, tensors_of
from fcvg.export.shape import ExportShape, GraphName, stem_of
from fcvg.nets.encoder import ConditionEncoder
from fcvg.nets.unet import ControlledUNet
from fcvg.sampling.settings import SampleSettings
from fcvg.sessions import SessionEncoder, SessionNetworks, SessionUNet
from fcvg.weights.layout import UNET
from modelrt.export.graph import DTYPES, ExportGraph
from modelrt.export.writing import Verify, export_graph
from modelrt.model import OnnxModel
from modelrt.opening import open_session
from modelrt.options import Precision, Provider, Runtime, SessionOptions
from modelrt.session import Session

WAYS = {
    "onnxruntime": (Runtime.ONNXRUNTIME, Provider.CUDA),
    "onnxruntime-tensorrt": (Runtime.ONNXRUNTIME, Provider.TENSORRT),
    "onnxruntime-tensorrt-rtx": (Runtime.ONNXRUNTIME, Provider.NV_TENSORRT_RTX),
    "tensorrt": (Runtime.TENSORRT, Provider.CPU),
}
"""By the variant's last word: the runtime, and who computes for ONNX Runtime."""


def graph_networks(
    way: str,
    *,
    configurations: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    scheduler: Mapping[str, Any],
    shape: ExportShape,
    device: torch.device,
) -> SessionNetworks:
    """Exports every graph into a folder of its own, opens it, and lets go of the folder.

    Args:
        way: of `WAYS`; on the CPU, ONNX Runtime's own provider.
        configurations: of UNet, VAE and CLIP.
        scheduler: the checkpoint's configuration.
        shape: of the clip.
        device: a GPU, where the graphs are fp16, or for toys the CPU, where they are fp32.
    """
    precision = Precision.FP32 if device.type == "cpu" else Precision.FP16
    sessions: dict[GraphName, dict[int, Session]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in GraphName:
            for settings in shape.settings(name):
                frames = int(settings.get("frames", 1))
                # The VAE stays in fp32, as in torch, where its configuration asks for that.
                kind = Precision.FP32 if name in (GraphName.VAE_ENCODER, GraphName.VAE_DECODER) else precision
                graph = _graph(name, settings, configurations, shape=shape, frames=frames, precision=kind)
                made = export_graph(graph, Path(folder), verify=Verify.NEVER)
                model = OnnxModel.from_file(Path(folder) / made.graph)
                sessions.setdefault(name, {})[frames] = _opened(model, way, precision=kind, device=device)
    unet, condition, latents, embeddings = (
        next(iter(sessions[name].values()))
        for name in (GraphName.UNET, GraphName.CONDITION, GraphName.VAE_ENCODER, GraphName.IMAGE_ENCODER)
    )
    return SessionNetworks(
        unet=SessionUNet(unet),
        encoder=SessionEncoder(condition),
        latents=latents,
        decoders=sessions[GraphName.VAE_DECODER],
        embeddings=embeddings,
        latent_scale=0.18215,
        scheduler_config=scheduler,
        device=device,
    )


def shape_of(*, width: int, height: int, frames: int, batch: int) -> ExportShape:
    """Of the graphs of a clip."""
    chunk = SampleSettings().decode_chunk
    return ExportShape(size=(width, height), frames=frames, batch=batch, decode_chunk=chunk)


def _graph(
    name: GraphName,
    settings: Mapping[str, str],
    configurations: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    *,
    shape: ExportShape,
    frames: int,
    precision: Precision,
) -> ExportGraph:
    inputs, outputs = tensors_of(name, {UNET.name: configurations[0]}, shape, frames=frames)

    def build(kind: Precision) -> torch.nn.Module:
        dtype = DTYPES[kind]
        network = _network(name, configurations).to(dtype)
        return module_of(name, network, size=shape.size, frames=frames, dtype=dtype)

    return ExportGraph(
        model=str(name),
        stem=stem_of(name, settings, precision=precision),
        build=build,
        inputs=inputs,
        outputs=outputs,
        precision=precision,
        exact=frozenset({"timestep"}),
        weights_sha256="random",
        settings=settings,
    )


def _network(name: GraphName, configurations: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> torch.nn.Module:
    from diffusers import AutoencoderKLTemporalDecoder
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    unet, vae, clip = configurations
    if name is GraphName.UNET:
        made: torch.nn.Module = ControlledUNet(**unet)
    elif name is GraphName.CONDITION:
        made = ConditionEncoder()
    elif name is GraphName.IMAGE_ENCODER:
        made = CLIPVisionModelWithProjection(CLIPVisionConfig(**clip))
    else:
        made = AutoencoderKLTemporalDecoder(**vae)
    return made.eval()


def _opened(model: OnnxModel, way: str, *, precision: Precision, device: torch.device) -> Session:
    runtime, provider = WAYS[way]
    options = SessionOptions(
        precision=precision,
        device="cpu" if device.type == "cpu" else f"cuda:{device.index or 0}",
        provider=Provider.CPU if device.type == "cpu" else provider,
    )
    return open_session(model, runtime=runtime, options=options)
