"""The element `fcvg`: pads, caps, times, latency, flushes; what is made comes from the package's own weaver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import gi

from codec_plugin.errors import CodecPluginError, EngineError, OptionError
from codec_plugin.grids import Multiply, Resample, Restore, Verb
from codec_plugin.options import DEFAULT_ENGINE, DEFAULT_SCENE_THRESHOLD, FACTOR_RANGE, Duplicates, RestoreOptions
from gstfcvg.caps import TEMPLATE

gi.require_version("Gst", "1.0")
from gi.repository import GObject, Gst  # noqa: E402  # only after its version is said

if TYPE_CHECKING:
    from codec_plugin.filling import Filler
    from gstfcvg.formats import Look
    from gstfcvg.stream import Run, Shown

# GStreamer loads every plugin to see what there is; PyAV and OpenCV come with the first stream, in the functions below.
_NONE = Gst.CLOCK_TIME_NONE
_ANY_RATE = "(fraction)[0/1,2147483647/1]"
_READWRITE = GObject.ParamFlags.READWRITE


def _template(name: str, direction: Gst.PadDirection) -> Gst.PadTemplate:
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(TEMPLATE))


class Fcvg(Gst.Element):
    """More frames for raw video, or only those that a stream has lost (`factor=1`).

    Buffers of the stream pass through with their own memory and times; new ones stand between them. A frame is held
    until the next one has come: that is the latency it reports.
    """

    __gtype_name__ = "GstFcvg"
    __gstmetadata__ = (
        "Frame restoration and frame-rate doubling",
        "Filter/Effect/Video",
        "Makes the frames that a stream has lost, or more of them (codec-plugin)",
        "the codec-plugin authors",
    )
    __gsttemplates__ = (_template("sink", Gst.PadDirection.SINK), _template("src", Gst.PadDirection.SRC))
    __gproperties__: ClassVar[dict[str, Any]] = {
        "factor": (
            GObject.TYPE_INT,
            "Factor",
            "So many times the frame rate; 1 fills gaps and adds nothing else",
            1,
            int(FACTOR_RANGE.most),
            2,
            _READWRITE,
        ),
        "fps": (
            GObject.TYPE_STRING,
            "Rate",
            "Frames a second, such as 60 or 60000/1001, in place of factor",
            "",
            _READWRITE,
        ),
        "engine": (
            GObject.TYPE_STRING,
            "Engine",
            "Who makes the frames; `codec-plugin engines` lists them",
            DEFAULT_ENGINE,
            _READWRITE,
        ),
        "engine-options": (
            GObject.TYPE_STRING,
            "Engine options",
            "ENGINE.K=V, with commas between; a bare K=V is the chosen engine's",
            "",
            _READWRITE,
        ),
        "fallback": (
            GObject.TYPE_STRING,
            "Fallback",
            "Who makes the frames that the engine says it can't; hold for nobody, empty for what the engine says",
            "",
            _READWRITE,
        ),
        "scene-threshold": (
            GObject.TYPE_DOUBLE,
            "Scene threshold",
            "Cut score from which frames are held, not made; 100 makes frames across every cut",
            0.0,
            100.0,
            DEFAULT_SCENE_THRESHOLD,
            _READWRITE,
        ),
        "fill-duplicates": (
            GObject.TYPE_BOOLEAN,
            "Fill duplicates",
            "Make frozen repeats again, such as videorate puts into gaps; two seconds more latency",
            False,
            _READWRITE,
        ),
    }

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {
            "factor": 2,
            "fps": "",
            "engine": DEFAULT_ENGINE,
            "engine-options": "",
            "fallback": "",
            "scene-threshold": DEFAULT_SCENE_THRESHOLD,
            "fill-duplicates": False,
        }
        self._filler: Filler | None = None
        self._look: Look | None = None
        self._caps: Gst.Caps | None = None
        self._run: Run | None = None
        self._next_ns: int | None = None
        self._discontinuous = True
        sink, src = self.__gsttemplates__
        self._sink = Gst.Pad.new_from_template(sink, "sink")
        self._sink.set_chain_function_full(self._chain)
        self._sink.set_event_function_full(self._sink_event)
        self._sink.set_query_function_full(self._sink_query)
        self._src = Gst.Pad.new_from_template(src, "src")
        self._src.set_event_function_full(self._src_event)
        self._src.set_query_function_full(self._src_query)
        self.add_pad(self._sink)
        self.add_pad(self._src)

    def do_get_property(self, prop: Any) -> Any:
        """GObject's question for a property."""
        return self._values[prop.name]

    def do_set_property(self, prop: Any, value: Any) -> None:
        """GObject's order to set one; it counts from the next start on."""
        self._values[prop.name] = value

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Loads the engine before the stream comes, and frees it after."""
        if transition == Gst.StateChange.NULL_TO_READY and not self._loaded():
            return Gst.StateChangeReturn.FAILURE
        result = Gst.Element.do_change_state(self, transition)
        if transition == Gst.StateChange.PAUSED_TO_READY:
            self._forget()
            self._look = self._caps = None
        if transition == Gst.StateChange.READY_TO_NULL and self._filler is not None:
            self._filler.close()
            self._filler = None
        return result

    # What was asked for.

    @property
    def _verb(self) -> Verb:
        if self._values["fps"]:
            try:
                return Resample(Fraction(self._values["fps"]))
            except (ValueError, ZeroDivisionError) as error:
                raise OptionError(
                    f"fps must be a rate such as 60 or 60000/1001, not {self._values['fps']!r}"
                ) from error
        factor = self._values["factor"]
        return Multiply(factor) if factor > 1 else Restore()

    @property
    def _options(self) -> RestoreOptions:
        return RestoreOptions(
            engine=self._values["engine"],
            engine_options=dict(self._engine_options()),
            fallback=self._values["fallback"] or None,
            scene_threshold=self._values["scene-threshold"],
            duplicates=Duplicates.FILL if self._values["fill-duplicates"] else Duplicates.KEEP,
        )

    def _engine_options(self) -> Iterator[tuple[str, str]]:
        for text in filter(None, self._values["engine-options"].split(",")):
            key, equals, value = (word.strip() for word in text.partition("="))
            if not key or not equals:
                raise OptionError(f"engine-options must be ENGINE.K=V, with commas between, not {text!r}")
            yield (key if "." in key else f"{self._values['engine']}.{key}"), value

    def _loaded(self) -> bool:
        from gstfcvg.stream import loaded

        try:
            _ = self._verb
            self._filler = loaded(self._options, name=self.get_name())
        except CodecPluginError as error:
            self._complain(error)
            return False
        return True

    # The stream.

    def _chain(self, pad: Gst.Pad, parent: Gst.Object, buffer: Gst.Buffer) -> Gst.FlowReturn:
        if self._look is None:
            return Gst.FlowReturn.NOT_NEGOTIATED
        return self._guarded(lambda: self._taken(buffer))

    def _taken(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        assert self._look is not None  # looked at by who calls
        pts_ns = self._time_of(buffer)
        duration_ns = None if buffer.duration == _NONE else int(buffer.duration)
        if duration_ns is None and self._look.rate:
            duration_ns = int(Gst.SECOND / self._look.rate)
        self._next_ns = pts_ns + duration_ns if duration_ns is not None else None
        frame = self._look.to_frame(buffer, pts=0)
        if self._run is not None and not self._run.takes(pts_ns):
            flow = self._drained()
            if flow != Gst.FlowReturn.OK:
                return flow
        if self._run is None:
            self._run = self._begun()
        frame.opaque = buffer
        return self._pushed(self._run.push(frame, pts_ns=pts_ns, duration_ns=duration_ns))

    def _time_of(self, buffer: Gst.Buffer) -> int:
        if buffer.pts != _NONE:
            return int(buffer.pts)
        if self._next_ns is not None:
            return self._next_ns
        if self._look is not None and self._look.rate and self._run is None:
            return 0
        raise OptionError(
            "neither buffers have time stamps nor caps a frame rate; put videorate before fcvg, or give the source one"
        )

    def _begun(self) -> Run:
        from gstfcvg.stream import Run

        assert self._filler is not None  # loaded before the stream began
        assert self._look is not None  # who calls has seen caps
        return Run(self._verb, rate=self._look.rate, options=self._options, filler=self._filler, name=self.get_name())

    def _pushed(self, shown: Iterable[Shown]) -> Gst.FlowReturn:
        from gstfcvg.formats import shown_at

        assert self._look is not None  # who calls has seen caps
        for item in shown:
            source = item.frame.opaque if item.made_by is None else None
            buffer = source if source is not None else self._look.to_buffer(item.frame)
            duration = _NONE if item.duration_ns is None else item.duration_ns
            flow = self._src.push(
                shown_at(buffer, pts=item.pts_ns, duration=duration, discontinuous=self._discontinuous)
            )
            self._discontinuous = False
            if flow != Gst.FlowReturn.OK:
                return flow
        return Gst.FlowReturn.OK

    def _drained(self) -> Gst.FlowReturn:
        """Ends the run: what waits goes out."""
        run, self._run = self._run, None
        return self._pushed(run.finish()) if run is not None else Gst.FlowReturn.OK

    def _forget(self) -> None:
        """Ends the run: what waits is thrown away."""
        self._run, self._next_ns, self._discontinuous = None, None, True

    def _guarded(self, work: Callable[[], Gst.FlowReturn]) -> Gst.FlowReturn:
        """Errors become messages on the bus; the process that hosts the element goes on."""
        try:
            return work()
        except Exception as error:
            self._forget()
            self._complain(error)
            return Gst.FlowReturn.ERROR

    def _complain(self, error: Exception) -> None:
        kind, code = Gst.stream_error_quark(), int(Gst.StreamError.FAILED)
        if isinstance(error, EngineError):
            kind, code = Gst.library_error_quark(), int(Gst.LibraryError.FAILED)
        elif isinstance(error, OptionError):
            kind, code = Gst.library_error_quark(), int(Gst.LibraryError.SETTINGS)
        elif isinstance(error, ValueError):
            code = int(Gst.StreamError.FORMAT)
        text = str(error) if isinstance(error, (CodecPluginError, ValueError)) else f"{type(error).__name__}: {error}"
        self.message_full(Gst.MessageType.ERROR, kind, code, text, None, __file__, "fcvg", 0)

    # Events.

    def _sink_event(self, pad: Gst.Pad, parent: Gst.Object, event: Gst.Event) -> bool:
        if event.type == Gst.EventType.CAPS:
            return self._took_caps(event.parse_caps())
        if event.type == Gst.EventType.FLUSH_STOP:
            self._forget()
        elif event.type in (Gst.EventType.EOS, Gst.EventType.SEGMENT, Gst.EventType.SEGMENT_DONE):
            self._guarded(self._drained)
            self._next_ns = None
            if event.type == Gst.EventType.SEGMENT:
                self._discontinuous = True
        return bool(pad.event_default(parent, event))

    def _took_caps(self, caps: Gst.Caps) -> bool:
        if self._caps is not None and caps.is_equal(self._caps):
            return True
        from gstfcvg.formats import Look

        self._guarded(self._drained)
        try:
            look = Look.of(caps)
        except ValueError as error:
            self._complain(error)
            return False
        self._look, self._caps = look, caps
        return bool(self._src.push_event(Gst.Event.new_caps(self._output_caps(caps, look))))

    def _output_caps(self, caps: Gst.Caps, look: Look) -> Gst.Caps:
        made, verb = caps.copy(), self._verb
        rate = verb.rate if isinstance(verb, Resample) else look.rate
        if rate is not None:
            rate = rate * verb.factor if isinstance(verb, Multiply) else rate
            made.set_value("framerate", Gst.Fraction(rate.numerator, rate.denominator))
        return made

    def _src_event(self, pad: Gst.Pad, parent: Gst.Object, event: Gst.Event) -> bool:
        if event.type == Gst.EventType.SEEK and event.parse_seek()[0] < 0:
            return False  # frames would come last first, and nothing can be made of that
        return bool(pad.event_default(parent, event))

    # Queries.

    def _sink_query(self, pad: Gst.Pad, parent: Gst.Object, query: Gst.Query) -> bool:
        if query.type == Gst.QueryType.CAPS:
            return self._answered(query, self._possible(pad, self._src, into_output=False))
        return bool(pad.query_default(parent, query))

    def _src_query(self, pad: Gst.Pad, parent: Gst.Object, query: Gst.Query) -> bool:
        if query.type == Gst.QueryType.CAPS:
            return self._answered(query, self._possible(pad, self._sink, into_output=True))
        if query.type == Gst.QueryType.LATENCY:
            return self._said_latency(query)
        return bool(pad.query_default(parent, query))

    def _said_latency(self, query: Gst.Query) -> bool:
        from gstfcvg.stream import delay_ns

        if not self._sink.peer_query(query):
            return False
        live, least, most = query.parse_latency()
        rate = self._look.rate if self._look else None
        own = delay_ns(self._verb, rate=rate, options=self._options)
        query.set_latency(live, least + own, _NONE if most == _NONE else most + own)
        return True

    def _answered(self, query: Gst.Query, caps: Gst.Caps) -> bool:
        wanted = query.parse_caps()
        query.set_caps_result(caps if wanted is None else wanted.intersect_full(caps, Gst.CapsIntersectMode.FIRST))
        return True

    def _possible(self, pad: Gst.Pad, other: Gst.Pad, *, into_output: bool) -> Gst.Caps:
        """What a pad can take: what the neighbour behind the other pad can, at the rate that it has on this side."""
        own = pad.get_pad_template_caps()
        there = other.peer_query_caps(None)
        if there is None or there.is_any():
            return own
        found = Gst.Caps.new_empty()
        for index in range(there.get_size()):
            single = Gst.Caps.from_string(there.get_structure(index).to_string())
            single.set_value("framerate", self._rate_across(there.get_structure(index), into_output=into_output))
            found.append(single)
        return found.intersect_full(own, Gst.CapsIntersectMode.FIRST)

    def _rate_across(self, structure: Gst.Structure, *, into_output: bool) -> Any:
        """A fixed rate on the other pad as it is on this one; any rate where it isn't fixed."""
        known, number, denominator = structure.get_fraction("framerate")
        verb = self._verb
        if isinstance(verb, Resample) and into_output:
            return Gst.Fraction(verb.rate.numerator, verb.rate.denominator)
        if not known or not number or isinstance(verb, Resample):
            return Gst.Structure.new_from_string(f"any, framerate={_ANY_RATE}").get_value("framerate")
        factor = Fraction(verb.factor if isinstance(verb, Multiply) else 1)
        rate = Fraction(int(number), int(denominator)) * (factor if into_output else 1 / factor)
        return Gst.Fraction(rate.numerator, rate.denominator)
