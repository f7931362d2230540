"""This node as a replica: what it answers, and what it does not acknowledge."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.replica_messages import (
    SAME,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    Wanted,
    WriteRecords,
)
from gossipnode.core.query.request_lineage import KnownRequest, Lineage
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.replica import replica as replicas
from gossipnode.node.replica.replica import READ_REPLY_MAX_BYTES, Replica
from gossipnode.rpc import Status
from tests.node.epochs import change, replaced
from tests.node.hand_off.placed import SHARD, joiner_of, placed
from tests.node.moving import eventually, moving, moving_cluster
from tests.node.support import NOW, SECOND, make_local, put, stored
from tests.records import entity, record


def asked(local: LocalState, *keys: str, clock: int = 0) -> ReadRecords:
    """A read in the view that the replica has itself."""
    fence = local.shards.placement(SHARD).fence
    return ReadRecords(SHARD, fence, tuple(Wanted(entity(key)) for key in keys), clock=clock)


def written(local: LocalState, *records: Record, request_id: str = "", created: bool = False) -> WriteRecords:
    before = Lineage() if request_id else None
    return WriteRecords(SHARD, local.shards.placement(SHARD).fence, records, request_id, created, before)


async def test_what_the_asker_has_already_is_not_sent() -> None:
    local = make_local()
    replica = Replica(local)
    held = record("n/1", revision=5)
    await put(local, held)
    wanted = (Wanted(entity("n/1"), held.version), Wanted(entity("n/1")), Wanted(entity("n/2")))
    request = ReadRecords(SHARD, local.shards.placement(SHARD).fence, wanted)
    assert await replica.read(request) == RecordsRead((SAME, held, None))


async def test_an_answer_holds_as_many_records_as_fit_and_one_at_least() -> None:
    local = make_local()
    replica = Replica(local)
    large = [record(f"n/{number}", k="x" * (READ_REPLY_MAX_BYTES * 2 // 5)) for number in range(3)]
    await put(local, *large)
    assert await replica.read(asked(local, "n/0", "n/1", "n/2")) == RecordsRead((large[0], large[1]))
    assert await replica.read(asked(local, "n/none", "n/2", "n/1", "n/0")) == RecordsRead(
        (None, large[2], large[1])
    )


async def test_one_record_is_sent_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "READ_REPLY_MAX_BYTES", 10)
    local = make_local()
    await put(local, record("n/1"))
    assert await Replica(local).read(asked(local, "n/1", "n/none")) == RecordsRead((record("n/1"),))


async def test_each_request_of_another_view_is_refused_and_the_others_are_stored() -> None:
    local = make_local()
    replica = Replica(local)
    other = WriteRecords(SHARD, b"12345678", (record("n/2"),))
    gone = WriteRecords(ShardId("sw", 7), b"", (record("n/3"),))
    answers = await replica.write([other, written(local, record("n/1")), gone])
    assert [isinstance(each, Refusal) for each in answers] == [True, False, True]
    assert answers[0] == Refusal(
        Status.FAILED_PRECONDITION.value, "a sees other members for sw/0", other_view=True
    )
    assert answers[2] == Refusal(
        Status.NOT_FOUND.value, "a knows no shard sw/7 of that incarnation", other_view=True
    )
    assert (await stored(local, "n/1"), await stored(local, "n/2")) == (record("n/1"), None)
    refused = await replica.read(ReadRecords(SHARD, b"12345678", (Wanted(entity("n/1")),)))
    assert isinstance(refused, Refusal)


async def test_each_request_is_told_of_its_own_records() -> None:
    local = make_local()
    old, new = record("n/1", revision=1), record("n/1", revision=2)
    await put(local, new)
    answers = await Replica(local).write(
        [written(local, record("n/2"), record("n/3")), written(local, old), written(local, new)]
    )
    outcomes = [[r.outcome for r in each.results] for each in answers if isinstance(each, RecordsWritten)]
    assert outcomes == [[WriteOutcome.STORED] * 2, [WriteOutcome.OLDER], [WriteOutcome.EQUAL]]


async def test_a_request_that_was_carried_out_is_known_when_it_comes_again(autojump_clock: object) -> None:
    local = make_local()
    replica = Replica(local)
    first = record("n/1", revision=5)
    await replica.write([written(local, first, request_id="one", created=True)])
    one = KnownRequest("one", True, 5)
    asked_now = asked(local, "n/1", clock=NOW)
    assert await replica.read(asked_now) == RecordsRead((first,), Lineage((one,)), floor=5)
    # Of a version that came on another path it is not known whether it was built upon that.
    newer = record("n/1", revision=6)
    await replica.write([written(local, newer)])
    assert await replica.read(asked_now) == RecordsRead((newer,), Lineage((one,), since=6), floor=6)
    # A read that no write follows, or one of other records, tells nothing of it.
    assert await replica.read(asked(local, "n/1")) == RecordsRead((newer,))
    assert await replica.read(asked(local, "n/2", clock=NOW)) == RecordsRead((None,), Lineage())
    both = await replica.read(asked(local, "n/1", "n/2", clock=NOW))
    assert both == RecordsRead((newer, None), None, floor=6)


async def test_a_write_that_came_too_late_is_not_known_as_done(autojump_clock: object) -> None:
    local = make_local()
    replica = Replica(local)
    newer = record("n/1", revision=6)
    await put(local, newer)
    await replica.write([written(local, record("n/1", revision=5), request_id="one")])
    answer = await replica.read(asked(local, "n/1", clock=NOW))
    assert answer == RecordsRead((newer,), Lineage((), since=6), floor=6)


async def test_a_clock_too_far_ahead_is_refused_and_told_ours() -> None:
    local = make_local()
    answer = await Replica(local).read(asked(local, "n/1", clock=NOW + 3 * 3600 * SECOND))
    text = "a's clock is 3 h behind yours"
    assert answer == Refusal(Status.FAILED_PRECONDITION.value, text, clock=NOW)


@pytest.mark.slow
async def test_a_write_of_the_old_view_that_ends_in_the_new_one_is_refused(autojump_clock: object) -> None:
    """It was let in before the change, and a new replica may already have copied from us without it."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        placement = placed(cluster, SHARD)
        request = WriteRecords(SHARD, placement.fence, (record("n/1"),), "one", False, Lineage())
        cluster.stores["a"].commit_seconds = 30
        answers: list[RecordsWritten | Refusal] = []

        async def write() -> None:
            answers.extend(await cluster.parts("a").replica.write([request]))

        async with trio.open_nursery() as writing:
            writing.start_soon(write)
            await trio.sleep(1)
            cluster.stores["a"].commit_seconds = 0
            await cluster.join(nursery, joiner_of(cluster, SHARD))
            await eventually(lambda: placed(cluster, SHARD).moving or len(cluster.view("a").members) == 4)
            assert answers == []
        (answer,) = answers
        assert isinstance(answer, Refusal)
        assert answer.other_view
        # It is stored all the same, and the next try of the request has to know that.
        lineage = await cluster.parts("a").local.requests.lineage(
            SHARD, entity("n/1"), request.records[0].version
        )
        assert lineage.find("one") is not None


async def test_a_store_whose_name_another_store_has_taken_serves_nothing() -> None:
    """It knows the epoch, and so the fence, and finds its name among the replicas."""
    local = make_local(own_name="b")
    replica = Replica(local)
    await put(local, record("n/1", revision=5))
    change(local, replaced("b"))
    assert local.shards.placement(SHARD).holders == ("a", "b")
    told = "b is no member with this data directory"
    answer = await replica.read(asked(local, "n/1"))
    assert isinstance(answer, Refusal)
    assert answer.message == told
    (answer,) = await replica.write([written(local, record("n/1", revision=6))])  # type: ignore[assignment]
    assert isinstance(answer, Refusal)
    assert answer.message == told
    assert await local.shards.held() == []
    assert await local.fill.unfilled(local.shards.view) == []
    assert local.fill.progress().filled == {}
