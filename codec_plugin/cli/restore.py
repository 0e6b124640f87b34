"""The commands that make frames: double, upsample, restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from codec_plugin.benching.bench import runtime_option
from codec_plugin.cli.choices import (
    ENCODING,
    FILLING,
    MANNERS,
    PREVIEW,
    RATE,
    RUNTIME,
    TIMING,
    LengthOfTimeType,
    encode_options,
    engine_options,
    input_path,
    output_path,
    together,
    window,
)
from codec_plugin.cli.console import Voice, ticking
from codec_plugin.cli.engine_flags import ENGINE_FLAGS, flagged_options
from codec_plugin.cli.files import read_plan, write_json
from codec_plugin.engine import pick_engine
from codec_plugin.errors import OptionError, PlanError
from codec_plugin.grids import Multiply, Resample, Restore, Verb, describe
from codec_plugin.job import Job
from codec_plugin.media.source import is_seekable
from codec_plugin.media.writer import check_place
from codec_plugin.options import BUDGET_RANGE, FACTOR_RANGE, Check, Duplicates, Repair, RestoreOptions, Smart
from codec_plugin.plan import Action, RestorePlan
from codec_plugin.planfile import plan_to_json
from codec_plugin.report import RestoreReport, report_to_json
from codec_plugin.runner import plan_file, run_file
from codec_plugin.smart.restoring import restore_smart
from codec_plugin.timing import show_rate

_FASTEST_ENGINE = "blend"

_SHARED = together(
    FILLING,
    RUNTIME,
    ENGINE_FLAGS,
    TIMING,
    ENCODING,
    PREVIEW,
    click.option(
        "--budget",
        type=LengthOfTimeType(BUDGET_RANGE),
        metavar="TIME",
        help="What fcvg may take where --engine auto chooses (90s, 10min, 2h); spent where it helps most.",
    ),
    click.option(
        "--save-plan",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the plan as JSON and stop.",
    ),
    click.option(
        "--plan",
        "plan_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Run a saved plan, edited or not, or a report.",
    ),
    click.option("--report", metavar="FILE", help="Write what was done, frame by frame, as JSON (- for stdout)."),
    MANNERS,
)


class _BareSmart(click.Command):
    """Lets `--smart` stand without a value, which click would take from the word behind it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        stop = args.index("--") if "--" in args else len(args)
        words = [f"--smart={Smart.ONLY}" if word == "--smart" else word for word in args[:stop]]
        return super().parse_args(ctx, words + args[stop:])


def _command(name: str, *own: Callable[[Any], Any]) -> Callable[[Any], click.Command]:
    """A click command with IN, OUT, its own options, and those that all three share."""
    return together(click.command(name, cls=_BareSmart), input_path(), output_path(), *own, _SHARED)


@_command("double")
def double(**given: Any) -> None:
    """Twice the frame rate, dropped frames filled too."""
    _run(Multiply(2), **given)


@_command(
    "upsample",
    click.option(
        "--factor",
        type=click.IntRange(int(FACTOR_RANGE.least), int(FACTOR_RANGE.most)),
        help="So many times the frame rate.",
    ),
    click.option("--fps", type=RATE, metavar="R", help="Frames a second, any rational rate: 60, 59.94, 24000/1001."),
)
def upsample(factor: int | None, fps: Fraction | None, **given: Any) -> None:
    """More frames: --factor N or --fps R."""
    if (factor is None) == (fps is None):
        raise click.UsageError("give either --factor N or --fps R")
    _run(Multiply(factor) if factor is not None else Resample(fps or Fraction(0)), **given)


@_command(
    "restore",
    click.option(
        "--decode/--no-decode",
        "look_inside",
        default=True,
        show_default=True,
        help="Where no frame is missing by its time, decode once to look for damaged pictures.",
    ),
    click.option(
        "--smart",
        type=click.Choice([str(value) for value in Smart]),
        default=str(Smart.OFF),
        metavar="[=auto]",
        help="Keep every packet that no gap touches, bit for bit (H.264, HEVC); =auto encodes everything anew, "
        "and says why, where that can't be.",
    ),
    click.option(
        "--check",
        type=click.Choice([str(value) for value in Check]),
        help="What --smart decodes and compares before OUT gets its name: the splices and the GOPs around them "
        "(default; every kept packet is compared by hash in any case), or all of both films.",
    ),
)
def restore(look_inside: bool, smart: str, check: str | None, **given: Any) -> None:
    """Fill the gaps of a film and change nothing else."""
    if check is not None and Smart(smart) is Smart.OFF:
        raise click.UsageError("--check goes with --smart; `codec-plugin verify` looks at any restored film")
    _run(
        Restore(),
        look_inside=look_inside,
        smart=Smart(smart),
        check=Check(check) if check is not None else Check.SPLICES,
        **given,
    )


