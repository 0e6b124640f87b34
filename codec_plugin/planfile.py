"""Plans as JSON: written whole, read strictly, since people edit them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar

from codec_plugin.errors import CodecPluginError, PlanError
from codec_plugin.grids import parse_verb
from codec_plugin.options import Duplicates, Repair, RestoreOptions
from codec_plugin.plan import VERSION, Action, FillTask, Guard, RestorePlan

KIND = "codec-plugin plan"
REPORT_KIND = "codec-plugin report"

T = TypeVar("T")


def plan_to_json(plan: RestorePlan) -> dict[str, Any]:
    """The plan as plain JSON values; rationals are strings such as "1001/30000"."""
    document = asdict(plan)
    document["verb"] = str(plan.verb)
    for key in ("time_base", "output_time_base", "rate"):
        document[key] = None if document[key] is None else str(document[key])
    options = document["options"]
    options["max_gap"] = str(options["max_gap"])
    for key in ("rate", "budget"):
        options[key] = None if options[key] is None else str(options[key])
    document["tasks"] = [
        task | {"target_pts": list(task["target_pts"]), "guards": list(task["guards"])} for task in document["tasks"]
    ]
    return {"kind": KIND, **document}


def load_plan(text: str, *, name: str) -> RestorePlan:
    """A plan from JSON text.

    Raises:
        PlanError: as `plan_from_json` does.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PlanError(f"{name}: not JSON: {error}") from error
    return plan_from_json(document, name=name)


def plan_from_json(document: object, *, name: str) -> RestorePlan:
    """A plan from JSON values: a saved plan, edited or not, or a report, which holds the plan as it was resolved.

    Raises:
        PlanError: it isn't one, or of another version, or contradicts itself; the message says where.
    """
    if isinstance(document, dict) and document.get("kind") == REPORT_KIND:
        document = document.get("plan")
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise PlanError(f'{name}: not a plan of this program (no "kind": "{KIND}" at the top)')
    if document.get("version") != VERSION:
        raise PlanError(f"{name}: a plan of version {document.get('version')}; this program reads version {VERSION}")
    plan = _plan(_Fields(document, where=name))
    _check(plan, name=name)
    return plan


class _Fields:
    """The values of one JSON object, each checked as it is taken."""

    def __init__(self, values: object, *, where: str) -> None:
        if not isinstance(values, Mapping):
            raise PlanError(f"{where}: must be an object, not {values!r:.60}")
        self._values, self.where = values, where

    def raw(self, key: str) -> Any:
        if key not in self._values:
            raise PlanError(f"{self.where}: {key} is missing")
        return self._values[key]

    def has(self, key: str) -> bool:
        """Whether the value is there; plans of earlier days lack the newer ones."""
        return key in self._values

    def of(self, key: str, kind: type[T]) -> T:
        """A value of exactly one JSON type; a bool is no int."""
        value = self.raw(key)
        if type(value) is not kind:
            raise PlanError(f"{self.where}: {key} must be of type {kind.__name__}, not {value!r:.60}")
        return value

    def made(self, key: str, make: Callable[[str], T]) -> T:
        """A value made from a string."""
        text = self.of(key, str)
        try:
            return make(text)
        except (ValueError, ZeroDivisionError, CodecPluginError) as error:
            raise PlanError(f"{self.where}: {key}: {error}") from error

    def optional(self, key: str, take: Callable[[str], T]) -> T | None:
        """None, or what `take` gives for the key."""
        return None if self.raw(key) is None else take(key)

    def objects(self, key: str) -> list[_Fields]:
        """A list of objects; each is called by its id, or by its place where it has none."""
        found = []
        for index, value in enumerate(self.of(key, list)):
            number = value.get("id", index) if isinstance(value, Mapping) else index
            found.append(_Fields(value, where=f"{self.where}: task {number}"))
        return found

    def items(self, key: str, kind: type[T]) -> tuple[T, ...]:
        """A list of values of one type."""
        values = self.of(key, list)
        for value in values:
            if type(value) is not kind:
                raise PlanError(f"{self.where}: {key} must hold {kind.__name__} only, not {value!r:.60}")
        return tuple(values)


def _positive(text: str) -> Fraction:
    value = Fraction(text)
    if value <= 0:
        raise ValueError(f"must be above 0, not {text}")
    return value


