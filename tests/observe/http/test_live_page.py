"""Open pages are told what changes, each as fast as it reads, and their number is bounded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.concurrency.shares import Caller
from gossipnode.observe.events import ClusterChanged, HopEnded, RoundEnded, SessionEnded
from gossipnode.observe.http import live_page
from gossipnode.observe.http.live_page import HEARTBEAT_SECONDS, STATE_REST_FACTOR, LivePage
from gossipnode.observe.http.recent_events import EVENTS_KEPT, RecentEvents
from gossipnode.observe.http.role_guard import VISITOR_KEY
from gossipnode.observe.node_view import Visitor
from tests.observe.http.asking import request_scope
from tests.observe.shown import NOW, FixedView

HOSTILE = 'a\n\ndata: {"forged":1}\r\n\u2028</script>'


class Page:
    """A page that is open: what it was told, and whether it reads."""

    def __init__(self, live: LivePage, of: str = "") -> None:
        self.live = live
        self.visitor = Visitor("somewhere", (), Caller(of or f"{id(self)}"))
        self.status = 0
        self.body = b""
        self.reads = trio.Event()
        self.reads.set()
        self.closed = trio.Event()

    async def run(self) -> None:
        scope = request_scope("/events", **{VISITOR_KEY: self.visitor})
        await self.live.stream(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    @property
    def states(self) -> list[Any]:
        lines = self.body.decode().splitlines()
        return [json.loads(line.removeprefix("data: "))["state"] for line in lines if line.startswith("data")]


@asynccontextmanager
async def running(view: FixedView) -> AsyncIterator[tuple[LivePage, trio.Nursery]]:
    live = LivePage(view, RecentEvents(view.now))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.run)
        yield live, nursery
        nursery.cancel_scope.cancel()


async def test_a_page_is_told_the_state_and_each_change(autojump_clock: object) -> None:
    view = FixedView()
    async with running(view) as (live, nursery):
        page = Page(live)
        nursery.start_soon(page.run)
        await trio.sleep(5)
        assert page.states == [{"node": "a", "events": []}]
        view.on_page["epoch"] = 2
        await trio.sleep(5)
        assert [state.get("epoch") for state in page.states] == [None, 2]


async def test_nothing_is_made_while_no_page_is_open(autojump_clock: object) -> None:
    view = FixedView()
    async with running(view) as (live, nursery):
        await trio.sleep(100)
        assert view.asked == []
        page = Page(live)
        nursery.start_soon(page.run)
        await trio.sleep(10)
        page.closed.set()
        await trio.sleep(2)
        assert live.streams == 0
        asked = len(view.asked)
        await trio.sleep(100)
        assert len(view.asked) == asked


async def test_a_page_that_does_not_read_keeps_nothing_but_the_last_state(autojump_clock: object) -> None:
    view = FixedView()
    async with running(view) as (live, nursery):
        slow, quick = Page(live), Page(live)
        nursery.start_soon(slow.run)
        nursery.start_soon(quick.run)
        await trio.sleep(2)
        slow.reads = trio.Event()
        for epoch in range(20):
            view.on_page["epoch"] = epoch
            await trio.sleep(2)
        slow.reads.set()
        await trio.sleep(2)
        assert [state.get("epoch") for state in quick.states] == [None, *range(20)]
        # One was on its way when the page stopped reading.
        assert [state.get("epoch") for state in slow.states] == [None, 0, 19]


async def test_a_page_without_news_hears_that_the_node_is_there(autojump_clock: object) -> None:
    async with running(FixedView()) as (live, nursery):
        page = Page(live)
        nursery.start_soon(page.run)
        await trio.sleep(3.5 * HEARTBEAT_SECONDS)
        assert page.body.count(b"\n: ") == 3
        assert len(page.states) == 1


async def test_a_page_whose_visitor_lost_its_role_ends(autojump_clock: object) -> None:
    view = FixedView()
    async with running(view) as (live, nursery):
        page = Page(live)
        nursery.start_soon(page.run)
        await trio.sleep(2)
        view.refused = "the certificate names x, which has no role here"
        view.on_page["epoch"] = 2
        await trio.sleep(2 * HEARTBEAT_SECONDS)
        assert live.streams == 0
        assert len(page.states) == 1


async def test_one_page_too_many_is_refused_and_the_others_go_on(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "STREAMS_MAX", 3)
    async with running(FixedView()) as (live, nursery):
        pages = [Page(live) for _ in range(4)]
        for page in pages:
            nursery.start_soon(page.run)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        assert [page.status for page in pages] == [200, 200, 200, 503]
        assert pages[3].body == b"3 pages are open: close one, or try again later\n"
        pages[0].closed.set()
        await trio.sleep(1)
        again = Page(live)
        nursery.start_soon(again.run)
        await trio.sleep(3)
        assert again.status == 200


async def test_one_caller_leaves_as_many_pages_to_others_as_it_has(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "STREAMS_MAX", 4)
    async with running(FixedView()) as (live, nursery):
        pages = [Page(live, of="greedy") for _ in range(4)]
        pages.append(Page(live, of="another"))
        for page in pages:
            nursery.start_soon(page.run)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        assert [page.status for page in pages] == [200, 200, 503, 503, 200]


async def test_a_state_that_is_dear_is_made_seldom(autojump_clock: object) -> None:
    class Dear(FixedView):
        async def page(self) -> dict[str, Any]:
            await trio.sleep(0.2)
            return await super().page()

    view = Dear()
    async with running(view) as (live, nursery):
        nursery.start_soon(Page(live).run)
        await trio.sleep(10 * 0.2 * STATE_REST_FACTOR)
        assert 8 <= len(view.asked) <= 11


async def test_no_text_begins_a_message_of_its_own(autojump_clock: object) -> None:
    view = FixedView()
    view.on_page["group"] = HOSTILE
    async with running(view) as (live, nursery):
        page = Page(live)
        nursery.start_soon(page.run)
        await trio.sleep(2)
        assert page.body.count(b"\n") == 2
        assert page.body.isascii()
        assert page.states[0]["group"] == HOSTILE


def test_the_last_events_are_kept_in_words() -> None:
    recent = RecentEvents(lambda: NOW)
    recent.keep(ClusterChanged(4, "member added", "member d"))
    recent.keep(RoundEnded("r", "sw", 3, "repaired", 1.25, 3))
    recent.keep(HopEnded("r", "sw", 3, "b", "equal", ""))
    recent.keep(HopEnded("r", "sw", 3, "c", "failed", "protocol: x"))
    recent.keep(SessionEnded("tree", "sw", 3, "b", True, 1.0))
    recent.keep(SessionEnded("tree", "sw", 3, "b", True, 1.0, sent=1200))
    assert [(event["kind"], event["text"]) for event in recent.newest_first()] == [
        ("repair", "sw/3 with b: 1,200 records sent, 0 received"),
        ("hop", "sw/3 with c: failed, protocol: x"),
        ("round", "sw/3: repaired after 1.2 s"),
        ("cluster", "epoch 4: member added, member d"),
    ]
    for number in range(2 * EVENTS_KEPT):
        recent.keep(RoundEnded("r", "g" * 1000, number, "repaired", 1.0, 3))
    assert len(recent.newest_first()) == EVENTS_KEPT
    assert all(len(event["text"]) <= 300 for event in recent.newest_first())
