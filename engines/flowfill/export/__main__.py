"""`python -m flowfill.export WEIGHTS [OUT]`: writes encoder.onnx, flow.onnx and merger.onnx."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowfill.exporter import TOLERANCE


def main() -> int:
    """Exports, checks each graph against its module, and writes."""
    parser = argparse.ArgumentParser(prog="python -m flowfill.export", description=__doc__)
    parser.add_argument("weights", type=Path, help="flownet.pkl of RIFE 4.25 or another five-block release")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parents[1] / "data" / "rife")
    parser.add_argument("--full-precision", action="store_true", help="keep the weights in fp32 on disk")
    options = parser.parse_args()

    from flowfill.export.graphs import exported, graphs, largest_difference
    from flowfill.export.ifnet import Merger
    from flowfill.export.weights import load_networks

    options.out.mkdir(parents=True, exist_ok=True)
    encoder, flow_net = load_networks(options.weights)
    for graph in graphs(encoder, flow_net, Merger()):
        difference = largest_difference(graph, exported(graph, half_weights=False))
        if not difference < TOLERANCE:
            print(f"{graph.name}: {difference:g} off its module, nothing written", file=sys.stderr)
            return 1
        data = exported(graph, half_weights=not options.full_precision)
        (options.out / f"{graph.name}.onnx").write_bytes(data)
        print(f"{graph.name}.onnx: {len(data)} bytes, {difference:.1e} off its module in fp32")
    return 0


if __name__ == "__main__":
    sys.exit(main())
