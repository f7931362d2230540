"""`cluster`: several real node processes on loopback, watched until we are told to stop."""

from __future__ import annotations

import os
import signal
import string
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import output_option, run_async
from gossipnode.cli.output import print_json, print_line
from gossipnode.cli.standard_streams import flush_results

if TYPE_CHECKING:
    import trio

    from gossipnode.cli.drawing import Table
    from gossipnode.cli.local.local_nodes import LocalNode, LocalNodes
    from gossipnode.wire.generated.bp.gossipnode.v1 import StatusResponse

NODES_MAX = 26
POLL_SECONDS = 1.0
POLL_TIMEOUT_SECONDS = 5.0


@click.command("cluster", cls=Command)
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=3, show_default=True, metavar="N")
@click.option(
    "--dir", "directory", type=PathType(path_type=Path), default=Path("data/cluster"), show_default=True,
    metavar="D", help="Where settings, records and logs are kept, and cluster.json is written.",
)  # fmt: skip
@click.option(
    "--base-port", type=click.IntRange(1, 65535), default=7400, show_default=True, metavar="P",
    help="The first node's port; the others have the ports that follow.",
)  # fmt: skip
@click.option(
    "--status-port", type=click.IntRange(1, 65535), metavar="P",
    help="The port of the first node's status page; the others have the ports that follow. None without it.",
)  # fmt: skip
@click.option(
    "--group", "groups", multiple=True, metavar="NAME:SHARDS:REPLICAS",
    help="A group; repeatable. Without one: sw:1:N.",
)  # fmt: skip
@output_option
def command(
    nodes: int,
    directory: Path,
    base_port: int,
    status_port: int | None,
    groups: tuple[str, ...],
    output: str,
) -> None:
    """Run several nodes on this machine, and watch them until Ctrl-C.

    On a terminal a live table of their roots, otherwise a line for each event. All nodes stop with it.
    """
    for option, first in (("--base-port", base_port), ("--status-port", status_port)):
        if first is not None and first + nodes - 1 > 65535:
            raise Failure(f"{option} {first}: {nodes} nodes need ports up to {first + nodes - 1}", WRONG_USE)
    if status_port is not None and abs(base_port - status_port) < nodes:
        raise Failure("--base-port and --status-port: some ports would be given twice", WRONG_USE)

    from gossipnode.cli.local.local_nodes import LOOPBACK, LocalNodes
    from gossipnode.config.address import Address

    cluster = LocalNodes(directory, groups or (f"sw:1:{nodes}",))
    for number, name in enumerate(string.ascii_lowercase[:nodes]):
        status = None if status_port is None else Address(LOOPBACK, status_port + number)
        cluster.add(name, Address(LOOPBACK, base_port + number), status)
    run_async(_cluster, cluster, output)


async def _cluster(cluster: LocalNodes, output: str) -> None:
    import trio

    _check(cluster)
    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
                await cluster.start_all()
                await _Watch(cluster, output).run()
                nursery.cancel_scope.cancel()
    except OSError as error:
        raise Failure(f"{error.filename or cluster.directory}: {error.strerror}", FAILED) from None
    finally:
        await cluster.stop_all()


def _check(cluster: LocalNodes) -> None:
    """Refuse wrong groups, and a directory without a name, before anything is written or started."""
    from gossipnode.config.settings import SettingsError, load_settings

    try:
        str(cluster.directory.absolute()).encode()
    except UnicodeEncodeError:
        problem = f"--dir {cluster.directory}: settings cannot name it, because it is no UTF-8 text"
        raise Failure(problem, WRONG_USE) from None
    first = cluster.nodes[0]
    peers = [f"{node.name}={node.address}" for node in cluster.nodes[1:]]
    overrides = {"node.name": first.name, "node.listen": str(first.address), "cluster.peers": peers}
    try:
        load_settings(overrides=overrides | {"groups": list(cluster.groups)})
    except SettingsError as error:
        raise Failure(str(error), WRONG_USE) from None


async def _stop_on_signal(signals: AsyncIterator[int], whole: trio.CancelScope) -> None:
    first = True
    async for number in signals:
        if not first:
            os._exit(128 + number)
        first = False
        whole.cancel()


