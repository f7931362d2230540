"""Starting rounds: where their message goes first, and when none is started."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.cluster.cluster_metadata import Group
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import SILENCE_MAX_SECONDS, Ended, EndedWell, Hop, Report, RoundOutcome
from gossipnode.core.ring.turn import Cause, EndRound, HopEnd, RoundMessage
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.node.repair import origin as origins
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.rounds import REPEAT_SECONDS, REPEATS_MAX, SCHEDULED_UNDER_WAY_MAX, Rounds
from gossipnode.node.repair.schedule import SCHEDULE_JITTER_MAX_SECONDS, Schedule
from tests.node.support import NOW, SECOND, formed, make_local, see

SHARD = ShardId("sw", 0)


class Started:
    """Rounds of a node whose messages are kept, and go nowhere."""

    def __init__(self, local: LocalState, schedule: str = "") -> None:
        self.ids = 0
        self.offered = trio.Event()
        self.held: list[RoundMessage] = []
        self.handed_on: list[tuple[str, RoundMessage]] = []
        self.told: list[tuple[str, EndedWell]] = []
        self.known: list[tuple[ShardId, str]] = []
        self.origin = origin = Origin(
            local.own_name, wall_clock=local.clock.now, new_round_id=self.new_id, deadline_seconds=60
        )
        itself: Any = self
        plan = Schedule(schedule) if schedule else None
        self.rounds = Rounds(local, origin, itself, itself, itself, plan, random.Random(1))

    def new_id(self) -> str:
        self.ids += 1
        return f"r{self.ids}"

    def offer(self, message: RoundMessage) -> None:
        self.held.append(message)
        self.offered.set()

    def ended_well(self, shard: ShardId, origin: str) -> None:
        self.known.append((shard, origin))

    def tell_ended(self, node: str, ended: EndedWell) -> None:
        self.told.append((node, ended))

    async def propagate(self, peer: str, message: RoundMessage) -> tuple[str, bool]:
        self.handed_on.append((peer, message))
        return "", False


@asynccontextmanager
async def started(local: LocalState, schedule: str = "") -> AsyncGenerator[Started]:
    made = Started(local, schedule)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.rounds.run)
        nursery.start_soon(made.rounds.follow_schedule)
        yield made
        nursery.cancel_scope.cancel()


async def test_the_message_of_a_shard_that_this_node_holds_first_is_held_here() -> None:
    async with started(make_local()) as made:
        watch = made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        assert made.held == [RoundMessage("r1", SHARD, "a", ("a", "b"), 0, Cause.ASKED)]
        assert made.handed_on == []
        assert watch.now().outcome is None


async def test_the_message_of_another_shard_goes_to_its_first_holder() -> None:
    async with started(make_local(own_name="b")) as made:
        made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        assert made.held == []
        assert made.handed_on == [("a", RoundMessage("r1", SHARD, "b", ("a", "b"), 0, Cause.ASKED))]


async def test_no_round_is_started_by_a_node_that_does_not_run_or_stops() -> None:
    local = make_local()

    def refused() -> Any:
        return pytest.raises(TooManyRoundsError, match="the node is stopping, and starts no round")

    with refused():
        Started(local).rounds.start(SHARD, Cause.ASKED)
    async with started(local) as made:
        watch = made.rounds.start(SHARD, Cause.ASKED)
        made.rounds.stop()
        with refused():
            made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        # What is under way goes on.
        assert [message.round for message in made.held] == ["r1"]
        assert watch.now().outcome is None
    async with started(local) as ended:
        pass
    with refused():
        ended.rounds.start(SHARD, Cause.ASKED)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (HopEnd.EQUAL, [("b", EndedWell("r1", SHARD))]),
        (HopEnd.REPAIRED, [("b", EndedWell("r1", SHARD))]),
        (HopEnd.FAILED, []),
    ],
)
async def test_the_replicas_are_told_of_a_round_that_ended_well(
    autojump_clock: object, end: HopEnd, told: list[Any]
) -> None:
    async with started(make_local()) as made:
        watch = made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        made.origin.report(Report("r1", SHARD, "a", 0, (Hop("a", "b", end),), Ended("")))
        await trio.sleep(SILENCE_MAX_SECONDS)
        assert watch.now().outcome is not None
        assert made.told == told
        assert made.known == ([(SHARD, "a")] if told else [])


async def end_incomplete(made: Started, round_id: str) -> None:
    """The first holder reports that the other replica is down."""
    hop = Hop("a", "b", HopEnd.SKIPPED, "down")
    made.origin.report(Report(round_id, SHARD, "a", 0, (hop,), Ended(EndRound.NO_SUCCESSOR)))
    await trio.testing.wait_all_tasks_blocked()


async def end_round(made: Started, message: RoundMessage) -> None:
    """The first holder reports that both replicas are equal."""
    hop = Hop("a", "b", HopEnd.EQUAL)
    made.origin.report(Report(message.round, message.shard, "a", 0, (hop,), Ended("")))
    await trio.testing.wait_all_tasks_blocked()


async def test_a_scheduled_round_that_left_somebody_out_is_repeated_a_few_times(
    autojump_clock: object,
) -> None:
    async with started(make_local()) as made:
        await made.rounds.start_in_turn(SHARD)
        for tried in range(REPEATS_MAX + 1):
            await trio.testing.wait_all_tasks_blocked()
            assert len(made.held) == tried + 1
            assert made.held[-1].cause is Cause.SCHEDULED
            await end_incomplete(made, f"r{tried + 1}")
            await trio.sleep(SILENCE_MAX_SECONDS)
            assert len(made.held) == tried + 1, "not at once"
            await trio.sleep(REPEAT_SECONDS)
        await trio.sleep(10 * REPEAT_SECONDS)
        assert len(made.held) == REPEATS_MAX + 1


async def test_a_round_that_was_asked_for_is_not_repeated_nor_one_while_the_node_stops(
    autojump_clock: object,
) -> None:
    async with started(make_local()) as made:
        made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        await end_incomplete(made, "r1")
        await made.rounds.start_in_turn(SHARD)
        await trio.testing.wait_all_tasks_blocked()
        await end_incomplete(made, "r2")
        made.rounds.stop()
        await trio.sleep(10 * REPEAT_SECONDS)
        assert len(made.held) == 2


def running_clock() -> int:
    return NOW + int(trio.current_time() * SECOND)


async def test_the_schedule_starts_a_round_of_each_shard_that_is_held_here(autojump_clock: object) -> None:
    local = make_local(groups={"sw": 8}, members=("a", "b", "c"), replicas=2, wall_clock=running_clock)
    assert 0 < len(await local.shards.held()) < 8
    async with started(local, "0 * * * *") as made:
        await trio.sleep(3599)
        assert made.held == []
        await trio.sleep(SCHEDULE_JITTER_MAX_SECONDS + 1)
    assert sorted(message.shard for message in made.held) == await local.shards.held()
    assert made.handed_on == []
    assert {message.cause for message in made.held} == {Cause.SCHEDULED}


async def test_without_a_schedule_no_round_starts_by_itself(autojump_clock: object) -> None:
    async with started(make_local(wall_clock=running_clock)) as made:
        await trio.sleep(48 * 3600)
    assert made.ids == 0


async def test_those_who_ask_while_a_round_is_under_way_share_the_next_one() -> None:
    async with started(make_local(groups={"sw": 2})) as made:
        first, *others = [made.rounds.start(SHARD, Cause.ASKED) for _ in range(6)]
        assert first is not others[0]
        assert all(watch is others[0] for watch in others)
        made.rounds.start(ShardId("sw", 1), Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(message.round for message in made.held) == ["r1", "r3"]
        await end_round(made, next(message for message in made.held if message.round == "r1"))
        assert first.now().outcome is RoundOutcome.CONVERGED
        assert made.held[-1].round == "r2"
        # It is under way by now, so it may have gone past what is written before the next request.
        later = made.rounds.start(SHARD, Cause.EVENT)
        assert later is not others[0]
        await end_round(made, made.held[-1])
        assert {watch.now().outcome for watch in others} == {RoundOutcome.CONVERGED}
        await end_round(made, made.held[-1])
        assert later.now().outcome is RoundOutcome.CONVERGED
        made.rounds.start(SHARD, Cause.ASKED)
        await trio.testing.wait_all_tasks_blocked()
        assert [message.round for message in made.held if message.shard == SHARD] == ["r1", "r2", "r4", "r5"]


async def until_the_schedule_is_due(made: Started) -> None:
    made.offered = trio.Event()
    await made.offered.wait()
    await trio.testing.wait_all_tasks_blocked()


async def test_scheduled_rounds_beyond_the_limit_wait_until_others_have_ended(autojump_clock: object) -> None:
    local = make_local(groups={"sw": SCHEDULED_UNDER_WAY_MAX + 2}, wall_clock=running_clock)
    async with started(local, "0 * * * *") as made:
        await until_the_schedule_is_due(made)
        assert len(made.held) == SCHEDULED_UNDER_WAY_MAX
        await end_round(made, made.held[7])
        assert len(made.held) == SCHEDULED_UNDER_WAY_MAX + 1
        # Nobody reports of the others, so they end by silence.
        await trio.sleep(SILENCE_MAX_SECONDS + 1)
    shards = [message.shard.shard for message in made.held]
    assert sorted(shards) == list(range(SCHEDULED_UNDER_WAY_MAX + 2))
    assert shards != sorted(shards), "no shard is always the last one"


async def test_a_time_of_the_schedule_is_done_once_the_last_of_its_rounds_is_over(
    autojump_clock: object,
) -> None:
    """A node that ends before that makes the time good when it starts again."""
    local = make_local(groups={"sw": 3}, wall_clock=running_clock)

    async def begun(over: int) -> int:
        """The rounds that begin after a start; some of them end before the node does."""
        async with started(local, "0 * * * *") as made:
            with trio.move_on_after(SCHEDULE_JITTER_MAX_SECONDS + 1):
                await until_the_schedule_is_due(made)
            for message in made.held[:over]:
                await end_round(made, message)
            return len(made.held)

    async with started(local, "0 * * * *"):
        await trio.sleep(1)
    await trio.sleep(3600)
    assert [await begun(over) for over in (0, 2, 3, 0)] == [3, 3, 3, 0]


async def test_a_shard_that_is_gone_when_its_turn_comes_takes_no_place(autojump_clock: object) -> None:
    local = make_local(groups={"sw": SCHEDULED_UNDER_WAY_MAX + 2}, wall_clock=running_clock)
    async with started(local, "0 * * * *") as made:
        await until_the_schedule_is_due(made)
        see(local.cluster, formed(["a", "b"]))
        for message in list(made.held):
            await end_round(made, message)
        assert made.ids == SCHEDULED_UNDER_WAY_MAX
        see(local.cluster, formed(["a", "b"], [Group("sw", shards=1, replicas=2)]))
        await until_the_schedule_is_due(made)
    assert made.ids == SCHEDULED_UNDER_WAY_MAX + 1


async def test_rounds_asked_for_and_those_of_the_schedule_take_no_places_of_each_other(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origins, "ROUNDS_UNDER_WAY_MAX", 2)
    local = make_local(groups={"sw": SCHEDULED_UNDER_WAY_MAX + 1}, wall_clock=running_clock)
    async with started(local, "0 * * * *") as made:
        await until_the_schedule_is_due(made)
        made.rounds.start(SHARD, Cause.ASKED)
        made.rounds.start(SHARD, Cause.EVENT)
        made.rounds.start(SHARD, Cause.EVENT)
        with pytest.raises(TooManyRoundsError, match="2 rounds are under way"):
            made.rounds.start(ShardId("sw", 1), Cause.ASKED)
        await end_round(made, made.held[7])
        causes = [message.cause for message in made.held]
    assert causes.count(Cause.SCHEDULED) == SCHEDULED_UNDER_WAY_MAX + 1
