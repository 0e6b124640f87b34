"""One stretch of a film decoded, its gaps filled, and encoded again, by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from codec_plugin.budget import Purse
from codec_plugin.errors import CannotHold, CannotSplice
from codec_plugin.job import Job
from codec_plugin.media.color import appearance_of
from codec_plugin.media.encoders import EncoderChoice, Film, choose_encoder
from codec_plugin.media.gops import CodedFilm
from codec_plugin.media.reader import Frame, Reader, Window
from codec_plugin.media.splice import Encoded, Splice, StretchEncoder, sets_of
from codec_plugin.media.writer import Writer
from codec_plugin.plan import RestorePlan
from codec_plugin.runner import weave_settings
from codec_plugin.schedule import PlanSchedule
from codec_plugin.smart.splicing import Run
from codec_plugin.stages import ahead
from codec_plugin.weave import Outcome, OutputFrame, Weaver

_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A run, encoded."""

    run: Run
    """Which."""
    pictures: tuple[Encoded, ...]
    """In decode order."""
    made_by: dict[int, str]
    """Who made the frames that aren't the source's own, by their times: an engine, or "hold"."""
    outcomes: tuple[Outcome, ...]
    """What became of the gaps in it."""
    choice: EncoderChoice
    """The encoder, and what it was told."""
    damage: dict[str, int]
    """What the reader counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the stretches of one job have in common."""

    path: Path
    """The film."""
    film: CodedFilm
    """Its packets."""
    plan: RestorePlan
    """What is to be made."""
    job: Job
    """How."""
    engine: str
    """Makes what the plan did not foresee: frames that turn out damaged."""
    splice: Splice
    """How stretches are encoded."""
    rate: Fraction
    """Frames a second of the output."""
    purse: Purse
    """What generative engines take their time from."""

    def encode(self, run: Run, *, writer: Writer, progress: Callable[[bool], None]) -> Stretch:
        """Encodes one run; `progress` is called with each frame, and whether it was made.

        Raises:
            CannotSplice: it shows no frame at all, or the encoder states another profile or level than the film.
            CannotHold, EngineError, DamagedInput: as a whole restoration does.
        """
        pictures: list[Encoded] = []
        made_by: dict[int, str] = {}
        outcomes: list[Outcome] = []
        encoder: StretchEncoder | None = None
        choice: EncoderChoice | None = None
        with Reader(
            self.path, video=self.job.video, threads=self.job.encode.threads, window=self._window(run)
        ) as reader:
            for item in self._woven(reader, run, outcomes):
                if not run.shows(item.pts):
                    continue
                if encoder is None:
                    choice, encoder = self._encoder(reader, item.frame, writer, run)
                if item.made_by is not None:
                    made_by[item.pts] = item.made_by
                pictures += encoder.encode(item.frame, pts=item.pts)
                progress(item.made_by is not None)
            damage = {what: count for what, count in reader.counts.items() if what != "frames"}
        if encoder is None or choice is None:
            raise CannotSplice(f"nothing can be decoded between pts {run.after_pts} and {run.before_pts}")
        pictures += encoder.encode(None)
        self.splice.check(sets_of(pictures, codec=self.film.codec), codec=self.film.codec)
        return Stretch(
            run=run,
            pictures=tuple(pictures),
            made_by=made_by,
            outcomes=tuple(outcome for outcome in outcomes if run.shows(outcome.target_pts[0])),
            choice=choice,
            damage=damage,
        )

    def _window(self, run: Run) -> Window:
        """From a point where decoding can begin to the first picture after the run."""
        return window_between(
            self.path,
            self.film,
            first_pts=self.film.pictures[run.decode_from].pts if run.decode_from else None,
            last_pts=run.before_pts,
        )

    def _woven(self, reader: Reader, run: Run, outcomes: list[Outcome]) -> Iterator[OutputFrame]:
        schedule = PlanSchedule(replace(self.plan, tasks=run.tasks))
        settings = weave_settings(reader, self.plan.options, engine=self.engine, purse=self.purse)
        weaver = Weaver(
            schedule, settings, engine=self.job.engine, outcome=outcomes.append, cancelled=self.job.cancelled
        )
        decoded = ahead(reader.items(), depth=_DEPTH)
        with closing(decoded), closing(ahead(weaver.weave(decoded), depth=_DEPTH)) as woven:
            for item in woven:
                assert isinstance(item, OutputFrame)  # no packets were asked for
                yield item

    def _encoder(self, reader: Reader, frame: Frame, writer: Writer, run: Run) -> tuple[EncoderChoice, StretchEncoder]:
        look = reader.appearance or appearance_of(frame)
        film = Film(
            codec=self.film.codec,
            size=(frame.width, frame.height),
            pixel_format=frame.format.name,
            rate=self.rate,
            time_base=self.film.time_base,
            hdr=look.hdr,
            is_hdr=look.tags.is_hdr,
        )
        options = self.splice.unordered if run.ends_at_open else self.splice.options
        choice = choose_encoder(options, container=writer.container, film=film)
        stream = reader.stream
        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        try:
            return choice, StretchEncoder(choice, film=film, look=look, aspect=aspect)
        except CannotHold as error:
            # Films there are that state a level below what their size needs; no encoder follows them there.
            raise CannotSplice(f"{error}; its profile and level may be too low for it") from error


def window_between(path: Path, film: CodedFilm, *, first_pts: int | None, last_pts: int | None) -> Window:
    """The window of a file that shows the pictures from one time to another, both included, in the film's ticks."""
    with Reader(path) as reader:
        begin = reader.info.start
    start = Fraction(0) if first_pts is None else max(first_pts * film.time_base - begin, Fraction(0))
    if last_pts is None:
        return Window(start=start)
    return Window(start=start, duration=(last_pts + 1) * film.time_base - begin - start)
