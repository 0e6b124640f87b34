"""`Reader`: every shown frame in presentation order with its exact time, and the other streams' packets."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from types import TracebackType
from typing import TypeAlias

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.errors import DamagedInput, UnsupportedInput
from codec_plugin.media.color import Appearance, appearance_of
from codec_plugin.media.deinterlace import Deinterlacer
from codec_plugin.media.packets import AnyPacket, DecoderOrder, is_flush, is_invisible, ordinal_time
from codec_plugin.media.pipes import PipeSource
from codec_plugin.media.probe import SourceInfo, TimeKeeping, probe_source
from codec_plugin.media.source import (
    Source,
    input_errors,
    is_cover_art,
    late_index_hint,
    open_input,
    packets_of,
    pick_video,
    source_name,
    standard_pipe,
)
from codec_plugin.timing import Timestamp, round_half_up, show_time

_SEEK_BACK_S = (0, 2, 8, 30, 120)  # seconds to go back further, until a key frame is met
_LONG_BEFORE_S = 1000  # so far before the first time FFmpeg's seek ends at the file's beginning

_PATIENCE_PACKETS = 500  # this many undecodable packets before the first picture: it isn't going to come


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A picture that the packets promised and the decoder did not give."""

    pts: int
    """When it should have been shown, in the stream's ticks."""


Frame = VideoFrame
"""A decoded frame, as PyAV has it."""

Item: TypeAlias = "Frame | Lost | AnyPacket"
"""What a reader yields: a frame, the place of a lost one, or a packet of another stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of the film, for previews."""

    start: Fraction = Fraction(0)
    """Seconds from the film's first moment."""
    duration: Fraction | None = None
    """Seconds; None for all that follows."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut off."""
        return self.start == 0 and self.duration is None

    def bounds(self, info: SourceInfo) -> tuple[Fraction, Fraction | None]:
        """[start, stop) in the file's own time, seconds; stop is None at the end."""
        start = info.start + self.start
        return start, None if self.duration is None else start + self.duration


