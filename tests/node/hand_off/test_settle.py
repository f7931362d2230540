"""Settling: who has shards settled, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gossipnode.core.cluster.changes import Change
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.model.property import ShardId
from gossipnode.node.hand_off.settle import Settler
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import TooFewMembersError
from tests.core.cluster.clusters import finished
from tests.node.epochs import change, joins
from tests.node.hand_off.stand_ins import members_of, peer
from tests.node.support import make_local, see


class FakeEpochs:
    """Decides at once what it is asked for, or fails."""

    def __init__(self, local: LocalState, *, fails: bool = False) -> None:
        self._local = local
        self._fails = fails
        self.asked = 0

    async def change(self, asked: Change) -> tuple[ClusterMetadata, int]:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self._fails:
            raise TooFewMembersError("1 of 3 members agreed")
        value = self._local.cluster.metadata
        assert value is not None
        after = finished(asked(value))
        see(self._local.cluster, after)
        return after, 1


def growing(own_name: str = "a", *, replicas: int = 3) -> LocalState:
    """What a member of a, b and c knows, of which c has just joined."""
    local = make_local(own_name=own_name, replicas=replicas)
    change(local, joins("c"))
    return local


async def settle(local: LocalState, *peers: Any, fails: bool = False) -> int:
    """Try to settle; gives how many changes were asked for."""
    epochs: Any = FakeEpochs(local, fails=fails)
    members = members_of(local.own_name, *peers)
    await Settler(local, members, epochs).settle(local.shards.view)
    return int(epochs.asked)


def fences(local: LocalState) -> dict[ShardId, bytes]:
    return {placement.shard: placement.fence for placement in local.shards.view.unsettled()}


async def test_the_first_member_has_shards_settled_once_every_new_replica_is_filled() -> None:
    local = growing()
    assert await settle(local, peer("b"), peer("c", filled=fences(local))) == 1
    assert local.shards.view.is_settled
    # It is not asked for a second time.
    assert await settle(local, peer("b"), peer("c")) == 0


async def test_a_shard_that_does_not_move_is_settled_without_anybody_filling_it() -> None:
    local = make_local(groups={"sw": 8}, members="abcdef", replicas=1)
    change(local, joins("g"))
    still = [each.shard for each in local.shards.view.unsettled() if not each.moving]
    assert 0 < len(still) < 8
    assert await settle(local, *map(peer, "bcdefg")) == 1
    assert [each.shard for each in local.shards.view.unsettled() if not each.moving] == []
    assert not local.shards.view.is_settled


async def test_nothing_is_settled_before_all_are_filled_under_this_fence() -> None:
    local = growing()
    before = fences(local)
    assert await settle(local, peer("b"), peer("c")) == 0
    assert await settle(local, peer("b"), peer("c", filled=dict.fromkeys(before, b"another"))) == 0
    assert await settle(local, peer("b")) == 0


async def test_every_new_replica_has_to_be_filled() -> None:
    local = make_local(replicas=4)
    change(local, joins("c"), joins("d"))
    done = fences(local)
    for c, d in (({}, done), (done, {})):
        assert await settle(local, peer("b"), peer("c", filled=c), peer("d", filled=d)) == 0
    assert await settle(local, peer("b"), peer("c", filled=done), peer("d", filled=done)) == 1


async def test_one_shard_waits_for_no_other() -> None:
    local = make_local(groups={"sw": 4}, replicas=3)
    change(local, joins("c"))
    one = ShardId("sw", 2)
    filled = {one: fences(local)[one]}
    assert await settle(local, peer("b"), peer("c", filled=filled)) == 1
    assert [each.shard.shard for each in local.shards.view.unsettled()] == [0, 1, 3]
    assert local.shards.placement(one).settled == ("a", "b", "c")


async def test_it_is_left_to_the_first_member_that_is_up() -> None:
    local = growing("b")
    done = peer("c", filled=fences(local))
    assert await settle(local, peer("a"), done) == 0
    for state in ("down", "unknown"):
        local = growing("b")
        done = peer("c", filled=fences(local))
        assert await settle(local, peer("a", state=state), done) == 1  # type: ignore[arg-type]


async def test_a_new_replica_settles_nothing_before_it_is_filled_itself() -> None:
    local = growing("c")
    down = (peer("a", state="down"), peer("b", state="down"))
    assert await settle(local, *down) == 0
    for shard in await local.shards.held():
        await local.fill.remember(local.shards.placement(shard))
    assert await settle(local, *down) == 1


async def test_one_that_is_no_member_settles_nothing() -> None:
    local = growing("0")
    assert await settle(local, peer("c", filled=fences(local))) == 0


@pytest.mark.parametrize("own_name", ["a", "b"])
async def test_what_was_not_decided_is_tried_again_later(own_name: str) -> None:
    local = growing(own_name)
    done = peer("c", filled=fences(local))
    assert await settle(local, done, fails=True) == 1
    assert not local.shards.view.is_settled
    assert await settle(local, done) == 1
    assert local.shards.view.is_settled
