"""A node of a large cluster looks at every shard after a change, and lets other tasks run meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from gossipnode.concurrency.loop_steps import STEPS_OF_A_TURN
from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.changes import Change
from gossipnode.core.model.property import ShardId
from gossipnode.node.hand_off.give_up import Leaver
from gossipnode.node.hand_off.settle import Settler
from gossipnode.node.local.local_state import LocalState
from gossipnode.sim import Cluster, running
from tests.node.epochs import change, joins
from tests.node.hand_off.stand_ins import FakeSessions, members_of
from tests.node.support import make_local
from tests.records import record

SHARDS = 128


class Turns(trio.abc.Instrument):
    """How often the loop went round."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def growing(own_name: str = "a") -> LocalState:
    """What a member knows of a cluster with many shards, to which c has just come."""
    local = make_local(own_name=own_name, groups={"sw": SHARDS}, replicas=1)
    change(local, joins("c"))
    return local


async def settle(local: LocalState) -> None:
    async def decide(asked: Change) -> None:
        await trio.lowlevel.checkpoint()

    epochs: Any = SimpleNamespace(change=decide)
    await Settler(local, members_of(local.own_name), epochs)._filled(local.shards.view)


async def leftovers(local: LocalState) -> None:
    await Leaver(local, members_of(local.own_name), FakeSessions()).leftovers()


async def recall(local: LocalState) -> None:
    placement = local.shards.placement(next(iter(local.shards.view.unsettled())).shard)
    await local.store.keep_note("filled", f"{placement.fence.hex()} {tuple(placement.shard)!r}".encode())
    await local.fill.recall()


WORK: dict[str, Callable[[LocalState], Awaitable[object]]] = {
    "what is held": lambda local: local.shards.held(),
    "what is to be filled": lambda local: local.fill.unfilled(local.shards.view),
    "what was filled": recall,
    "what may be settled": settle,
    "what is left over": leftovers,
    "what is counted": lambda local: local.fill._counted(local.shards.view),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
async def test_other_tasks_run_while_every_shard_is_looked_at(
    work: Callable[[LocalState], Awaitable[object]],
) -> None:
    local = growing()
    await local.store.write([(ShardId("sw", number), record(f"n/{number}")) for number in range(SHARDS)])
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    await work(local)
    assert turns.count >= SHARDS // STEPS_OF_A_TURN


async def test_other_tasks_run_while_a_change_is_judged(autojump_clock: object) -> None:
    async with running(Cluster(names="ab", groups=(f"sw:{SHARDS}:1",))) as cluster:
        await trio.sleep(1)
        turns = Turns()
        trio.lowlevel.add_instrument(turns)
        with pytest.raises(ChangeRefusedError, match="b cannot be dropped without losing"):
            await cluster.parts("a").membership.epochs.change(partial(changes.drop, name="b", force=True))
        assert turns.count >= SHARDS // STEPS_OF_A_TURN
