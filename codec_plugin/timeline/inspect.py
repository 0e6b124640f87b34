"""The deep look: decodes a film once and notes damage, frozen repeats and scene cuts. Bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from codec_plugin.errors import InputError
from codec_plugin.media.nal import PictureKind, length_size_of, picture_kind
from codec_plugin.media.packets import AnyPacket, is_invisible
from codec_plugin.media.pixels import native_layout, to_picture, to_rgb_picture
from codec_plugin.media.reader import Frame, Lost, Reader
from codec_plugin.picture import Picture
from codec_plugin.timeline.damage import CodedPicture, Damage, find_damage
from codec_plugin.timeline.duplicates import Repeat, RepeatFinder, difference
from codec_plugin.timeline.scenes import cut_score, thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look for; each has its price."""

    taint: bool = False
    """Follow damage through the pictures that refer to it."""
    repeats: bool = False
    """Measure each frame against the one before."""
    cuts: bool = False
    """Find scene cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What decoding showed."""

    frame_count: int
    """Frames that came out."""
    damage: Damage
    """Pictures that are not as they were coded."""
    repeats: tuple[int, ...]
    """Times of frames that only repeat the one before, in ticks."""
    repeat_evidence: tuple[Repeat, ...]
    """The runs of repeats with their measurements; indices count decoded frames."""
    cuts: tuple[int, ...]
    """Times of the first frames after a scene cut, in ticks."""
    counts: dict[str, int]
    """What the reader counted."""


@dataclass(slots=True)
class _Notes:
    pts: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    finder: RepeatFinder = field(default_factory=RepeatFinder)
    repeats: list[Repeat] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    coded: list[CodedPicture] = field(default_factory=list)


def inspect(
    reader: Reader,
    *,
    look: Look,
    scene_threshold: float,
    holes: frozenset[int] = frozenset(),
    progress: Callable[[int], None] = lambda frames: None,
) -> Inspection:
    """Decodes everything a reader gives.

    Args:
        reader: an open reader, not yet read from.
        look: what to look for.
        scene_threshold: cut score from which two pictures are two scenes.
        holes: times of pictures before which packets are known to be lost in transmission.
        progress: called with the number of frames so far.
    """
    notes = _Notes()
    before: Picture | None = None
    small_before = None
    if look.taint:
        reader.on_packet = _coded_notes(reader, notes)
    for item in reader.items():
        if isinstance(item, Lost):
            notes.lost.append(item.pts)
        if not isinstance(item, Frame) or item.pts is None:
            continue
        notes.pts.append(item.pts)
        progress(len(notes.pts))
        if item.is_corrupt:
            notes.flagged.append(item.pts)
        if look.repeats or look.cuts:
            picture = _picture(item)
            small = thumbnail(picture) if look.cuts else None
            if before is not None and look.repeats:
                notes.repeats += notes.finder.push(difference(before, picture))
            if small is not None and small_before is not None and cut_score(small_before, small) >= scene_threshold:
                notes.cuts.append(item.pts)
            before, small_before = picture, small
    return _inspection(notes, reader, holes=holes)


def _inspection(notes: _Notes, reader: Reader, *, holes: frozenset[int]) -> Inspection:
    if not notes.pts:
        raise InputError(f"{reader.info.name}: nothing could be decoded")
    repeats = [*notes.repeats, *notes.finder.finish()]
    return Inspection(
        frame_count=len(notes.pts),
        damage=find_damage(notes.coded, lost=notes.lost, flagged=notes.flagged, holes=holes),
        repeats=tuple(notes.pts[index] for run in repeats for index in range(run.start, run.stop)),
        repeat_evidence=tuple(repeats),
        cuts=tuple(notes.cuts),
        counts=dict(reader.counts),
    )


def _picture(frame: Frame) -> Picture:
    native = native_layout(frame.format.name) is not None
    return to_picture(frame) if native else to_rgb_picture(frame)


def _coded_notes(reader: Reader, notes: _Notes) -> Callable[[AnyPacket], None]:
    codec = reader.info.video.codec
    length_size = length_size_of(reader.extradata, codec=codec)

    def note(packet: AnyPacket) -> None:
        if packet.pts is None or not packet.size or is_invisible(packet, codec=codec):
            return
        kind = picture_kind(memoryview(packet), codec=codec, length_size=length_size) or PictureKind(
            is_idr=packet.is_keyframe,
            is_random_access=packet.is_keyframe,
            is_reference=not packet.is_disposable,
        )
        notes.coded.append(
            CodedPicture(pts=packet.pts, is_random_access=kind.is_random_access, is_reference=kind.is_reference)
        )

    return note
