"""Watches against nodes in processes of their own: the node that they ask is killed under them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from gossipnode.client import Client, connect
from tests.client.support import run
from tests.system.nodes import Nodes

pytestmark = pytest.mark.slow

WATCHES = 100
RECORDS = 40


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end_all()


LEFT = {"last": -1, **{str(each): each for each in range(RECORDS) if each % 4}}
"""What is there in the end: id -> tag."""


async def follow(client: Client, known: dict[str, object], done: anyio.Event, ready: anyio.Event) -> None:
    """Keep what the events say, until that is what is there in the end."""
    async with aclosing(client.watch("sw")) as events:
        async for event in events:
            if event.event == "gap":
                known.clear()
            elif event.event == "ready":
                ready.set()
            elif event.event == "delete":
                known.pop(event.id, None)
            elif event.tags is not None:
                known[event.id] = event.tags["n"]
            if known == LEFT:
                done.set()
                return


def test_a_node_is_killed_under_a_hundred_watches(backend: str, nodes: Nodes) -> None:
    first, second, third = nodes.start("a", "b", "c", groups=["sw:2:3"])

    async def work() -> None:
        views: list[dict[str, object]] = [{} for _ in range(WATCHES)]
        done = [anyio.Event() for _ in range(WATCHES)]
        ready = [anyio.Event() for _ in range(WATCHES)]
        async with (
            connect(first.address, second.address, timeout=30) as watching,
            connect(second.address, third.address, timeout=30) as writing,
            anyio.create_task_group() as tasks,
        ):
            for each in range(RECORDS):
                await writing.apply("sw", "n", str(each), {"n": 0})
            for view in zip(views, done, ready, strict=True):
                tasks.start_soon(follow, watching, *view)
            for one in ready:
                await one.wait()
            for each in range(RECORDS):
                await writing.apply("sw", "n", str(each), {"n": each})
                if each == RECORDS // 2:
                    first.kill()
            for each in range(0, RECORDS, 4):
                assert await writing.delete("sw", "n", str(each))
            await writing.apply("sw", "n", "last", {"n": -1})
            with anyio.fail_after(60):
                for one in done:
                    await one.wait()
        assert all(known == LEFT for known in views)

    run(backend, work)
