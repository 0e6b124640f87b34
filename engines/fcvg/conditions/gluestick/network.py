"""`GlueStick`: the network that matches two wireframes (Pautrat, Suárez et al., ICCV 2023, arXiv 2304.02008).

Nodes of both pictures exchange messages, as in SuperGlue: with all nodes of their own picture, along their own lines,
and with all nodes of the other picture, nine times over. The parameters are named as in the published file
`checkpoint_GlueStick_MD.tar`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from fcvg.conditions.gluestick.assignment import Assignment, assigned, line_similarities
from fcvg.conditions.gluestick.superpoint import WIDTH
from fcvg.conditions.gluestick.wireframe import Wireframe

ROUNDS = 9
_HEADS = 4
_ENCODER = (32, 64, 128, 256)  # widths of the encoders' inner layers
_FOCAL = 0.7  # of the longer side: what the places are divided by


class GlueStick(nn.Module):
    """Matches points and lines."""

    def __init__(self, *, width: int = WIDTH, rounds: int = ROUNDS) -> None:
        """Args:
        width: numbers of a descriptor.
        rounds: of self, line and cross messages.
        """
        super().__init__()
        self.kenc = _Encoder(3, width)
        self.lenc = _Encoder(5, width)
        self.gnn = _Exchange(width, rounds)
        self.final_proj = nn.Conv1d(width, width, 1)
        self.final_line_proj = nn.Conv1d(width, width, 1)
        self.bin_score = nn.Parameter(torch.tensor(1.0))
        self.line_bin_score = nn.Parameter(torch.tensor(1.0))

    def forward(self, left: Wireframe, right: Wireframe) -> tuple[Assignment, Assignment]:
        """Which nodes belong together, and which lines."""
        if not len(left.places) or not len(right.places):
            return Assignment.none(left.places), Assignment.none(left.ends)
        nodes = [self._encoded(one) for one in (left, right)]
        has_lines = bool(len(left.ends)) and bool(len(right.ends))
        lines = [_Lines(one, self._encoded_lines(one)) for one in (left, right)] if has_lines else []
        ours, theirs = self.gnn(*nodes, lines)
        points = assigned(_similarities(self.final_proj, ours, theirs), self.bin_score)
        if not has_lines:
            return points, Assignment.none(left.ends)
        alike = line_similarities(_similarities(self.final_line_proj, ours, theirs), left.ends, right.ends)
        return points, assigned(alike, self.line_bin_score)

    def _encoded(self, one: Wireframe) -> Tensor:
        """Descriptors that know where they are, (1, width, node)."""
        place = torch.cat([_spread(one.places, one.size), one.scores[:, None]], dim=1)
        return one.descriptors[None] + self.kenc(place.T[None])

    def _encoded_lines(self, one: Wireframe) -> Tensor:
        """What a line is like, seen from each of its ends, (1, width, line · 2)."""
        ends = _spread(one.lines, one.size)
        to_other = ends.flip(1) - ends
        # The published network was trained with the scores in this order, which is not that of the ends.
        scores = one.line_scores.repeat(2)
        return self.lenc(torch.cat([ends.flatten(0, 1), to_other.flatten(0, 1), scores[:, None]], dim=1).T[None])


class _Lines:
    """The lines of a picture, ready for their messages."""

    def __init__(self, one: Wireframe, encoded: Tensor) -> None:
        self.encoded = encoded
        self.nodes = one.ends.flatten()  # at each end
        # Means by a product: sums by index come in another order every time on a GPU.
        ending = functional.one_hot(self.nodes).to(encoded.dtype)  # (end, junction)
        self._shares = ending / ending.sum(dim=0, keepdim=True)
        self._others = len(one.places) - ending.shape[1]

    def gathered(self, messages: Tensor) -> Tensor:
        """Messages of the ends, (1, width, end), as means at their nodes, (1, width, node)."""
        return functional.pad(messages @ self._shares, (0, self._others))


class _Exchange(nn.Module):
    """All rounds of messages."""

    def __init__(self, width: int, rounds: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_AttentionLayer(width) for _ in range(2 * rounds)])
        self.line_layers = nn.ModuleList([_LineLayer(width) for _ in range(rounds)])

    def forward(self, ours: Tensor, theirs: Tensor, lines: list[_Lines]) -> tuple[Tensor, Tensor]:
        """Descriptors (1, width, node) of both pictures, after all messages; without lines, without theirs."""
        for round_, along in enumerate(self.line_layers):
            within, across = self.layers[2 * round_], self.layers[2 * round_ + 1]
            ours, theirs = ours + within(ours, ours), theirs + within(theirs, theirs)
            if lines:
                ours, theirs = ours + along(ours, lines[0]), theirs + along(theirs, lines[1])
            ours, theirs = ours + across(ours, theirs), theirs + across(theirs, ours)
        return ours, theirs


class _AttentionLayer(nn.Module):
    """Messages from every node of a picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.update = _Update(width)

    def forward(self, nodes: Tensor, source: Tensor) -> Tensor:
        return self.update(nodes, source)


class _Update(nn.Module):
    """What a node makes of its messages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = _Attention(width)
        self.mlp = _layers(2 * width, 2 * width, width)

    def forward(self, nodes: Tensor, source: Tensor) -> Tensor:
        return self.mlp(torch.cat([nodes, self.attn(nodes, source)], dim=1))


class _Attention(nn.Module):
    """Attention of several heads, whose channels are interleaved: channel = place in head · heads + head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.merge = nn.Conv1d(width, width, 1)
        self.proj = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in range(3)])

    def forward(self, nodes: Tensor, source: Tensor) -> Tensor:
        query, key, value = (
            project(given).unflatten(1, (-1, _HEADS)).permute(0, 2, 3, 1)  # (1, head, node, place in head)
            for project, given in zip(self.proj, (nodes, source, source), strict=True)
        )
        message = functional.scaled_dot_product_attention(query, key, value)
        return self.merge(message.permute(0, 3, 1, 2).flatten(1, 2))


class _LineLayer(nn.Module):
    """Messages from the other ends of a node's lines; their mean where there are several."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = _layers(3 * width, 2 * width, width)

    def forward(self, nodes: Tensor, lines: _Lines) -> Tensor:
        here = nodes[:, :, lines.nodes]
        there = here.unflatten(2, (-1, 2)).flip(-1).flatten(2)
        return lines.gathered(self.mlp(torch.cat([here, there, lines.encoded], dim=1)))


class _Encoder(nn.Module):
    """A few numbers a node as a descriptor."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.encoder = _layers(inputs, *_ENCODER, width)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.encoder(numbers)


def _layers(*widths: int) -> nn.Sequential:
    """Linear layers over nodes, (batch, channel, node), with normalisation and ReLU between them."""
    made: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        made += [nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*made, nn.Conv1d(widths[-2], widths[-1], 1))


def _spread(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Places from the picture's middle, in parts of its longer side."""
    return (places - places.new_tensor(size) / 2) / (max(size) * _FOCAL)


def _similarities(project: nn.Conv1d, ours: Tensor, theirs: Tensor) -> Tensor:
    """(our node, their node)."""
    return project(ours)[0].T @ project(theirs)[0] / ours.shape[1] ** 0.5
