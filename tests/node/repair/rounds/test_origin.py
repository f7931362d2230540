"""Rounds at the node that started them: handed out, followed, and ended whatever happens."""

from __future__ import annotations

import itertools

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
    RoundOutcome,
)
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.node.repair.origin import (
    KEPT_ROUNDS,
    ROUNDS_UNDER_WAY_MAX,
    Offer,
    Origin,
    RoundWatch,
    TooManyRoundsError,
)
from tests.node.support import NOW, SECOND

SHARD = ShardId("sw", 0)


def wall_clock() -> int:
    return NOW + int(trio.current_time() * SECOND)


def make_origin() -> Origin:
    numbers = itertools.count(1)
    return Origin("a", wall_clock=wall_clock, new_round_id=lambda: f"r{next(numbers)}", deadline_seconds=3600)


async def taken(node: str, message: RoundMessage) -> tuple[str, bool]:
    await trio.lowlevel.checkpoint()
    return "", False


def begin(
    origin: Origin,
    nursery: trio.Nursery,
    nodes: str = "ab",
    offer: Offer = taken,
    shard: ShardId = SHARD,
) -> RoundWatch:
    message, watch = origin.open(shard, tuple(nodes), Cause.ASKED)
    nursery.start_soon(origin.run, message, offer)
    return watch


def report(
    then: InSession | Forwarded | Ended,
    *hops: Hop,
    round_id: str = "r1",
    holder: str = "a",
    count: int = 0,
    shard: ShardId = SHARD,
) -> Report:
    return Report(round_id, shard, holder, count, hops, then)


A_TO_B = Hop("a", "b", HopEnd.EQUAL)


async def test_a_round_ends_with_the_last_holders_report() -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery)
        await trio.testing.wait_all_tasks_blocked()
        assert watch.now().outcome is None
        origin.report(report(Ended(""), A_TO_B))
    assert watch.now().outcome is RoundOutcome.CONVERGED
    assert watch.now().hops == (A_TO_B,)
    assert origin.rounds() == [watch.now()]


async def test_a_round_is_handed_to_the_first_node_that_takes_it(autojump_clock: object) -> None:
    origin = make_origin()
    asked: list[str] = []

    async def offer(node: str, message: RoundMessage) -> tuple[str, bool]:
        asked.append(node)
        await trio.sleep(60)
        return "" if node == "c" else f"{node} is down", False

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "abcd", offer)
        await trio.sleep(181)
        assert asked == ["a", "b", "c"]
        assert watch.now().outcome is None
        await trio.sleep(SILENCE_MAX_SECONDS)
    assert [hop.reason for hop in watch.now().hops] == ["holder c does not report"]


async def test_a_foreign_first_holder_may_be_silent_until_the_deadline(autojump_clock: object) -> None:
    """A foreign holder cannot report. It counts as gone once it is silent for longer than a session."""
    origin = make_origin()

    async def foreign(node: str, message: RoundMessage) -> tuple[str, bool]:
        await trio.lowlevel.checkpoint()
        return "", True

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, offer=foreign)
        await trio.sleep(3599)
        assert watch.now().outcome is None
        await trio.sleep(2)
        assert watch.now().outcome is RoundOutcome.INCOMPLETE


async def test_a_round_cancelled_from_within_a_nursery_is_over_all_the_same() -> None:
    """A nursery may hand a cancellation on as a group, which is no `trio.Cancelled`."""
    origin = make_origin()

    async def offer(node: str, message: RoundMessage) -> tuple[str, bool]:
        async with trio.open_nursery() as calls:
            calls.start_soon(trio.sleep_forever)
            calls.start_soon(trio.sleep_forever)
        return "", False

    async with trio.open_nursery() as nursery:
        begin(origin, nursery, offer=offer)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    (stopped,) = origin.rounds()
    assert stopped.outcome is RoundOutcome.INCOMPLETE
    assert stopped.hops[-1].reason == "the origin is stopping"


async def test_a_round_that_nobody_takes_ends_with_the_last_reason() -> None:
    origin = make_origin()

    async def refuse(node: str, message: RoundMessage) -> tuple[str, bool]:
        await trio.lowlevel.checkpoint()
        return f"{node} is down", False

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "abc", refuse)
    known = watch.now()
    assert known.outcome is RoundOutcome.INCOMPLETE
    assert [hop.reason for hop in known.hops] == ["no replica takes the round: c is down"]


