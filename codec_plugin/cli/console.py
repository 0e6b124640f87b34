"""What a job shows while it runs: progress on standard error, quiet when that is no terminal."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from codec_plugin.job import Progress

_LONG_JOB_S = 600
_JUDGE_AFTER_S = 8.0
_JUDGE_AFTER_FRAMES = 24
_STAGES = {"look": "looking", "restore": "writing", "thin": "thinning"}


def folded(text: str, console: Console) -> str:
    """Lines as a terminal shows them well: broken between words, what goes on two further in; elsewhere as they are."""
    if not console.is_terminal:
        return text
    return "\n".join(_folded_line(line, console.width) for line in text.split("\n"))


def _folded_line(line: str, width: int) -> str:
    words = line.lstrip(" ")
    margin = " " * (len(line) - len(words))
    return textwrap.fill(
        words,
        width,
        initial_indent=margin,
        subsequent_indent=f"{margin}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(slots=True)
class Voice:
    """Where words go, and how many of them."""

    verbosity: int = 0
    """-1 for errors only, 0 for results, 1 and more for details."""
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    """Standard error, for progress and notes."""
    out: Console = field(default_factory=lambda: Console(highlight=False))
    """Standard output, for results."""

    def say(self, text: str, *, style: str | None = None) -> None:
        """A result or note, unless -q."""
        if self.verbosity >= 0:
            self.err.print(folded(text, self.err), style=style, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Something for -v."""
        if self.verbosity >= 1:
            self.err.print(folded(text, self.err), style="dim", markup=False, soft_wrap=True)


def _speed(task: Task) -> float:
    """Frames a second since the stage began: a long gap counts too while its frames are in the making."""
    passed = time.monotonic() - float(task.fields["began"])
    return task.completed / passed if passed > 0 else 0.0


class _Speed(ProgressColumn):
    """Frames a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{_speed(task):.1f} fps" if task.completed else "–", style="progress.data.speed")


class _Left(ProgressColumn):
    """How long the rest takes at that speed."""

    def render(self, task: Task) -> Text:
        if task.total is None or not task.completed:
            return Text("-:--:--", style="progress.remaining")
        left_s = (task.total - task.completed) / _speed(task)
        return Text(str(timedelta(seconds=round(left_s))), style="progress.remaining")


class _Count(ProgressColumn):
    """Frames done, of all where their number is known."""

    def render(self, task: Task) -> Text:
        of = f"/{task.total:.0f}" if task.total is not None else ""
        return Text(f"{task.completed:.0f}{of} frames")


class Ticker:
    """Takes progress from a job, shows it, and warns once when the job is going to be long."""

    def __init__(self, voice: Voice, bar: Bar | None, *, hint: str) -> None:
        self._voice, self._bar, self._hint = voice, bar, hint
        self._task = bar.add_task("reading", total=None, made="", began=time.monotonic()) if bar else None
        self._stage = ""
        self._began = time.monotonic()
        self._warned = False

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self._stage, self._began = progress.stage, time.monotonic()
        if not self._warned:
            self._judge(progress)
        if self._bar is not None and self._task is not None:
            made = f"{progress.made} made" if progress.made else ""
            self._bar.update(
                self._task,
                completed=progress.frames,
                total=progress.total,
                description=_STAGES.get(progress.stage, progress.stage),
                made=made,
                began=self._began,
            )

    def _judge(self, progress: Progress) -> None:
        passed = time.monotonic() - self._began
        if passed < _JUDGE_AFTER_S or progress.frames < _JUDGE_AFTER_FRAMES:
            return
        self._warned = True
        if progress.total is None:
            return
        left = passed / progress.frames * (progress.total - progress.frames)
        if left > _LONG_JOB_S:
            self._voice.say(f"This is going to take about {left / 60:.0f} minutes. {self._hint}", style="yellow")


@contextmanager
def ticking(voice: Voice, *, hint: str) -> Iterator[Ticker]:
    """A progress line on a terminal; elsewhere only the warning about long jobs."""
    if voice.verbosity < 0 or not voice.err.is_terminal:
        yield Ticker(voice, None, hint=hint)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(),
        TextColumn("{task.fields[made]}", style="cyan"),
        _Speed(),
        _Left(),
    )
    with Bar(*columns, console=voice.err, transient=True) as bar:
        yield Ticker(voice, bar, hint=hint)
