"""Places for long work whose pace somebody else sets, such as answers that a client reads.

A caller has a share of the places. A free one goes to the caller that holds fewest, and within that caller to
the line that does, however many requests of others wait. A holder whose counterpart does not take what it is
handed works no longer, so another one may work in its place; and while others wait, one that takes too little
for too long is ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import trio

from gossipnode.concurrency.shares import Caller, Shares

PARKED_SECONDS = 0.25
"""A holder whose counterpart has taken nothing for this time does not work. It is looked for as often."""

STALLED_BESIDE_SECONDS = 1.0
"""How long a holder may stall while another line of its caller, which holds fewer places, waits for one."""

TAKEN_EARNS_SECONDS = 2.0
"""The stall that is forgiven for each message taken: a reader must take one in this time, on the average."""


class StalledError(Exception):
    """Too little was taken for too long, while others waited for the place."""


class Turn:
    """A place that is held."""

    __slots__ = (
        "_handing",
        "_handing_since",
        "_stalled_before",
        "caller",
        "line",
        "parked",
        "places",
        "scope",
    )

    def __init__(self, caller: Caller, line: Hashable, places: FairTurns) -> None:
        """A place of a line of `caller` among `places`."""
        self.caller = caller
        self.line = line
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
    """Gives places to the callers, and to those of their lines, that hold fewest; in turn among equals."""

    def __init__(self, working: int, *, held: int, stalled_seconds: float) -> None:
        """`working` holders may work, and `held` may hold a place, of which some stall.

        A holder may stall for `stalled_seconds` while others wait.
        """
        assert 0 < working <= held
        self.stalled_seconds = stalled_seconds
        self._working = Shares(working)
        self._places = Shares(held)
        self._held: dict[Turn, None] = {}
        self._held_by_line = Counter[tuple[Caller, Hashable]]()
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

        `line` tells the lines of a caller apart, such as its connections.

        Raises:
            StalledError: the counterpart took too little for too long, while others waited.
        """
        await self._place(caller, line)
        turn = Turn(caller, line, self)
        self._held[turn] = None
        try:
            with turn.scope:
                yield turn
        finally:
            del self._held[turn]
            self._give_back(caller, line, working=not turn.parked)
        if turn.scope.cancelled_caught:
            raise StalledError("too little was taken for too long while others waited")

    async def _place(self, caller: Caller, line: Hashable) -> None:
        """Wait until a place is counted as held by this caller."""
        if caller not in self._lines and self._may_take(caller):
            self._take(caller, line)
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
                self._give_back(caller, line, working=True)
            else:
                self._leave(waiting)
            raise

    def _may_take(self, caller: Caller) -> bool:
        return self._working.may_take(caller) and self._places.may_take(caller)

    def _take(self, caller: Caller, line: Hashable) -> None:
        self._held_by_line[caller, line] += 1
        self._working.take(caller)
        self._places.take(caller)
        assert self._places.held <= self._places.capacity

    def _give_back(self, caller: Caller, line: Hashable, *, working: bool) -> None:
        self._held_by_line[caller, line] -= 1
        if not self._held_by_line[caller, line]:
            del self._held_by_line[caller, line]
        self._places.give_back(caller)
        if working:
            self._working.give_back(caller)
        self._grant()

    def _grant(self) -> None:
        """Hand out what is free. Among equals, those that were given something come last."""
        while able := [caller for caller in self._lines if self._may_take(caller)]:
            caller = min(able, key=self._places.held_by)
            lines = self._lines.pop(caller)
            line = min(lines, key=partial(self._lines_held, caller))
            queue = lines.pop(line)
            waiting = queue.pop(0)
            if queue:
                lines[line] = queue
            if lines:
                self._lines[caller] = lines
            self._take(caller, line)
            waiting.granted.set()
            self._no_longer_waits(waiting)

    def _lines_held(self, caller: Caller, line: Hashable) -> int:
        return self._held_by_line[caller, line]

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
        live = [turn for turn in self._held if turn.parked and not turn.scope.cancel_called]
        live.sort(key=lambda turn: turn.stalled_seconds, reverse=True)
        for caller, lines in self._lines.items():
            self._end_of_caller([turn for turn in live if turn.caller == caller], lines)
        # A caller loses no place to one that holds as much, and one place at a time.
        least = min(self._places.held_by(caller) for caller in self._lines)
        for caller, held in self._places.callers():
            others = [turn for turn in live if turn.caller == caller and caller not in self._lines]
            if held > least and others and others[0].stalled_seconds >= self.stalled_seconds:
                others[0].scope.cancel()
                return

    def _end_of_caller(self, stalled: list[Turn], lines: Mapping[Hashable, Sequence[object]]) -> None:
        """End one for each request of the same caller that waits: sooner for a line that holds fewer."""
        held = Counter({turn.line: self._held_by_line[turn.caller, turn.line] for turn in stalled})
        for line, queue in lines.items():
            left = len(queue)
            for turn in [turn for turn in stalled if not turn.scope.cancel_called]:
                beside = turn.line != line and held[turn.line] > held[line]
                patience = STALLED_BESIDE_SECONDS if beside else self.stalled_seconds
                if left and turn.stalled_seconds >= min(patience, self.stalled_seconds):
                    turn.scope.cancel()
                    held[turn.line] -= 1
                    left -= 1
