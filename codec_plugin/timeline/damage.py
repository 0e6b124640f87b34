"""Which pictures a damaged stream leaves clean. Pure: decides from what demuxer and decoder saw."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from codec_plugin.options import Repair

LOST = "lost in decoding"
FLAGGED = "flagged as corrupt"
TAINTED = "reached by a damaged picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """One packet of the picture stream, in decode order."""

    pts: int
    """When its picture is shown, in ticks."""
    is_random_access: bool
    """IDR, or CRA/recovery point: what is shown after it and decoded after it refers to nothing before it."""
    is_reference: bool
    """Whether other pictures may refer to it (H.264 nal_ref_idc above 0; HEVC type odd or at least 16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """The pictures that are not as they were coded."""

    lost: tuple[int, ...]
    """Times of pictures that did not come out, in ticks."""
    flagged: tuple[int, ...]
    """Times of pictures that the decoder marked as corrupt."""
    tainted: tuple[int, ...]
    """Times of further pictures that a damaged reference reaches, up to the next random-access point."""

    def bad(self, repair: Repair) -> dict[int, str]:
        """The pictures to be made again under a policy, each with its reason."""
        bad = dict.fromkeys(self.lost, LOST)
        if repair in (Repair.FLAGGED, Repair.TAINTED):
            bad |= {pts: FLAGGED for pts in self.flagged if pts not in bad}
        if repair is Repair.TAINTED:
            bad |= {pts: TAINTED for pts in self.tainted if pts not in bad}
        return bad

    @property
    def is_clean(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.lost or self.flagged or self.tainted)


def find_damage(
    coded: Sequence[CodedPicture],
    *,
    lost: Collection[int],
    flagged: Collection[int],
    holes: Collection[int] = (),
) -> Damage:
    """Follows each dirty event through the pictures that refer to it.

    A damaged reference reaches everything decoded after it up to the next random-access point, and that point's
    leading pictures; a damaged non-reference reaches nothing else. Bit damage that no decoder notices (in HEVC, most
    of it) can't be found this way.

    Args:
        coded: the packets in decode order.
        lost: times of promised pictures that did not come out, or whose packet could not be decoded.
        flagged: times of pictures marked as corrupt.
        holes: times of the pictures in decode order before which packets are missing from the stream; whether those
            were references is not known, so they count as such.
    """
    events = {*lost, *flagged}
    tainted: list[int] = []
    dirty = False
    access_pts: int | None = None
    for picture in coded:
        if picture.is_random_access:
            # Leading pictures of a dirty group come after this in decode order and before it on the screen.
            access_pts = picture.pts if dirty else None
            dirty = False
        dirty = dirty or picture.pts in holes
        leads = access_pts is not None and picture.pts < access_pts
        if (dirty or leads) and picture.pts not in events:
            tainted.append(picture.pts)
        dirty = dirty or (picture.pts in events and picture.is_reference)
    return Damage(lost=tuple(sorted(lost)), flagged=tuple(sorted(flagged)), tainted=tuple(sorted(tainted)))
