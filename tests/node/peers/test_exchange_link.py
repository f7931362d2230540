"""Many requests on one stream between two nodes: each ends in time, whatever becomes of the other ones."""

from __future__ import annotations

from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead, RecordsWritten
from gossipnode.node.peers import call_metadata, exchange_link
from gossipnode.node.peers.exchange_link import (
    EXCHANGE_BATCH_REQUESTS,
    EXCHANGE_REQUEST_MAX_BYTES,
    Answer,
    ExchangeLink,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import (
    Replica,
    Stream,
    ask_all,
    asking,
    handlers,
    hanging,
    key_of,
    linked,
    read,
    refused,
    write,
)
from tests.records import record

# Answers


@pytest.mark.slow
async def test_thousands_at_once_get_their_own_answers_on_one_stream(autojump_clock: object) -> None:
    replica = Replica()
    async with linked(replica) as pair:
        written = await ask_all(
            pair.link, {number: write(record(f"n/{number}", k=f"v{number}")) for number in range(2000)}
        )
        assert {type(answer) for answer in written.values()} == {RecordsWritten}
        found = await ask_all(
            pair.link, {number: read(f"{number}", f"no-{number}") for number in range(2500)}
        )
        for number, answer in found.items():
            expected = record(f"n/{number}", k=f"v{number}") if number < 2000 else None
            assert answer == RecordsRead((expected, None))
        assert pair.dials == 1
        assert pair.server.call_count == 1
    assert len(replica.writes) <= 2000 / EXCHANGE_BATCH_REQUESTS + 1


async def test_the_stream_says_who_we_are(autojump_clock: object) -> None:
    replica = Replica()
    seen: list[Any] = []

    async def serve(stream: Stream) -> None:
        seen.append(stream.call.metadata[call_metadata.NODE])
        await replica.exchange.serve(stream)

    async with linked({REPLICA_EXCHANGE: serve}) as pair:
        await ask_all(pair.link, {number: read("a") for number in range(3)})
    assert seen == ["a"]


async def test_nothing_is_dialled_before_the_first_request(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await trio.sleep(60)
        assert pair.dials == 0
        await pair.link.ask(read("a"), timeout=5)
        assert pair.dials == 1


async def test_who_starts_without_waiting_is_told(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        told: list[Answer | RpcError] = []
        pair.link.start(read("a"), told.append, timeout=5)
        forgotten = pair.link.start(read("b"), told.append, timeout=5)
        pair.link.forget(forgotten)
        pair.link.forget(forgotten)
        assert told == []
        await trio.testing.wait_all_tasks_blocked()
        assert told == [RecordsRead((None,))]


async def test_one_who_does_not_take_an_answer_costs_nobody_else_theirs(autojump_clock: object) -> None:
    def bad(answer: Answer | RpcError) -> None:
        raise KeyError("mine")

    async with linked(Replica()) as pair:
        with structlog.testing.capture_logs() as logs:
            pair.link.start(read("a"), bad, timeout=5)
            assert await pair.link.ask(read("b"), timeout=5) == RecordsRead((None,))
        assert [(entry["event"], entry["peer"]) for entry in logs] == [("an answer was not taken", "b:1")]


async def test_who_hears_of_one_failure_may_forget_another_and_ask_again(autojump_clock: object) -> None:
    async with linked(None) as pair:
        heard: list[str] = []

        def first(_: Answer | RpcError) -> None:
            heard.append("first")
            pair.link.forget(second)
            with pytest.raises(RpcError):
                pair.link.start(read("c"), lambda _: heard.append("again"), timeout=5)

        pair.link.start(read("a"), first, timeout=5)
        second = pair.link.start(read("b"), lambda _: heard.append("second"), timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["first"]


# Requests that go nowhere


async def test_a_request_that_cannot_be_sent_costs_no_other(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        answers = await ask_all(
            pair.link, {"text": write(record("n/a"), request_id="\ud800"), "good": write(record("n/b"))}
        )
        error = answers["text"]
        assert isinstance(error, RpcError)
        assert (error.status, error.never_processed) == (Status.INVALID_ARGUMENT, True)
        assert isinstance(answers["good"], RecordsWritten)


async def test_who_hears_that_one_cannot_be_sent_may_forget_the_next(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        heard: list[str] = []

        def first(_: Answer | RpcError) -> None:
            heard.append("first")
            pair.link.forget(second)

        unsendable = write(record("n/a"), request_id="\ud800")
        pair.link.start(unsendable, first, timeout=5)
        second = pair.link.start(read("b"), lambda _: heard.append("second"), timeout=5)
        pair.link.start(read("c"), lambda _: heard.append("third"), timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["first", "third"]


async def test_a_request_too_large_is_refused_at_once(autojump_clock: object) -> None:
    replica = Replica()
    three = [record(f"n/{number}", k="x" * 1_000_000) for number in range(3)]
    async with linked(replica) as pair:
        assert isinstance(await pair.link.ask(write(*three), timeout=5), RecordsWritten)
        error = await refused(pair.link, write(*three, record("n/d", k="x" * 200_000)))
        assert error.status is Status.RESOURCE_EXHAUSTED
        assert error.message.endswith(f"to a replica is over {EXCHANGE_REQUEST_MAX_BYTES} bytes")
        assert len(replica.writes) == 1


@pytest.mark.parametrize(
    ("limit", "size"), [("EXCHANGE_UNDER_WAY_MAX", 10), ("EXCHANGE_UNDER_WAY_BYTES", 10 * 1384)]
)
async def test_what_has_no_room_waits_and_what_may_not_wait_is_refused_at_once(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch, limit: str, size: int
) -> None:
    monkeypatch.setattr(exchange_link, limit, size)
    monkeypatch.setattr(exchange_link, limit.replace("UNDER_WAY", "WAITING"), size)
    request = write(record("n/a", k="x" * 1000))
    may_answer = trio.Event()

    async def wait(requests: Any) -> Any:
        await may_answer.wait()
        return await Replica().write(requests)

    async with linked(handlers(write=wait)) as pair:
        async with asking(pair.link, dict.fromkeys(range(22), request)) as answers:
            await trio.testing.wait_all_tasks_blocked()
            refusals = [answer for answer in answers.values() if isinstance(answer, RpcError)]
            assert [(error.status, error.message) for error in refusals] == [
                (Status.RESOURCE_EXHAUSTED, "b:1 has 10 requests still to answer, and 10 wait for room")
            ] * 2
            may_answer.set()
        assert [isinstance(answer, RecordsWritten) for answer in answers.values()].count(True) == 20
        assert isinstance(await pair.link.ask(request, timeout=5), RecordsWritten)
        assert trio.current_time() == 0


async def test_each_request_ends_at_its_own_timeout(autojump_clock: object) -> None:
    async with linked(hanging("hangs")) as pair:
        ended: dict[float, tuple[Any, str, float]] = {}

        async def ask(seconds: float) -> None:
            error = await refused(pair.link, read("hangs"), seconds)
            ended[seconds] = (error.status, error.message, trio.current_time())

        async with trio.open_nursery() as nursery:
            for seconds in (3.0, 1.0, 2.0, 0.0):
                nursery.start_soon(ask, seconds)
            assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))
            assert trio.current_time() == 0
        assert ended == {
            seconds: (Status.DEADLINE_EXCEEDED, f"no answer within {seconds:g} s", seconds)
            for seconds in (0.0, 1.0, 2.0, 3.0)
        }


async def test_an_answer_that_comes_too_late_is_dropped(autojump_clock: object) -> None:
    async def slow(request: ReadRecords) -> RecordsRead:
        if key_of(request) == "slow":
            await trio.sleep(2)
        return RecordsRead((record(f"n/{key_of(request)}"),))

    async with linked(handlers(read=slow)) as pair:
        assert (await refused(pair.link, read("slow"), 1)).status is Status.DEADLINE_EXCEEDED
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((record("n/a"),))
        await trio.sleep(5)
        assert await pair.link.ask(read("b"), timeout=5) == RecordsRead((record("n/b"),))
        assert pair.server.call_count == 1


async def test_who_is_cancelled_is_forgotten(autojump_clock: object) -> None:
    replica = Replica()
    async with linked(replica) as pair:
        await pair.link.ask(read("a"), timeout=5)
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.link.ask(read("never sent"), timeout=5)
        assert scope.cancelled_caught
        replica.store.commit_seconds = 10.0
        with trio.move_on_after(1) as scope:
            await pair.link.ask(write(record("n/sent")), timeout=5)
        assert scope.cancelled_caught
        await trio.sleep(20)
        assert [key_of(request) for request in replica.reads] == ["a"]
        assert await pair.link.ask(read("sent"), timeout=5) == RecordsRead((record("n/sent"),))


# The life of the link


async def test_a_link_that_ends_tells_all_that_is_under_way(autojump_clock: object) -> None:
    async with linked(hanging()) as pair:
        told: list[Answer | RpcError] = []
        async with trio.open_nursery() as nursery:
            link = ExchangeLink(pair.channel, {}, pair.committed)
            assert (await refused(link, read("a"))).message == "the link to b:1 is closed"
            await nursery.start(link.run)
            link.start(read("a"), told.append, timeout=5)
            await trio.testing.wait_all_tasks_blocked()
            assert pair.server.call_count == 1
            nursery.cancel_scope.cancel()
        (error,) = told
        assert isinstance(error, RpcError)
        assert (error.status, error.message) == (Status.UNAVAILABLE, "the link to b:1 was closed")
        assert (await refused(link, read("a"))).status is Status.UNAVAILABLE
        await trio.testing.wait_all_tasks_blocked()
        assert pair.server.call_count == 0
