"""The last events of a node that people want to see, in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from gossipnode.observe.events import ClusterChanged, Event, HopEnded, RoundEnded, SessionEnded

EVENTS_KEPT: Final = 100
TEXT_MAX_CHARACTERS: Final = 300
_MILLISECOND_NANOSECONDS: Final = 1_000_000


class RecentEvents:
    """Remembers the last `EVENTS_KEPT` events."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now` gives the wall clock, in nanoseconds since 1970."""
        self._now = now
        self._kept: deque[Mapping[str, Any]] = deque(maxlen=EVENTS_KEPT)

    def keep(self, event: Event) -> None:
        """Remember an event, if it is one that people want to see."""
        told = in_words(event)
        if told is not None:
            kind, text = told
            at = self._now() // _MILLISECOND_NANOSECONDS
            self._kept.appendleft({"at": at, "kind": kind, "text": text[:TEXT_MAX_CHARACTERS]})

    def newest_first(self) -> list[Mapping[str, Any]]:
        """What is remembered."""
        return list(self._kept)


def in_words(event: Event) -> tuple[str, str] | None:
    """The kind and the text of an event; None for what happens all the time and changes nothing."""
    match event:
        case ClusterChanged():
            return "cluster", f"epoch {event.epoch}: {event.what}, {event.details}"
        case RoundEnded():
            return "round", f"{event.group}/{event.shard}: {event.outcome} after {event.seconds:.1f} s"
        case HopEnded() if event.outcome in ("skipped", "failed"):
            return "hop", f"{event.group}/{event.shard} with {event.peer}: {event.outcome}, {event.reason}"
        case SessionEnded() if event.sent or event.received:
            moved = f"{event.sent:,} records sent, {event.received:,} received"
            return "repair", f"{event.group}/{event.shard} with {event.peer}: {moved}"
        case _:
            return None
