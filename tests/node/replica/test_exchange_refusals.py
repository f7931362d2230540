"""The far end of a link: what it refuses, and what becomes of its own errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.model.property import Record
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import (
    READ_MAX_RECORDS,
    WRITE_MAX_RECORDS,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    WriteRecords,
)
from gossipnode.node.peers.exchange_link import RefusedByPeerError
from gossipnode.rpc import Method, RpcError, Status
from gossipnode.store.interface import StoreFullError
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import Replica, ask_all, handlers, key_of, linked, read, refused, write
from tests.records import entity, record


async def test_a_bad_record_refuses_its_own_request_alone(autojump_clock: object) -> None:
    replica = Replica()
    bad = Record(entity("n/bad"), Version(1, 0, bytes(32)), b"\x0a")
    async with linked(replica) as pair:
        answers = await ask_all(
            pair.link, {"good": write(record("n/a")), "bad": write(record("n/b"), bad), "read": read("a")}
        )
        assert isinstance(answers["good"], RecordsWritten)
        assert isinstance(answers["read"], RecordsRead)
        error = answers["bad"]
        assert isinstance(error, RefusedByPeerError)
        assert (error.status, error.other_view) == (Status.INVALID_ARGUMENT, False)
        assert error.message == "Property: malformed, truncated, or with text that is not UTF-8"
        assert [len(batch) for batch in replica.writes] == [1]
        assert pair.server.call_count == 1


async def test_a_request_for_too_many_records_is_refused(autojump_clock: object) -> None:
    async with linked(Replica()) as pair:
        few = read(*(f"{number}" for number in range(READ_MAX_RECORDS)))
        assert await pair.link.ask(few, timeout=5) == RecordsRead((None,) * READ_MAX_RECORDS)
        many = read(*(f"{number}" for number in range(READ_MAX_RECORDS + 1)))
        error = await refused(pair.link, many)
        assert (error.status, error.message) == (
            Status.INVALID_ARGUMENT,
            f"ReplicaRequest: {READ_MAX_RECORDS + 1} records, expected {READ_MAX_RECORDS} at most",
        )
        records = [record(f"n/{number}") for number in range(WRITE_MAX_RECORDS + 1)]
        assert (await refused(pair.link, write(*records))).status is Status.INVALID_ARGUMENT
        assert isinstance(await pair.link.ask(write(*records[1:]), timeout=5), RecordsWritten)


async def test_a_refusal_carries_its_status_and_the_other_view(autojump_clock: object) -> None:
    async def refuse(request: ReadRecords) -> Refusal:
        if key_of(request) == "odd":
            return Refusal(99, "beyond gRPC")
        return Refusal(Status.FAILED_PRECONDITION.value, "b sees other members", other_view=True)

    async with linked(handlers(read=refuse)) as pair:
        error = await refused(pair.link, read("a"))
        assert isinstance(error, RefusedByPeerError)
        assert (error.status, error.message) == (Status.FAILED_PRECONDITION, "b sees other members")
        assert error.other_view
        assert (await refused(pair.link, read("odd"))).status is Status.UNKNOWN


async def test_our_errors_become_refusals_and_defects_tell_nothing(autojump_clock: object) -> None:
    async def fail(request: ReadRecords) -> RecordsRead:
        match key_of(request):
            case "full":
                raise StoreFullError("the disk is full")
            case "grouped":
                async with trio.open_nursery():
                    raise StoreFullError("the disk is full")
            case "status":
                raise RpcError(Status.NOT_FOUND, "no such shard")
        raise KeyError("secret")

    async def fail_all(requests: Sequence[WriteRecords]) -> list[RecordsWritten]:
        raise StoreFullError("the disk is full")

    requests = {key: read(key) for key in ("full", "grouped", "status", "defect")}
    async with linked(handlers(fail, fail_all)) as pair:
        with structlog.testing.capture_logs() as logs:
            answers = await ask_all(
                pair.link, {**requests, "one": write(record("n/a")), "two": write(record("n/b"))}
            )
    assert {name: str(answer) for name, answer in answers.items()} == {
        **dict.fromkeys(("full", "grouped", "one", "two"), "RESOURCE_EXHAUSTED: the disk is full"),
        "status": "NOT_FOUND: no such shard",
        "defect": "INTERNAL: internal error",
    }
    (entry,) = logs
    assert isinstance(entry["exc_info"], KeyError)
    assert entry["exc_info"].__traceback__ is not None


async def test_a_handler_that_answers_too_few_refuses_all(autojump_clock: object) -> None:
    async def forget_one(requests: Sequence[WriteRecords]) -> list[RecordsWritten]:
        return [RecordsWritten((WriteResult(WriteOutcome.STORED, None),)) for _ in requests[1:]]

    async with linked(handlers(write=forget_one)) as pair:
        with structlog.testing.capture_logs() as logs:
            answers = await ask_all(pair.link, {key: write(record(f"n/{key}")) for key in "ab"})
        assert {str(answer) for answer in answers.values()} == {"INTERNAL: internal error"}
        assert len(logs) == 1


async def test_a_reply_that_cannot_be_sent_costs_no_other(autojump_clock: object) -> None:
    megabyte = record("n/large", k="x" * 1_000_000)

    async def odd(request: ReadRecords) -> RecordsRead | Refusal:
        if key_of(request) == "text":
            return Refusal(Status.ABORTED.value, "\ud800")
        return RecordsRead(tuple(megabyte if w.entity == megabyte.entity else None for w in request.wanted))

    async with linked(handlers(read=odd)) as pair:
        with structlog.testing.capture_logs() as logs:
            answers = await ask_all(
                pair.link, {"text": read("text"), "large": read(*["large"] * 4), "good": read("a")}
            )
        assert str(answers["text"]) == "INTERNAL: internal error"
        assert str(answers["large"]).startswith("RESOURCE_EXHAUSTED: a reply of ")
        assert answers["good"] == RecordsRead((None,))
        assert len(logs) == 1
        three = await pair.link.ask(read(*["large"] * 3), timeout=5)
        assert three == RecordsRead((megabyte,) * 3)


async def test_a_message_that_is_none_ends_the_stream(autojump_clock: object) -> None:
    raw = Method(
        REPLICA_EXCHANGE.path,
        REPLICA_EXCHANGE.cardinality,
        bytes,
        bytes,
        bytes,
        REPLICA_EXCHANGE.decode_reply,
    )
    async with linked(Replica()) as pair, pair.channel.stream(raw, timeout=5) as stream:
        await stream.send(b"\x0a")
        with pytest.raises(RpcError, match="ExchangeRequest: malformed") as caught:
            await stream.recv()
        assert caught.value.status is Status.INVALID_ARGUMENT
