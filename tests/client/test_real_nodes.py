"""The client library against nodes in processes of their own: killed, stopped, hanging, and back again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from gossipnode.client import (
    Client,
    NoNodeError,
    NotFoundError,
    RefusedError,
    StrArray,
    Timestamp,
    UnreachableError,
    connect,
)
from tests.client.support import run, take
from tests.system.nodes import Nodes
from tests.system.processes import Node

pytestmark = pytest.mark.slow

TAGS = {
    "text": "ä",
    "number": -(1 << 63),
    "texts": ["b", "a"],
    "numbers": [2, 1],
    "bytes": b"\0\xff",
    "time": Timestamp(1_800_000_000, 123_456_789),
    "null": None,
}


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end_all()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests that do not stop it. Each test uses names of its own."""
    made = Nodes(tmp_path_factory.mktemp("node"))
    (started,) = made.start("a", groups=["sw:2:1", "other:1:1"])
    yield started
    made.end_all()


async def fill(client: Client, name: str, count: int, *, group: str = "sw", pad: int = 0) -> list[str]:
    """Write records at the same time. Their number counts down while their id counts up."""
    ids = [f"{number:05}" for number in range(count)]
    limit = anyio.CapacityLimiter(32)

    async def one(number: int) -> None:
        async with limit:
            tags = {"number": count - number, "odd": number % 2, "pad": "x" * pad}
            await client.apply(group, name, ids[number], tags)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return ids


def test_a_record_from_birth_to_death(backend: str, node: Node) -> None:
    async def work() -> None:
        async with connect(node.address) as client:
            key = ("sw", backend, "life")
            assert await client.get(*key) is None
            born = await client.apply(*key, TAGS)
            assert born.created
            assert born.property.tags == TAGS
            assert born.property.create_revision == born.property.mod_revision > 0
            merged = await client.apply(*key, {"text": "new", "more": 1, "none": StrArray(())})
            assert not merged.created
            assert merged.property.tags == {**TAGS, "text": "new", "more": 1, "none": []}
            assert merged.property.create_revision == born.property.create_revision
            assert merged.property.mod_revision > born.property.mod_revision
            replaced = await client.apply(*key, {"only": 1}, replace=True, ack="local")
            assert await client.get(*key, ack="local") == replaced.property
            assert replaced.property.tags == {"only": 1}
            assert (replaced.acknowledged, replaced.replicas) == (1, 1)
            assert await client.delete(*key)
            assert not await client.delete(*key)
            assert await client.get(*key) is None

    run(backend, work)


def test_queries(backend: str, node: Node) -> None:
    async def work() -> None:
        async with connect(node.address) as client:
            name = f"{backend}-query"
            ids = await fill(client, name, 30)
            await client.apply("other", name, "x", {"number": 100})
            assert await take(client.query("sw", "other", name=name)) == ["x", *ids]
            assert await take(client.query("sw", name=name, limit=4)) == ids[:4]
            assert await take(client.query("sw", name=name, after=f"sw/{name}/{ids[9]}")) == ids[10:]
            assert await take(client.query("sw", name=name, ids=[ids[3], ids[1], "none"])) == [ids[1], ids[3]]
            assert await take(client.query("sw", name=name, where="number <= 3 AND odd = 1")) == ids[27::2]
            assert await take(client.query("sw", name=name, order_by="number")) == ids[::-1]
            falling = client.query("sw", name=name, order_by="number", descending=True, limit=3)
            assert await take(falling) == ids[:3]
            selected = [
                record.tags async for record in client.query("sw", name=name, select=["odd"], limit=2)
            ]
            assert selected == [{"odd": 0}, {"odd": 1}]

    run(backend, work)


def test_what_a_node_refuses(backend: str, node: Node) -> None:
    async def work() -> None:
        async with connect(node.address) as client:
            with pytest.raises(NotFoundError, match="'unknown'"):
                await client.get("unknown", "n", "i")
            with pytest.raises(NotFoundError, match="'unknown'"):
                await take(client.query("unknown"))
            with pytest.raises(RefusedError, match=r"\"_\""):
                await client.apply("_gossipnode", "n", "i", {"a": 1})

    run(backend, work)


def test_members(backend: str, node: Node) -> None:
    async def work() -> None:
        async with connect(node.address) as client:
            assert [(member.name, member.state) for member in await client.members()] == [("a", "up")]

    run(backend, work)


