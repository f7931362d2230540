"""A client under asyncio that one task opens and another one closes, as fixtures of pytest-asyncio do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from gossipnode.client import ClientError, connect
from tests.client.scripted_node import Scripted

Result = TypeVar("Result")


async def apart(work: Coroutine[Any, Any, Result]) -> Result:
    return await asyncio.get_running_loop().create_task(work)


def test_a_client_is_closed_by_another_task(address: str, node: Scripted) -> None:
    async def work() -> None:
        opened = connect(address)
        client = await apart(opened.__aenter__())
        await apart(client.apply("g", "n", "1", {"a": 1}))
        reading = client.query("g", name="n", limit=1000)
        first = await anext(aiter(reading))
        assert first.id == "000000"
        # The query still runs. It ends with the client, and so does a call that hangs.
        hanging = asyncio.get_running_loop().create_task(client.get("g", "hang", "1"))
        await asyncio.to_thread(node.hanging.wait)
        await apart(opened.__aexit__(None, None, None))
        with pytest.raises(ClientError):
            await hanging
        with pytest.raises(ClientError, match="the client is closed"):
            await client.get("g", "n", "1")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())


def test_an_exception_of_the_block_passes_as_it_is(address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await anext(aiter(client.query("g", name="n")))
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        asyncio.run(work())
