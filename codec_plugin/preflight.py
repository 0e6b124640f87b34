"""Asks the engines of a plan, before any work, whether they can do it here."""

from __future__ import annotations

from codec_plugin.engine import CHOICES, Engine, engine_parts, load_engine
from codec_plugin.errors import CannotFill
from codec_plugin.plan import Action, RestorePlan


def check_engines(plan: RestorePlan, size: tuple[int, int], *, given: Engine | None = None) -> tuple[str, ...]:
    """Makes each engine of the plan and asks what its longest gap costs.

    Args:
        plan: what is to be made.
        size: (width, height) of the film, in pixels.
        given: an engine to ask in place of one loaded under its name.

    Returns:
        What an engine says already that it won't fill; its fallback will, when the gap is met.

    Raises:
        EngineError: an engine isn't usable, or says that the work can't be done here.
    """
    objections = []
    longest: dict[str, int] = {}
    for task in plan.tasks:
        if task.action is Action.FILL and task.engine and task.engine not in CHOICES:
            for name in engine_parts(task.engine):
                longest[name] = max(longest.get(name, 0), len(task.target_pts))
    for name, positions in longest.items():
        own = given if given is not None and given.info.name == name else None
        engine = own or load_engine(name, plan.options.engine_options)
        try:
            engine.estimate(size, positions=positions)
        except CannotFill as error:
            objections.append(f"{name} won't fill its longest gap, of {positions} frames: {error}")
        finally:
            if own is None:
                engine.close()
    return tuple(objections)
