"""Finds the frames a compressed video stream has lost, and makes them again.

    import codec_plugin

    codec_plugin.restore("in.mp4", "out.mp4")
    codec_plugin.double("in.mp4", "out.mp4")

Everything below is imported on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec_plugin.api import double, restore, upsample
    from codec_plugin.comparison import Comparison, compare
    from codec_plugin.decoder import Made, RestoringDecoder, made_by
    from codec_plugin.engine import (
        Engine,
        EngineInfo,
        Estimate,
        FillRequest,
        Finding,
        Take,
        engine_names,
        load_engine,
    )
    from codec_plugin.errors import (
        Cancelled,
        CannotFill,
        CannotHold,
        CannotSplice,
        CodecPluginError,
        DamagedInput,
        EngineError,
        InputError,
        MediaError,
        OptionError,
        OutputError,
        PlanError,
        UnsupportedInput,
        VerificationFailed,
    )
    from codec_plugin.grids import Multiply, Resample, Restore
    from codec_plugin.job import Job, Progress
    from codec_plugin.media.reader import Window
    from codec_plugin.options import Check, Duplicates, EncodeOptions, Repair, RestoreOptions, Smart
    from codec_plugin.picture import Color, Family, Layout, Matrix, Picture
    from codec_plugin.plan import Action, FillTask, Guard, RestorePlan
    from codec_plugin.planfile import load_plan, plan_to_json
    from codec_plugin.report import RestoreReport, report_to_json
    from codec_plugin.runner import plan_file
    from codec_plugin.thinning.thin import DropTimes, Thinning, thin
    from codec_plugin.timeline.gaps import Cause, Gap
    from codec_plugin.timeline.scan import Scan, scan
    from codec_plugin.timing import FrameClock, Timestamp
    from codec_plugin.verification import Origin, Verification, verify

_HOMES = {
    "api": "double restore upsample",
    "comparison": "Comparison compare",
    "decoder": "Made RestoringDecoder made_by",
    "engine": "Engine EngineInfo Estimate FillRequest Finding Take engine_names load_engine",
    "errors": "Cancelled CannotFill CannotHold CannotSplice CodecPluginError DamagedInput EngineError InputError "
    "MediaError OptionError OutputError PlanError UnsupportedInput VerificationFailed",
    "grids": "Multiply Resample Restore",
    "media.reader": "Window",
    "options": "Check Duplicates EncodeOptions Repair RestoreOptions Smart",
    "picture": "Color Family Layout Matrix Picture",
    "plan": "Action FillTask Guard RestorePlan",
    "planfile": "load_plan plan_to_json",
    "report": "RestoreReport report_to_json",
    "job": "Job Progress",
    "runner": "plan_file",
    "thinning.thin": "DropTimes Thinning thin",
    "timeline.gaps": "Cause Gap",
    "timeline.scan": "Scan scan",
    "timing": "FrameClock Timestamp",
    "verification": "Origin Verification verify",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__version__ = "0.1.0"
__all__ = [
    "Action",
    "Cancelled",
    "CannotFill",
    "CannotHold",
    "CannotSplice",
    "Cause",
    "Check",
    "CodecPluginError",
    "Color",
    "Comparison",
    "DamagedInput",
    "DropTimes",
    "Duplicates",
    "EncodeOptions",
    "Engine",
    "EngineError",
    "EngineInfo",
    "Estimate",
    "Family",
    "FillRequest",
    "FillTask",
    "Finding",
    "FrameClock",
    "Gap",
    "Guard",
    "InputError",
    "Job",
    "Layout",
    "Made",
    "Matrix",
    "MediaError",
    "Multiply",
    "OptionError",
    "Origin",
    "OutputError",
    "Picture",
    "PlanError",
    "Progress",
    "Repair",
    "Resample",
    "Restore",
    "RestoreOptions",
    "RestorePlan",
    "RestoreReport",
    "RestoringDecoder",
    "Scan",
    "Smart",
    "Take",
    "Thinning",
    "Timestamp",
    "UnsupportedInput",
    "Verification",
    "VerificationFailed",
    "Window",
    "compare",
    "double",
    "engine_names",
    "load_engine",
    "load_plan",
    "made_by",
    "plan_file",
    "plan_to_json",
    "report_to_json",
    "restore",
    "scan",
    "thin",
    "upsample",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
