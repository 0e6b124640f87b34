"""What containers can hold, where FFmpeg's muxers themselves don't say."""

from __future__ import annotations

from collections.abc import Mapping

from av.container import OutputContainer

# FFmpeg 8.1's muxers for these accept what they then write as junk (srt, ass and fonts go into MPEG-TS without a
# word and come out as private data), and their tables of codecs, which PyAV shows, name only a few of those they take.
_ONLY: Mapping[str, frozenset[str]] = {
    "mpegts": frozenset(
        "h264 hevc vvc mpeg1video mpeg2video mpeg4 aac aac_latm mp1 mp2 mp3 ac3 eac3 dts opus truehd "
        "dvb_subtitle dvb_teletext hdmv_pgs_subtitle scte_35 timed_id3 klv".split()
    ),
    "mpeg": frozenset("mpeg1video mpeg2video h264 mp1 mp2 mp3 ac3 dts pcm_dvd dvd_subtitle".split()),
    "vob": frozenset("mpeg1video mpeg2video h264 mp2 mp3 ac3 dts pcm_dvd dvd_subtitle".split()),
    "ogg": frozenset("theora vorbis opus flac speex vp8".split()),
}
MP4_LIKE = frozenset({"mp4", "mov", "ipod", "3gp", "3g2", "psp"})
"""Formats of the ISO base media family."""
MP4_TAGS = frozenset(
    "title artist album_artist composer album date encoder comment genre copyright grouping lyrics description "
    "synopsis show episode_id network keywords track disc creation_time timecode major_brand minor_version "
    "compatible_brands".split()
)
"""The tags that FFmpeg writes into MP4 in the form that every player reads."""


def may_hold(container: OutputContainer, codec: str) -> bool:
    """Whether a copy of a stream of this codec is worth trying; the muxer may still refuse it."""
    only = _ONLY.get(container.format.name)
    return only is None or codec in only


def holds(container: OutputContainer, codec: str) -> bool:
    """Whether a container holds a codec, by what is known of its muxer."""
    only = _ONLY.get(container.format.name)
    return codec in (container.supported_codecs if only is None else only)


def advice(container: OutputContainer) -> str:
    """Which container to take instead."""
    return "" if container.format.name == "matroska" else "write to .mkv, or "
