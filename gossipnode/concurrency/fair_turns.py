"""Places for long work whose pace somebody else sets, such as answers that a client reads.

A caller has a share of the places, and callers take turns for those that are free, however many of their
requests wait. A holder whose counterpart does not take what it is handed works no longer, so another one may
work in its place; and while others wait, one that takes too little for too long is ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Hashable
from contextlib import asynccontextmanager, contextmanager

import trio

from gossipnode.concurrency.shares import Caller, Shares

PARKED_SECONDS = 0.25
"""A holder whose counterpart has taken nothing for this time does not work. It is looked for as often."""

STALLED_MIN_SECONDS = 1.0
"""How long a holder may stall at least, however many requests of its own caller wait."""

TAKEN_EARNS_SECONDS = 2.0
"""The stall that is forgiven for each message taken: a reader must take one in this time, on the average."""


class StalledError(Exception):
    """Too little was taken for too long, while others waited for the place."""


class Turn:
    """A place that is held."""

    __slots__ = ("_handing", "_handing_since", "_stalled_before", "caller", "parked", "places", "scope")

    def __init__(self, caller: Caller, places: FairTurns) -> None:
        """A place of `caller` among `places`."""
        self.caller = caller
        self.places = places
        self.scope = trio.CancelScope()
        self.parked = False
        """Whether another one may work meanwhile, because the counterpart takes nothing."""
        self._handing = 0
        self._handing_since: float | None = None
        self._stalled_before = 0.0

    @contextmanager
    def handing_over(self) -> Generator[None]:
        """The block hands something to the counterpart, and waits until it is taken.

        Several tasks of the holder may do so at once.
        """
        self._handing += 1
        if self._handing_since is None:
            self._handing_since = trio.current_time()
        try:
            yield
        finally:
            stalled = min(self.stalled_seconds, self.places.stalled_seconds)
            self._stalled_before = max(0.0, stalled - TAKEN_EARNS_SECONDS)
            self._handing -= 1
            self._handing_since = trio.current_time() if self._handing else None
            self.places.resume(self)

    @property
    def handing_seconds(self) -> float:
        """How long the counterpart has not taken what it is handed now."""
        return 0.0 if self._handing_since is None else trio.current_time() - self._handing_since

    @property
    def stalled_seconds(self) -> float:
        """How long the counterpart has kept this holder waiting, less what it has earned."""
        return self._stalled_before + self.handing_seconds


class _Waiting:
    """A request that waits for a place."""

    __slots__ = ("caller", "granted", "line", "look")

    def __init__(self, caller: Caller, line: Hashable) -> None:
        self.caller = caller
        self.line = line
        self.granted = trio.Event()
        # Cancelled, it looks for holders that have stalled.
        self.look = trio.CancelScope()


class FairTurns:
    """Gives places: to callers in turn, and within a caller to its lines in turn."""

    def __init__(self, working: int, *, held: int, stalled_seconds: float) -> None:
        """`working` holders may work, and `held` may hold a place, of which some stall.

        A holder may stall for `stalled_seconds` while others wait; for less while many of its own caller do.
        """
        assert 0 < working <= held
        self.stalled_seconds = stalled_seconds
        self._working = Shares(working)
        self._places = Shares(held)
        self._held: dict[Turn, None] = {}
        # In the order in which they came. The first one looks for holders that have stalled.
        self._waiting: dict[_Waiting, None] = {}
        # Those who wait, by caller and line; both come in the order of their turns.
        self._lines: dict[Caller, dict[Hashable, list[_Waiting]]] = {}

    @property
    def held(self) -> int:
        """How many places are held now."""
        return self._places.held

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting)

    @asynccontextmanager
    async def hold(self, caller: Caller, line: Hashable = None) -> AsyncGenerator[Turn]:
        """Wait for a place, and hold it as long as the block lasts.

        `line` tells the lines of a caller apart, such as its connections: they take turns, too.

        Raises:
            StalledError: the counterpart took too little for too long, while others waited.
        """
        await self._place(caller, line)
        turn = Turn(caller, self)
        self._held[turn] = None
        try:
            with turn.scope:
                yield turn
        finally:
            del self._held[turn]
            self._give_back(turn.caller, working=not turn.parked)
        if turn.scope.cancelled_caught:
            raise StalledError(f"too little was taken for {self.stalled_seconds:g} s while others waited")

    async def _place(self, caller: Caller, line: Hashable) -> None:
        """Wait until a place is counted as held by this caller."""
        if caller not in self._lines and self._may_take(caller):
            self._take(caller)
            return
        waiting = _Waiting(caller, line)
        self._waiting[waiting] = None
        self._lines.setdefault(caller, {}).setdefault(line, []).append(waiting)
        try:
            while not waiting.granted.is_set():
                first = next(iter(self._waiting)) is waiting
                due = trio.current_time() + PARKED_SECONDS if first else float("inf")
                with trio.CancelScope(deadline=due) as waiting.look:
                    await waiting.granted.wait()
                if not waiting.granted.is_set():
                    self._look_for_stalls()
        except trio.Cancelled:
            if waiting.granted.is_set():  # after this task was cancelled, before it could run
                self._give_back(caller, working=True)
            else:
                self._leave(waiting)
            raise

    def _may_take(self, caller: Caller) -> bool:
        return self._working.may_take(caller) and self._places.may_take(caller)

    def _take(self, caller: Caller) -> None:
        self._working.take(caller)
        self._places.take(caller)
        assert self._places.held <= self._places.capacity

    def _give_back(self, caller: Caller, *, working: bool) -> None:
        self._places.give_back(caller)
        if working:
            self._working.give_back(caller)
        self._grant()

    def _grant(self) -> None:
        """Hand out what is free: to the caller whose turn it is, among those that may take more."""
        while caller := next((each for each in self._lines if self._may_take(each)), None):
            lines = self._lines.pop(caller)
            line = next(iter(lines))
            queue = lines.pop(line)
            waiting = queue.pop(0)
            if queue:
                lines[line] = queue
            if lines:
                self._lines[caller] = lines
            self._take(caller)
            waiting.granted.set()
            self._no_longer_waits(waiting)

    def _leave(self, waiting: _Waiting) -> None:
        lines = self._lines[waiting.caller]
        lines[waiting.line].remove(waiting)
        if not lines[waiting.line]:
            del lines[waiting.line]
        if not lines:
            del self._lines[waiting.caller]
        self._no_longer_waits(waiting)

    def _no_longer_waits(self, waiting: _Waiting) -> None:
        del self._waiting[waiting]
        first = next(iter(self._waiting), None)
        if first is not None:
            first.look.deadline = min(first.look.deadline, trio.current_time() + PARKED_SECONDS)

    # Holders that stall

    def resume(self, turn: Turn) -> None:
        """The counterpart has taken what it was handed, so this holder works again."""
        if turn.parked:
            turn.parked = False
            # More may work than places for it, but never more than hold a place.
            self._working.take(turn.caller)

    def _look_for_stalls(self) -> None:
        """Let others work in the place of those that stall, and end those that have stalled for too long."""
        for turn in self._held:
            if not turn.parked and turn.handing_seconds >= PARKED_SECONDS:
                turn.parked = True
                self._working.give_back(turn.caller)
        self._grant()
        if self._waiting:
            self._end_stalled()

    def _end_stalled(self) -> None:
        """End those that have stalled for too long, those first that have stalled longest."""
        wait_of = Counter(waiting.caller for waiting in self._waiting)
        live = [turn for turn in self._held if turn.parked and not turn.scope.cancel_called]
        live.sort(key=lambda turn: turn.stalled_seconds, reverse=True)
        for caller, waiting in wait_of.items():
            own = [turn for turn in live if turn.caller == caller]
            for turn in own[:waiting]:
                if turn.stalled_seconds >= self._patience(caller, waiting):
                    turn.scope.cancel()
        # A caller loses no place to one that holds as much, and one place at a time.
        least = min(self._places.held_by(caller) for caller in wait_of)
        for caller, held in self._places.callers():
            others = [turn for turn in live if turn.caller == caller and caller not in wait_of]
            if held > least and others and others[0].stalled_seconds >= self.stalled_seconds:
                others[0].scope.cancel()
                return

    def _patience(self, caller: Caller, waiting: int) -> float:
        """How long a holder of a caller may stall while so many requests of the same caller wait."""
        shared = self.stalled_seconds * self._places.held_by(caller) / waiting
        return min(self.stalled_seconds, max(STALLED_MIN_SECONDS, shared))
