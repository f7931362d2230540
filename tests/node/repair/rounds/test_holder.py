"""A node as the holder of messages."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import (
    SILENCE_MAX_SECONDS,
    Ended,
    Forwarded,
    Hop,
    InSession,
    NotNeeded,
    Report,
)
from gossipnode.core.ring.turn import BUSY_RETRIES, Cause, HopEnd
from gossipnode.node.repair.holder import SIGN_OF_LIFE_SECONDS
from tests.node.repair.rounds.ring_peers import SHARD, FakePeers, RunningHolder, message, settled


async def test_a_holder_repairs_with_its_successor_and_hands_the_message_on() -> None:
    peers = FakePeers()
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert [peer for _, peer in peers.sessions] == ["c"]
    assert [(peer, passed.count) for peer, passed in peers.forwarded] == [("c", 1)]
    ((origin, report),) = peers.told
    assert origin == "a"
    assert report == Report(
        "r1", SHARD, "b", 0, (Hop("b", "c", HopEnd.EQUAL),), Forwarded("c", foreign=False)
    )


async def test_a_foreign_successor_is_said_to_be_one() -> None:
    peers = FakePeers(foreign=frozenset("c"))
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert peers.last.then == Forwarded("c", foreign=True)


@pytest.mark.parametrize(
    ("end", "count", "then"),
    [
        (HopEnd.EQUAL, 0, Forwarded("a", foreign=False)),
        (HopEnd.REPAIRED, 1, Ended("")),
        (HopEnd.FAILED, 1, Forwarded("c", foreign=True)),
    ],
)
async def test_the_hop_of_a_foreign_holder_that_was_seen_is_reported_for_it(
    end: HopEnd, count: int, then: object
) -> None:
    seen = Hop("c", "a", end)
    peers = FakePeers(foreign=frozenset("c"), seen=seen)
    async with RunningHolder(peers) as ring:
        ring.offer(message(count=count))
        await settled(ring)
    assert peers.last.hops == (Hop("b", "c", HopEnd.EQUAL), seen)
    assert peers.last.then == then


async def test_a_foreign_holder_that_was_given_up_is_passed_over() -> None:
    peers = FakePeers(foreign=frozenset("c"), seen=True)
    async with RunningHolder(peers) as ring:
        ring.offer(message(count=1))
        await settled(ring)
    assert [(hop.to_node, hop.end) for hop in peers.last.hops] == [
        ("c", HopEnd.EQUAL),
        ("c", HopEnd.FAILED),
        ("a", HopEnd.EQUAL),
    ]
    assert peers.last.then == Ended("")


async def test_the_last_hop_ends_the_round_without_a_reason() -> None:
    peers = FakePeers(ends={"c": [HopEnd.REPAIRED]})
    async with RunningHolder(peers) as ring:
        ring.offer(message(count=2))
        await settled(ring)
    assert peers.forwarded == []
    assert peers.last.then == Ended("")
    assert [hop.end for hop in peers.last.hops] == [HopEnd.REPAIRED]


@pytest.mark.parametrize("end", [HopEnd.SKIPPED, HopEnd.FAILED])
async def test_a_successor_that_cannot_be_repaired_with_is_skipped(end: HopEnd) -> None:
    peers = FakePeers(ends={"c": [end]})
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert [peer for _, peer in peers.sessions] == ["c", "a"]
    assert [(hop.to_node, hop.end) for hop in peers.last.hops] == [("c", end), ("a", HopEnd.EQUAL)]
    assert peers.last.then == Forwarded("a", foreign=False)


async def test_without_a_successor_left_the_round_ends_early() -> None:
    peers = FakePeers(ends={"c": [HopEnd.SKIPPED], "a": [HopEnd.FAILED]})
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert peers.last.then == Ended("no successor is left")
    assert len(peers.last.hops) == 2


async def test_a_busy_successor_is_asked_again_with_growing_pauses(autojump_clock: object) -> None:
    peers = FakePeers(ends={"c": [HopEnd.BUSY, HopEnd.BUSY, HopEnd.REPAIRED]})
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    times = [at for at, _ in peers.sessions]
    assert [peer for _, peer in peers.sessions] == ["c", "c", "c"]
    assert 0.2 <= times[1] - times[0] <= 0.4
    assert 0.4 <= times[2] - times[1] <= 0.8
    assert [hop.end for hop in peers.last.hops] == [HopEnd.REPAIRED]


async def test_a_successor_busy_to_the_last_is_one_that_was_skipped(autojump_clock: object) -> None:
    peers = FakePeers(ends={"c": [HopEnd.BUSY]})
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert [peer for _, peer in peers.sessions] == ["c"] * (1 + BUSY_RETRIES) + ["a"]
    assert [hop.end for hop in peers.last.hops] == [HopEnd.SKIPPED, HopEnd.EQUAL]


async def test_a_successor_that_does_not_take_the_message_is_passed_over() -> None:
    peers = FakePeers(refusals={"c": "UNAVAILABLE: gone"})
    async with RunningHolder(peers) as ring:
        ring.offer(message())
        await settled(ring)
    assert [(hop.to_node, hop.end) for hop in peers.last.hops] == [
        ("c", HopEnd.EQUAL),
        ("c", HopEnd.FAILED),
        ("a", HopEnd.EQUAL),
    ]
    assert "did not take the message: UNAVAILABLE: gone" in peers.last.hops[1].reason
    assert [(peer, passed.count) for peer, passed in peers.forwarded] == [("a", 2)]


async def test_a_message_that_waits_is_overtaken_by_a_newer_one(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=10)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.sleep(1)
        ring.offer(message("r2", origin="c"))
        ring.offer(message("r3"))
        assert peers.ends_told("r2") == [], "another origin's waits beside it"
        ring.offer(message("r4", origin="c"))
        assert peers.ends_told("r2") == ["overtaken at b by round r4"]
        assert peers.told[-1][0] == "c"
        await ring.drain(0)
        assert (peers.ends_told("r3"), peers.ends_told("r4")) == (["the node is stopping"],) * 2
        await trio.sleep(30)
    assert len(peers.sessions) == 1


async def test_the_message_that_waited_is_held_next(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=10)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.sleep(1)
        ring.offer(message("r2"))
        await trio.sleep(30)
    assert [passed.round for _, passed in peers.forwarded] == ["r1", "r2"]
    assert [at for at, _ in peers.sessions] == [0, 10]


async def test_sessions_of_many_shards_run_side_by_side_up_to_the_bound(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=10)
    async with RunningHolder(peers, max_sessions=3) as ring:
        for number in range(7):
            ring.offer(message(f"r{number}", shard=ShardId("sw", number)))
        await trio.sleep(31)
    assert peers.most_open == 3
    assert len(peers.forwarded) == 7
    assert [at for at, _ in peers.sessions] == [0, 0, 0, 10, 10, 10, 20]


def signs(peers: FakePeers, round_id: str) -> int:
    return sum(isinstance(report.then, InSession) and report.round == round_id for _, report in peers.told)


@pytest.mark.parametrize("where", ["session", "slot", "shard", "forward"])
async def test_an_origin_hears_that_we_live_wherever_its_message_waits(
    where: str, autojump_clock: object
) -> None:
    """Silence for half a minute would count as death: of a holder in a session, of one that waits for its
    turn, and of one whose successor does not answer."""
    peers = FakePeers(session_seconds=100 if where != "forward" else 0, propagate_seconds=40)
    async with RunningHolder(peers, max_sessions=1) as ring:
        if where in ("slot", "shard"):
            ring.offer(message("r0", shard=ShardId("sw", 1) if where == "slot" else SHARD))
            await trio.testing.wait_all_tasks_blocked()
        ring.offer(message("r1"))
        await trio.sleep(SILENCE_MAX_SECONDS)
        assert signs(peers, "r1") >= SILENCE_MAX_SECONDS / SIGN_OF_LIFE_SECONDS - 1
        expected = "" if where in ("slot", "shard") else "c"
        sign = next(report for _, report in peers.told if report.round == "r1")
        if where != "slot":
            assert sign.then == InSession(expected)


async def test_signs_of_life_end_with_the_message(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=12)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.sleep(100)
    assert signs(peers, "r1") == 2
    assert isinstance(peers.last.then, Forwarded)


async def test_the_same_message_is_held_once() -> None:
    peers = FakePeers()
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        ring.offer(message("r1"))
        await trio.testing.wait_all_tasks_blocked()
        ring.offer(message("r1"))
        ring.offer(message("r1", count=1))
        await settled(ring)
    assert len(peers.sessions) == 2
    assert ring.refused == 2
    # The first message is still held, so nothing is said of an end.
    assert peers.ends_told() == []


async def test_a_scheduled_round_after_one_that_ended_well_is_not_needed_and_says_so(
    autojump_clock: object,
) -> None:
    peers = FakePeers()
    async with RunningHolder(peers, half_interval=1800) as ring:
        ring.offer(message("r1", origin="a", cause=Cause.SCHEDULED))
        await trio.sleep(100)
        ring.ended_well(SHARD, "a")
        await trio.sleep(100)
        ring.offer(message("r2", origin="c", cause=Cause.SCHEDULED))
        assert peers.last == Report("r2", SHARD, "b", 0, (), NotNeeded("a round of a ended well 100 s ago"))
        # Neither one asked for by hand, nor one in the middle, nor one of the same origin, nor a late one.
        ring.offer(message("r3", origin="c", cause=Cause.ASKED))
        await trio.sleep(1)
        ring.offer(message("r4", origin="a", cause=Cause.SCHEDULED, count=1))
        await trio.sleep(2000)
        ring.offer(message("r5", origin="c", cause=Cause.SCHEDULED))
        await settled(ring)
    assert [passed.round for _, passed in peers.forwarded] == ["r1", "r3", "r4", "r5"]


async def test_a_round_that_was_only_seen_stands_for_no_other(autojump_clock: object) -> None:
    peers = FakePeers()
    async with RunningHolder(peers, half_interval=1800) as ring:
        ring.offer(message("r1", origin="a", cause=Cause.SCHEDULED))
        await trio.sleep(100)
        ring.offer(message("r2", origin="c", cause=Cause.SCHEDULED))
        await settled(ring)
    assert [passed.round for _, passed in peers.forwarded] == ["r1", "r2"]


async def test_another_round_may_end_well_while_one_waits_for_its_shard(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=10)
    async with RunningHolder(peers, half_interval=1800) as ring:
        ring.offer(message("r1", origin="a", cause=Cause.SCHEDULED))
        await trio.sleep(1)
        ring.offer(message("r2", origin="c", cause=Cause.SCHEDULED))
        ring.ended_well(SHARD, "a")
        await settled(ring)
    assert len(peers.sessions) == 1
    assert isinstance(peers.last.then, NotNeeded)


async def test_a_defect_in_one_round_ends_that_round_alone() -> None:
    peers = FakePeers()

    async def broken() -> None:
        peers.in_session = None
        raise ZeroDivisionError("a defect")

    peers.in_session = broken
    with structlog.testing.capture_logs() as logs:
        async with RunningHolder(peers) as ring:
            ring.offer(message("r1"))
            await trio.testing.wait_all_tasks_blocked()
            ring.offer(message("r2"))
            await settled(ring)
    assert peers.ends_told("r1") == ["internal error at b"]
    assert [passed.round for _, passed in peers.forwarded] == ["r2"]
    (logged,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert logged["exc_info"]
    assert (logged["round"], logged["group"], logged["shard"]) == ("r1", "sw", 0)


async def test_a_message_without_our_name_is_a_defect_of_that_round() -> None:
    peers = FakePeers()
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1", nodes="ac"))
        ring.offer(message("r2", shard=ShardId("sw", 1)))
        await settled(ring)
    assert peers.ends_told("r1") == ["internal error at b"]
    assert [passed.round for _, passed in peers.forwarded] == ["r2"]


async def test_draining_lets_held_messages_finish_and_begins_nothing_new(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=3)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.sleep(1)
        ring.offer(message("waiting"))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ring.drain, 10)
            await trio.testing.wait_all_tasks_blocked()
            assert peers.ends_told("waiting") == ["the node is stopping"]
            assert not ring.accepting
            ring.offer(message("late"))
            assert peers.ends_told("late") == ["the node is stopping"]
        assert trio.current_time() - began == 2
    assert [passed.round for _, passed in peers.forwarded] == ["r1"]
    assert len(peers.sessions) == 1


async def test_what_outlasts_the_drain_ends_with_a_reason(autojump_clock: object) -> None:
    peers = FakePeers(ends={"c": [HopEnd.FAILED]}, session_seconds=8)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.testing.wait_all_tasks_blocked()
        await ring.drain(10)
        assert trio.current_time() == 10
    assert peers.ends_told() == ["holder b is stopping"]
    assert [hop.to_node for hop in peers.last.hops] == ["c"]


async def test_a_runner_that_is_cancelled_tells_of_every_message_it_has(autojump_clock: object) -> None:
    peers = FakePeers(session_seconds=100)
    async with RunningHolder(peers) as ring:
        ring.offer(message("r1"))
        await trio.sleep(1)
        ring.offer(message("r2"))
    assert peers.ends_told("r1") == ["holder b is stopping"]
    assert peers.ends_told("r2") == ["the node is stopping"]


async def test_draining_with_nothing_held_takes_no_time(autojump_clock: object) -> None:
    async with RunningHolder(FakePeers()) as ring:
        await ring.drain(10)
        assert trio.current_time() == 0


async def test_equal_messages_of_foreign_rounds_are_told_apart(autojump_clock: object) -> None:
    """They have no ids. While one is held and an equal one waits, the origin hears of both."""
    peers = FakePeers(session_seconds=3 * SIGN_OF_LIFE_SECONDS)
    async with RunningHolder(peers) as holder:
        same = message("", count=1)
        holder.offer(same)
        await trio.testing.wait_all_tasks_blocked()
        holder.offer(same)
        await trio.sleep(1.5 * SIGN_OF_LIFE_SECONDS)
        signs = sorted(report.then.peer for _, report in peers.told if isinstance(report.then, InSession))
        assert signs == ["", "c"]
        await trio.sleep(3 * SIGN_OF_LIFE_SECONDS)
        assert isinstance(peers.told[-1][1].then, InSession), "the second one is held now"
