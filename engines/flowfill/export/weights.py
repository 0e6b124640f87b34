"""Reads published RIFE weights into the modules of `ifnet`: every key is used, or named and known to be unused."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from flowfill.export.ifnet import Encoder, FlowNet

TRAINING_ONLY = ("teacher.", "caltime.")
"""Parts that the published weights carry and that no made frame goes through."""


def load_networks(path: Path) -> tuple[Encoder, FlowNet]:
    """The encoder and the flow network, in evaluation mode, with the weights in `path`.

    Raises:
        ValueError: keys are missing, unknown, or of the wrong shape; the message lists them.
    """
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    state = {key.removeprefix("module."): value.float() for key, value in state.items()}
    used = {key: value for key, value in state.items() if not key.startswith(TRAINING_ONLY)}
    encoder, flow_net = Encoder(), FlowNet()
    prefix = "encode."
    of_encoder = {key.removeprefix(prefix): value for key, value in used.items() if key.startswith(prefix)}
    of_flow_net = {key: value for key, value in used.items() if not key.startswith(prefix)}
    try:
        encoder.load_state_dict(of_encoder, strict=True)
        flow_net.load_state_dict(of_flow_net, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} doesn't fit RIFE's five-block network: {error}") from error
    return encoder.eval(), flow_net.eval()
