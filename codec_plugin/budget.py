"""`--budget`: the seconds that generative engines may take, and where they are spent."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")


class Purse:
    """What is left of a budget. Without one, everything can be afforded."""

    def __init__(self, budget_s: Fraction | None = None) -> None:
        """Args:
        budget_s: seconds of wall time; None for no limit.
        """
        self._budget_s = budget_s
        self.spent_s = 0.0
        """Seconds taken so far."""

    def refusal(self, seconds: float) -> str | None:
        """Why work of so many seconds can't be begun; None where it can."""
        if self._budget_s is None or self.spent_s + seconds <= self._budget_s:
            return None
        left = max(0.0, float(self._budget_s) - self.spent_s)
        return (
            f"it takes about {seconds:.0f} s, and {left:.0f} s are left of the budget of {float(self._budget_s):.0f} s"
        )

    def timed(self, items: Iterable[T]) -> Generator[T, None, None]:
        """The items; the time that making them takes is spent."""
        source: Iterator[T] = iter(items)
        while True:
            started = time.monotonic()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.spent_s += time.monotonic() - started
            yield item


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A gap that a generative engine could make."""

    id: int
    """The plan's task."""
    seconds: float
    """What the engine says that it takes."""
    gain: float
    """How much it would help, on any scale."""


def best_offers(offers: Iterable[Offer], *, budget_s: Fraction) -> frozenset[int]:
    """The ids of the offers to take: by gain a second, the best first, as far as the budget goes.

    Greedy, where the best choice would be a knapsack: what an engine says of its time is too rough to pay for that.
    """
    taken: set[int] = set()
    left = budget_s
    for offer in sorted(offers, key=lambda offer: (-offer.gain / max(offer.seconds, 1e-9), offer.id)):
        if offer.seconds <= left:
            taken.add(offer.id)
            left -= Fraction(offer.seconds)
    return frozenset(taken)
