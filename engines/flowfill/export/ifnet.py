"""`IFNet`: the network of RIFE as three modules, written for export. Nothing here runs when frames are made.

The architecture is that of Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame
Interpolation" (ECCV 2022, arXiv 2011.06294) in the five-block form of Practical-RIFE 4.25: each block
refines the flow at half the stride of the one before. The arithmetic is the published one, its order is not: a
block at stride s reads its inputs only at the four pixels around each cell's centre, so the pictures are warped
only there, and what a block hands to the next is resized once (by two) instead of up to full size and down again.
Both are exact, because a bilinear resize is linear between the cells' centres. `Merger` is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

STRIDES = (16, 8, 4, 2, 1)
"""Pixels a cell of each block, coarse to fine."""
FEATURES = 4
"""Channels of the encoder."""
CARRIED = 8
"""Channels that a block hands to the next beside flow and mask."""
WIDTHS = (192, 128, 96, 64, 32)
"""Channels inside each block."""
MULTIPLE = 64
"""What height and width must be divisible by: the coarsest stride times the two halvings inside a block."""

HIDDEN = 32 / 255
"""Disagreement of the warped pictures at which the network's mask counts as much as time."""
STILL = 2 / 255
"""Difference of the unwarped pictures below which a pixel counts as unmoved."""
TORN = 16 / 255
"""Disagreement of the warped pictures from which an unmoved pixel is kept whatever moves beside it."""
ROUNDING = 0.5 / 255
"""What the differences of 8-bit pictures can't be trusted below."""

_FLOW = 4  # left x, left y, right x, right y, in pixels
_MASK = 1
_VIEW = 3 + FEATURES


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2))


class Residual(nn.Module):
    """A convolution with a learned weight a channel on its residual branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """(1, c, h, w) to the same."""
        return functional.leaky_relu(self.conv(inputs) * self.beta + inputs, 0.2)


class Block(nn.Module):
    """One refinement of flow, mask and carried features, on a grid of cells."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_halving(inputs, channels // 2), _halving(channels // 2, channels))
        self.convblock = nn.Sequential(*(Residual(channels) for _ in range(8)))
        outputs = 4 * (_FLOW + _MASK + CARRIED)
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(channels, outputs, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, cells: Tensor) -> Tensor:
        """(1, inputs, h/s, w/s) to (1, 13, h/s, w/s): flow in cells, mask, carried."""
        made: Tensor = self.lastconv(self.convblock(self.conv0(cells)))
        return made


class Encoder(nn.Module):
    """Features of one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, 2, 1)
        self.cnn1 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, FEATURES, 4, 2, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [0, 1] to the view (1, 7, h, w): the picture, then its features."""
        features = picture
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            features = functional.leaky_relu(layer(features), 0.2)
        return torch.cat((picture, self.cnn3(features)), 1)


def _resized(planes: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)


def _around_centres(planes: Tensor, stride: int) -> Tensor:
    """The four pixels around each cell's centre: (1, c, h, w) to (1, c, 4 h/s, w/s), one below another."""
    low, high = stride // 2 - 1, stride // 2
    return torch.cat([planes[:, :, row::stride, column::stride] for row in (low, high) for column in (low, high)], 2)


def _cells(samples: Tensor) -> Tensor:
    """The mean of the four pixels around each centre, as a bilinear resize by an even factor reads."""
    a, b, c, d = torch.chunk(samples, 4, 2)
    return (a + b + c + d) * 0.25


def _in_order(views: Tensor) -> Tensor:
    """Two views (picture, features, picture, features) in the weights' order: pictures first."""
    pictures = (views[:, :3], views[:, _VIEW : _VIEW + 3])
    features = (views[:, 3:_VIEW], views[:, _VIEW + 3 :])
    return torch.cat((*pictures, *features), 1)


def _pixel_grid(like: Tensor) -> Tensor:
    """(1, 2, h, w): x and y of every pixel."""
    height, width = like.shape[2], like.shape[3]
    x = torch.arange(width, dtype=like.dtype, device=like.device).view(1, 1, 1, width)
    y = torch.arange(height, dtype=like.dtype, device=like.device).view(1, 1, height, 1)
    return torch.cat((x.expand(1, 1, height, width), y.expand(1, 1, height, width)), 1)


