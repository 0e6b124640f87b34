"""Checks a weights folder by headers and configurations: names every missing file, unknown key and wrong shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codec_plugin.errors import EngineError
from codec_plugin.weights import Problem, WeightsReport
from fcvg.weights.header import BadTensorFile, TensorFile, read_header
from fcvg.weights.layout import (
    BACKWARD_UNET,
    COMPONENTS,
    ENCODER,
    GLUESTICK,
    IMAGE_ENCODER,
    LCM_UNET,
    PARTS,
    SCHEDULER_CONFIG,
    SUPERPOINT,
    SVD,
    TUNED_UNET,
    UNET,
    UNTRAINED,
    VAE,
    Component,
    find_svd,
)

Shapes = Mapping[str, tuple[int, ...]]

_LISTED = 3  # keys named in a message; there may be a thousand
_NEEDLESS = ("vision_model.embeddings.position_ids",)  # older files hold what the network counts by itself
_AGAIN = "get it again"


@dataclass(slots=True)
class _Findings:
    """What was found so far."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untrained: list[str] = field(default_factory=list)
    files: dict[str, TensorFile] = field(default_factory=dict)

    def wrong(self, path: Path, what: str, remedy: str) -> None:
        self.problems.append(Problem(file=self.name(path), what=what, remedy=remedy))

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A weights folder that was looked through."""

    report: WeightsReport
    """What was found."""
    svd: Path
    """The SVD folder."""
    configs: Mapping[str, Any]
    """The configurations that could be read, by component, and "scheduler"."""
    files: Mapping[str, TensorFile]
    """The headers that could be read: by component, "tuned", "encoder", "backward" and "lcm"."""

    @property
    def parameters(self) -> int:
        """Numbers in the UNet."""
        return self.files[UNET.name].parameters if UNET.name in self.files else 0


def check_weights(folder: Path, *, svd: str | None = None) -> Checked:
    """Looks through a weights folder; reads no tensor.

    Args:
        folder: the weights folder.
        svd: as in `layout.find_svd`.

    Raises:
        EngineError: torch, diffusers or transformers isn't installed.
    """
    base = find_svd(folder, svd)
    found = _Findings(folder)
    configs: dict[str, Any] = {}
    if not base.is_dir():
        found.wrong(base, f"missing: {SVD.what}", _how_to_get("svd"))
    else:
        configs = _check_svd(base, found)
    _check_tuned(folder / TUNED_UNET, configs, found, name="tuned")
    _check_encoder(folder / ENCODER, configs, found)
    for place, name in ((BACKWARD_UNET, "backward"), (LCM_UNET, "lcm")):
        if (folder / place).exists():
            _check_tuned(folder / place, configs, found, name=name)
    for place in (GLUESTICK, SUPERPOINT):
        if (folder / place).exists():
            _check_gluestick(folder / place, found)
    absent = tuple(part for part in PARTS if not part.needed and not (folder / part.place).exists())
    report = WeightsReport(
        folder=folder,
        problems=tuple(found.problems),
        notes=tuple(found.notes),
        absent=absent,
        untrained=tuple(found.untrained),
    )
    return Checked(report=report, svd=base, configs=configs, files=found.files)


def require(checked: Checked) -> None:
    """Refuses a folder with problems.

    Raises:
        EngineError: it has some; the message names the first ones.
    """
    problems = checked.report.problems
    if not problems:
        return
    shown = "\n  ".join(str(problem) for problem in problems[:_LISTED])
    more = f"\n  and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    raise EngineError(
        f"the fcvg weights in {checked.report.folder} can't be used:\n  {shown}{more}\n"
        f"`codec-plugin weights check {checked.report.folder}` says everything"
    )


def _how_to_get(name: str) -> str:
    part = next(part for part in PARTS if part.name == name)
    by_us = (
        f"`codec-plugin weights fetch` gets it, from {part.source}" if part.fetched else f"get it from {part.source}"
    )
    return f"{by_us} (licence: {part.licence.summary})"


def _check_svd(svd: Path, found: _Findings) -> dict[str, Any]:
    """The SVD folder's configurations and weights; gives the configurations that are sound."""
    from fcvg.weights.architectures import BadConfig, disagreements, make_network, read_config, shapes_of

    configs: dict[str, Any] = {}
    for component in COMPONENTS:
        path = component.config_in(svd)
        try:
            config = read_config(path)
            network = make_network(component, config)
        except BadConfig as error:
            found.wrong(path, str(error), _how_to_get("svd") if not path.is_file() else _AGAIN)
            continue
        configs[component.name] = config
        _check_whole(component, component.weights_in(svd), shapes_of(network), found)
    _check_scheduler(svd / SCHEDULER_CONFIG, configs, found)
    if all(component.name in configs for component in COMPONENTS):
        for message in disagreements(*(configs[component.name] for component in (UNET, VAE, IMAGE_ENCODER))):
            file, _, rest = message.partition(" ")
            found.wrong(svd / file, rest, "these files are of different models: get all of them from one place")
    return configs


