"""Where smart restore falls back, and how often: every clip of a folder loses a few pictures and is restored."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import av
from av.container import InputContainer

from benchmarks.machine import Machine
from codec_plugin import (
    CannotSplice,
    CodecPluginError,
    EncodeOptions,
    Job,
    Origin,
    RestoreOptions,
    Smart,
    restore,
    scan,
    verify,
)
from codec_plugin.media.gops import CodedPicture, read_coded
from codec_plugin.media.source import open_input, pick_video

_PLACES = (0.25, 0.5, 0.75)
_JOB = Job(encode=EncodeOptions(preset="veryfast"))
_OPTIONS = RestoreOptions(engine="dis")


class Outcome(StrEnum):
    """What became of a clip."""

    SPLICED = "spliced"
    """Smart restore did it, and `verify` found nothing wrong."""
    WRONG = "wrong"
    """Smart restore did it, and `verify` found something."""
    FELL_BACK = "fell back"
    """It said that it can't, and `--smart=auto` would encode everything."""
    NOT_TRIED = "not tried"
    """No gap could be made of it, or it can't be restored in any way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyRow:
    """One clip."""

    clip: str
    """The file's name."""
    coding: str
    """Its codec and container."""
    outcome: Outcome
    """What became of it."""
    reason: str | None
    """Why not, where it wasn't spliced."""
    packets: int = 0
    """Picture packets once some were dropped."""
    kept: int = 0
    """Of those, how many are in the result, bit for bit."""
    made: int = 0
    """Frames made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyResult:
    """All clips."""

    command: str
    machine: Machine
    rows: tuple[SurveyRow, ...]

    def counts(self) -> dict[str, int]:
        """How many clips there are of each outcome."""
        counts = Counter(row.outcome for row in self.rows)
        return {str(outcome): counts[outcome] for outcome in Outcome}


def survey(clips: Path, *, seconds: float, tell: Callable[[str], None]) -> tuple[SurveyRow, ...]:
    """Tries every file of a folder that holds video.

    Args:
        clips: the folder.
        seconds: how much of a longer film is looked at.
        tell: hears of each row.
    """
    rows = []
    for path in sorted(clips.iterdir()):
        if path.is_file() and (coding := _coding(path)):
            row = survey_clip(path, coding=coding, seconds=seconds)
            tell(f"{row.clip} ({row.coding}): {row.outcome}{f': {row.reason}' if row.reason else ''}")
            rows.append(row)
    return tuple(rows)


def survey_clip(path: Path, *, coding: str, seconds: float) -> SurveyRow:
    """Drops up to three pictures that no other refers to, restores the film, and verifies the result."""

    def row(outcome: Outcome, reason: str | None, *, packets: int = 0, kept: int = 0, made: int = 0) -> SurveyRow:
        return SurveyRow(
            clip=path.name,
            coding=coding,
            outcome=outcome,
            reason=reason,
            packets=packets,
            kept=kept,
            made=made,
        )

    with tempfile.TemporaryDirectory() as folder:
        gapped, restored = (Path(folder) / f"{name}{path.suffix}" for name in ("gapped", "restored"))
        try:
            dropped = _drop(path, gapped, seconds=seconds)
            if dropped is None:
                return row(Outcome.NOT_TRIED, "it holds no picture")
            if not dropped:
                return row(Outcome.NOT_TRIED, "no picture of it is known to be one that no other refers to")
            if not scan(gapped, options=_OPTIONS).gaps:
                return row(Outcome.NOT_TRIED, "the times show no gap where a picture was dropped")
            report = restore(gapped, restored, options=_OPTIONS, job=_JOB, smart=Smart.ONLY)
        except CannotSplice as error:
            return row(Outcome.FELL_BACK, _bare(error, gapped))
        except (CodecPluginError, av.FFmpegError, ValueError) as error:
            return row(Outcome.NOT_TRIED, _bare(error, gapped))
        found = verify(gapped, restored)
        return row(
            Outcome.WRONG if found.failures else Outcome.SPLICED,
            found.failures[0] if found.failures else None,
            packets=len(found.packets) - len(report.made),
            kept=found.count(found.packets)[Origin.COPIED],
            made=len(report.made),
        )


def save_survey(result: SurveyResult, path: Path) -> None:
    """Writes the result as JSON."""
    document = {**asdict(result), "counts": result.counts()}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def survey_table(path: Path) -> str:
    """A row for each clip."""
    result = json.loads(path.read_text(encoding="utf-8"))
    counts = ", ".join(f"{count} {what}" for what, count in result["counts"].items() if count)
    lines = ["| clip | coding | outcome | packets kept |", "| --- | --- | --- | --- |"]
    for row in result["rows"]:
        kept = f"{row['kept']} of {row['packets']}" if row["packets"] else "–"
        reason = f": {row['reason']}" if row["reason"] else ""
        lines.append(f"| {row['clip']} | {row['coding']} | {row['outcome']}{reason} | {kept} |")
    told = f"`{result['command']}`, commit {result['machine']['commit']}."
    return "\n".join([f"{len(result['rows'])} clips: {counts}.", "", *lines, "", told])


def _coding(path: Path) -> str | None:
    """Codec and container; None where there is no video."""
    try:
        with av.open(str(path)) as container:
            video = container.streams.video
            return f"{video[0].codec_context.name}, {container.format.name.split(',')[0]}" if video else None
    except av.FFmpegError:
        return None


def _bare(error: Exception, path: Path) -> str:
    """What an error says, without the folder that the clip was put into and the advice at the end."""
    text = str(error).partition("; --smart=auto")[0]
    for start in (f"{path}: ", f"{path.name}: ", "its packets can't be kept: "):
        text = text.removeprefix(start)
    return text.replace(str(path), path.name)


def _drop(path: Path, target: Path, *, seconds: float) -> int | None:
    """Copies a film's beginning packet for packet, but for some pictures; says for how many, None for no film."""
    with open_input(path) as container:
        film = read_coded(container, video=pick_video(container))
    if not film.pictures:
        return None
    ticks = seconds / float(film.time_base)
    length = sum(_is_within(picture, film.pictures[0], ticks=ticks) for picture in film.pictures)
    able = list(_droppable(film.pictures[:length]))
    wanted = {min(able, key=lambda index: abs(index - place * length)) for place in _PLACES} if able else set()
    if wanted:
        with open_input(path) as container:
            _copy(container, target, without=wanted, length=length)
    return len(wanted)


def _is_within(picture: CodedPicture, first: CodedPicture, *, ticks: float) -> bool:
    one, other = (p.dts if p.dts is not None else p.pts for p in (first, picture))
    return one is None or other is None or other - one < ticks


def _droppable(pictures: tuple[CodedPicture, ...]) -> Iterator[int]:
    """Pictures that no other refers to: those that say so, and the last before a beginning; never at an end."""
    for index in range(2, len(pictures) - 2):
        kind, following = pictures[index].kind, pictures[index + 1]
        begins = following.is_key if following.kind is None else following.kind.is_idr
        if begins or (kind is not None and not kind.is_reference):
            yield index


def _copy(container: InputContainer, target: Path, *, without: set[int], length: int) -> None:
    picture = pick_video(container)
    with av.open(str(target), "w") as output:
        copies = {
            stream.index: output.add_stream_from_template(stream, opaque=True)
            for stream in (picture, *(sound for sound in container.streams.audio if sound.sample_rate))
        }
        number = -1
        for packet in container.demux([container.streams[index] for index in copies]):
            if not packet.size:
                continue
            is_picture = packet.stream_index == picture.index
            number += is_picture
            if number >= length:
                break
            if not (is_picture and number in without):
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