def _warped(planes: Tensor, at: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Samples of (1, c, h, w) at pixel positions (1, 2, rows, columns); edges repeat."""
    last_x, last_y = planes.shape[3] - 1, planes.shape[2] - 1
    grid = torch.cat((at[:, :1] * (2.0 / last_x) - 1.0, at[:, 1:] * (2.0 / last_y) - 1.0), 1)
    return functional.grid_sample(
        planes, grid.permute(0, 2, 3, 1), mode=mode, padding_mode="border", align_corners=True
    )


class FlowNet(nn.Module):
    """From two views and a time to the flow towards each of them, and which of them to trust."""

    def __init__(self) -> None:
        super().__init__()
        first = 2 * _VIEW + 1
        later = first + _MASK + CARRIED + _FLOW
        for index, channels in enumerate(WIDTHS):
            setattr(self, f"block{index}", Block(later if index else first, channels))

    def forward(self, left: Tensor, right: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Views (1, 7, h, w), h and w divisible by 64; position (1, 1, 1, 1) in (0, 1).

        Returns the flow (1, 4, h, w) in pixels, from the made picture to the left and to the right one (x, y
        each), and the mask (1, 1, h, w): the logit of the left picture's share.
        """
        both = torch.cat((left, right), 1)
        seen = _in_order(_cells(_around_centres(both, STRIDES[0])))
        flow, made = self._refined(0, seen, position, (left.shape[2], left.shape[3]))
        grid = _pixel_grid(left)
        for index, stride in enumerate(STRIDES[1:], 1):
            at, towards = grid, flow
            if stride > 1:
                at, towards = _around_centres(grid, stride), _around_centres(flow, stride)
            views = torch.cat((_warped(left, at + towards[:, :2]), _warped(right, at + towards[:, 2:])), 1)
            if stride > 1:
                views, towards = _cells(views), _cells(towards)
            carried = _resized(made[:, _FLOW:], views.shape[2], views.shape[3])
            seen = torch.cat((_in_order(views), carried, towards / stride), 1)
            step, made = self._refined(index, seen, position, (left.shape[2], left.shape[3]))
            flow = flow + step
        return flow, made[:, _FLOW : _FLOW + _MASK]

    def _refined(self, index: int, seen: Tensor, position: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """One block: the step of the flow at full size, and all that the block made, in its cells."""
        time = position.expand(1, 1, seen.shape[2], seen.shape[3])
        inputs = torch.cat((seen[:, : 2 * _VIEW], time, seen[:, 2 * _VIEW :]), 1)
        made: Tensor = getattr(self, f"block{index}")(inputs)
        stride = STRIDES[index]
        step = made[:, :_FLOW] * float(stride)
        return (_resized(step, *size) if stride > 1 else step), made


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference over colours: (1, 1, h, w)."""
    return (a - b).square().mean(1, keepdim=True)


def _around(planes: Tensor, radius: int) -> Tensor:
    """The mean over a square around each pixel; at the border over what there is of it."""
    across, down = (1, 2 * radius + 1), (2 * radius + 1, 1)
    rows = functional.avg_pool2d(planes, across, 1, (0, radius), count_include_pad=False)
    return functional.avg_pool2d(rows, down, 1, (radius, 0), count_include_pad=False)


def _stillness(squares: Tensor) -> Tensor:
    """From a mean squared difference how far a pixel counts as unmoved, 0 to 1."""
    return 1.0 / (1.0 + (squares / STILL**2).square())


class Merger(nn.Module):
    """From two pictures and the flow between them to the picture in the middle. It has no weights.

    The network's own mask is right where the two warped pictures disagree (something is hidden in one of them)
    and noisy where they agree; there, their mean by time is better, which averages noise and coding errors. The
    same measure tells where warping doesn't help: each of the two candidates, warped and unwarped, has its own
    disagreement, and they are mixed by the inverse squares of its local mean, so that a plain blend is made where
    nothing moves or the flow is lost. Pixels that don't move at all are kept, so that captions and logos stay.

    The constants were chosen on a few stretches of four clips (mean gain over the network's own mask 0.5 dB there).
    On 65 other frames the gain was 0.11 dB, and a wide gap with small repeated motion lost up to 2.2 dB.
    """

    def forward(
        self, left: Tensor, right: Tensor, flow: Tensor, mask: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pictures (1, 3, H, W) in [0, 1]; flow (1, 4, h, w) in pixels of its own grid; mask (1, 1, h, w);
        position (1, 1, 1, 1).

        Returns the picture (1, 3, H, W) and the evidence (1, 4, 1, 1): the mean squares of the warped pictures'
        difference and of the unwarped ones', the share of the plain blend, and that of unmoved pixels.
        """
        height, width = left.shape[2], left.shape[3]
        across, down = width / flow.shape[3], height / flow.shape[2]
        flow, mask = _resized(flow, height, width), _resized(mask, height, width)
        grid = _pixel_grid(left)
        to_left = torch.cat((flow[:, :1] * across, flow[:, 1:2] * down), 1)
        to_right = torch.cat((flow[:, 2:3] * across, flow[:, 3:] * down), 1)
        # The weights were trained with bilinear samples; cubic ones at the end keep up to 2 dB of fine texture.
        from_left, from_right = (
            _warped(side, grid + way, mode="bicubic").clamp(0.0, 1.0)
            for side, way in ((left, to_left), (right, to_right))
        )

        disagreement, difference = _squares(from_left, from_right), _squares(left, right)
        apart = _around(disagreement, 1)
        hidden = apart / (apart + HIDDEN**2)
        share = (1.0 - position) + (torch.sigmoid(mask) - (1.0 - position)) * hidden
        warped = from_right + (from_left - from_right) * share
        blend = left + (right - left) * position

        lost = (_around(disagreement, 6) + ROUNDING**2).square()
        moved = (_around(difference, 6) + ROUNDING**2).square()
        doubt = lost / (lost + moved)
        # A thin stroke has moving neighbours, so one equal pixel counts as well, but only where the flow tears at it.
        torn = apart / (apart + TORN**2)
        still = torch.maximum(_stillness(_around(difference, 1)), _stillness(difference) * torn)
        doubt = doubt + (1.0 - doubt) * still
        made = warped + (blend - warped) * doubt
        facts = (disagreement, difference, doubt, still)
        evidence = torch.cat([fact.mean((2, 3), keepdim=True) for fact in facts], 1)
        # Every step from here on is a weighted mean, so the picture stays in [0, 1].
        return made, evidence