def _plan(fields: _Fields) -> RestorePlan:
    return RestorePlan(
        source=fields.of("source", str),
        digest=fields.optional("digest", lambda key: fields.of(key, str)),
        verb=fields.made("verb", parse_verb),
        options=_options(_Fields(fields.raw("options"), where=f"{fields.where}: options")),
        time_base=fields.made("time_base", _positive),
        output_time_base=fields.made("output_time_base", _positive),
        rate=fields.optional("rate", lambda key: fields.made(key, _positive)),
        frame_count=fields.of("frame_count", int),
        tasks=tuple(_task(task) for task in fields.objects("tasks")),
    )


def _options(fields: _Fields) -> RestoreOptions:
    threshold = fields.raw("scene_threshold")
    if type(threshold) not in (int, float):
        raise PlanError(f"{fields.where}: scene_threshold must be a number, not {threshold!r:.60}")
    try:
        return RestoreOptions(
            engine=fields.of("engine", str),
            engine_options=_texts(fields, "engine_options"),
            fallback=fields.optional("fallback", lambda key: fields.of(key, str)) if fields.has("fallback") else None,
            rate=fields.optional("rate", lambda key: fields.made(key, _positive)),
            max_gap=fields.made("max_gap", _positive),
            scene_threshold=float(threshold),
            duplicates=fields.made("duplicates", Duplicates),
            repair=fields.made("repair", Repair),
            deinterlace=fields.of("deinterlace", bool),
            budget=fields.optional("budget", lambda key: fields.made(key, Fraction)) if fields.has("budget") else None,
        )
    except PlanError:
        raise
    except CodecPluginError as error:
        raise PlanError(f"{fields.where}: {error}") from error


def _texts(fields: _Fields, key: str) -> dict[str, str]:
    """An object that holds text only."""
    values = fields.of(key, dict) if fields.has(key) else {}
    for name, value in values.items():
        if type(value) is not str:
            raise PlanError(f"{fields.where}: {key}: {name} must be text, not {value!r:.60}")
    return dict(values)


def _task(fields: _Fields) -> FillTask:
    return FillTask(
        id=fields.of("id", int),
        left_pts=fields.optional("left_pts", lambda key: fields.of(key, int)),
        right_pts=fields.optional("right_pts", lambda key: fields.of(key, int)),
        target_pts=fields.items("target_pts", int),
        action=fields.made("action", Action),
        engine=fields.optional("engine", lambda key: fields.of(key, str)),
        guards=tuple(_guard(text, fields) for text in fields.items("guards", str)),
        reason=fields.of("reason", str),
    )


def _guard(text: str, fields: _Fields) -> Guard:
    try:
        return Guard(text)
    except ValueError as error:
        raise PlanError(f"{fields.where}: guards: {error}; there are: {', '.join(Guard)}") from error


def _check(plan: RestorePlan, *, name: str) -> None:
    """What an edited plan can get wrong; times against the source are checked when it runs."""
    if (plan.time_base / plan.output_time_base).denominator != 1:
        raise PlanError(f"{name}: output_time_base {plan.output_time_base} is no whole part of {plan.time_base}")
    seen: set[int] = set()
    for task in plan.tasks:
        _check_task(task, parts=plan.parts, where=f"{name}: task {task.id}")
        if twice := seen.intersection(task.target_pts):
            raise PlanError(f"{name}: task {task.id}: target {min(twice)} stands in another task too")
        seen.update(task.target_pts)


def _check_task(task: FillTask, *, parts: int, where: str) -> None:
    if any(a >= b for a, b in pairwise(task.target_pts)):
        raise PlanError(f"{where}: target_pts must rise")
    if task.action is Action.DROP:
        return
    if task.action is Action.FILL and (task.left_pts is None or task.right_pts is None):
        raise PlanError(f"{where}: fill needs left_pts and right_pts; without both, hold")
    if task.action is Action.FILL and not task.engine:
        raise PlanError(f"{where}: fill needs an engine's name")
    low = None if task.left_pts is None else task.left_pts * parts
    high = None if task.right_pts is None else task.right_pts * parts
    if not all((low is None or low < pts) and (high is None or pts < high) for pts in task.target_pts):
        raise PlanError(f"{where}: target_pts must lie between its neighbours {low} and {high}")