class _Watch:
    """Follows the nodes and tells what happens to them."""

    def __init__(self, cluster: LocalNodes, output: str) -> None:
        self._cluster = cluster
        self._json = output == "json"
        self._live = sys.stdout.isatty() and not self._json
        self._statuses: dict[str, StatusResponse] = {}
        self._told: dict[str, dict[str, str]] = {}

    async def run(self) -> None:
        """Watch until every node has ended."""
        import trio

        described = self._cluster.write_description()
        for node in self._cluster.nodes:
            self._tell(node, "ready", f"at {node.address}, pid {node.describe()['pid']}")
        self._say(
            "ready", f"{len(self._cluster.nodes)} nodes, described in {described}; Ctrl-C stops them all"
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_table if self._live else self._print_changes)
            async with trio.open_nursery() as ends:
                for node in self._cluster.nodes:
                    ends.start_soon(self._follow, node)
            nursery.cancel_scope.cancel()
        raise Failure("every node has ended; their logs are in the directory", FAILED)

    async def _follow(self, node: LocalNode) -> None:
        from gossipnode.cli.local.local_nodes import wait_end

        code = await wait_end(node)
        self._statuses.pop(node.name, None)
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._tell(node, "ended", f"{how}; its log is {node.log}")
        node.process = None

    def _tell(self, node: LocalNode, event: str, text: str) -> None:
        if self._json:
            print_json({"event": event, "node": node.name, "detail": text})
        else:
            print_line(f"{node.name} {event} {text}")
        flush_results()

    def _say(self, event: str, text: str) -> None:
        if self._json:
            print_json({"event": event, "node": None, "detail": text})
        else:
            print_line(text)
        flush_results()

    async def _poll(self) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for node in self._cluster.nodes:
                # A node that has ended is asked, too: somebody may have started it again by hand.
                nursery.start_soon(self._ask, node)

    async def _ask(self, node: LocalNode) -> None:
        from gossipnode.client.calls.node_client import connect_node
        from gossipnode.client.errors import ClientError

        try:
            async with connect_node(node.address, timeout_seconds=POLL_TIMEOUT_SECONDS) as client:
                self._statuses[node.name] = await client.status()
        except ClientError:
            self._statuses.pop(node.name, None)

    async def _print_changes(self) -> None:
        import trio

        while True:
            await self._poll()
            for node in self._cluster.nodes:
                self._print_node(node)
            await trio.sleep(POLL_SECONDS)

    def _print_node(self, node: LocalNode) -> None:
        status = self._statuses.get(node.name)
        told = self._told.setdefault(node.name, {})
        for shard in status.shards if status else ():
            key = f"{shard.group}/{shard.shard}"
            root = shard.root[:12] or "(empty)"
            text = f"{shard.records:,} records, {shard.tombstones:,} tombstones, root {root}"
            if told.get(key) != text and shard.tree == "ready":
                told[key] = text
                self._tell(node, key, text)

    async def _show_table(self) -> None:
        import trio

        from gossipnode.cli.drawing import live_table

        with live_table(self._table()) as live:
            while True:
                await self._poll()
                live.update(self._table())
                await trio.sleep(POLL_SECONDS)

    def _table(self) -> Table:
        from gossipnode.cli.drawing import cell, make_table

        table = make_table("node", "address", "state", "shard", "records", "tombstones", "root")
        roots: dict[str, set[str]] = {}
        for seen in self._statuses.values():
            for shard in seen.shards:
                roots.setdefault(f"{shard.group}/{shard.shard}", set()).add(shard.root)
        for node in self._cluster.nodes:
            status = self._statuses.get(node.name)
            if status is None:
                state = cell("down", "red") if node.process is None else cell("...")
                table.add_row(cell(node.name), cell(str(node.address)), state)
                continue
            for place, shard in enumerate(status.shards):
                key = f"{shard.group}/{shard.shard}"
                colour = "green" if len(roots[key]) == 1 else "yellow"
                head = (node.name, str(node.address), status.state) if place == 0 else ("", "", "")
                texts = (*head, key, f"{shard.records:,}", f"{shard.tombstones:,}")
                table.add_row(*map(cell, texts), cell(shard.root[:16] or "(empty)", colour))
        return table
