"""Shards that move: who fills himself, from whom, when it is over, and what is left of the old copies."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from gossipnode.core.cluster.placement import Placement, replicas_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.replica_messages import RecordsWritten, Refusal, WriteRecords
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_STATUS
from tests.node.cluster import record
from tests.node.moving import (
    eventually,
    held,
    moving,
    moving_cluster,
    put_one,
    settled,
    settled_but,
    tidy,
    value,
)

pytestmark = pytest.mark.slow

FIVE = "abcde"
RECORDS = 60


def copies(cluster: Cluster) -> set[tuple[str, ShardId]]:
    return {(name, shard) for name in cluster.running for shard in held(cluster, name)}


def wanted_copies(cluster: Cluster, name: str = "a") -> set[tuple[str, ShardId]]:
    view = cluster.view(name)
    return {(holder, shard) for shard in view.shards() for holder in placed(cluster, shard, name).coming}


def placed(cluster: Cluster, shard: ShardId, at: str = "a") -> Placement:
    found = cluster.view(at).placement(shard)
    assert found is not None
    return found


async def fill(cluster: Cluster, count: int = RECORDS) -> None:
    for number in range(count):
        await put_one(cluster, cluster.names[number % len(cluster.names)], f"n/{number}", number)


async def all_there(cluster: Cluster, names: str, count: int = RECORDS) -> None:
    """All data from every node."""
    for name in names:
        for number in range(count):
            assert await value(cluster, name, f"n/{number}") == number


def joiner_of(cluster: Cluster, shard: ShardId, *, with_: str = "") -> str:
    """A name that no member has yet, and that would get this shard, together with a member."""
    view = cluster.view("a")
    replicas = view.groups[shard.group].replicas
    for name in "defghijklmnop":
        holders = replicas_of(shard, [*view.members, name], replicas)
        if name in holders and set(with_) <= set(holders):
            return name
    raise AssertionError


async def status_of(cluster: Cluster, name: str) -> v1.StatusResponse:
    async with cluster.channel(name) as channel:
        return await channel.unary(NODE_STATUS, v1.StatusRequest(), timeout=10)


async def test_five_nodes_become_six_and_five_again_and_nothing_is_lost(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:8:2",))
    async with moving(cluster) as nursery:
        await fill(cluster)
        await all_there(cluster, FIVE)
        before = wanted_copies(cluster)
        await cluster.join(nursery, "f", through="c")
        await settled(cluster, "abcdef")
        await tidy(cluster)
        after = wanted_copies(cluster)
        assert after - before == {(name, shard) for name, shard in after if name == "f"}
        assert len(after - before) == len(before - after)
        assert copies(cluster) <= after
        await all_there(cluster, "abcdef")
        await cluster.forget("b", at="e")
        await cluster.ended["b"].wait()
        await settled(cluster, "acdef")
        await tidy(cluster)
        last = wanted_copies(cluster)
        assert {name for name, _ in after - last} == {"b"}
        assert len(last - after) == len(after - last)
        assert copies(cluster) <= last
        assert held(cluster, "b") == []
        await all_there(cluster, "acdef")


async def test_a_move_that_moves_nothing_is_over_at_once(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=())
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        with trio.fail_after(20):
            await settled(cluster, "abcd")


SHARD = ShardId("sw", 0)


async def test_a_status_shows_the_move_with_its_progress(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        joiner = joiner_of(cluster, SHARD, with_="a")
        # One of three sources is not enough: the new one cannot be filled, whatever it has already.
        await cluster.end("b")
        await cluster.end("c")
        await cluster.join(nursery, joiner)
        await trio.sleep(20)
        (shown,) = (await status_of(cluster, "a")).shards
        assert shown.moving is not None
        assert list(shown.moving.to) == [joiner]
        assert (shown.moving.done, shown.moving.total) == (30, 30)
        assert not cluster.view("a").is_settled
        await cluster.start(nursery, "b")
        await cluster.start(nursery, "c")
        await settled(cluster, ["a", "b", "c", joiner])
        assert not any(each.moving and each.moving.to for each in (await status_of(cluster, "a")).shards)


async def test_a_move_waits_for_enough_of_those_that_have_the_records(autojump_clock: object) -> None:
    """What two of three acknowledged, the one that is left may lack."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("a")
        await put_one(cluster, "b", "n/1", 1)
        cluster.faults.heal()
        joiner = joiner_of(cluster, SHARD, with_="a")
        await cluster.end("b")
        await cluster.end("c")
        await cluster.join(nursery, joiner)
        await trio.sleep(60)
        assert not cluster.view("a").is_settled
        for name in ("a", joiner):
            with pytest.raises(TooFewReplicasError, match="for the shard is being moved"):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "c")
        await settled(cluster, ["a", "b", "c", joiner])
        assert await value(cluster, joiner, "n/1") == 1


