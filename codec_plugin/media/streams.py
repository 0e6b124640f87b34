"""What the streams beside the picture hold, boiled down to a hash each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from codec_plugin.media.packets import AnyPacket, is_flush
from codec_plugin.media.passthrough import describe
from codec_plugin.media.source import films_of, open_input, packets_of

_KINDS = ("audio", "subtitle")
_ADTS_SIZE, _ADTS_CRC_SIZE = 7, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDigest:
    """One stream."""

    name: str
    """In words."""
    codec: str
    """FFmpeg's name."""
    digest: bytes
    """Over its packets' bytes, in order; times are the container's business."""


def stream_digests(path: Path) -> list[StreamDigest]:
    """A digest of every sound and subtitle stream, and of every film but the first."""
    with open_input(path) as container:
        others = [stream for stream in container.streams if stream.type in _KINDS]
        others += films_of(container)[1:]
        codecs = {stream.index: stream.codec_context.codec.canonical_name for stream in others}
        digests = {stream.index: hashlib.blake2b(digest_size=16) for stream in others}
        if others:
            for packet in packets_of(container, others):
                if not is_flush(packet) and packet.size:
                    digests[packet.stream_index].update(_payload(packet, codec=codecs[packet.stream_index]))
        return [StreamDigest(name=describe(s), codec=codecs[s.index], digest=digests[s.index].digest()) for s in others]


def _payload(packet: AnyPacket, *, codec: str) -> memoryview:
    """A packet without MPEG-TS's own head on AAC (ADTS, ISO/IEC 13818-7 6.2)."""
    data = memoryview(packet)
    if codec == "aac" and len(data) > _ADTS_CRC_SIZE and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[_ADTS_SIZE if data[1] & 1 else _ADTS_CRC_SIZE :]
    return data
