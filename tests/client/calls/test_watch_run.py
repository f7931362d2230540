"""Watches over scripted nodes in memory, under virtual time: fail-over, silence, tokens, leaving early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
import trio

from gossipnode.client import InvalidInputError, NotFoundError, UnreachableError, Waited
from gossipnode.client.calls.watch_run import WATCH_SILENCE_SECONDS
from gossipnode.client.values.watched import given_token, shown_token
from gossipnode.core.watch.watch_filter import EventKind
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb
from gossipnode.wire.watch_codec import WatchAnswer, encode_change_event, encode_sign_event
from tests.client.support import Handlers, Stage, stage
from tests.records import record

Stream = ServerStream[messages.WatchRequest, WatchAnswer]


def put(number: int, **tags: int) -> bytes:
    return encode_change_event(EventKind.PUT, record(f"n/{number}", revision=number + 1, **tags), None, None)


class Telling:
    """A node that tells events number by number: the token of event 7 is "7"."""

    def __init__(self, until: int, then: Callable[[], Awaitable[None]] = trio.sleep_forever) -> None:
        self.until = until
        self.then = then
        self.asked: list[messages.WatchRequest] = []

    @property
    def handlers(self) -> Handlers:
        return {services.WATCH: self._watch}

    async def _watch(self, stream: Stream) -> None:
        request = await stream.recv()
        assert request is not None
        self.asked.append(request)
        first = int(request.since) + 1 if request.since else 0
        for number in range(first, self.until, 2):
            pair = [put(each) for each in range(number, min(number + 2, self.until))]
            await stream.send(WatchAnswer(pair, str(number + len(pair) - 1).encode()))
        await self.then()


def failing(status: Status) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise RpcError(status, "why")

    return fail


async def ids(stage: Stage, *names: str, count: int, since: str = "") -> list[str]:
    async with stage.client(*names) as client, aclosing(client.watch("sw", since=since)) as events:
        return [(await anext(events)).id for _ in range(count)]


async def test_what_is_asked_for(autojump_clock: object) -> None:
    node = Telling(1)
    async with stage(a=node.handlers) as nodes, nodes.client("a") as client:
        token = shown_token(b"17")
        with trio.move_on_after(1):
            await anext(client.watch("sw", "n", ["1", "2"], "a = 1", token, "quorum"))
    (asked,) = node.asked
    assert (asked.group, asked.name, asked.ids, asked.since, asked.ack) == (
        "sw",
        "n",
        ["1", "2"],
        b"17",
        "quorum",
    )
    assert asked.where is not None


async def test_events_come_with_their_tokens(autojump_clock: object) -> None:
    async with stage(a=Telling(4).handlers) as nodes, nodes.client("a") as client:
        async with aclosing(client.watch("sw")) as events:
            told = [await anext(events) for _ in range(4)]
    assert [event.key for event in told] == [f"sw/n/{number}" for number in range(4)]
    # Within an answer, the token is that of the answer before: nothing is missed.
    assert [given_token(event.token) for event in told] == [b"", b"1", b"1", b"3"]
    assert (told[0].event, told[0].tags, told[0].old, told[0].mod_revision) == ("put", {"k": "v"}, None, 1)


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED])
async def test_a_watch_goes_on_at_another_node(autojump_clock: object, status: Status) -> None:
    lost, other = Telling(4, failing(status)), Telling(8)
    async with stage(a=lost.handlers, b=other.handlers) as nodes:
        assert await ids(nodes, "a", "b", count=8) == [str(number) for number in range(8)]
    assert [asked.since for asked in other.asked] == [b"3"]


async def test_a_node_that_is_silent_is_left(autojump_clock: object) -> None:
    silent, other = Telling(4), Telling(6)
    async with stage(a=silent.handlers, b=other.handlers) as nodes:
        began = trio.current_time()
        assert await ids(nodes, "a", "b", count=6) == [str(number) for number in range(6)]
        assert trio.current_time() - began >= WATCH_SILENCE_SECONDS


async def test_signs_of_life_keep_a_watch(autojump_clock: object) -> None:
    async def quiet(stream: Stream) -> None:
        await stream.recv()
        for _ in range(20):
            await trio.sleep(WATCH_SILENCE_SECONDS - 1)
            await stream.send(WatchAnswer(token=b"9"))
        await stream.send(WatchAnswer([encode_sign_event(EventKind.READY)], b"9"))
        await trio.sleep_forever()

    async with stage(a={services.WATCH: quiet}) as nodes, nodes.client("a", timeout=60) as client:
        async with aclosing(client.watch("sw")) as events:
            event = await anext(events)
    assert (event.event, event.group, event.name, event.id, event.tags) == ("ready", "sw", "", "", None)


async def test_what_a_node_refuses_ends_the_watch(autojump_clock: object) -> None:
    async with stage(a=Telling(2, failing(Status.NOT_FOUND)).handlers) as nodes:
        with pytest.raises(NotFoundError, match="why"):
            await ids(nodes, "a", count=3)


async def test_without_any_node_the_watch_fails(autojump_clock: object) -> None:
    async with stage(a=Telling(2).handlers) as nodes, nodes.client("a") as client:
        async with aclosing(client.watch("sw")) as events:
            assert (await anext(events)).id == "0"
            await nodes.kill("a")
            assert (await anext(events)).id == "1"
            with pytest.raises(UnreachableError):
                await anext(events)


@pytest.mark.parametrize("wrong", ["a b", "ä", "abcde"])
async def test_a_wrong_token_is_refused_at_once(autojump_clock: object, wrong: str) -> None:
    async with stage(a=Telling(2).handlers) as nodes, nodes.client("a") as client:
        with pytest.raises(InvalidInputError, match="no token"):
            client.watch("sw", since=wrong)


async def test_waits_and_explanations(autojump_clock: object) -> None:
    asked: list[pb.WaitRequest] = []

    async def wait(request: pb.WaitRequest, _call: CallContext) -> pb.WaitResponse:
        asked.append(request)
        lagging = [pb.WaitResponse.Lagging(node="c", why="down")]
        return pb.WaitResponse(revision=5, applied=["a", "b"], lagging=lagging)

    async def explain(request: pb.ExplainRequest, _call: CallContext) -> pb.ExplainResponse:
        reply = pb.ExplainResponse(winners=["a"], why="it is newer")
        told = reply.replicas.add(node="a", overlap=True)
        told.version.mod_revision, told.version.digest = 7, b"\1" * 32
        told.arrival.through, told.arrival.source, told.arrival.at_milliseconds = 4, "b", 1500
        told.replaced.mod_revision = 3
        reply.replicas.add(node="b", problem="down")
        return reply

    async with stage(a={services.WAIT: wait, services.EXPLAIN: explain}) as nodes:
        async with nodes.client("a") as client:
            assert await client.wait_applied("sw", "n", "1", 5) == Waited(5, ("a", "b"), (("c", "down"),))
            explanation = await client.explain("sw", "n", "1")
    assert (asked[0].revision, asked[0].milliseconds) == (5, 4500)
    assert (explanation.winners, explanation.why) == (("a",), "it is newer")
    first, second = explanation.replicas
    assert (first.mod_revision, first.through, first.source, first.replaced) == (7, "read repair", "b", 3)
    assert first.received is not None
    assert (first.received.seconds, first.overlap) == (1, True)
    assert (second.mod_revision, second.problem, second.received) == (None, "down", None)
