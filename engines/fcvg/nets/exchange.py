"""One UNet's temporal attention, used by another one with time reversed: what Generative Inbetweening (GI) needs.

Wang, Zhou, Feng et al., "Generative Inbetweening: Adapting Image-to-Video Models for Keyframe Interpolation",
arXiv 2408.15239: the forward model's temporal self-attention probabilities, turned by 180 degrees (both the
query and the key axis are frames), take the place of the backward model's own. They have to be there as a matrix, so
this runs in torch only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

Maps = dict[str, deque[Tensor]]
"""Per layer, the probabilities (row, head, frame, frame) of calls that were not answered yet."""


class RecordingAttention:
    """Self-attention that keeps its probabilities."""

    def __init__(self, kept: deque[Tensor]) -> None:
        self._kept = kept

    def __call__(self, attention: Any, hidden_states: Tensor, **_others: object) -> Tensor:
        """(row, frame, channel) to the same shape."""
        query, key = (_heads(project(hidden_states), attention) for project in (attention.to_q, attention.to_k))
        probabilities = (query @ key.transpose(-1, -2) * attention.scale).softmax(dim=-1)
        self._kept.append(probabilities)
        return _attended(attention, hidden_states, probabilities)


class ReversedAttention:
    """Self-attention with the probabilities that another layer kept, first come first served, turned by 180 degrees."""

    def __init__(self, kept: deque[Tensor]) -> None:
        self._kept = kept

    def __call__(self, attention: Any, hidden_states: Tensor, **_others: object) -> Tensor:
        """(row, frame, channel) to the same shape."""
        return _attended(attention, hidden_states, self._kept.popleft().flip(-1, -2))


@contextmanager
def exchanged(forward: nn.Module, backward: nn.Module) -> Iterator[None]:
    """While it lasts, each call of `forward` is to be followed by one of `backward` on a batch of the same shape."""
    with ExitStack() as restored:
        maps: Maps = {}
        for unet, processor in ((forward, RecordingAttention), (backward, ReversedAttention)):
            for name, layer in _temporal_layers(unet):
                restored.callback(layer.set_processor, layer.get_processor())
                layer.set_processor(processor(maps.setdefault(name, deque())))
        yield


def _temporal_layers(unet: nn.Module) -> list[tuple[str, Any]]:
    return [
        (name, module)
        for name, module in unet.named_modules()
        if ".temporal_transformer_blocks." in name and name.endswith(".attn1")
    ]


def _heads(projected: Tensor, attention: Any) -> Tensor:
    return projected.unflatten(-1, (attention.heads, -1)).transpose(1, 2)


def _attended(attention: Any, hidden_states: Tensor, probabilities: Tensor) -> Tensor:
    value = _heads(attention.to_v(hidden_states), attention)
    joined = (probabilities @ value).transpose(1, 2).flatten(2)
    project, dropout = attention.to_out
    made: Tensor = dropout(project(joined))
    return made
