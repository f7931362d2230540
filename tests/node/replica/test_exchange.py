"""The far end of a link: what it answers, what it refuses, and how much it takes on."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from gossipnode.concurrency.shares import Caller
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import (
    SAME,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    WriteRecords,
)
from gossipnode.node.peers.exchange_link import EXCHANGE_BATCH_BYTES, EXCHANGE_BATCH_REQUESTS
from gossipnode.node.replica import exchange
from gossipnode.node.replica.exchange import EXCHANGE_HANDLED_AT_ONCE
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import (
    Replica,
    ask_all,
    asking,
    batch_of,
    handlers,
    key_of,
    linked,
    read,
    write,
)
from tests.records import record

# Answers


async def test_every_kind_of_answer_comes_back(autojump_clock: object) -> None:
    one = record("n/a", revision=5)
    async with linked(Replica()) as pair:
        outcomes: list[WriteResult] = []
        for each in (one, one, record("n/a", revision=4)):
            answer = await pair.link.ask(write(each), timeout=5)
            assert isinstance(answer, RecordsWritten)
            outcomes += answer.results
        assert outcomes == [
            (WriteOutcome.STORED, one.version, ""),
            (WriteOutcome.EQUAL, one.version, ""),
            (WriteOutcome.OLDER, one.version, ""),
        ]
        assert await pair.link.ask(read("a", known=one.version), timeout=5) == RecordsRead((SAME,))
        other = Version(1, 0, bytes(32))
        assert await pair.link.ask(read("a", known=other), timeout=5) == RecordsRead((one,))


async def test_a_read_that_waits_holds_up_no_other(autojump_clock: object) -> None:
    async def slow(request: ReadRecords) -> RecordsRead:
        await trio.sleep(10 - int(key_of(request)))
        return RecordsRead((record(f"n/{key_of(request)}"),))

    async with linked(handlers(read=slow)) as pair:
        came: list[int] = []

        async def ask(number: int) -> None:
            answer = await pair.link.ask(read(f"{number}"), timeout=20)
            assert answer == RecordsRead((record(f"n/{number}"),))
            came.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask, number)
        assert came == list(reversed(range(10)))
        assert trio.current_time() == 10


async def test_the_writes_of_a_batch_reach_the_store_together(autojump_clock: object) -> None:
    replica = Replica()
    replica.store.commit_seconds = 1.0
    async with linked(replica) as pair:
        await ask_all(pair.link, {number: write(record(f"n/{number}")) for number in range(50)})
        assert [len(batch) for batch in replica.writes] == [50]
        assert trio.current_time() == 1


async def test_what_was_asked_and_answered_is_in_no_tasks_hands(autojump_clock: object) -> None:
    async def found(request: ReadRecords) -> RecordsRead:
        await trio.sleep(1)  # so that there are as many tasks as requests
        return RecordsRead((None,))

    async def written(requests: Sequence[WriteRecords]) -> list[RecordsWritten]:
        return [RecordsWritten((WriteResult(WriteOutcome.STORED, None, ""),)) for _ in requests]

    def alive() -> list[ReadRecords | WriteRecords]:
        gc.collect()
        return [each for each in gc.get_objects() if isinstance(each, ReadRecords | WriteRecords)]

    others = alive()  # of other tests
    async with linked(handlers(found, written)) as pair:
        await ask_all(pair.link, {number: read(f"{number}") for number in range(10)})
        await ask_all(pair.link, {number: write(record(f"n/{number}")) for number in range(10)})
        await trio.testing.wait_all_tasks_blocked()
        assert [each for each in alive() if not any(each is other for other in others)] == []


@pytest.mark.slow
async def test_batches_end_at_their_limits(autojump_clock: object) -> None:
    replica = Replica()
    async with linked(replica) as pair:
        many = 2 * EXCHANGE_BATCH_REQUESTS + 44
        await ask_all(pair.link, {number: write(record(f"n/{number}")) for number in range(many)})
        assert [len(batch) for batch in replica.writes] == [EXCHANGE_BATCH_REQUESTS] * 2 + [44]
        replica.writes.clear()
        large = "x" * (EXCHANGE_BATCH_BYTES // 2)
        await ask_all(
            pair.link, {number: write(record(f"n/{number}", k=large, revision=2)) for number in range(3)}
        )
        assert [len(batch) for batch in replica.writes] == [1, 1, 1]
        found = await ask_all(pair.link, {number: read(f"{number}") for number in range(3)})
        assert found == {
            number: RecordsRead((record(f"n/{number}", k=large, revision=2),)) for number in range(3)
        }


async def test_replies_that_are_ready_together_go_in_batches(autojump_clock: object) -> None:
    many = 2 * EXCHANGE_BATCH_REQUESTS + 44
    async with linked(Replica()) as pair, pair.channel.stream(REPLICA_EXCHANGE, timeout=5) as stream:
        await stream.send(batch_of(*[write(record(f"n/{number}")) for number in range(many)]))
        sizes: list[int] = []
        while sum(sizes) < many:
            batch = await stream.recv()
            assert batch is not None
            sizes.append(len(batch.replies))
        assert sizes == [EXCHANGE_BATCH_REQUESTS] * 2 + [44]


# How much at once


async def test_it_reads_no_further_while_too_much_is_unanswered(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGE_UNANSWERED_MAX", 20)
    may_answer = trio.Event()
    begun: list[str] = []

    async def wait(request: ReadRecords) -> RecordsRead:
        begun.append(key_of(request))
        await may_answer.wait()
        return RecordsRead((None,))

    async with linked(handlers(read=wait)) as pair:
        async with asking(pair.link, {number: read(f"{number}") for number in range(10)}) as first:
            await trio.testing.wait_all_tasks_blocked()
            async with asking(pair.link, {number: read(f"{number}") for number in range(10, 25)}) as second:
                await trio.testing.wait_all_tasks_blocked()
                async with asking(pair.link, {"late": read("late")}) as third:
                    await trio.testing.wait_all_tasks_blocked()
                    assert len(begun) == 25  # a whole batch at a time
                    may_answer.set()
        assert {**first, **second, **third} == dict.fromkeys([*range(25), "late"], RecordsRead((None,)))


async def test_it_counts_what_was_answered_as_gone(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGE_UNANSWERED_BYTES", 20_000)
    async with linked(Replica()) as pair:
        for number in range(10):
            one = record(f"n/{number}", k="x" * 10_000)
            assert isinstance(await pair.link.ask(write(one), timeout=5), RecordsWritten)
            assert await pair.link.ask(read(f"{number}"), timeout=5) == RecordsRead((one,))


@pytest.mark.slow
async def test_replies_that_nobody_takes_hold_up_further_reads(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGE_UNANSWERED_BYTES", 1 << 20)
    large = record("n/large", k="x" * 200_000)
    begun = 0

    async def answer(request: ReadRecords) -> RecordsRead:
        nonlocal begun
        begun += 1
        await trio.lowlevel.checkpoint()
        return RecordsRead((large,))

    async with linked(handlers(read=answer)) as pair:
        async with pair.channel.stream(REPLICA_EXCHANGE, timeout=None) as stream:
            await stream.send(batch_of(*[read("large")] * 100))
            await trio.testing.wait_all_tasks_blocked()
            # The peer's window, what we may keep, and what was being read by then.
            window = pair.channel.limits.stream_window_bytes
            assert begun * 200_000 < window + (1 << 20) + EXCHANGE_HANDLED_AT_ONCE * 200_000
            assert begun < 100
            replies = 0
            while replies < 100:
                batch = await stream.recv()
                assert batch is not None
                replies += len(batch.replies)
            assert begun == 100
            await stream.finish()


async def test_reads_of_many_records_are_handled_one_after_the_other(autojump_clock: object) -> None:
    at_once = most = 0

    async def count(request: ReadRecords) -> RecordsRead:
        nonlocal at_once, most
        at_once += len(request.wanted)
        most = max(most, at_once)
        await trio.sleep(1)
        at_once -= len(request.wanted)
        return RecordsRead((None,))

    half = read(*["a"] * (EXCHANGE_HANDLED_AT_ONCE // 2 + 1))
    async with linked(handlers(read=count)) as pair:
        requests = {number: half if number % 10 == 0 else read("a") for number in range(100)}
        answers = await ask_all(pair.link, requests, 60.0)
        assert set(answers.values()) == {RecordsRead((None,))}
        assert EXCHANGE_HANDLED_AT_ONCE // 2 < most <= EXCHANGE_HANDLED_AT_ONCE
        assert 6 <= trio.current_time() <= 12


async def test_no_more_is_read_while_memory_is_short_and_something_is_unanswered(
    autojump_clock: object,
) -> None:
    begun, release = list[int](), trio.Event()

    async def written(requests: Sequence[WriteRecords]) -> list[RecordsWritten]:
        begun.append(len(requests))
        await release.wait()
        return [RecordsWritten((WriteResult(WriteOutcome.STORED, None, ""),)) for _ in requests]

    async with linked(handlers(write=written)) as pair:
        async with asking(pair.link, {1: write(record("n/1"))}, seconds=60) as first:
            await trio.testing.wait_all_tasks_blocked()
            others = pair.memory.account("test", Caller("others", member=True))
            others.take(pair.memory.shares.capacity)
            # One batch is on its way already: the reader waits in `recv` for it.
            async with asking(pair.link, {2: write(record("n/2"))}, seconds=60) as second:
                await trio.testing.wait_all_tasks_blocked()
                async with asking(pair.link, {3: write(record("n/3"))}, seconds=60) as third:
                    await trio.testing.wait_all_tasks_blocked()
                    assert begun == [1, 1]
                    release.set()
        assert all(
            isinstance(found, RecordsWritten) for each in (first, second, third) for found in each.values()
        )
        others.close()
        assert begun == [1, 1, 1]
