"""Replies that a peer has still to take are counted, and hold up the making of more."""

import trio
import trio.testing
from hyperframe.frame import DataFrame, RstStreamFrame

from gossipnode.rpc import Limits, ReplyBudget
from tests.concurrency.accounts import account
from tests.rpc.methods import UNARY
from tests.rpc.wired import wired


async def test_room_is_what_is_not_on_its_way():
    budget = ReplyBudget(10, account())
    assert budget.has_room
    with budget.holding(9):
        assert budget.has_room
        with budget.holding(1):
            assert not budget.has_room
        assert budget.has_room


async def test_waiting_handlers_go_on_when_enough_is_taken():
    budget = ReplyBudget(10, account())
    passed = []

    async def wait(name):
        await budget.wait_room()
        passed.append(name)

    async with trio.open_nursery() as nursery:
        with budget.holding(30):
            nursery.start_soon(wait, 1)
            nursery.start_soon(wait, 2)
            await trio.testing.wait_all_tasks_blocked()
            assert passed == []
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(passed) == [1, 2]


async def test_a_reply_counts_until_the_peer_takes_it():
    """A handler sees what its connection still owes to a client that does not read."""
    budgets = []

    async def handler(request, call):
        budgets.append(call.replies)
        return b"x" * 200_000

    limits = Limits(max_unsent_reply_bytes=100_000)
    async with wired({UNARY: handler}, limits=limits) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1), DataFrame(1, b"\0\0\0\0\1x", flags=["END_STREAM"]))
        await trio.testing.wait_all_tasks_blocked()
        # The peer's window of 65,535 bytes is used up, and it gives no more.
        assert not budgets[0].has_room
        await peer.send(RstStreamFrame(1, 8))
        await trio.testing.wait_all_tasks_blocked()
        assert budgets[0].has_room