def test_a_node_that_restarts_between_calls(backend: str, nodes: Nodes) -> None:
    """The connection is lost each time, and the client dials again by itself."""
    (node,) = nodes.start("a", groups=["sw:1:1"])

    async def work() -> None:
        async with connect(node.address) as client:
            for number, end in enumerate([signal.SIGTERM, signal.SIGKILL]):
                await client.apply("sw", "n", str(number), {"number": number})
                records = client.query("sw")
                await anext(records)
                await anyio.to_thread.run_sync(node.stop, end)
                with pytest.raises(NoNodeError):
                    await client.get("sw", "n", str(number))
                await anyio.to_thread.run_sync(node.start)
                assert len(await take(client.query("sw"))) == number + 1

    run(backend, work)


def test_a_call_waits_for_a_node_that_restarts(backend: str, nodes: Nodes) -> None:
    (node,) = nodes.start("a", groups=["sw:1:1"])

    async def work() -> None:
        async with connect(node.address) as client, anyio.create_task_group() as tasks:
            await client.apply("sw", "n", "i", {"a": 1})
            await anyio.to_thread.run_sync(node.kill)
            tasks.start_soon(anyio.to_thread.run_sync, node.start)
            found = None
            while found is None:
                try:
                    found = await client.get("sw", "n", "i")
                except UnreachableError:
                    # A process may take longer to start than one call waits.
                    continue
            assert found.tags == {"a": 1}

    run(backend, work)


@pytest.mark.parametrize(
    ("backend", "end"),
    [
        ("trio", signal.SIGSTOP),
        ("asyncio", signal.SIGSTOP),
        ("asyncio", signal.SIGKILL),
        ("asyncio", signal.SIGTERM),
    ],
)
def test_another_node_takes_over(backend: str, nodes: Nodes, end: signal.Signals) -> None:
    """A node drains, dies or hangs under a load of reads and writes, and no call fails."""
    first, second = nodes.start("a", "b", groups=["sw:1:2"])

    async def work() -> None:
        done = 0

        async with connect(first.address, second.address, timeout=6) as client:

            async def load(number: int) -> None:
                nonlocal done
                for round_ in range(10):
                    await client.apply("sw", f"n{number}", str(round_), {"a": round_}, ack="local")
                    await client.get("sw", f"n{number}", str(round_), ack="local")
                    done += 1

            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(load, number)
                while done < 16:
                    await client.members()
                first.send(end)
            assert done == 80
            # The client knows by now that the first node is away, so no call waits for it.
            began = anyio.current_time()
            for _ in range(5):
                await client.members()
            assert anyio.current_time() - began < 3

    run(backend, work)


def test_a_cluster_goes_on_with_one_node_less(nodes: Nodes) -> None:
    """The node that is asked is killed. At quorum no call fails, and no acknowledged write is missing."""
    started = nodes.start("a", "b", "c", groups=["sw:2:3"])

    async def work() -> None:
        written: list[str] = []

        async with connect(*[node.address for node in started]) as client:

            async def load(number: int) -> None:
                for round_ in range(5):
                    id_ = f"{number}-{round_}"
                    applied = await client.apply("sw", "n", id_, {"number": number}, ack="quorum")
                    assert applied.acknowledged >= 2
                    written.append(id_)

            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(load, number)
                while len(written) < 8:
                    await client.members()
                started[0].send(signal.SIGKILL)
            assert await take(client.query("sw", limit=None, ack="quorum")) == sorted(written)
            for id_ in written:
                assert await client.get("sw", "n", id_, ack="quorum") is not None

    run("asyncio", work)


@pytest.mark.parametrize(("backend", "order_by"), [("trio", "number"), ("asyncio", "")])
def test_a_query_survives_the_death_of_its_node(backend: str, nodes: Nodes, order_by: str) -> None:
    """Two nodes with the same records; the one that answers is killed while most are still to come."""
    first, second = nodes.start("a", "b", groups=["sw:1:2"])
    count = 150

    async def work() -> None:
        async with connect(first.address) as client:
            ids = await fill(client, "n", count, pad=60_000)
        async with connect(second.address) as client:
            await fill(client, "n", count, pad=60_000)
        wanted = ids[::-1] if order_by else ids
        async with connect(first.address, second.address) as client:
            taken: list[str] = []
            query = client.query("sw", order_by=order_by, limit=None, ack="local")
            async with aclosing(query) as records:
                async for record in records:
                    taken.append(record.id)
                    if len(taken) == 10:
                        first.kill()
            assert taken == wanted

    run(backend, work)
