"""Cross-attention to a single token, folded into a table.

SVD's cross-attention sees one token, the image's embedding e. A softmax over one key is 1, whatever the query, so the
layer's output is W_out W_v e + b_out: constant over places, frames and steps. For the few embeddings of a clip (none,
start, end) it is computed once; in the loop the "embedding" is a row that picks one of them, so that any batch of
directions and guidance halves can be run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class FoldsItself(Protocol):
    """A network that isn't torch's, and does its own folding."""

    def folded(self, embeddings: Tensor) -> AbstractContextManager[None]:
        """As the function of that name."""
        ...


class FoldedToken:
    """Takes the place of a cross-attention's arithmetic."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        """(context, channel): the layer's output for each of the clip's embeddings."""

    def __call__(
        self,
        attention: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Picks rows of the table.

        Args:
            attention: the layer, as diffusers hands it over.
            hidden_states: (row, token, channel); not looked at.
            encoder_hidden_states: (row, 1, context): 1 at the context of that row, 0 elsewhere.
            attention_mask: none.
            temb: none.

        Returns:
            (row, 1, channel), which broadcasts over the tokens.
        """
        if encoder_hidden_states is None:
            raise ValueError("a folded cross-attention needs a row that picks its context")
        return encoder_hidden_states @ self.table


def picks(contexts: list[int], *, of: int, like: Tensor) -> Tensor:
    """(row, 1, context): what stands for the embeddings of a batch once the layers are folded."""
    return torch.nn.functional.one_hot(torch.tensor(contexts), of)[:, None].to(like)


@contextmanager
def folded(unet: nn.Module, embeddings: Tensor) -> Iterator[None]:
    """Folds a UNet's cross-attention layers for as long as the context lasts.

    Args:
        unet: any of diffusers' UNets whose layers named attn2 see one token.
        embeddings: (context, width): all the embeddings that are going to be used.
    """
    layers: list[tuple[Any, Any]] = [
        (module, module.get_processor()) for name, module in unet.named_modules() if name.endswith(".attn2")
    ]
    try:
        for layer, _ in layers:
            with torch.no_grad():
                table = layer.to_out[0](layer.to_v(embeddings))
            layer.set_processor(FoldedToken(table))
        yield
    finally:
        for layer, processor in layers:
            layer.set_processor(processor)
