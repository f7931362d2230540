"""Whether the store of a node counts: when it starts alone, from an old copy, or twice, or lacks commits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import structlog
import structlog.testing
import trio
import trio.testing

from gossipnode.core.cluster.boots import BootVerdict
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.cluster.deciding.epoch_messages import Ballot, Prepare, Stranger
from gossipnode.node.membership.joining import JOIN_SECONDS
from gossipnode.node.node import NodeFailedError, run_node
from gossipnode.node.peers import call_metadata
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import LOST_COMMITS_NOTE, StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.node.cluster import put, tags_at
from tests.node.moving import eventually
from tests.records import entity, record

SETTLED_SECONDS = 20.0


def cleared(cluster: Cluster, name: str) -> bool:
    return cluster.parts(name).local.cluster.cleared


def birth(cluster: Cluster, name: str) -> int:
    return cluster.parts(name).local.cluster.own.birth


def unheard(cluster: Cluster, name: str) -> list[str]:
    return cluster.parts(name).membership.clearing.unheard()


def copy_of(cluster: Cluster, name: str) -> MemoryStore:
    store = cluster.stores[name]
    assert isinstance(store, MemoryStore)
    return store.reopen()


@asynccontextmanager
async def run_for_a_while(
    names: str = "abc", groups: Sequence[str] = ("sw:1:3",)
) -> AsyncGenerator[tuple[Cluster, trio.Nursery]]:
    """A cluster that has run for a while, and a nursery to start nodes of it again."""
    cluster = Cluster(names, groups, keeps_errors=True)
    async with trio.open_nursery() as nursery, running(cluster):
        await trio.sleep(2)
        yield cluster, nursery
        cluster.stop()


async def test_a_node_that_starts_beside_others_counts_at_once(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        await cluster.end("b")
        began = trio.current_time()
        await cluster.start(nursery, "b")
        assert cleared(cluster, "b")
        assert trio.current_time() - began < 0.1
        # A member that came later need not have heard of it.
        cluster.parts("b").local.cluster.boot.heard_by.clear()
        assert unheard(cluster, "b") == []


async def test_requests_wait_for_the_word_of_a_member_that_has_just_come(autojump_clock: object) -> None:
    """b was alone for longer than requests wait, and c takes a moment to note that it has heard of b."""
    async with run_for_a_while() as (cluster, nursery):
        for name in "abc":
            await cluster.end(name)
        await cluster.start(nursery, "b")
        await trio.sleep(10)
        began = trio.current_time()
        with pytest.raises(TooFewReplicasError):
            await put(cluster, "b", x=1)
        assert trio.current_time() - began < 0.5, "alone it waits for nobody"
        cluster.stores["c"].commit_seconds = 0.3
        nursery.start_soon(cluster.start, nursery, "c")
        await eventually(lambda: cluster.parts("b").members.peers["c"].state == "up")
        assert not cleared(cluster, "b")
        await put(cluster, "b", x=1)
        assert cleared(cluster, "b")


async def test_a_node_that_starts_alone_serves_what_is_asked_of_it_alone(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        await put(cluster, "a", ack="all", x=1)
        for name in "abc":
            await cluster.end(name)
        await cluster.start(nursery, "b")
        assert unheard(cluster, "b") == ["a", "c"]
        assert await tags_at(cluster, "b", ack="local") == {"x": 1}
        await put(cluster, "b", ack="local", x=2)
        for level in ("one", "quorum"):
            with pytest.raises(
                TooFewReplicasError, match="b \\(does not know yet whether its store is the n"
            ):
                await tags_at(cluster, "b", ack=level)
        own = cluster.parts("b").local.cluster
        assert own.metadata is not None
        question = Prepare(own.metadata.cluster_id, own.epoch, own.own.birth, Ballot(9, 9))
        epochs = cluster.parts("b").membership.epochs
        assert isinstance(await epochs.answer("a", question, lambda _: ""), Stranger), "it promises nothing"
        await cluster.start(nursery, "a")
        assert unheard(cluster, "b") == unheard(cluster, "a") == []
        assert await tags_at(cluster, "a", ack="quorum") == {"x": 2}


async def test_an_older_copy_is_told_so_and_fills_itself_before_it_counts(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        await put(cluster, "a", ack="all", x=1)
        copy, before = copy_of(cluster, "b"), birth(cluster, "b")
        await cluster.isolate("c")
        await put(cluster, "a", x=2)
        cluster.faults.heal()
        await cluster.end("b")
        cluster.stores["b"] = copy
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "b")
        assert [log["says"] for log in logs if log["event"] == "the data directory went back in time"]
        assert birth(cluster, "b") != before
        said = call_metadata.start_of(cluster.parts("b").members.metadata)
        assert said is not None
        assert said[0] == Identity("b", birth(cluster, "b"))
        await trio.sleep(SETTLED_SECONDS)
        assert cluster.view("a").members["b"].birth == birth(cluster, "b")
        assert cluster.view("a").is_settled
        await cluster.end("a")
        assert await tags_at(cluster, "b") == {"x": 2}
        # It has taken its own place for good.
        await cluster.end("b")
        await cluster.start(nursery, "b")
        assert cleared(cluster, "b")


@pytest.mark.slow
async def test_starts_alone_do_not_hide_that_a_copy_is_older(autojump_clock: object) -> None:
    """Neither their number nor what they write by themselves is taken for what was lost."""
    async with run_for_a_while() as (cluster, nursery):
        await put(cluster, "a", ack="all", x=1)
        copy, before = copy_of(cluster, "b"), birth(cluster, "b")
        await put(cluster, "a", ack="all", x=2)
        await trio.sleep(2)
        for name in "abc":
            await cluster.end(name)
        cluster.stores["b"] = copy
        for number in range(5):
            await cluster.start(nursery, "b")
            for _ in range(3):
                await put(cluster, "b", ack="local", y=number)
            await cluster.end("b")
        await cluster.start(nursery, "a", "c")
        await cluster.start(nursery, "b")
        await trio.sleep(SETTLED_SECONDS)
        assert birth(cluster, "b") != before
        assert await tags_at(cluster, "b", ack="all") == {"x": 1, "y": 4}


async def test_what_a_node_wrote_last_is_known_to_others_after_a_second(autojump_clock: object) -> None:
    """Of its own writes as a coordinator, of which no answer tells."""
    async with run_for_a_while() as (cluster, nursery):
        copy, before = copy_of(cluster, "b"), birth(cluster, "b")
        await put(cluster, "b", x=1)
        await trio.sleep(1.5)
        await cluster.end("b")
        cluster.stores["b"] = copy
        await cluster.start(nursery, "b")
        assert birth(cluster, "b") != before


async def test_commits_that_the_log_has_lost_count_as_time_that_went_back(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        before = birth(cluster, "b")
        await cluster.end("b")
        await cluster.stores["b"].keep_note(LOST_COMMITS_NOTE, b"3")
        await cluster.start(nursery, "b")
        await trio.sleep(SETTLED_SECONDS)
        assert birth(cluster, "b") != before
        assert await cluster.stores["b"].note(LOST_COMMITS_NOTE) is None
        assert cleared(cluster, "b")


@pytest.mark.slow
async def test_a_store_that_went_back_tries_again_until_it_may_take_its_own_place(
    autojump_clock: object,
) -> None:
    async with run_for_a_while() as (cluster, nursery):
        copy = copy_of(cluster, "b")
        await put(cluster, "a", ack="all", x=1)
        await cluster.end("b")
        await cluster.end("c")
        cluster.stores["b"] = copy
        await cluster.start(nursery, "b")
        await trio.sleep(2 * JOIN_SECONDS)
        assert "1 of 3 members agreed" in cluster.parts("b").membership.clearing.problem
        await cluster.start(nursery, "c")
        await trio.sleep(JOIN_SECONDS)
        assert cluster.parts("b").membership.clearing.problem == ""
        assert cleared(cluster, "b")
        assert await tags_at(cluster, "b") == {"x": 1}


async def test_what_a_store_lost_before_it_was_a_member_nobody_else_has(autojump_clock: object) -> None:
    cluster = Cluster("ab", formed=False, keeps_errors=True)
    async with trio.open_nursery() as nursery, running(cluster, "a"):
        before = birth(cluster, "a")
        await cluster.end("a")
        await cluster.stores["a"].keep_note(LOST_COMMITS_NOTE, b"3")
        await cluster.start(nursery, "a")
        assert birth(cluster, "a") == before
        assert await cluster.stores["a"].note(LOST_COMMITS_NOTE) is None
        cluster.stop()


async def test_a_cluster_of_one_goes_on_with_what_is_left(autojump_clock: object) -> None:
    async with run_for_a_while("a") as (cluster, nursery):
        before = birth(cluster, "a")
        await cluster.end("a")
        await cluster.stores["a"].keep_note(LOST_COMMITS_NOTE, b"3")
        await cluster.start(nursery, "a")
        assert birth(cluster, "a") == before
        assert cleared(cluster, "a")
        assert await cluster.stores["a"].note(LOST_COMMITS_NOTE) is None


@pytest.mark.slow
async def test_of_two_no_store_that_went_back_is_replaced_and_it_says_so(autojump_clock: object) -> None:
    async with run_for_a_while("ab") as (cluster, nursery):
        copy = copy_of(cluster, "b")
        await put(cluster, "a", x=1)
        await cluster.end("b")
        cluster.stores["b"] = copy
        await cluster.start(nursery, "b")
        await trio.sleep(JOIN_SECONDS + 5)
        clearing = cluster.parts("b").membership.clearing
        assert "1 of 2 members agreed" in clearing.problem
        assert not cleared(cluster, "b")


async def test_a_copy_of_a_running_node_stops_and_the_node_stays(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, _):
        twin = Cluster(names="abc", keeps_errors=True)
        twin.network, twin.faults = cluster.network, cluster.faults
        twin.stores["b"] = copy_of(cluster, "b")
        with pytest.raises(
            BaseException, match="b is running already, with another copy of this data"
        ) as told:
            await run_node(twin.settings("b", **{"node.listen": "elsewhere:1"}), twin.world("b"))
        assert not isinstance(told.value, NodeFailedError)
        await trio.sleep(SETTLED_SECONDS)
        assert not cluster.errors
        await put(cluster, "a", ack="all", x=1)
        assert str(cluster.parts("a").members.peers["b"].address) == "b:7400"


async def test_a_node_that_stood_still_while_its_copy_was_started_stops(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        cluster.hang("b")
        await trio.sleep(2)
        twin = Cluster(names="abc", keeps_errors=True)
        twin.network = cluster.network
        twin.stores["b"] = copy_of(cluster, "b")
        await twin.start(nursery, "b", **{"node.listen": "elsewhere:1"})
        assert cleared(twin, "b")
        cluster.faults.heal()
        # Before it is told, nobody takes its writes: they would be at one store that counts, and at its own.
        with pytest.raises(TooFewReplicasError):
            await put(cluster, "b", x=9)
        await trio.sleep(SETTLED_SECONDS)
        assert "has heard of a later start of b" in str(cluster.errors["b"])
        assert "b" in twin.running
        await put(cluster, "a", ack="all", x=1)
        twin.stop()


async def test_a_store_of_a_full_disk_counts_once_its_start_is_noted(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        await cluster.end("b")
        store = cluster.stores["b"]
        assert isinstance(store, MemoryStore)
        store.set_full(True)
        await cluster.start(nursery, "b")
        # A note needs next to no space.
        assert cleared(cluster, "b")


@pytest.mark.slow
async def test_what_an_older_copy_alone_has_reaches_every_replica(autojump_clock: object) -> None:
    """A fill needs three of the four other copies. One that is down meanwhile gets it when it is back."""
    async with run_for_a_while("abcde", groups=("sw:1:5",)) as (cluster, nursery):
        await put(cluster, "a", ack="all", x=1)
        await cluster.put("b", record("n/own"))
        copy = copy_of(cluster, "b")
        await put(cluster, "a", ack="all", x=2)
        await cluster.end("b")
        await cluster.end("e")
        cluster.stores["b"] = copy
        await cluster.start(nursery, "b")
        await trio.sleep(SETTLED_SECONDS)
        assert cluster.view("a").is_settled
        await cluster.start(nursery, "e")
        await trio.sleep(SETTLED_SECONDS)
        held = await cluster.held_of(entity("n/own"))
        assert [name for name, found in held.items() if found is None] == []


def known_commit(cluster: Cluster, at: str, of: str) -> int:
    """The last commit of a member's store that another one has heard of."""
    mark = cluster.parts(at).members.boots.known(cluster.parts(of).local.cluster.own)
    assert mark is not None
    return mark.commit