class Reader:
    """Reads one file once, from a path, an open file or a pipe.

    Damage is counted in `counts`, never hidden; a picture that the packets promise and the decoder doesn't give
    comes out as `Lost`. Frames go out as the decoder made them: no conversion, the same planes.

    Attributes:
        appearance: colours, HDR metadata and rotation of the first frame, once it was read.
        counts: damage and what was left out, by name.
        interlaced_is_fine: whether interlaced frames pass; else they are refused.
        jumps_are_fine: whether times may jump back at a key frame; else that is refused. Off where no scan came first.
        on_packet: where set, called with each packet of the picture stream before it is decoded.

    Raises:
        InputError: on opening, where there is nothing to read.
    """

    def __init__(
        self,
        source: Source | PipeSource | InputContainer,
        *,
        video: int | None = None,
        threads: int = 0,
        window: Window | None = None,
        deinterlace: bool = False,
        name: str | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.appearance: Appearance | None = None
        self.on_packet: Callable[[AnyPacket], None] | None = None
        self.interlaced_is_fine = deinterlace
        self.jumps_are_fine = True
        self._owned = not isinstance(source, InputContainer)
        if isinstance(source, InputContainer):
            self._pipe, self.container, name = None, source, name or source.name
        else:
            self._pipe = source if isinstance(source, PipeSource) else standard_pipe(source)
            self.container, name = open_input(self._pipe or source), name or source_name(source)
        self._empty_hint = ""  # why a film may hold nothing, where that isn't damage
        try:
            self.stream = pick_video(self.container, video)
            self.info = probe_source(self.container, video=self.stream, name=name)
        except BaseException:
            self.close()
            raise
        if not isinstance(source, InputContainer):
            self._empty_hint = late_index_hint(source, container=self.info.container)
        self._window = window or Window()
        self._deinterlacer = Deinterlacer() if deinterlace else None
        context = self.stream.codec_context
        if not context.is_open:
            context.thread_type = "AUTO"
            context.thread_count = threads
            # Without it a HEVC decoder drops everything up to the next random-access point after one lost reference.
            context.flags |= Flags.output_corrupt

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file, if the reader opened it."""
        if self._owned:
            self.container.close()

    def abandon(self) -> None:
        """Ends a read that waits for a pipe in another thread; nothing more will come."""
        if self._pipe is not None:
            self._pipe.give_up()

    @property
    def extradata(self) -> bytes | None:
        """The video stream's parameter sets, as the container has them."""
        return self.stream.codec_context.extradata

    def frames(self) -> Iterator[VideoFrame]:
        """Only the frames."""
        return (item for item in self.items(copied=()) if isinstance(item, VideoFrame))

    def items(self, *, copied: tuple[int, ...] = ()) -> Iterator[Item]:
        """Frames, lost frames and the packets of the streams with the indices `copied`, as the file has them.

        Raises:
            DamagedInput: nothing at all could be decoded.
            UnsupportedInput: the stream is interlaced, its size changes on the way, or its times jump back where
                that was not said to be fine.
        """
        start, stop = self._window.bounds(self.info)
        if self._window.start:
            self._seek(start)
        wanted = [s for s in self.container.streams if s.index == self.stream.index or s.index in copied]
        always = {s.index for s in wanted if self._window.is_whole or (isinstance(s, VideoStream) and is_cover_art(s))}
        clock = _PictureTimes(self.info, self.counts)
        for packet in self._packets(wanted, stop=stop):
            if packet.stream_index == self.stream.index:
                if self.on_packet is not None:
                    self.on_packet(packet)
                if clock.promise(packet) and not self.jumps_are_fine:
                    raise UnsupportedInput(jumped_back(self.info.name, packet.pts, self.info.video.time_base))
                for item in clock.timed(self._whole(self._decode(packet))):
                    yield from self._checked(item, start=start, stop=stop)
            elif packet.stream_index in always or _inside(packet, start=start, stop=stop):
                yield packet
        for item in chain(clock.timed(self._last_whole(self._decode(None))), clock.never_came()):
            yield from self._checked(item, start=start, stop=stop)
        if not self.counts["frames"]:
            raise DamagedInput(
                f"{self.info.name}: no picture could be decoded from stream {self.stream.index} "
                f"({self.info.video.codec}){self._empty_hint or '; the file is damaged'}"
            )

    def _seek(self, start: Fraction) -> None:
        """Goes to a key frame at or before a time.

        MPEG-TS has no index and lands anywhere, so what comes first is looked at, and the next try goes further back.
        Times that are counted from the beginning can't be told after a seek: such films are read from there.
        """
        if self.info.video.time_keeping is not TimeKeeping.PTS:
            return
        for back_s in _SEEK_BACK_S:
            seconds = start - back_s
            if seconds <= self.info.start:
                break
            self._go_to(seconds)
            key = next((p for p in self.container.demux(self.stream) if p.is_keyframe and p.pts is not None), None)
            if key is not None and key.pts is not None and key.pts * self.info.video.time_base <= start:
                self._go_to(seconds)
                return
        self._go_to(self.info.start - _LONG_BEFORE_S)

    def _go_to(self, seconds: Fraction) -> None:
        target = round_half_up(seconds / self.info.video.time_base)
        with input_errors(self.info.name):
            self.container.seek(target, stream=self.stream, backward=True)

    def _packets(self, wanted: list[av.stream.Stream], *, stop: Fraction | None) -> Iterator[AnyPacket]:
        """Demuxes up to the end, or a little past the window's; a file that breaks off ends there, counted."""
        try:
            for packet in packets_of(self.container, wanted, counts=self.counts):
                done = (
                    stop is not None
                    and packet.stream_index == self.stream.index
                    and packet.dts is not None
                    and packet.dts * self.info.video.time_base >= stop + 1
                )
                if done:
                    break
                if is_flush(packet) and packet.stream_index == self.stream.index:
                    break
                yield packet
        except av.error.FFmpegError as error:
            self.counts[f"file breaks off ({error.strerror or error})"] += 1

    def _decode(self, packet: AnyPacket | None) -> list[VideoFrame]:
        if packet is not None and not packet.size:
            self.counts["empty packets"] += 1
            return []
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            self.counts["undecodable packets"] += 1
            if self.counts["undecodable packets"] > _PATIENCE_PACKETS and not self.counts["frames"]:
                raise DamagedInput(
                    f"{self.info.name}: the first {_PATIENCE_PACKETS} packets of stream {self.stream.index} "
                    "can't be decoded; the file is damaged or encrypted"
                ) from None
            return []

    def _whole(self, frames: Iterable[VideoFrame]) -> Iterable[VideoFrame]:
        return self._deinterlacer.feed(frames) if self._deinterlacer else frames

    def _last_whole(self, frames: Iterable[VideoFrame]) -> Iterable[VideoFrame]:
        return chain(self._whole(frames), self._deinterlacer.finish() if self._deinterlacer else ())

    def _checked(self, item: VideoFrame | Lost, *, start: Fraction, stop: Fraction | None) -> Iterator[Item]:
        assert item.pts is not None  # _PictureTimes gives every frame one
        seconds = item.pts * self.info.video.time_base
        if (self._window.start and seconds < start) or (stop is not None and seconds >= stop):
            return
        if isinstance(item, VideoFrame):
            self._check_sort(item)
            self.counts["frames"] += 1
        yield item

    def _check_sort(self, frame: VideoFrame) -> None:
        where = f"{self.info.name}, {Timestamp(pts=frame.pts or 0, time_base=self.info.video.time_base)}"
        if frame.interlaced_frame and not self.interlaced_is_fine:
            raise UnsupportedInput(f"{where}: the video is interlaced; --deinterlace makes whole frames of it first")
        if not self.counts["frames"]:
            self.appearance = appearance_of(frame)
            self._sort = (frame.width, frame.height, frame.format.name)
        elif self._sort != (frame.width, frame.height, frame.format.name):
            before, after = ("{}x{} {}".format(*sort) for sort in (self._sort, _sort_of(frame)))
            raise UnsupportedInput(
                f"{where}: the picture changes from {before} to {after}, which one encoded stream can't follow; "
                f"split the file at {show_time((frame.pts or 0) * self.info.video.time_base)} and do the parts"
            )


def jumped_back(name: str, pts: int | None, time_base: Fraction) -> str:
    """What to say of a stream whose times jump back."""
    return (
        f"{name}: times jump back at {show_time((pts or 0) * time_base)} (files joined end to end?), and one output "
        "can't; split it there, or give it new times first by remuxing"
    )


def _sort_of(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _inside(packet: AnyPacket, *, start: Fraction, stop: Fraction | None) -> bool:
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None or packet.time_base is None:
        return not is_flush(packet)
    seconds = time * packet.time_base
    return seconds >= start and (stop is None or seconds < stop)


class _PictureTimes:
    """Puts the exact time on each frame out of the decoder, and notices those that don't come."""

    def __init__(self, info: SourceInfo, counts: Counter[str]) -> None:
        self._video = info.video
        self._counts = counts
        self._promised: list[int] = []
        self._order = DecoderOrder(info.video)
        self._decode_times: deque[int] = deque()
        self._ordinal = 0
        self._first_key: int | None = None
        self._last: int | None = None
        self._highest: int | None = None

    def promise(self, packet: AnyPacket) -> bool:
        """Notes the time of a packet that goes into the decoder; whether it is a key frame that jumps back."""
        if not packet.size or is_invisible(packet, codec=self._video.codec):
            return False
        if self._video.time_keeping is TimeKeeping.DECODER_ORDER and packet.dts is not None:
            self._decode_times.extend(self._order.sent(packet.dts))
        if self._video.time_keeping is not TimeKeeping.PTS or packet.pts is None:
            return False
        if self._first_key is None and packet.is_keyframe:
            self._first_key = packet.pts
        if packet.is_discard:
            return False
        heapq.heappush(self._promised, packet.pts)
        # A key frame is shown after all that is decoded before it, as the scan's packet table has it.
        jumps = packet.is_keyframe and self._highest is not None and packet.pts < self._highest
        self._highest = packet.pts if self._highest is None else max(self._highest, packet.pts)
        return jumps

    def timed(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame | Lost]:
        """Frames with their times, each after the lost ones before it; those that can't be shown are counted."""
        for frame in frames:
            frame.pts = self._time_of(frame)
            if frame.pts is None:
                self._counts["frames without a time"] += 1
            elif self._is_early(frame.pts):
                self._counts["pictures before the first random-access point"] += 1
            elif self._last is not None and frame.pts <= self._last:
                self._counts["frames that go back in time"] += 1
            else:
                yield from self._lost_before(frame.pts)
                self._last = frame.pts
                yield frame

    def never_came(self) -> Iterator[Lost]:
        """The pictures promised after the last frame.

        Where only decode times are known, so many are lost as fewer came out than went in; which ones can't be told.
        """
        for pts in (*self._decode_times, *self._order.rest()):
            if self._last is None or pts > self._last:
                self._counts["lost pictures"] += 1
                yield Lost(pts=pts)
        if self._promised:
            yield from self._lost_before(max(self._promised) + 1)

    def _lost_before(self, pts: int) -> Iterator[Lost]:
        while self._promised and self._promised[0] <= pts:
            promised = heapq.heappop(self._promised)
            already = self._last is not None and promised <= self._last
            early = self._first_key is None or promised < self._first_key
            if promised < pts and not already and not early:
                self._last = promised
                self._counts["lost pictures"] += 1
                yield Lost(pts=promised)

    def _is_early(self, pts: int) -> bool:
        """Whether a picture is shown before the first random-access point, so that it can't be whole."""
        if self._video.time_keeping is not TimeKeeping.PTS:
            return False
        return self._first_key is None or pts < self._first_key

    def _time_of(self, frame: VideoFrame) -> int | None:
        if self._video.time_keeping is TimeKeeping.DECODER_ORDER:
            if not self._decode_times:
                self._decode_times.extend(self._order.rest())
            return self._decode_times.popleft() if self._decode_times else None
        if self._video.time_keeping is TimeKeeping.ORDINAL:
            self._ordinal += 1
            return ordinal_time(self._ordinal - 1, video=self._video)
        return frame.pts if frame.pts is not None else frame.dts
