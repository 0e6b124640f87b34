"""Which encoder carries a source, and what it must be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.codec import Codec, CodecContext
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from codec_plugin.errors import CannotHold
from codec_plugin.media.color import HdrMetadata
from codec_plugin.media.formats import advice, holds
from codec_plugin.options import EncodeOptions

_LAMBDA_PER_QSCALE = 118  # FFmpeg's FF_QP2LAMBDA
_LOSSLESS_SOURCES = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "magicyuv", "qtrle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderKind:
    """What is particular to one encoder."""

    look_alike: Mapping[str, str]
    """Options for a quality that looks like the input."""
    lossless: Mapping[str, str] | None = None
    """Options for bit-exact coding; None where it has none."""
    lossy_presets: frozenset[str] = frozenset()
    """Presets with which its lossless mode isn't: x265 4.2 so codes some samples wrongly in one run of ten, other ones
    each time, on one thread too; with its other presets in none of 1100 runs."""
    crf_key: str = "crf"
    """What it calls constant quality."""
    preset_key: str = "preset"
    """What it calls a trade of speed for size."""
    counts_frames: bool = False
    """Whether its time base must be one frame: MPEG-2 and MPEG-4 part 2 know no finer ticks."""
    rates: Callable[[Fraction], bool] = lambda rate: True
    """Which frame rates its bitstream can say."""
    params_key: str | None = None
    """The option that takes key=value pairs for the library behind it."""
    params: Callable[[HdrMetadata | None, bool], Mapping[str, str]] | None = field(default=None)
    """What goes into those pairs, given HDR10 metadata and whether the transfer is HDR."""


def _x264_params(hdr: HdrMetadata | None, is_hdr: bool) -> Mapping[str, str]:
    # force-cfr: else x264 writes the time base where the bitstream's own frame rate belongs, and a scan of the
    # result could not tell a regular drop any more. Time stamps pass through unchanged either way.
    params = {"force-cfr": "1"}
    if hdr:
        names = {"master-display": "mastering-display", "max-cll": "cll"}
        params |= {names[key]: value for key, value in hdr.as_x265().items()}
    return params


def _x265_params(hdr: HdrMetadata | None, is_hdr: bool) -> Mapping[str, str]:
    params = {"log-level": "error"}
    if hdr:
        params |= {"repeat-headers": "1"} | hdr.as_x265()
        if "max-cll" in params:  # hdr10=1 alone would write MaxCLL 0,0
            params["hdr10"] = "1"
    return params


def _svtav1_params(hdr: HdrMetadata | None, is_hdr: bool) -> Mapping[str, str]:
    return hdr.as_svtav1() if hdr else {}


# ISO/IEC 13818-2, table 6-4.
_MPEG2_RATES = frozenset(map(Fraction, "24000/1001 24 25 30000/1001 30 50 60000/1001 60".split()))

KINDS: Mapping[str, EncoderKind] = {
    "libx264": EncoderKind(
        look_alike={"crf": "17", "preset": "medium"},
        lossless={"qp": "0", "preset": "veryfast"},
        params_key="x264-params",
        params=_x264_params,
    ),
    "libx264rgb": EncoderKind(
        look_alike={"crf": "15", "preset": "medium"},
        lossless={"qp": "0", "preset": "veryfast"},
        params_key="x264-params",
        params=_x264_params,
    ),
    "libx265": EncoderKind(
        look_alike={"crf": "18", "preset": "medium"},
        lossless={"x265-params": "lossless=1", "preset": "medium"},
        lossy_presets=frozenset({"veryfast", "fast"}),
        params_key="x265-params",
        params=_x265_params,
    ),
    "libsvtav1": EncoderKind(
        look_alike={"crf": "22", "preset": "7"},
        lossless={"svtav1-params": "lossless=1", "preset": "8"},
        params_key="svtav1-params",
        params=_svtav1_params,
    ),
    "libvpx-vp9": EncoderKind(
        look_alike={"crf": "20", "b": "0", "cpu-used": "3", "row-mt": "1"},
        lossless={"lossless": "1", "cpu-used": "3", "row-mt": "1"},
        preset_key="cpu-used",
    ),
    "ffv1": EncoderKind(look_alike={}, lossless={}),
    "mpeg4": EncoderKind(
        look_alike={"qscale": "2"},
        crf_key="qscale",
        counts_frames=True,
        rates=lambda rate: rate.numerator < 2**16,  # ISO/IEC 14496-2: vop_time_increment_resolution has 16 bits
    ),
    "mpeg2video": EncoderKind(
        look_alike={"qscale": "2"}, crf_key="qscale", counts_frames=True, rates=_MPEG2_RATES.__contains__
    ),
    "h264_nvenc": EncoderKind(
        look_alike={"rc": "vbr", "cq": "18", "preset": "p5"},
        lossless={"preset": "p5", "tune": "lossless"},
        crf_key="cq",
    ),
    "hevc_nvenc": EncoderKind(
        look_alike={"rc": "vbr", "cq": "19", "preset": "p5"},
        lossless={"preset": "p5", "tune": "lossless"},
        crf_key="cq",
    ),
    "av1_nvenc": EncoderKind(look_alike={"rc": "vbr", "cq": "22", "preset": "p5"}, crf_key="cq"),
}
"""What this package knows about encoders; any other one of PyAV's works with its own defaults and options."""

