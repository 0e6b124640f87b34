"""`FcvgExporter`: FCVG's networks as `codec-plugin export` sees them. Imports torch once there is work."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from codec_plugin.errors import EngineError, OptionError
from codec_plugin.exports import ExportedGraph, ExportRequest
from fcvg.export.shape import ExportShape, names_of
from fcvg.layout import BUCKETS
from fcvg.options import parse_size
from fcvg.weights.keeper import require_files, require_packages
from fcvg.weights.layout import default_folder

SIZE = (1024, 576)
"""What the networks were trained on."""
_PACKAGES = ("onnx", "onnxscript")


class FcvgExporter:
    """See `codec_plugin.exports.GraphExporter`."""

    def check(self, request: ExportRequest) -> None:
        """Weights, packages, sizes and names of graphs.

        Raises:
            EngineError: weights or a package are missing.
            OptionError: no such size or graph.
        """
        names_of(request.graphs)
        shapes_of(request)
        require_packages()
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise EngineError(
                f"exporting needs {' and '.join(missing)}, which isn't installed: pip install 'codec-plugin[export]'"
            )
        # Random weights make sound graphs: that they make no pictures is said when frames are made with them.
        require_files(_folder(request), svd=None, allow_untrained=True)

    def export(self, request: ExportRequest, *, say: Callable[[str], None]) -> tuple[ExportedGraph, ...]:
        """Writes the graphs.

        Raises:
            EngineError: the weights have problems, a graph gives other numbers than its network, or it can't be
                written.
        """
        from fcvg.export.making import export_graphs
        from fcvg.weights.check import check_weights, require
        from modelrt.errors import ModelRuntimeError
        from modelrt.export.writing import Verify, export_graph
        from modelrt.options import Precision

        say("looking through the weights")
        checked = check_weights(_folder(request))
        require(checked)
        done = []
        try:
            for graph in export_graphs(
                checked,
                shapes_of(request),
                names=names_of(request.graphs),
                precision=Precision(request.precision.value),
            ):
                made = export_graph(graph, request.folder, verify=Verify(request.check.value), say=say)
                size = sum(file.bytes for file in made.files)
                done.append(ExportedGraph(path=request.folder / made.graph, bytes=size, unverified=made.unverified))
        except ModelRuntimeError as error:
            raise EngineError(str(error)) from error
        except OSError as error:
            raise EngineError(f"{request.folder} can't be written ({error.strerror or error})") from error
        return tuple(done)


def shapes_of(request: ExportRequest) -> tuple[ExportShape, ...]:
    """The shapes of clips that graphs are asked for.

    Raises:
        OptionError: a value is out of range.
    """
    size = SIZE if request.size is None else parse_size(request.size)
    if size is None:
        raise OptionError(f"graphs are exported for one size, such as 1024x576, not {request.size}")
    return tuple(
        ExportShape(size=size, frames=frames, batch=request.batch or 2, decode_chunk=request.decode_chunk or 2)
        for frames in request.frames or BUCKETS
    )


def _folder(request: ExportRequest) -> Path:
    return request.weights or default_folder()
