"""`surveyed`: spends a budget on the gaps of a plan where it helps most. Decodes only what stands beside long gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from codec_plugin.budget import Offer, best_offers
from codec_plugin.engine import AUTO, FLOW, Engine, generative_candidate, load_engine
from codec_plugin.errors import Cancelled, CannotFill, EngineError
from codec_plugin.evidence import LEAST_MISSING, Evidence, Verdict, judge
from codec_plugin.media.pixels import native_layout, to_picture, to_rgb_picture
from codec_plugin.media.probe import SourceInfo
from codec_plugin.media.reader import Frame, Reader, Window
from codec_plugin.media.source import Source
from codec_plugin.picture import Picture
from codec_plugin.plan import Action, FillTask, Guard, RestorePlan
from codec_plugin.timeline.scenes import likeness, thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """One gap that was looked at."""

    task: FillTask
    """As planned."""
    evidence: Evidence
    """What its two neighbours show."""
    verdict: Verdict
    """What the rule says of it."""


def surveyed(
    source: Source,
    plan: RestorePlan,
    *,
    info: SourceInfo,
    video: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RestorePlan:
    """The plan with its budget spent: long gaps go to the generative engine or to flow, each with the reason.

    Args:
        source: the film; read at the neighbours of long gaps only.
        plan: its options have a budget; tasks for other engines than "auto" stay as they are.
        info: what the scan found of the film.
        video: index of the video stream; None for the film's own.
        cancelled: asked at each gap.

    Raises:
        EngineError: no generative engine is usable here, so that there is nothing to spend the budget on.
        InputError: the film can't be read.
    """
    budget_s = plan.options.budget
    if budget_s is None:
        return plan
    status = generative_candidate(plan.options.engine_options)
    if status.missing is not None:
        raise EngineError(f"--budget is for {status.name}, which isn't usable here: {status.missing}")
    long = [task for task in plan.tasks if _is_open(task) and len(task.target_pts) >= LEAST_MISSING]
    if not long:
        return plan
    engine = load_engine(status.name, plan.options.engine_options)
    try:
        looks: list[Surveyed] = []
        for task in long:
            if cancelled():
                raise Cancelled(f"{info.name}: stopped as asked")
            looks += _look(source, plan, task, info=info, video=video)
        settled = _settled(looks, engine, budget_s=budget_s, size=info.video.size)
    finally:
        engine.close()
    return replace(plan, tasks=tuple(settled.get(task.id, task) for task in plan.tasks))


def _is_open(task: FillTask) -> bool:
    return task.action is Action.FILL and task.engine == AUTO


def _settled(
    looks: list[Surveyed], engine: Engine, *, budget_s: Fraction, size: tuple[int, int]
) -> dict[int, FillTask]:
    offers, unable = {}, {}
    for look in looks:
        if not look.verdict.lost:
            continue
        try:
            seconds = engine.estimate(size, positions=look.evidence.missing).seconds
        except (CannotFill, EngineError) as error:
            unable[look.task.id] = f"{look.verdict.because}; {engine.info.name} can't: {error}"
            continue
        gain = look.evidence.loss * look.evidence.missing
        offers[look.task.id] = Offer(id=look.task.id, seconds=seconds, gain=gain)
    taken = best_offers(offers.values(), budget_s=budget_s)
    settled = {}
    for look in looks:
        task, why = look.task, look.verdict.because
        if task.id in taken:
            guards = (*task.guards, Guard.BUDGET)
            reason = f"{task.reason}; {why}, about {offers[task.id].seconds:.0f} s"
            settled[task.id] = replace(task, engine=engine.info.name, guards=guards, reason=reason)
            continue
        if task.id in unable:
            why = unable[task.id]
        elif task.id in offers:
            why += f"; about {offers[task.id].seconds:.0f} s, which other gaps need more"
        settled[task.id] = replace(task, engine=FLOW, reason=f"{task.reason}; {why}")
    return settled


def _look(
    source: Source, plan: RestorePlan, task: FillTask, *, info: SourceInfo, video: int | None
) -> tuple[Surveyed, ...]:
    """What a gap's neighbours show; nothing where one doesn't come out of the decoder, or there is a cut between.

    The guards will see those, and hold.
    """
    pair = _neighbours(source, plan, task, info=info, video=video)
    if pair is None:
        return ()
    left, right = (thumbnail(_picture(frame)) for frame in pair)
    alike = likeness(left, right)
    if alike.cut_score >= plan.options.scene_threshold and plan.options.scene_threshold < 100:
        return ()
    evidence = Evidence.of(alike, missing=len(task.target_pts))
    return (Surveyed(task=task, evidence=evidence, verdict=judge(evidence)),)


def _neighbours(
    source: Source, plan: RestorePlan, task: FillTask, *, info: SourceInfo, video: int | None
) -> tuple[Frame, Frame] | None:
    assert task.left_pts is not None  # a fill has both
    assert task.right_pts is not None
    start = max(task.left_pts * plan.time_base - info.start, Fraction(0))
    window = Window(start=start, duration=(task.right_pts - task.left_pts + 1) * plan.time_base)
    found = {}
    with Reader(source, video=video, window=window, deinterlace=plan.options.deinterlace) as reader:
        for frame in reader.frames():
            if frame.pts in (task.left_pts, task.right_pts):
                found[frame.pts] = frame
    return (found[task.left_pts], found[task.right_pts]) if len(found) == 2 else None


def _picture(frame: Frame) -> Picture:
    return to_picture(frame) if native_layout(frame.format.name) else to_rgb_picture(frame)