async def test_a_round_that_ended_while_its_offer_was_lost_is_offered_to_nobody_else() -> None:
    """The first node took the message and finished the round, but its answer to the call did not come."""
    origin = make_origin()
    asked: list[str] = []

    async def lost(node: str, message: RoundMessage) -> tuple[str, bool]:
        asked.append(node)
        origin.report(report(Ended(""), A_TO_B))
        await trio.lowlevel.checkpoint()
        return "DEADLINE_EXCEEDED", False

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "ab", lost)
    assert asked == ["a"]
    assert watch.now().outcome is RoundOutcome.CONVERGED


async def test_a_node_alone_is_asked_nothing() -> None:
    origin = make_origin()

    async def never(node: str, message: RoundMessage) -> tuple[str, bool]:
        raise AssertionError("a round of no hops has nobody to go to")

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "a", never)
    assert watch.now().outcome is RoundOutcome.CONVERGED


async def test_silence_ends_a_round_and_signs_of_life_do_not(autojump_clock: object) -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery)
        for _ in range(10):
            await trio.sleep(SILENCE_MAX_SECONDS - 1)
            origin.report(report(InSession("b")))
        assert watch.now().outcome is None
        heard_last = trio.current_time()
    assert trio.current_time() == heard_last + SILENCE_MAX_SECONDS
    assert [hop.reason for hop in watch.now().hops] == ["holder a does not report"]


async def test_a_foreign_holder_may_be_silent_for_as_long_as_a_session(autojump_clock: object) -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "abc")
        await trio.testing.wait_all_tasks_blocked()
        origin.report(report(Forwarded("b", foreign=True), A_TO_B))
        await trio.sleep(3599)
        assert watch.now().outcome is None
    assert watch.now().outcome is RoundOutcome.INCOMPLETE
    assert trio.current_time() == 3600


async def test_followers_are_woken_by_each_report_and_see_the_end() -> None:
    origin = make_origin()
    seen: list[int] = []

    async def follow(watch: RoundWatch) -> None:
        while True:
            changed, known = watch.changed.pending, watch.now()
            seen.append(len(known.hops))
            if known.outcome is not None:
                return
            await changed.wait()

    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "abc")
        nursery.start_soon(follow, watch)
        nursery.start_soon(follow, watch)
        await trio.testing.wait_all_tasks_blocked()
        origin.report(report(Forwarded("b", foreign=False), A_TO_B))
        await trio.testing.wait_all_tasks_blocked()
        origin.report(report(Ended("tired"), holder="b", count=1))
    assert seen[:4] == [0, 0, 1, 1]
    await follow(watch)


async def test_followers_are_woken_by_an_end_that_nobody_reported(autojump_clock: object) -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery)
        with trio.fail_after(2 * SILENCE_MAX_SECONDS):
            while watch.now().outcome is None:
                await watch.changed.wait()
    assert watch.now().outcome is RoundOutcome.INCOMPLETE


async def test_a_round_that_is_followed_is_remembered_beyond_the_last_hundred() -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        first = begin(origin, nursery, "a")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(KEPT_ROUNDS + 20):
            begin(origin, nursery, "a")
    assert len(origin.rounds()) == KEPT_ROUNDS
    assert first.now() not in origin.rounds()
    assert first.now().outcome is RoundOutcome.CONVERGED


async def test_reports_of_strangers_and_of_unknown_rounds_change_nothing() -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "ab")
        await trio.testing.wait_all_tasks_blocked()
        origin.report(report(Ended(""), A_TO_B, holder="stranger"))
        origin.report(report(Ended(""), A_TO_B, round_id="r99"))
        origin.report(report(Ended(""), A_TO_B, round_id="", shard=ShardId("sw", 1)))
        assert watch.now().outcome is None
        assert watch.now().hops == ()
        origin.report(report(Ended(""), A_TO_B, round_id=""))
    assert watch.now().outcome is RoundOutcome.CONVERGED


