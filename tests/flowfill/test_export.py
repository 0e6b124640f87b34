"""The network that is exported computes what the published one does, in another order."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from flowfill.export.ifnet import STRIDES, Encoder, FlowNet  # noqa: E402


def published_flow(net: Any, left: Any, right: Any, position: Any) -> tuple[Any, Any]:
    """The published order: every block reads full-size warped views and its output is brought up to full size."""
    from torch.nn.functional import grid_sample, interpolate

    def resized(planes: Any, factor: float) -> Any:
        return interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)

    def warped(planes: Any, flow: Any) -> Any:
        height, width = planes.shape[2:]
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        grid = torch.stack((x + flow[:, 0] * 2 / (width - 1), y + flow[:, 1] * 2 / (height - 1)), -1)
        return grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=True)

    time = position.expand(1, 1, *left.shape[2:])
    flow: Any = None
    made: Any = None
    for index, stride in enumerate(STRIDES):
        a, b = (left, right) if flow is None else (warped(left, flow[:, :2]), warped(right, flow[:, 2:]))
        seen = torch.cat((a[:, :3], b[:, :3], a[:, 3:], b[:, 3:], time), 1)
        if flow is not None:
            seen = torch.cat((seen, made[:, 4:]), 1)
        seen = resized(seen, 1 / stride)
        if flow is not None:
            seen = torch.cat((seen, resized(flow, 1 / stride) / stride), 1)
        made = resized(getattr(net, f"block{index}")(seen), stride)
        step = made[:, :4] * stride
        flow = step if flow is None else flow + step
    return flow, made[:, 4:5]


def test_the_exported_order_gives_what_the_published_order_gives() -> None:
    torch.manual_seed(0)
    encoder, net = Encoder().eval(), FlowNet().eval()
    with torch.inference_mode():
        for weight in net.parameters():
            weight.mul_(1.3)  # so that the flow is some pixels, not a fraction
        views = [encoder(torch.nn.functional.avg_pool2d(torch.rand(1, 3, 256, 384), 2)) for _ in range(2)]
        position = torch.full((1, 1, 1, 1), 0.3)
        flow, mask = net(views[0], views[1], position)
        wanted_flow, wanted_mask = published_flow(net, views[0], views[1], position)
    assert float(flow.abs().max()) > 1
    # Sums in another order, then positions in pixels: fp32 rounding of values up to a few hundred.
    assert float((flow - wanted_flow).abs().max()) < 2e-3
    assert float((mask - wanted_mask).abs().max()) < 2e-3
