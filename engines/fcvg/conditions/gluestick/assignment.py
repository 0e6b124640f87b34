"""`Assignment`: who belongs to whom, by dual softmax with a place of its own for having no partner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

LEAST_SCORE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """Partners of the left side's members on the right side."""

    right: Tensor
    """(left member,): the partner's number; -1 for none."""
    scores: Tensor
    """(left member,): 0 to 1; 0 where the choice isn't mutual."""

    @classmethod
    def none(cls, left: Tensor) -> Self:
        """None of these has a partner."""
        count, device = len(left), left.device
        return cls(right=torch.full((count,), -1, device=device), scores=torch.zeros(count, device=device))

    def pairs(self) -> Tensor:
        """(pair, 2): left and right number, in the left side's order."""
        found = torch.nonzero(self.right >= 0)[:, 0]
        return torch.stack([found, self.right[found]], dim=1)


def assigned(similarities: Tensor, alone: Tensor) -> Assignment:
    """Pairs who are each other's best, and sure enough of it.

    Args:
        similarities: (left member, right member), of neither side empty.
        alone: how good it is to have no partner, a single number.
    """
    # The geometric mean of both softmaxes, each with one place more.
    ahead = similarities - _log_total(similarities, alone, dim=1)
    back = similarities - _log_total(similarities, alone, dim=0)
    chances = (ahead + back) / 2
    best, choice = chances.max(dim=1)
    mutual = chances.argmax(dim=0)[choice] == torch.arange(len(choice), device=choice.device)
    scores = torch.where(mutual, best.exp(), 0)
    return Assignment(right=torch.where(scores > LEAST_SCORE, choice, -1), scores=scores)


def line_similarities(nodes: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """How alike lines are: the mean over both ends, in the better of the two orders, (left line, right line).

    Args:
        nodes: (left node, right node), how alike nodes are.
        left: (left line, 2), the nodes at its ends.
        right: (right line, 2).
    """
    ends = nodes[left.flatten()][:, right.flatten()].unflatten(1, (-1, 2)).unflatten(0, (-1, 2))
    straight = ends[:, 0, :, 0] + ends[:, 1, :, 1]
    crossed = ends[:, 0, :, 1] + ends[:, 1, :, 0]
    return torch.maximum(straight, crossed) / 2


def _log_total(similarities: Tensor, alone: Tensor, *, dim: int) -> Tensor:
    """The logarithm of the softmax's denominator, that one place included."""
    return torch.logaddexp(similarities.logsumexp(dim=dim, keepdim=True), alone)