_PREFERRED_BY_CODEC = {"hevc": "libx265", "av1": "libsvtav1", "mpeg4": "mpeg4"}
_PREFERRED_BY_FORMAT = {"webm": "libvpx-vp9", "mpeg": "mpeg2video", "vob": "mpeg2video", "avi": "libx264"}
_CARRIERS = ("libx264", "libx265", "libx264rgb", "libvpx-vp9", "libsvtav1", "ffv1", "mpeg4", "mpeg2video")
_CODEC_OF_FORMAT_ONLY = {"mpeg4": "avi"}  # MPEG-4 part 2 stays itself in AVI; elsewhere H.264 is its heir


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What an encoder must be able to carry."""

    codec: str
    """FFmpeg's name of the source's codec."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    pixel_format: str
    """The frames' format; they are never converted."""
    rate: Fraction
    """Frames a second, for rate control and the bitstream's own timing."""
    time_base: Fraction
    """Seconds a tick of the frames that will come."""
    hdr: HdrMetadata | None = None
    """HDR10 metadata of the source."""
    is_hdr: bool = False
    """Whether its transfer is PQ or HLG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChoice:
    """An encoder and everything it is told."""

    name: str
    """FFmpeg's name."""
    options: Mapping[str, str]
    """FFmpeg options, the user's own among them."""
    bitrate: int | None
    """Bits a second, or None for constant quality."""
    qscale: float | None
    """For encoders with a fixed quantiser scale, its value."""
    threads: int
    """0 for as many as there are cores."""
    reason: str
    """Why this one, for the report."""
    is_lossless: bool
    """Whether decoding gives the very same pixels."""

    def describe(self) -> str:
        """The choice in one line, for people."""
        told = [f"{key}={value}" for key, value in self.options.items()]
        if self.bitrate:
            told.insert(0, f"{self.bitrate / 1000:g} kbit/s")
        if self.qscale:
            told.insert(0, f"qscale={self.qscale:g}")
        return f"{self.name} ({', '.join(told)})" if told else self.name


def choose_encoder(options: EncodeOptions, *, container: OutputContainer, film: Film) -> EncoderChoice:
    """Picks the encoder and its options for a film.

    Args:
        options: what the user asked for.
        container: the output, which must be able to hold the codec.
        film: what is to be carried.

    Raises:
        CannotHold: no such encoder, or it can't take the film, or the container can't hold its codec.
    """
    if options.encoder is not None:
        name = _check(options.encoder, container=container, film=film)
        return _told(name, options, reason="asked for", container=container, film=film)
    name = _default(options, container=container, film=film)
    reason = f"carries {film.codec} {film.pixel_format} in {container.format.name}"
    return _told(name, options, reason=reason, container=container, film=film)


