"""`PoseEstimator`: DWPose's two networks, run by `modelrt`, from a picture to the people in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from codec_plugin.errors import EngineError
from fcvg.conditions.conditioner import Rgb8
from fcvg.conditions.pose.boxes import COLUMNS, ROWS, SIDE, letterboxed, people_boxes
from fcvg.conditions.pose.files import PoseFiles
from fcvg.conditions.pose.people import People
from fcvg.conditions.pose.points import BINS, COUNT, cropped, decoded
from modelrt import ModelRuntimeError, OnnxModel, Runtime, Session, TensorSpec, is_installed, open_session

_REMEDY = "get the file again: `codec-plugin weights fetch` says from where"


class PoseEstimator:
    """Finds the people in a picture. It opens its networks with the first one."""

    def __init__(self, files: PoseFiles) -> None:
        self._files = files
        self._sessions: tuple[Session, Session] | None = None

    def __call__(self, picture: Rgb8) -> People:
        """The people in a picture, surest first.

        Raises:
            EngineError: a file isn't the network that it should be.
        """
        detector, whole_body = self._opened()
        square, ratio = letterboxed(picture)
        (raw,) = detector.run({detector.inputs[0].name: square}).values()
        boxes = people_boxes(raw, ratio=ratio)
        width, height = _size_of(whole_body.inputs[0])
        found = []
        for box in boxes:
            crop = cropped(picture, box, size=(width, height))
            answer = whole_body.run({whole_body.inputs[0].name: crop.pixels})
            across, down = (answer[spec.name] for spec in whole_body.outputs)
            found.append(decoded(across, down, crop))
        if not found:
            return People.nobody()
        return People.from_coco(*(np.stack(values) for values in zip(*found, strict=True)))

    def _opened(self) -> tuple[Session, Session]:
        """Both networks, or none of them."""
        if self._sessions is None:
            with ExitStack() as opened:
                detector = opened.enter_context(_open(self._files.detector, _detector_fault))
                points = opened.enter_context(_open(self._files.points, _points_fault))
                opened.pop_all()
            self._sessions = detector, points
        return self._sessions

    def close(self) -> None:
        """Frees the networks. It may be called twice."""
        for session in self._sessions or ():
            session.close()
        self._sessions = None


def _open(path: Path, fault_of: Callable[[Session], str | None]) -> Session:
    """Opens a file's network on what runs ONNX here.

    Raises:
        EngineError: the file can't be read, or is another network's.
    """
    runtime = Runtime.OPENVINO if is_installed(Runtime.OPENVINO) else Runtime.ONNXRUNTIME
    try:
        session = open_session(OnnxModel.from_file(path, remedy=_REMEDY), runtime=runtime)
    except ModelRuntimeError as error:
        raise EngineError(f"poses can't be found with {path}: {error}; poses=off does without") from error
    fault = fault_of(session)
    if fault:
        session.close()
        raise EngineError(f"{path} is another network than DWPose's: {fault}; {_REMEDY}, or set poses=off")
    return session


def _detector_fault(session: Session) -> str | None:
    return _fault(session, takes=(1, 3, SIDE, SIDE), gives=((1, ROWS, COLUMNS),))


def _points_fault(session: Session) -> str | None:
    size = session.inputs[0].shape[2:] if session.inputs else ()
    if len(size) != 2 or None in size:
        return _fault(session, takes=(1, 3, 384, 288), gives=())
    width, height = _size_of(session.inputs[0])
    return _fault(session, takes=(1, 3, height, width), gives=((1, COUNT, BINS * width), (1, COUNT, BINS * height)))


def _fault(session: Session, *, takes: tuple[int, ...], gives: tuple[tuple[int, ...], ...]) -> str | None:
    """What is other than expected of a network's inputs and outputs; None where nothing is."""
    inputs = len(session.inputs) == 1 and _fits(session.inputs[0], takes)
    outputs = len(session.outputs) == len(gives) and all(map(_fits, session.outputs, gives))
    if inputs and outputs:
        return None
    shown = "; ".join(str(spec) for spec in (*session.inputs, *session.outputs))
    return f"it takes and gives {shown}, where {takes} in and {', '.join(map(str, gives)) or 'points'} out are expected"


def _fits(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    floats = spec.dtype == np.dtype(np.float32)
    return floats and spec.fault_of(np.broadcast_to(np.float32(0), shape)) is None


def _size_of(spec: TensorSpec) -> tuple[int, int]:
    """(width, height) that a network sees."""
    height, width = (int(extent or 0) for extent in spec.shape[2:])
    return width, height
