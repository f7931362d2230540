"""The same calls under Trio and under asyncio, over real sockets, against a scripted node."""

from __future__ import annotations

import gc
from contextlib import aclosing

import anyio
import pytest

from gossipnode.client import (
    ClientError,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    Timestamp,
    UnreachableError,
    connect,
)
from tests.client.scripted_node import Scripted
from tests.client.support import WAIT_SECONDS, run, take


def test_records(backend: str, address: str, node: Scripted) -> None:
    tags = {"a": 1, "b": ["x", "y"], "c": b"\0", "d": None, "e": Timestamp(5, 6), "f": "text", "g": [7]}

    async def work() -> None:
        async with connect(address, timeout=7) as client:
            applied = await client.apply("g", "n", "i", tags)
            assert (applied.created, applied.acknowledged, applied.replicas) == (True, 2, 3)
            assert applied.property.tags == tags
            assert list(applied.property.tags) == list(tags)
            found = await client.get("g", "n", "i")
            assert found == applied.property
            assert found is not None
            assert found.key == "g/n/i"
            assert await client.delete("g", "n", "i")
            assert not await client.delete("g", "n", "i")
            assert await client.get("g", "n", "i") is None

    run(backend, work)
    for seconds in node.seconds:
        assert seconds is not None
        assert 6 < seconds < 7.8


def test_a_query_of_many_bytes(backend: str, address: str) -> None:
    """The answers have far more bytes than fit into the windows of a connection."""
    count = 1000

    async def work() -> None:
        async with connect(address) as client:
            assert await take(client.query("g", limit=count)) == [f"{id_:06}" for id_ in range(count)]

    run(backend, work)


def test_many_calls_at_once(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client, anyio.create_task_group() as tasks:

            async def one(number: int) -> None:
                await client.apply("g", "n", str(number), {"number": number})
                found = await client.get("g", "n", str(number))
                assert found is not None
                assert found.tags == {"number": number}

            for number in range(100):
                tasks.start_soon(one, number)

    run(backend, work)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ("NOT_FOUND", NotFoundError, "why not"),
        ("INVALID_ARGUMENT", InvalidRequestError, "why not"),
        ("PERMISSION_DENIED", RefusedError, "{} refuses: why not"),
        ("RESOURCE_EXHAUSTED", FailedError, "{}: why not"),
        ("INTERNAL", FailedError, "{}: why not"),
    ],
)
def test_a_status_is_an_error(
    backend: str, address: str, status: str, kind: type[ClientError], message: str
) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await client.get("g", "fail", status)

    with pytest.raises(ClientError) as caught:
        run(backend, work)
    assert type(caught.value) is kind
    assert str(caught.value) == message.format(address)


def test_a_status_in_the_middle_of_a_query(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            records = client.query("g", name="fail")
            for _ in range(20):
                await anext(records)
            with pytest.raises(FailedError, match=f"{address}: why"):
                await anext(records)

    run(backend, work)


@pytest.mark.slow
def test_a_node_that_hangs(backend: str, address: str, node: Scripted) -> None:
    async def work() -> None:
        async with connect(address, timeout=0.3) as client:
            with pytest.raises(UnreachableError, match=rf"{address}: (no answer within|deadline exceeded)"):
                await client.get("g", "hang", "i")
            assert await client.get("g", "n", "i") is None
            with pytest.raises(UnreachableError, match=f"{address}: sent nothing for 0.3 s"):
                await take(client.query("g", name="hang"))
            assert await client.get("g", "n", "i") is None

    run(backend, work)
    assert node.let_go.wait(WAIT_SECONDS)


@pytest.mark.parametrize("how", ["break", "aclosing", "cancelled"])
def test_a_reader_leaves_early(backend: str, address: str, node: Scripted, how: str) -> None:
    """The node learns of it at once, while the client stays open."""

    async def work() -> None:
        async with connect(address) as client:
            if how == "break":
                async for _ in client.query("g", name="hang"):
                    break
                gc.collect()
            elif how == "aclosing":
                async with aclosing(client.query("g", name="hang")) as records:
                    await anext(records)
            else:
                with anyio.CancelScope() as scope:
                    async for record in client.query("g", name="hang"):
                        if record.id == "000019":
                            scope.cancel()
                await anyio.lowlevel.checkpoint()
                gc.collect()
            assert await anyio.to_thread.run_sync(node.let_go.wait, WAIT_SECONDS)
            assert await take(client.query("g", limit=1)) == ["000000"]

    run(backend, work)


def test_a_cancelled_call(backend: str, address: str, node: Scripted) -> None:
    async def work() -> None:
        async with connect(address) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "g", "hang", "i")
            assert await anyio.to_thread.run_sync(node.hanging.wait, WAIT_SECONDS)
            await client.get("g", "n", "i")
            tasks.cancel_scope.cancel()

    run(backend, work)
    assert node.let_go.wait(WAIT_SECONDS)


def test_an_answer_above_the_limit(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            with pytest.raises(FailedError, match=r"4,?194,?304"):
                await client.get("g", "big", "i")
            assert await client.get("g", "n", "i") is None

    run(backend, work)


def test_the_block_keeps_its_own_error(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await client.get("g", "n", "i")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(backend, work)


def test_a_closed_client(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            records = client.query("g", name="hang")
            await anext(records)
        with pytest.raises(ClientError, match="the client is closed"):
            await client.get("g", "n", "i")
        with pytest.raises(ClientError, match="the client is closed"):
            await take(records)
        with pytest.raises(ClientError, match="the client is closed"):
            await take(client.query("g"))

    run(backend, work)


@pytest.mark.slow
def test_nobody_there(backend: str) -> None:
    async def work() -> None:
        async with connect("127.0.0.1:1", "localhost:2", "no-such-host.invalid:3", timeout=1) as client:
            await client.apply("g", "n", "i", {"a": 1})

    with pytest.raises(NoNodeError) as caught:
        run(backend, work)
    said = str(caught.value).split("; ")
    assert said[0] == "no node answers at 127.0.0.1:1: connection refused"
    assert said[1].startswith("no node answers at localhost:2: ")
    assert said[2].startswith("no node answers at no-such-host.invalid:3: ")
