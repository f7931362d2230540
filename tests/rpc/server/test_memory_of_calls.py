"""What calls hold of the memory: many large requests wait for each other, and none is refused for that."""

import pytest
import trio
import trio.testing

from gossipnode.concurrency.memory_budget import MIB, MemoryBudget
from gossipnode.rpc import RpcError, Status
from tests.rpc.methods import FLOW, UNARY
from tests.rpc.wired import wired


@pytest.mark.slow
@pytest.mark.parametrize("calls", [12, 200])
async def test_large_requests_of_one_caller_are_handled_a_few_at_a_time(calls):
    running, most, done = 0, 0, []

    async def slow(request, call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.testing.wait_all_tasks_blocked()
        running -= 1
        return b"%d" % len(request)

    budget = MemoryBudget(64 * MIB)
    async with wired({UNARY: slow}, memory=budget) as wire, wire.channel() as channel:

        async def call():
            done.append(await channel.unary(UNARY, bytes(2 * MIB), timeout=60))

        async with trio.open_nursery() as nursery:
            for _ in range(calls):
                nursery.start_soon(call)
        assert done == [b"2097152"] * calls
        assert 1 <= most <= 3  # a share of 24 MiB, of which each takes an eighth of the budget
        await trio.testing.wait_all_tasks_blocked()
        assert budget.shares.held <= 256 << 10
    await trio.testing.wait_all_tasks_blocked()
    assert budget.shares.held == 0


async def test_a_request_that_finds_no_memory_ends_at_its_deadline(autojump_clock):
    released = trio.Event()

    async def slow(request, call):
        await released.wait()
        return request

    async def deaf(stream):
        await trio.sleep_forever()

    budget = MemoryBudget(64 * MIB)
    async with wired({UNARY: slow, FLOW: deaf}, memory=budget) as wire, wire.channel() as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: channel.unary(UNARY, bytes(2 * MIB), timeout=600))
            await trio.testing.wait_all_tasks_blocked()
            other = budget.account("test", budget.shares.callers()[0][0])
            other.take(12 * MIB)
            with pytest.raises(RpcError) as caught:
                await channel.unary(UNARY, bytes(200_000), timeout=5)
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            other.give_back(12 * MIB)
            released.set()
            assert await channel.unary(UNARY, bytes(200_000), timeout=5) == bytes(200_000)
