"""Which calls are repeated, and how long the pauses are."""

import random

import trio
import trio.testing

from gossipnode.rpc import RetryPolicy, RpcError, Status
from gossipnode.rpc.client.retry import backoff_seconds
from tests.rpc.methods import UNARY
from tests.rpc.wired import status_of, wired


async def test_retry_by_status(autojump_clock):
    calls = []

    async def handler(request, call):
        calls.append(trio.current_time())
        if len(calls) < 3:
            raise RpcError(Status.UNAVAILABLE if request == b"retry" else Status.ABORTED, "not yet")
        return request

    policy = RetryPolicy(attempts=3, min_seconds=1, max_seconds=10)
    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        assert await channel.unary(UNARY, b"retry", timeout=50, retry=policy) == b"retry"
        assert 0.8 <= calls[1] - calls[0] <= 1.2
        assert 1.6 <= calls[2] - calls[1] <= 2.4
        calls.clear()
        assert await status_of(channel.unary(UNARY, b"x", timeout=50, retry=policy)) is Status.ABORTED
        assert len(calls) == 1
        calls.clear()
        few = RetryPolicy(attempts=2)
        call = channel.unary(UNARY, b"retry", timeout=50, retry=few)
        assert await status_of(call) is Status.UNAVAILABLE
        assert len(calls) == 2
        calls.clear()
        call = channel.unary(UNARY, b"retry", timeout=0.5, retry=policy)
        assert await status_of(call) is Status.DEADLINE_EXCEEDED


def test_backoff_grows_to_its_cap():
    rng = random.Random(7)
    for failures in range(1, 2000, 7):
        pause = backoff_seconds(failures, 0.1, 10, rng)
        base = min(0.1 * 2 ** min(failures - 1, 50), 10)
        assert 0.8 * base <= pause <= 1.2 * base
