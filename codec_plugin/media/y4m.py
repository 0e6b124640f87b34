"""YUV4MPEG2 from and to pipes. PyAV reads and writes the frames; the header line is ours to carry over.

FFmpeg's muxer, reached through PyAV, can't say the aspect ratio or where chroma is sited, and its demuxer takes 25 for
a rate that isn't given: so the source's own header line goes out again, with another rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO, cast

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from codec_plugin.errors import CannotHold, DamagedInput, InputError
from codec_plugin.media.color import code_of
from codec_plugin.media.packets import AnyPacket
from codec_plugin.media.pipes import PipeSource, interruptible
from codec_plugin.picture import Matrix

_MAGIC = b"YUV4MPEG2"
_LONGEST_HEADER = 4096
_BUFFER = 1 << 20  # bytes that PyAV asks for, or gives, at once: less would cut each frame into many calls
_PROGRESSIVE = b"Ip"
_LENGTH = b"XLENGTH="


@dataclass(frozen=True, slots=True, kw_only=True)
class Y4mHeader:
    """The first line of a YUV4MPEG2 stream."""

    fields: tuple[bytes, ...]
    """The words after the magic, each a letter and its value, as they stand."""

    @classmethod
    def of(cls, line: bytes) -> Y4mHeader:
        """Takes a line apart, without its end."""
        return cls(fields=tuple(line.split()[1:]))

    @property
    def rate(self) -> Fraction | None:
        """Frames a second; None where the line gives none, or one that means nothing (0:0)."""
        for field in self.fields:
            numerator, colon, denominator = field[1:].partition(b":")
            if field[:1] == b"F" and colon:
                try:
                    rate = Fraction(int(numerator), int(denominator))
                except (ValueError, ZeroDivisionError):
                    return None
                return rate if rate > 0 else None
        return None

    def with_rate(self, rate: Fraction) -> Y4mHeader:
        """The same line with another rate; a count of frames, which vspipe writes, goes."""
        counted = replace(self, fields=tuple(field for field in self.fields if not field.startswith(_LENGTH)))
        return counted._with(b"F%d:%d" % (rate.numerator, rate.denominator))

    def progressive(self) -> Y4mHeader:
        """The same line, with whole frames in place of fields."""
        return self._with(_PROGRESSIVE)

    def __bytes__(self) -> bytes:
        return b" ".join((_MAGIC, *self.fields)) + b"\n"

    def __str__(self) -> str:
        return bytes(self).decode("ascii", "replace").strip()

    def _with(self, new: bytes) -> Y4mHeader:
        place = next((index for index, field in enumerate(self.fields) if field[:1] == new[:1]), len(self.fields))
        return replace(self, fields=(*self.fields[:place], new, *self.fields[place + 1 :]))


class Y4mInput:
    """An open YUV4MPEG2 stream.

    Attributes:
        container: what a `Reader` takes.
        header: the stream's first line; its rate is the one that was given, where one was.
        name: what to call it in messages.
    """

    def __init__(self, source: PipeSource | BinaryIO, *, rate: Fraction | None = None, matrix: Matrix | None = None):
        """Reads the header.

        Args:
            source: where the stream comes from.
            rate: frames a second, believed over the header.
            matrix: how the samples were made, which the format can't say; None takes what players do for the size.

        Raises:
            InputError: it isn't YUV4MPEG2, gives no rate, or is of a kind that FFmpeg can't read.
        """
        self.name = str(getattr(source, "name", "the stream"))
        self._source = source
        with interruptible():
            self.header = self._first_line()
        if rate is not None:
            self.header = self.header.with_rate(rate)
        if self.header.rate is None:
            raise InputError(f"{self.name}: its header gives no frame rate ({self.header}); say it with --rate")
        self._replay = bytes(self.header)
        self._given = self._frames = 0
        self._end = len(self._replay)
        self.container = self._opened()
        self.stream: VideoStream = self.container.streams.video[0]
        if matrix is not None:
            self.stream.codec_context.colorspace = code_of(matrix)

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        assert self.header.rate is not None  # looked at when it was opened
        return self.header.rate

    def readable(self) -> bool:
        """Whether it can be read from; PyAV asks."""
        return True

    def seekable(self) -> bool:
        """Whether it can go back; PyAV asks."""
        return False

    def read(self, size: int) -> bytes:
        """The stream's bytes, the header line first; PyAV calls it."""
        data, self._replay = self._replay[:size], self._replay[size:]
        data = data or self._source.read(size) or b""
        self._given += len(data)
        return data

    def give_up(self) -> None:
        """Ends a read that waits in another thread."""
        if isinstance(self._source, PipeSource):
            self._source.give_up()

    def note(self, packet: AnyPacket) -> None:
        """To be called with every frame's packet: where its samples end is where the next frame must begin."""
        if packet.pos is not None and packet.size:
            self._frames, self._end = self._frames + 1, packet.pos + packet.size

    def check_end(self) -> None:
        """To be called after the last frame.

        Raises:
            DamagedInput: something is left that is no whole frame; FFmpeg ends there without a word.
        """
        left_over = self._given - self._end
        if left_over > 0:
            raise DamagedInput(
                f"{self.name}: {left_over} bytes after frame {self._frames} are no whole frame: what writes the stream "
                "has broken off, or isn't writing YUV4MPEG2 any more; the whole frames before were passed on"
            )

    def close(self) -> None:
        """Closes the container, not the pipe."""
        self.container.close()

    def _first_line(self) -> Y4mHeader:
        """The header, read byte by byte so that nothing behind it is taken."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self._source.read(1)
            line += byte or b""
            if not byte or len(line) > _LONGEST_HEADER or not line.startswith(_MAGIC[: len(line)]):
                what = "is empty" if not line else "isn't YUV4MPEG2"
                raise InputError(
                    f"{self.name} {what}; have it written with: ffmpeg -i FILM -f yuv4mpegpipe -strict -1 -"
                )
        return Y4mHeader.of(line)

    def _opened(self) -> InputContainer:
        try:
            with interruptible():
                return av.open(cast("BinaryIO", self), "r", format="yuv4mpegpipe", buffer_size=_BUFFER)
        except av.error.FFmpegError as error:
            raise InputError(
                f"{self.name}: FFmpeg can't read a stream that begins with {self.header!s}: {error.strerror or error}"
            ) from error


class Y4mWriter:
    """Writes frames as YUV4MPEG2, each as soon as it is given.

    What PyAV makes is collected and written here, not within PyAV: there, a signal that comes while the reader of the
    stream is slow would be lost.
    """

    def __init__(self, sink: BinaryIO, *, header: Y4mHeader) -> None:
        """Writes nothing yet.

        Args:
            sink: an open binary file, which stays open.
            header: the first line; its rate counts.
        """
        self._sink, self._header = sink, header
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._made: list[bytes] = []
        self._begins = False
        self.frames = 0
        """Frames written so far."""

    def write_frame(self, frame: VideoFrame) -> None:
        """Writes the next frame.

        Raises:
            BrokenPipeError: nobody reads any more.
            OSError: it can't be written.
            CannotHold: the format has no name for the frame's pixel format.
        """
        if self._container is None or self._stream is None:
            self._container, self._stream = self._begun(frame)
        frame.pts, frame.time_base = self.frames, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))
        self._send()
        self.frames += 1

    def close(self) -> None:
        """Ends the stream; there is nothing to be written for that."""
        if self._container is not None:
            self._container.close()
        self._send()

    def writable(self) -> bool:
        """Whether it can be written to; PyAV asks."""
        return True

    def write(self, data: bytes) -> int:
        """Takes what PyAV has made; PyAV calls it."""
        self._made.append(data)
        return len(data)

    def _begun(self, frame: VideoFrame) -> tuple[OutputContainer, VideoStream]:
        rate = self._header.rate
        assert rate is not None  # whoever makes a header for output gives it one
        container = av.open(
            cast("BinaryIO", self),
            "w",
            format="yuv4mpegpipe",
            options={"strict": "-1"},  # more than 8 bits, alpha
            container_options={"flush_packets": "1"},
            buffer_size=_BUFFER,
        )
        stream = container.add_stream("wrapped_avframe", rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        try:
            container.start_encoding()
        except av.error.FFmpegError as error:
            raise CannotHold(f"YUV4MPEG2 can't hold {frame.format.name}: {error.strerror or error}") from error
        return container, stream

    def _send(self) -> None:
        made, self._made = self._made, []
        if made and not self._begins:
            made, self._begins = [bytes(self._header), *_after_line(made)], True
        for data in made:
            rest = memoryview(data)
            while rest:
                rest = rest[self._sink.write(rest) or 0 :]
        self._sink.flush()


def _after_line(made: list[bytes]) -> list[bytes]:
    """What follows the first line, of which PyAV's has no aspect ratio and no siting."""
    whole = b"".join(made)
    return [whole[whole.index(b"\n") + 1 :]]