async def test_a_report_without_a_round_finds_that_of_a_group_made_at_run_time() -> None:
    """A report names no incarnation, and the group of the configuration alone has the first one."""
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "ab", shard=ShardId("sw", 1, incarnation=7))
        await trio.testing.wait_all_tasks_blocked()
        origin.report(report(Ended(""), A_TO_B, round_id="", shard=ShardId("sw", 0)))
        assert watch.now().outcome is None
        origin.report(report(Ended(""), A_TO_B, round_id="", shard=ShardId("sw", 1)))
    assert watch.now().outcome is RoundOutcome.CONVERGED


async def test_no_holder_can_say_that_a_round_asked_for_is_not_needed() -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "ab")
        await trio.testing.wait_all_tasks_blocked()
        watch.cause = Cause.ASKED
        origin.report(report(NotNeeded("so I say")))
        assert watch.now().outcome is None
        watch.cause = Cause.SCHEDULED
        origin.report(report(NotNeeded("one of b ended well")))
    assert watch.now().outcome is RoundOutcome.NOT_NEEDED
    assert origin.last_converged(watch.now().shard) == 0


async def test_a_holder_cannot_fill_our_memory_with_counts_out_of_range(autojump_clock: object) -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery, "abc")
        await trio.testing.wait_all_tasks_blocked()
        for count in range(1000):
            origin.report(report(Forwarded("c", foreign=False), A_TO_B, holder="b", count=count))
        assert len(watch.now().hops) <= 3
        # Such a count does not hold the round open either.
        origin.report(report(InSession("c"), holder="b", count=4_000_000))
        origin.report(report(Ended("over"), holder="c", count=2))
    assert watch.now().outcome is RoundOutcome.INCOMPLETE


async def test_the_end_of_the_origin_ends_its_rounds_with_a_reason() -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        watch = begin(origin, nursery)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [hop.reason for hop in watch.now().hops] == ["the origin is stopping"]
    assert origin.rounds() == [watch.now()]


async def test_a_defect_in_one_round_does_not_end_the_others() -> None:
    origin = make_origin()

    async def broken(node: str, message: RoundMessage) -> tuple[str, bool]:
        raise ZeroDivisionError("a defect")

    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            bad = begin(origin, nursery, "ab", broken)
            good = begin(origin, nursery, "ab", shard=ShardId("sw", 1))
            await trio.testing.wait_all_tasks_blocked()
            origin.report(report(Ended(""), A_TO_B, round_id="r2", shard=ShardId("sw", 1)))
    assert [hop.reason for hop in bad.now().hops] == ["internal error at the origin"]
    assert good.now().outcome is RoundOutcome.CONVERGED
    assert [entry["round"] for entry in logs if entry["log_level"] == "error"] == ["r1"]


async def test_only_so_many_rounds_are_under_way_at_once() -> None:
    origin = make_origin()
    for number in range(ROUNDS_UNDER_WAY_MAX):
        origin.open(ShardId("sw", number), ("a", "b"), Cause.ASKED)
    with pytest.raises(TooManyRoundsError):
        origin.open(SHARD, ("a", "b"), Cause.ASKED)


@pytest.mark.parametrize(
    ("end", "skipped", "converged"),
    [
        (HopEnd.EQUAL, 0, True),
        (HopEnd.REPAIRED, 0, True),
        (HopEnd.REPAIRED, 1, False),
        (HopEnd.FAILED, 0, False),
    ],
)
async def test_when_the_replicas_were_last_equal(
    end: HopEnd, skipped: int, converged: bool, autojump_clock: object
) -> None:
    origin = make_origin()
    assert origin.last_converged(SHARD) == 0
    async with trio.open_nursery() as nursery:
        begin(origin, nursery)
        await trio.sleep(5)
        origin.report(
            report(Ended("" if end is not HopEnd.FAILED else "x"), Hop("a", "b", end, skipped=skipped))
        )
    assert origin.last_converged(SHARD) == (NOW + 5 * SECOND if converged else 0)


async def test_rounds_are_listed_newest_first(autojump_clock: object) -> None:
    origin = make_origin()
    async with trio.open_nursery() as nursery:
        begin(origin, nursery, "ab")
        await trio.sleep(1)
        begin(origin, nursery, "a")
        await trio.sleep(1)
        begin(origin, nursery, "ab")
        assert [known.round for known in origin.rounds()] == ["r3", "r2", "r1"]
        nursery.cancel_scope.cancel()
