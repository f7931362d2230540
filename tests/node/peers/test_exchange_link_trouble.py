"""A link whose peer freezes, restarts, is down, or makes no sense: what becomes of the requests under way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.query.replica_messages import RecordsRead
from gossipnode.node.peers import exchange_link
from gossipnode.node.peers.exchange_link import (
    EXCHANGE_FOREIGN_SECONDS,
    EXCHANGE_REDIAL_SECONDS,
    Answer,
    RefusedByPeerError,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1.replica_pb2 import ExchangeReply
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import (
    PEER,
    Replica,
    Stream,
    ask_all,
    asking,
    hanging,
    linked,
    read,
    refused,
    write,
)
from tests.records import record


@pytest.mark.slow
async def test_a_frozen_peer_costs_each_request_its_timeout_and_nothing_piles_up(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 100)
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        large = write(record("n/a", k="x" * 10_000))
        for round_number in range(20):
            answers = await ask_all(pair.link, dict.fromkeys(range(100), large), 1.0)
            assert {str(answer) for answer in answers.values()} == {"DEADLINE_EXCEEDED: no answer within 1 s"}
            assert trio.current_time() == round_number + 1
        assert pair.dials == 1
        # After that long without a sign of life the connection is given up, and the request fails.
        error = await refused(pair.link, large, 60)
        assert (error.status, error.message) == (Status.UNAVAILABLE, "no answer to keepalive")
        assert trio.current_time() < 40


@pytest.mark.slow
async def test_a_peer_that_thaws_answers_again(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        requests = {number: write(record(f"n/{number}", k="x" * 10_000)) for number in range(1000)}
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
        requests = {number: write(record(f"n/{number}", k="x" * 100_000)) for number in range(100)}
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


async def test_what_was_never_sent_says_so_at_its_timeout(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(read("a"), timeout=5)
        pair.wires[0].freeze()
        told: list[Answer | RpcError] = []
        for number in range(100):
            pair.link.start(write(record(f"n/{number}", k="x" * 100_000)), told.append, timeout=2)
        await trio.sleep(3)
        errors = [error for error in told if isinstance(error, RpcError)]
        assert {error.status for error in errors} == {Status.DEADLINE_EXCEEDED}
        unsent = [number for number, error in enumerate(errors) if error.never_processed]
        assert unsent
        assert unsent[0] > 0
        assert unsent == list(range(unsent[0], 100))
        pair.wires[0].thaw()


@pytest.mark.slow
async def test_requests_made_while_the_stream_breaks_go_on_the_next_one(autojump_clock: object) -> None:
    async with linked(hanging("hangs")) as pair:
        for attempt in range(40):
            await pair.link.ask(read("a"), timeout=5)
            came: list[Answer | RpcError] = []

            def again(_: Answer | RpcError, came: list[Answer | RpcError] = came) -> None:
                pair.link.start(read("b"), came.append, timeout=5)

            pair.wires[-1].snap()
            # The loss is noticed by one task after another: ask before each of them.
            for _ in range(attempt % 4):
                await trio.lowlevel.checkpoint()
            pair.link.start(read("hangs"), again, timeout=5)
            await trio.testing.wait_all_tasks_blocked()
            assert came == [RecordsRead((None,))]


async def test_a_peer_that_restarts_is_found_again(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        await pair.link.ask(write(record("n/a")), timeout=5)
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
