"""`RepeatWatch`: finds frozen repeats in a stream that is read once, by looking a little ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from codec_plugin.media.pixels import native_layout, to_picture, to_rgb_picture
from codec_plugin.media.reader import Frame, Item
from codec_plugin.picture import Picture
from codec_plugin.timeline.duplicates import Repeat, RepeatFinder, difference

REASON = "repeats the frame before"
"""Why a frozen repeat is made again."""


class RepeatWatch:
    """Holds frames back until it is certain whether they only repeat the one before.

    As a rule that is at once; a stretch without motion is held for `LONGEST_RUN + LOOK_AHEAD` frames at most.

    Attributes:
        bad: the times of repeats found so far that were not asked for yet, each with the reason.
    """

    def __init__(self) -> None:
        self.bad: dict[int, str] = {}
        self._finder = RepeatFinder()
        self._waiting: deque[Item] = deque()
        self._times: deque[int] = deque()
        self._first = 0  # index of the first frame in _waiting, of all frames
        self._before: Picture | None = None

    def watched(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, a little later."""
        for item in items:
            yield from self.push(item)
        yield from self.finish()

    def push(self, item: Item) -> Iterator[Item]:
        """Takes one item; gives those that are certain now."""
        self._waiting.append(item)
        if isinstance(item, Frame):
            assert item.pts is not None  # the reader gives every frame its time
            self._times.append(item.pts)
            picture = _picture(item)
            if self._before is not None:
                self._note(self._finder.push(difference(self._before, picture)))
            self._before = picture
        return self._certain(self._finder.settled)

    def finish(self) -> Iterator[Item]:
        """The items that still wait at the stream's end."""
        self._note(self._finder.finish())
        return self._certain(None)

    def _note(self, runs: Iterable[Repeat]) -> None:
        for run in runs:
            for index in range(run.start, run.stop):
                self.bad[self._times[index - self._first]] = REASON

    def _certain(self, settled: int | None) -> Iterator[Item]:
        while self._waiting and (settled is None or self._first < settled):
            item = self._waiting.popleft()
            if isinstance(item, Frame):
                self._times.popleft()
                self._first += 1
            yield item


def _picture(frame: Frame) -> Picture:
    native = native_layout(frame.format.name) is not None
    return to_picture(frame) if native else to_rgb_picture(frame)
