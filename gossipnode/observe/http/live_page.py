"""What open pages are told while they are open, by server-sent events.

One task makes the state of the page, however many pages are open, and rests while none is. A page that reads
slowly skips states: each stream holds the last one alone.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

import trio
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.shares import Shares
from gossipnode.observe.http.recent_events import RecentEvents
from gossipnode.observe.http.role_guard import visitor_of
from gossipnode.observe.node_view import NodeView, Visitor

STREAMS_MAX: Final = 64
"""Pages that are told of changes at once, half of them for one caller at most.

The connections beyond are left to scrapes and health checks.
"""

STATE_SECONDS: Final = 1.0
"""How often the state is made while a page is open, at the most."""

STATE_REST_FACTOR: Final = 100
"""How many times as long as it took to make a state the next one waits at the least."""

HEARTBEAT_SECONDS: Final = 15.0
"""How often a page without news hears that the node is there."""

_MILLISECOND_NANOSECONDS: Final = 1_000_000


class LivePage:
    """The state of the page, and the streams that tell it."""

    def __init__(self, view: NodeView, recent: RecentEvents) -> None:
        """Show `view`, and the events of `recent`."""
        self._view = view
        self._recent = recent
        self._state = b""
        self._changed = ChangeEvent()
        self._opened = ChangeEvent()
        self._told = Shares(STREAMS_MAX)

    @property
    def streams(self) -> int:
        """How many pages are told."""
        return self._told.held

    async def run(self) -> NoReturn:
        """Make the state while pages are open, until cancelled."""
        while True:
            if not self.streams:
                self._state = b""
                await self._opened.wait()
                continue
            began = trio.current_time()
            state = await self._made()
            if state != self._state:
                self._state = state
                self._changed.notify()
            took = trio.current_time() - began
            await trio.sleep(max(STATE_SECONDS, STATE_REST_FACTOR * took))

    async def _made(self) -> bytes:
        page = {**await self._view.page(), "events": self._recent.newest_first()}
        return json.dumps(page, separators=(",", ":")).encode()

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for events until its page is closed: with the state now, and with later ones.

        It ends as well once the visitor may see nothing any longer.
        """
        visitor = visitor_of(scope)
        caller = visitor.caller
        if not self._told.may_take(caller):
            said = f"{self.streams} pages are open: close one, or try again later\n"
            await PlainTextResponse(said, status_code=503)(scope, receive, send)
            return
        self._told.take(caller)
        self._opened.notify()
        try:
            head = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, receive, nursery.cancel_scope)
                await self._tell(visitor, send)
                await send({"type": "http.response.body", "body": b""})
                nursery.cancel_scope.cancel()
        finally:
            self._told.give_back(caller)

    async def _tell(self, visitor: Visitor, send: Send) -> None:
        """Tell a page each state that it can take, until its visitor may see nothing any longer."""
        told = b""
        while not self._view.refusal(visitor):
            changed, state = self._changed.pending, self._state
            if state and state is not told:
                told = state
                now = self._view.now() // _MILLISECOND_NANOSECONDS
                # One line: JSON escapes line ends, so no text can begin a field of its own.
                await _send(send, b'data: {"now":%d,"state":%b}\n\n' % (now, state))
                continue
            with trio.move_on_after(HEARTBEAT_SECONDS) as heartbeat:
                await changed.wait()
            if heartbeat.cancelled_caught:
                await _send(send, b": the node is there\n\n")


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_closed(receive: Receive, scope: trio.CancelScope) -> None:
    """End the stream of a page that is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
