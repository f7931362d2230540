"""Node processes, the records they are filled with, and what the system says of them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import trio

from gossipnode.cli.local.local_nodes import LocalNode, LocalNodes, free_addresses
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import TagValue
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.round_codec import event_content

GROUP = "sw"
BATCH_RECORDS = 256
BATCHES_UNDER_WAY = 4
TAG_CHARACTERS = 130
_TEXT = "".join(chr(97 + (i * i + 7 * i) % 26) for i in range(8192))


def record(number: int, revision: int = 0) -> bytes:
    """A property of about 2 KB in 14 tags; another revision is another content, and newer."""
    starts = [(number * 31 + revision * 17 + at * 577) % 8000 for at in range(13)]
    tags: dict[str, TagValue] = {
        f"tag_{at}": _TEXT[start : start + TAG_CHARACTERS] for at, start in enumerate(starts)
    }
    tags["n"] = number
    return build_property(
        Entity(GROUP, f"name-{number % 10}", f"id-{number:08d}"),
        tags,
        create_revision=1,
        mod_revision=1_700_000_000_000_000_000 + number * 1000 + revision,
    )


class BenchmarkError(Exception):
    """A benchmark cannot be run to its end."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Calls to one node."""

    channel: Channel

    async def fill(self, properties: Iterable[bytes], *, keep_versions: bool = True, ack: str = "") -> float:
        """Import records, encoded beforehand; gives the seconds it took until all were durable.

        Without `ack` the group's own level counts, a quorum. With "local" no other node is told.
        """
        left = iter([v1.Record(property=one) for one in properties])
        began = time.perf_counter()
        room = trio.Semaphore(BATCHES_UNDER_WAY)
        async with self.channel.stream(services.NODE_IMPORT, timeout=None) as stream:

            async def hear() -> None:
                while (answer := await stream.recv()) is not None:
                    if not answer.records:
                        raise BenchmarkError(f"import refused: {answer.problem}")
                    room.release()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear)
                while batch := list(islice(left, BATCH_RECORDS)):
                    await room.acquire()
                    await stream.send(
                        v1.ImportRequest(group=GROUP, records=batch, keep_versions=keep_versions, ack=ack)
                    )
                await stream.half_close()
        return time.perf_counter() - began

    async def root(self) -> str:
        """The node's root, all digests computed."""
        async with self.channel.stream(services.NODE_TREE, timeout=None) as stream:
            await stream.send(v1.TreeRequest(group=GROUP))
            await stream.half_close()
            answer = await stream.recv()
            await stream.finish()
        return answer.root

    async def round(self) -> v1.Round:
        """Start a round and wait for its end."""
        async with self.channel.stream(services.NODE_REPAIR, timeout=None) as stream:
            await stream.send(v1.RepairRequest(group=GROUP, wait=True))
            await stream.half_close()
            finished: v1.Round | None = None
            while (event := await stream.recv()) is not None:
                content = event_content(event)
                if isinstance(content, v1.Round):
                    finished = content
        if finished is None:
            raise BenchmarkError("the round did not end")
        return finished


@dataclass(slots=True)
class Bench:
    """A cluster of fresh nodes in a directory that goes away."""

    nodes: LocalNodes

    @asynccontextmanager
    async def ask(self, name: str) -> AsyncIterator[Asker]:
        """Calls to a node."""
        address = self.nodes[name].address
        async with Channel(lambda: trio.open_tcp_stream(address.host, address.port)) as channel:  # noqa: ASYNC105
            yield Asker(channel)

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, by the names of their nodes."""
        return {node.name: node.process.pid for node in self.nodes.nodes if node.process is not None}

    def resident_mb(self, name: str) -> float:
        """What the node holds in memory now, in megabytes."""
        return status_kb(self.nodes[name], "VmRSS") / 1024

    def peak_mb(self, name: str) -> float:
        """What the node held in memory at most."""
        return status_kb(self.nodes[name], "VmHWM") / 1024


def status_kb(node: LocalNode, key: str) -> int:
    """A figure of /proc/PID/status."""
    assert node.process is not None
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise BenchmarkError(f"the system does not tell {key}")


@asynccontextmanager
async def bench(names: str = "ab") -> AsyncIterator[Bench]:
    """Fresh nodes, one for each letter, each with every record; stopped at the end."""
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-bench-"))
    nodes = LocalNodes(directory, [f"{GROUP}:1:{len(names)}"])
    for name, address in zip(names, free_addresses(len(names)), strict=True):
        nodes.add(name, address)
    try:
        await nodes.start_all()
        try:
            yield Bench(nodes)
        finally:
            await nodes.stop_all()
    finally:
        shutil.rmtree(directory)
