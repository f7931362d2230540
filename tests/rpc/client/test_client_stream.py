"""The messages of one call, at the client."""

import pytest

from gossipnode.rpc import RpcError, Status
from tests.rpc.methods import FLOW
from tests.rpc.wired import wired


async def test_status_after_messages():
    async def handler(stream):
        await stream.send_batch([b"1", b"2"])
        raise RpcError(Status.ABORTED, "enough")

    async with wired({FLOW: handler}) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as stream:
            assert await stream.recv() == b"1"
            assert await stream.recv() == b"2"
            for _ in range(2):
                with pytest.raises(RpcError, match="enough") as caught:
                    await stream.recv()
                assert caught.value.status is Status.ABORTED
            with pytest.raises(RpcError, match="enough"):
                await stream.finish()
