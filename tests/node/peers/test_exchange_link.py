"""Many requests on one stream between two nodes: each ends in time, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead, RecordsWritten
from gossipnode.node.peers import call_metadata, exchange_link
from gossipnode.node.peers.exchange_link import (
    EXCHANGE_BATCH_REQUESTS,
    EXCHANGE_FOREIGN_SECONDS,
    EXCHANGE_REDIAL_SECONDS,
    EXCHANGE_REQUEST_MAX_BYTES,
    Answer,
    ExchangeLink,
    RefusedByPeerError,
)
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire.generated.pb.gossipnode.v1.replica_pb2 import ExchangeReply, ExchangeRequest
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import (
    PEER,
    Replica,
    ask_all,
    asking,
    handlers,
    key_of,
    linked,
    read,
    rec,
    refused,
    write,
)

Stream = ServerStream[ExchangeRequest, ExchangeReply]


def hanging(*keys: str) -> dict[Any, Any]:
    """A far end that never answers reads of these keys; of all, when there are none."""

    async def hang(request: ReadRecords) -> RecordsRead:
        if not keys or key_of(request) in keys:
            await trio.sleep_forever()
        return RecordsRead((None,))

    return handlers(read=hang)


# Answers


@pytest.mark.slow
async def test_thousands_at_once_get_their_own_answers_on_one_stream(autojump_clock: object) -> None:
    replica = Replica()
    async with linked(replica) as pair:
        written = await ask_all(
            pair.link, {number: write(rec(f"{number}", f"v{number}")) for number in range(2000)}
        )
        assert {type(answer) for answer in written.values()} == {RecordsWritten}
        found = await ask_all(
            pair.link, {number: read(f"{number}", f"no-{number}") for number in range(2500)}
        )
        for number, answer in found.items():
            expected = rec(f"{number}", f"v{number}") if number < 2000 else None
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
            pair.link, {"text": write(rec("a"), request_id="\ud800"), "good": write(rec("b"))}
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

        unsendable = write(rec("a"), request_id="\ud800")
        pair.link.start(unsendable, first, timeout=5)
        second = pair.link.start(read("b"), lambda _: heard.append("second"), timeout=5)
        pair.link.start(read("c"), lambda _: heard.append("third"), timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["first", "third"]


async def test_a_request_too_large_is_refused_at_once(autojump_clock: object) -> None:
    replica = Replica()
    three = [rec(f"{number}", "x" * 1_000_000) for number in range(3)]
    async with linked(replica) as pair:
        assert isinstance(await pair.link.ask(write(*three), timeout=5), RecordsWritten)
        error = await refused(pair.link, write(*three, rec("d", "x" * 200_000)))
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
    request = write(rec("a", "x" * 1000))
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
        return RecordsRead((rec(key_of(request)),))

    async with linked(handlers(read=slow)) as pair:
        assert (await refused(pair.link, read("slow"), 1)).status is Status.DEADLINE_EXCEEDED
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((rec("a"),))
        await trio.sleep(5)
        assert await pair.link.ask(read("b"), timeout=5) == RecordsRead((rec("b"),))
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
            await pair.link.ask(write(rec("sent")), timeout=5)
        assert scope.cancelled_caught
        await trio.sleep(20)
        assert [key_of(request) for request in replica.reads] == ["a"]
        assert await pair.link.ask(read("sent"), timeout=5) == RecordsRead((rec("sent"),))


# A peer in trouble


@pytest.mark.slow
async def test_a_frozen_peer_costs_each_request_its_timeout_and_nothing_piles_up(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 100)
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        large = write(rec("a", "x" * 10_000))
        for round_number in range(20):
            answers = await ask_all(pair.link, dict.fromkeys(range(100), large), 1.0)
            assert {str(answer) for answer in answers.values()} == {"DEADLINE_EXCEEDED: no answer within 1 s"}
            assert trio.current_time() == round_number + 1
        assert pair.dials == 1
        # No sign of life for so long: the connection is given up, and who waits hears of it.
        error = await refused(pair.link, large, 60)
        assert (error.status, error.message) == (Status.UNAVAILABLE, "no answer to keepalive")
        assert trio.current_time() < 40


@pytest.mark.slow
async def test_a_peer_that_thaws_answers_again(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        requests = {number: write(rec(f"{number}", "x" * 10_000)) for number in range(1000)}
        assert {type(answer) for answer in (await ask_all(pair.link, requests, 1.0)).values()} == {RpcError}
        pair.wires[0].thaw()
        assert await pair.link.ask(read("a"), timeout=1) == RecordsRead((None,))
        assert pair.dials == 1


async def test_a_lost_connection_ends_what_is_under_way_and_the_next_request_dials(
    autojump_clock: object,
) -> None:
    async with linked(hanging("hangs")) as pair:
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))
        async with asking(pair.link, {number: read("hangs") for number in range(50)}) as answers:
            await trio.testing.wait_all_tasks_blocked()
            await pair.network.cut(PEER)
        for error in answers.values():
            assert isinstance(error, RpcError)
            assert (error.status, error.never_processed) == (Status.UNAVAILABLE, False)
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))
        assert (pair.dials, trio.current_time()) == (2, 0)


async def test_a_connection_lost_while_nothing_is_under_way_is_not_noticed(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        for _ in range(3):
            await pair.link.ask(read("a"), timeout=5)
            await pair.network.cut(PEER)
            await trio.testing.wait_all_tasks_blocked()
        assert pair.dials == 3


async def test_what_was_never_sent_says_so_when_the_connection_is_lost(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        requests = {number: write(rec(f"{number}", "x" * 100_000)) for number in range(100)}
        told: dict[int, Answer | RpcError] = {}
        for number, request in requests.items():
            pair.link.start(request, partial(told.__setitem__, number), timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        await pair.network.cut(PEER)
        pair.wires[0].thaw()
        await trio.testing.wait_all_tasks_blocked()
        errors = [error for error in told.values() if isinstance(error, RpcError)]
        assert {error.status for error in errors} == {Status.UNAVAILABLE}
        unsent = [number for number, error in zip(requests, errors, strict=True) if error.never_processed]
        assert 0 < unsent[0] < 99
        assert unsent == list(range(unsent[0], 100))


@pytest.mark.slow
async def test_requests_made_while_the_stream_breaks_go_on_the_next_one(autojump_clock: object) -> None:
    async with linked(hanging("hangs")) as pair:
        for _ in range(30):  # which of our tasks hears of it first is a matter of chance
            await pair.link.ask(read("a"), timeout=5)
            came: list[Answer | RpcError] = []

            def again(_: Answer | RpcError, came: list[Answer | RpcError] = came) -> None:
                pair.link.start(read("b"), came.append, timeout=5)

            connection = pair.channel._dialer.usable
            assert connection is not None
            connection.close()
            pair.link.start(read("hangs"), again, timeout=5)
            await trio.testing.wait_all_tasks_blocked()
            assert came == [RecordsRead((None,))]


async def test_a_peer_that_restarts_is_found_again(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(write(rec("a")), timeout=5)
        await pair.kill()
        await trio.testing.wait_all_tasks_blocked()
        error = await refused(pair.link, read("a"))
        assert (error.status, error.never_processed) == (Status.UNAVAILABLE, True)
        assert "connection refused" in error.message
        await pair.serve(Replica().exchange.handlers())
        await trio.sleep(EXCHANGE_REDIAL_SECONDS)
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))


@pytest.mark.slow
async def test_many_requests_to_a_peer_that_is_down_are_few_dials(autojump_clock: object) -> None:
    async with linked(None) as pair:
        for _ in range(1000):
            error = await refused(pair.link, read("a"))
            assert error.status is Status.UNAVAILABLE
            await trio.sleep(0.001)
        assert 9 <= pair.dials <= 1 / EXCHANGE_REDIAL_SECONDS + 1


async def test_a_foreign_peer_is_not_asked_again_for_a_while(autojump_clock: object) -> None:
    async with linked({}) as pair:
        for _ in range(50):
            assert (await refused(pair.link, read("a"))).status is Status.UNIMPLEMENTED
        assert pair.dials == 1
        await pair.kill()
        await pair.serve(Replica().exchange.handlers())
        assert (await refused(pair.link, read("a"))).status is Status.UNIMPLEMENTED
        await trio.sleep(EXCHANGE_FOREIGN_SECONDS)
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))


async def test_a_peer_that_shows_itself_is_asked_again_at_once(autojump_clock: object) -> None:
    async with linked(None) as pair:
        assert (await refused(pair.link, read("a"))).status is Status.UNAVAILABLE
        await pair.serve(Replica().exchange.handlers())
        assert (await refused(pair.link, read("a"))).status is Status.UNAVAILABLE
        pair.link.try_again()
        assert await pair.link.ask(read("a"), timeout=5) == RecordsRead((None,))
        assert trio.current_time() == 0


async def end_well(stream: Stream) -> None:
    await stream.recv()


async def end_cancelled(stream: Stream) -> None:
    await stream.recv()
    raise RpcError(Status.CANCELLED, "given up")


async def end_denied(stream: Stream) -> None:
    raise RpcError(Status.PERMISSION_DENIED, "of another cluster")


@pytest.mark.parametrize(
    ("serve", "status"),
    [
        (end_well, Status.UNAVAILABLE),
        (end_cancelled, Status.UNAVAILABLE),
        (end_denied, Status.PERMISSION_DENIED),
    ],
)
async def test_a_peer_that_ends_the_stream_ends_what_is_under_way(
    autojump_clock: object, serve: Callable[[Stream], Any], status: Status
) -> None:
    async with linked({REPLICA_EXCHANGE: serve}) as pair:
        answers = await ask_all(pair.link, {number: read("a") for number in range(3)})
        assert {answer.status for answer in answers.values() if isinstance(answer, RpcError)} == {status}
        assert len(answers) == 3
        assert trio.current_time() == 0


async def test_an_answer_that_makes_no_sense_ends_its_request_alone(autojump_clock: object) -> None:
    async def serve(stream: Stream) -> None:
        while (batch := await stream.recv()) is not None:
            reply = ExchangeReply()
            reply.replies.add(id=1 << 40).read.SetInParent()
            for request in batch.requests:
                one = reply.replies.add(id=request.id)
                if request.read.wanted[0].id == "odd":
                    one.written.SetInParent()
                else:
                    one.read.held.add()
            await stream.send(reply)

    async with linked({REPLICA_EXCHANGE: serve}) as pair:
        answers = await ask_all(pair.link, {"odd": read("odd"), "good": read("a")})
        error = answers["odd"]
        assert isinstance(error, RpcError)
        assert not isinstance(error, RefusedByPeerError)
        assert error.status is Status.INTERNAL
        assert "written is no reply to ReadRecords" in error.message
        assert answers["good"] == RecordsRead((None,))


# The life of the link


async def test_a_link_that_ends_tells_all_that_is_under_way(autojump_clock: object) -> None:
    async with linked(hanging()) as pair:
        told: list[Answer | RpcError] = []
        async with trio.open_nursery() as nursery:
            link = ExchangeLink(pair.channel, {})
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