def _run(
    verb: Verb,
    *,
    source: str,
    target: Path,
    engine: str,
    engine_option_texts: tuple[str, ...],
    fallback: str | None,
    runtime: str | None,
    duplicates: str,
    repair: str,
    deinterlace: bool,
    budget: Fraction | None,
    rate: Fraction | None,
    max_gap: Fraction,
    scene_threshold: float,
    video: int | None,
    start: Fraction | None,
    duration: Fraction | None,
    save_plan: Path | None,
    plan_path: Path | None,
    report: str | None,
    yes: bool,
    verbose: int,
    quiet: bool,
    drop_unsupported: bool,
    look_inside: bool = True,
    smart: Smart = Smart.OFF,
    check: Check = Check.SPLICES,
    **rest: Any,
) -> None:
    flagged, encoding = flagged_options(rest), rest
    voice = Voice(verbosity=-1 if quiet else verbose)
    plan = read_plan(plan_path) if plan_path else None
    if plan is not None and plan.verb != verb:
        raise PlanError(f"{plan_path}: the plan says {plan.verb!s}, not {verb!s}; run it with the command it is for")
    if report is not None and report != "-":
        if Path(report).resolve() == target.resolve():
            raise OptionError(f"{report}: the report and the film can't have one name")
        check_place(Path(report), source=Path(source), overwrite=True)  # now, not after an hour's work
    chosen = plan.options.engine if plan else engine
    on_runtime = {} if runtime is None else runtime_option(chosen, runtime)
    given = flagged | on_runtime | engine_options(engine_option_texts, engine=chosen)
    if plan is not None and given:
        known = {**plan.options.engine_options, **given}
        plan = replace(plan, options=replace(plan.options, engine_options=known))
    options = RestoreOptions(
        engine=engine,
        engine_options={} if plan else given,
        fallback=fallback,
        rate=rate,
        max_gap=max_gap,
        scene_threshold=scene_threshold,
        duplicates=Duplicates(duplicates),
        repair=Repair(repair),
        deinterlace=deinterlace,
        budget=budget,
    )
    with ticking(voice, hint=_hint(options, encoding["preset"])) as ticker:
        job = Job(
            encode=encode_options(**encoding),
            window=window(start, duration),
            video=video,
            overwrite=yes,
            drop_unsupported=drop_unsupported,
            look_inside=look_inside,
            check=check,
            progress=ticker,
        )
        if save_plan is not None:
            _save_plan(voice, save_plan, source, verb, options, job)
            return
        if smart is Smart.OFF:
            done = run_file(source, target, verb=verb, options=options, job=job, plan=plan)
        else:
            done = restore_smart(source, target, smart=smart, options=options, job=job, plan=plan)
    if report is not None:
        write_json(report, report_to_json(done))
    _tell(voice, done)


def _save_plan(voice: Voice, path: Path, source: str, verb: Verb, options: RestoreOptions, job: Job) -> None:
    if not is_seekable(source):
        raise OptionError("--save-plan needs a file that can be read twice, not a pipe")
    check_place(path, source=Path(source), overwrite=job.overwrite)
    found, plan = plan_file(source, verb=verb, options=options, job=job)
    write_json(str(path), plan_to_json(plan))
    for note in found.notes:
        voice.say(f"  {note}")
    voice.say(f"{path}: {_planned(plan)}; run it with --plan {path}")


def _planned(plan: RestorePlan) -> str:
    parts = [f"{plan.frame_count} frames out", f"{plan.count(Action.FILL)} to make"]
    for action, words in ((Action.HOLD, "to hold"), (Action.DROP, "to drop")):
        if plan.count(action):
            parts.append(f"{plan.count(action)} {words}")
    return ", ".join(parts)


def _hint(options: RestoreOptions, preset: str | None) -> str:
    """The faster choice, by name."""
    used = pick_engine(options.engine, options.engine_options, fallback=options.fallback)
    choices = [] if used == _FASTEST_ENGINE else [f"--engine {'dis' if used != 'dis' else _FASTEST_ENGINE}"]
    if preset is None:
        choices.append("--preset veryfast")
    choices.append("--duration 10 for a preview")
    return "Faster: " + ", ".join(choices) + "."


def _tell(voice: Voice, done: RestoreReport) -> None:
    made = [f"{count} held" if name == "hold" else f"{count} made by {name}" for name, count in done.by_engine.items()]
    copied = any(note.kind == "copied" for note in done.notes)
    if copied:
        voice.say(f"{done.output}: no gaps; copied packet for packet")
    else:
        rate = f" at {show_rate(done.plan.rate)} fps" if done.plan.rate else ""
        what = describe(done.plan.verb) if done.made or not isinstance(done.plan.verb, Restore) else "no gaps to fill"
        voice.say(f"{done.output}: {what}: {done.frame_count} frames{rate}, {', '.join(made) or 'none made'}")
        voice.say(f"  {done.source_frames} frames are the source's own; {done.encoder}; {done.seconds:.1f} s")
    if dropped := done.plan.count(Action.DROP):
        voice.say(f"  {dropped} source frames were left out: off the grid of the new rate")
    tail = sum(len(o.target_pts) for o in done.outcomes if o.held_because is None and o.action is Action.HOLD)
    if tail:  # where others are held too, the counts are to add up to what the first line says
        tell = voice.say if done.held_reasons else voice.detail
        tell(f"  {tail} held: nothing comes after a segment's last frame")
    for reason, count in done.held_reasons.items():
        voice.say(f"  {count} held: {reason}", style="yellow")
    for reason, count in done.fallback_reasons.items():
        voice.say(f"  {count} made by the fallback: {reason}", style="yellow")
    for note in done.notes:
        if note.kind == "copied":
            continue
        voice.say(f"  {note.text}", style="yellow" if note.kind in ("lost", "counted") else None)
    for outcome in done.outcomes:
        reasons = (outcome.reason, outcome.chosen_because, outcome.fallback_because, outcome.held_because)
        voice.detail(
            f"  {outcome.left_pts} – {outcome.right_pts}: {len(outcome.target_pts)} {outcome.action} "
            f"{outcome.engine or ''} ({'; '.join(filter(None, reasons))})"
        )