def takes(name: str, pixel_format: str) -> bool:
    """Whether an encoder is there and takes a pixel format as it is."""
    try:
        formats = Codec(name, "w").video_formats
    except ValueError:  # PyAV's UnknownCodecError is one
        return False
    return formats is None or pixel_format in {form.name for form in formats}


def _default(options: EncodeOptions, *, container: OutputContainer, film: Film) -> str:
    form = container.format.name
    keeps = film.codec in _PREFERRED_BY_CODEC and _CODEC_OF_FORMAT_ONLY.get(film.codec, form) == form
    if film.codec in _LOSSLESS_SOURCES and not options.bitrate and options.crf is None:
        order = ["ffv1", *_CARRIERS]
    else:
        order = [_PREFERRED_BY_CODEC[film.codec]] if keeps else []
        order += [_PREFERRED_BY_FORMAT.get(form, "libx264"), *_CARRIERS]
    for name in dict.fromkeys(order):
        can = not options.lossless or KINDS[name].lossless is not None
        if can and _holds(container, name) and _opens(name, film):
            return name
    what = "lossless " if options.lossless else ""
    raise CannotHold(
        f"no {what}encoder for {film.size[0]}x{film.size[1]} {film.pixel_format} at {float(film.rate):g} fps that a "
        f"{form} file can hold; {advice(container)}name one with --encoder"
    )


def _holds(container: OutputContainer, encoder: str) -> bool:
    return holds(container, Codec(encoder, "w").canonical_name)


def _opens(name: str, film: Film) -> bool:
    """Whether an encoder takes the film, found out by opening it: odd sizes in 4:2:0, for one, only some take."""
    if not takes(name, film.pixel_format) or not KINDS[name].rates(film.rate):
        return False
    context = CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = film.size
    context.pix_fmt = film.pixel_format
    context.time_base, context.framerate = 1 / film.rate, film.rate
    context.options = {"x265-params": "log-level=none"} if name == "libx265" else {}
    try:
        context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _check(name: str, *, container: OutputContainer, film: Film) -> str:
    """The encoder's own name, where the codec's was given, once it is known to fit."""
    try:
        codec = Codec(name, "w")
        name = codec.name
    except ValueError as error:
        raise CannotHold(f"no encoder is called {name!r} here; `codec-plugin doctor` lists those there are") from error
    if codec.type != "video":
        raise CannotHold(f"{name} is an encoder for {codec.type}, not for video")
    if not takes(name, film.pixel_format):
        able = [other for other in _CARRIERS if takes(other, film.pixel_format)]
        raise CannotHold(
            f"encoder {name} can't take {film.pixel_format} as it is, and source frames are never converted; "
            f"encoders that can: {', '.join(able) or 'none known'}"
        )
    if not _holds(container, name):
        raise CannotHold(
            f"a {container.format.name} file can't hold what {name} makes; {advice(container)}name another encoder"
        )
    if name in KINDS and not KINDS[name].rates(film.rate):
        raise CannotHold(f"{name} can't say a frame rate of {film.rate}; name another encoder")
    is_software = "nvenc" not in name  # without its GPU that refuses everything
    if name in KINDS and is_software and not _opens(name, film):
        able = [other for other in _CARRIERS if _opens(other, film) and _holds(container, other)]
        raise CannotHold(
            f"{name} can't take {film.size[0]}x{film.size[1]} {film.pixel_format} at {float(film.rate):g} fps (4:2:0 "
            f"wants even sizes of most encoders); encoders that can: {', '.join(able) or 'none known'}"
        )
    return name