async def test_answers_of_replicas_and_voters_tell_their_commits(autojump_clock: object) -> None:
    """So that what an acknowledged write or a decided epoch rests on is known before it is answered."""
    async with run_for_a_while() as (cluster, _):
        before = cluster.stores["b"].commit_number
        await put(cluster, "a", ack="all", x=1)
        written = cluster.stores["b"].commit_number
        assert written > before
        assert known_commit(cluster, "a", "b") == written
        await cluster.parts("a").membership.groups.create("g")
        assert known_commit(cluster, "a", "b") == cluster.stores["b"].commit_number > written
        assert known_commit(cluster, "c", "b") < cluster.stores["b"].commit_number


async def test_a_request_waits_a_moment_for_a_store_that_has_just_started(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, _):
        boot = cluster.parts("b").local.cluster.boot
        boot.cleared = boot.noted = False
        cluster.parts("b").local.cluster._formed_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(put, cluster, "a", ack="all", x=1))
            await trio.sleep(1)
            cluster.parts("b").membership.clearing._boot.changed.notify()
        assert await tags_at(cluster, "b") == {"x": 1}


async def test_a_start_that_a_member_cannot_note_is_not_heard_by_it(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, nursery):
        await cluster.end("c")
        await cluster.end("b")
        store = cluster.stores["a"]
        keep = store.keep_note

        async def full(key: str, value: bytes | None, *, numbered: bool = True) -> None:
            raise StoreFullError("no room")

        store.keep_note = full  # type: ignore[method-assign]
        await cluster.start(nursery, "b")
        assert unheard(cluster, "b") == ["a", "c"]
        assert cluster.parts("b").members.peers["a"].state == "up"
        store.keep_note = keep  # type: ignore[method-assign]
        await trio.sleep(2)
        assert cleared(cluster, "b")


async def test_a_store_that_does_not_count_asks_again_at_once_when_the_epoch_changes(
    autojump_clock: object,
) -> None:
    """The first epoch may come just before the members' word on the store, and requests wait for that."""
    async with run_for_a_while() as (cluster, _):
        await trio.sleep(60)
        boot = cluster.parts("a").local.cluster.boot
        boot.cleared = boot.noted = False
        boot.heard_by.clear()
        await cluster.parts("b").membership.groups.create("g")
        await trio.sleep(0.5)
        assert boot.heard_by
        assert cleared(cluster, "a")


async def test_a_node_that_is_refused_says_so_once_and_waits_for_its_end(autojump_clock: object) -> None:
    async with run_for_a_while() as (cluster, _):
        membership = cluster.parts("b").membership
        refusals: list[str] = []
        refuse = membership.news.refuse

        def counted(reason: str) -> None:
            refusals.append(reason)
            refuse(reason)

        membership.news.refuse = counted  # type: ignore[method-assign]
        cluster.parts("b").local.cluster.boot.judged(Identity("a", 1), BootVerdict.REWOUND)
        await trio.sleep(SETTLED_SECONDS)
        assert len(refusals) == 1
        assert "has heard of a later start of b" in str(cluster.errors["b"])