@pytest.mark.parametrize("victim", ["a", "b", "f"])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.4, 1.1])
async def test_a_move_that_is_interrupted_goes_on(victim: str, after: float, autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        for store in cluster.stores.values():
            store.commit_seconds = 0.05
        cluster.through["f"] = "c"

        async def join() -> None:
            with suppress(RuntimeError):
                await cluster.start(nursery, "f")

        nursery.start_soon(join)
        await eventually(lambda: "f" in cluster.view("c").members)
        await trio.sleep(after)
        await cluster.end(victim)
        await trio.sleep(5)
        await cluster.start(nursery, victim)
        await settled(cluster, "abcdef")
        await tidy(cluster)
        await all_there(cluster, "abcdef", 30)


async def test_a_second_change_before_the_first_is_settled(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        await cluster.join(nursery, "f")
        await cluster.join(nursery, "g", through="b")
        await cluster.forget("c")
        await settled(cluster, "abdefg")
        await tidy(cluster)
        await all_there(cluster, "abdefg", 30)


# --- old views ---


async def test_a_write_of_the_old_view_that_ends_in_the_new_one_is_refused(autojump_clock: object) -> None:
    """It was let in before the change; who filled himself meanwhile need not have it."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        placement = placed(cluster, SHARD)
        request = WriteRecords(SHARD, placement.fence, (record("n/1"),))
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


async def test_a_coordinator_that_was_away_finds_the_new_members(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        await cluster.isolate("a")
        await cluster.faults.cut(("a", "f"), ("f", "a"))
        await cluster.join(nursery, "f", through="b")
        await cluster.forget("c", at="b")
        await trio.sleep(5)
        assert list(cluster.view("a").members) == list(FIVE)
        cluster.faults.heal()
        for number in range(30):
            assert await value(cluster, "a", f"n/{number}") == number
        assert list(cluster.view("a").members) == ["a", "b", "d", "e", "f"]


# --- lost disks ---


async def test_a_member_without_its_disk_fills_itself_before_it_counts(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await fill_from(cluster, "ab", 20)
        cluster.faults.heal()
        await cluster.lose_disk("b")
        await cluster.end("a")
        await cluster.start(nursery, "b")
        # Of what a and b acknowledged, c has nothing and b has nothing any more.
        for name in "bc":
            with pytest.raises(TooFewReplicasError):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "a")
        await settled(cluster, "abc")
        assert cluster.view("a").members["b"].joined > 0
        await cluster.end("a")
        for name in "bc":
            for number in range(20):
                assert await value(cluster, name, f"n/{number}") == number


async def test_a_member_without_its_disk_that_found_nobody_counts_as_new_when_it_does(
    autojump_clock: object,
) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        await fill(cluster, 20)
        await cluster.lose_disk("b")
        await cluster.isolate("b")
        await cluster.start(nursery, "b")
        assert cluster.view("b").members["b"].joined == 0
        cluster.faults.heal()
        await eventually(lambda: cluster.view("b").members["b"].joined > 0)
        await settled(cluster, "abc")
        await tidy(cluster)
        await cluster.end("a")
        for number in range(20):
            assert await value(cluster, "b", f"n/{number}") == number


async def test_an_empty_replica_that_nobody_knows_of_yet_hides_nothing(autojump_clock: object) -> None:
    """a and b acknowledged; b then lost it all and found nobody; c, which never had it, asks b."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await put_one(cluster, "a", "n/1", 1)
        await cluster.lose_disk("b")
        await cluster.isolate("b")
        await cluster.start(nursery, "b")
        await cluster.isolate("a")
        cluster.faults.mend(("b", "c"), ("c", "b"))
        for name in "cb":
            with pytest.raises(TooFewReplicasError):
                await value(cluster, name, "n/1")
        cluster.faults.heal()
        await settled(cluster, "abc")
        for name in "abc":
            assert await value(cluster, name, "n/1") == 1


async def fill_from(cluster: Cluster, names: str, count: int) -> None:
    for number in range(count):
        await put_one(cluster, names[number % len(names)], f"n/{number}", number)


# --- what is left over ---


async def test_an_old_copy_is_dropped_only_once_the_new_holders_have_it(autojump_clock: object) -> None:
    """A record that only the old holder has, written at one, is handed over."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        joiner = joiner_of(cluster, SHARD)
        holders = replicas_of(SHARD, ["a", "b", "c", joiner], 3)
        (leaver,) = set("abc") - set(holders)
        await cluster.isolate(leaver)
        await put_one(cluster, leaver, "n/alone", 7, ack="one")
        through = next(name for name in "abc" if name != leaver)
        await cluster.join(nursery, joiner, through=through)
        await settled_but(cluster, ["a", "b", "c", joiner], without=leaver)
        cluster.faults.heal()
        await tidy(cluster)
        assert held(cluster, leaver) == []
        for name in holders:
            (copy,) = await cluster.stores[name].read(SHARD, (Entity("sw", "n", "alone"),))
            assert copy is not None