def _told(name: str, options: EncodeOptions, *, reason: str, container: OutputContainer, film: Film) -> EncoderChoice:
    kind = KINDS.get(name, EncoderKind(look_alike={}))
    if options.lossless and kind.lossless is None:
        raise CannotHold(f"encoder {name} has no lossless mode here; take ffv1, libx264, libx265 or libvpx-vp9")
    if options.lossless and options.preset in kind.lossy_presets:
        raise CannotHold(f"{name} isn't bit-exact with preset {options.preset}; take medium, or leave it out")
    told = dict(kind.lossless or {}) if options.lossless else dict(kind.look_alike)
    if options.bitrate:
        told = {k: v for k, v in told.items() if k not in (kind.crf_key, "b", "rc")}
    if options.crf is not None:
        told[kind.crf_key] = f"{options.crf:g}"
    if options.preset is not None:
        told[kind.preset_key] = options.preset
    if container.format.name == "avi":
        told["bf"] = "0"  # AVI keeps decode times only: reordered pictures would lose theirs
    told |= _library_params(kind, options, told, film=film)
    told |= {key: value for key, value in options.extra.items() if key != kind.params_key}
    qscale = told.pop("qscale", None)
    return EncoderChoice(
        name=name,
        options=told,
        bitrate=options.bitrate,
        qscale=float(qscale) if qscale else None,
        threads=options.threads,
        reason=reason,
        is_lossless=options.lossless or name == "ffv1",
    )


def _library_params(
    kind: EncoderKind, options: EncodeOptions, told: Mapping[str, str], *, film: Film
) -> dict[str, str]:
    """The library's own key=value pairs: ours, those of the mode, and the user's last, so that theirs win."""
    if kind.params_key is None:
        return {}
    ours = dict(kind.params(film.hdr, film.is_hdr)) if kind.params else {}
    pairs = [f"{key}={value}" for key, value in ours.items()]
    pairs += [text for text in (told.get(kind.params_key), options.extra.get(kind.params_key)) if text]
    return {kind.params_key: ":".join(pairs)} if pairs else {}


def add_encoder(container: OutputContainer, choice: EncoderChoice, *, film: Film) -> VideoStream:
    """Adds the encoding stream to an output; it is opened by `open_encoder`, once its colours are set.

    Raises:
        CannotHold: the container refuses it.
    """
    kind = KINDS.get(choice.name)
    rate = film.rate.limit_denominator(100_000)
    try:
        stream = container.add_stream(choice.name, rate=rate, options=dict(choice.options))
    except (av.error.FFmpegError, ValueError) as error:
        raise CannotHold(f"the file can't take a {choice.name} stream: {error}") from error
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = film.size
    stream.pix_fmt = film.pixel_format
    context = stream.codec_context
    counts_frames = container.format.name == "avi" or (kind is not None and kind.counts_frames)
    stream.time_base = context.time_base = 1 / rate if counts_frames else film.time_base
    context.thread_count = choice.threads
    if choice.bitrate:
        context.bit_rate = choice.bitrate
    if choice.qscale:
        context.flags |= Flags.qscale
        context.global_quality = int(choice.qscale * _LAMBDA_PER_QSCALE)
    return stream


def open_encoder(stream: VideoStream, choice: EncoderChoice) -> None:
    """Opens an encoder and sees to it that no option of it was passed over in silence.

    Raises:
        CannotHold: the encoder refuses its options or the picture, or doesn't know one of the options.
    """
    context = stream.codec_context
    try:
        context.open(strict=False)
    except (av.error.FFmpegError, ValueError) as error:
        raise CannotHold(
            f"{choice.describe()} refuses these options, or {context.width}x{context.height} {context.pix_fmt}; "
            "each encoder has its own names for presets, and --encoder-option is checked by it alone"
        ) from error
    if context.options:
        unknown = ", ".join(f"{key}={value}" for key, value in context.options.items())
        raise CannotHold(f"{choice.name} knows no such option: {unknown}")