def _check_scheduler(path: Path, configs: dict[str, Any], found: _Findings) -> None:
    from fcvg.weights.architectures import BadConfig, read_config

    try:
        config = read_config(path)
    except BadConfig as error:
        found.wrong(path, str(error), _how_to_get("svd") if not path.is_file() else _AGAIN)
        return
    kind = config.get("prediction_type")
    if kind != "v_prediction":
        found.wrong(path, f"its prediction_type is {kind}, not v_prediction", "this is another model's")
    configs["scheduler"] = config


def _check_whole(component: Component, path: Path, expected: Shapes, found: _Findings) -> None:
    """A file that must hold everything."""
    file = _header(path, found, name=component.name, remedy=_how_to_get("svd"))
    if file is None:
        return
    missing = [key for key in expected if key not in file.shapes]
    _compare(file, expected, found)
    if missing:
        found.wrong(path, f"{len(missing)} of {len(expected)} tensors are missing: {_some(missing)}", _AGAIN)


def _check_tuned(path: Path, configs: Mapping[str, Any], found: _Findings, *, name: str) -> None:
    """A file laid over the SVD UNet: any part of it will do."""
    from fcvg.weights.architectures import make_network, shapes_of

    file = _header(path, found, name=name, remedy=_how_to_get("unet"))
    if file is None or UNET.name not in configs:
        return
    expected = shapes_of(make_network(UNET, configs[UNET.name]))
    _compare(file, expected, found)
    known = [key for key in file.shapes if key in expected]
    if not known:
        found.wrong(path, "not one of its tensors belongs to this UNet", "another model's file under that name?")
    found.notes.append(f"{found.name(path)}: {len(known)} of the UNet's {len(expected)} tensors, laid over SVD's own")


def _check_encoder(path: Path, configs: Mapping[str, Any], found: _Findings) -> None:
    from fcvg.weights.architectures import first_width, make_encoder, shapes_of

    file = _header(path, found, name="encoder", remedy=_how_to_get("controlnext"))
    if file is None or UNET.name not in configs:
        return
    expected = shapes_of(make_encoder(first_width(configs[UNET.name])))
    _compare(file, expected, found)
    missing = [key for key in expected if key not in file.shapes]
    if missing:
        found.wrong(path, f"{len(missing)} of {len(expected)} tensors are missing: {_some(missing)}", _AGAIN)
    else:
        found.notes.append(f"{found.name(path)}: {len(expected)} tensors")


def _check_gluestick(path: Path, found: _Findings) -> None:
    """One of GlueStick's two files, which are no use without each other."""
    from fcvg.conditions.gluestick.loading import fitting_tensors

    remedy = "get it again, or take it away: lines are then matched by motion and looks"
    try:
        tensors = fitting_tensors(path)
    except BadTensorFile as error:
        found.wrong(path, str(error), remedy)
        return
    except OSError as error:
        found.wrong(path, f"it can't be read ({error})", remedy)
        return
    found.notes.append(f"{found.name(path)}: {len(tensors)} tensors")
    lacking = [other for other in (GLUESTICK, SUPERPOINT) if not (path.parent / other).exists()]
    if lacking:
        found.notes.append(f"{found.name(path)} is of no use without {lacking[0]}")


def _header(path: Path, found: _Findings, *, name: str, remedy: str) -> TensorFile | None:
    if not path.is_file():
        found.wrong(path, "missing", remedy)
        return None
    try:
        file = read_header(path)
    except BadTensorFile as error:
        found.wrong(path, str(error), _AGAIN)
        return None
    except OSError as error:
        found.wrong(path, f"it can't be read ({error})", "see to its permissions, or get it again")
        return None
    found.files[name] = file
    if UNTRAINED in file.metadata:
        found.untrained.append(found.name(path))
    return file


def _compare(file: TensorFile, expected: Shapes, found: _Findings) -> None:
    unknown = [key for key in file.shapes if key not in expected and key not in _NEEDLESS]
    if unknown:
        found.wrong(
            file.path, f"{len(unknown)} unknown keys: {_some(unknown)}", "another model's file under that name?"
        )
    wrong = [key for key, shape in file.shapes.items() if key in expected and shape != expected[key]]
    if wrong:
        shown = [f"{key} is {_shape(file.shapes[key])}, not {_shape(expected[key])}" for key in wrong]
        found.wrong(
            file.path, f"{len(wrong)} wrong shapes: {_some(shown)}", "config.json and weights are of different models"
        )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape) or "a single number"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
