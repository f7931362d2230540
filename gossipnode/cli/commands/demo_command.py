"""`demo`: three real nodes, real data, a node that was away, one round, and the proof that all are equal."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import FAILED, Failure
from gossipnode.cli.options import output_option, run_async
from gossipnode.cli.output import print_json, print_line, say, shown_bytes
from gossipnode.cli.standard_streams import flush_results

if TYPE_CHECKING:
    from gossipnode.cli.local.demo_story import Plan, View
    from gossipnode.cli.local.local_nodes import LocalNodes
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

NAMES = ("a", "b", "c")
LEAF_BYTES = 143
"""What the digest of one record takes at least in a tree session, without its key."""

ANSWER_SECONDS = 60.0
"""How long a node may be silent: long enough for a slow machine."""


@click.command("demo", cls=Command)
@click.option("--keep", is_flag=True, help="Leave the three nodes running, to be looked at.")
@output_option
def command(keep: bool, output: str) -> None:
    """See a ring of three nodes repair itself.

    Starts three nodes in a temporary directory, writes the table of Unicode characters while one of them is
    down and another one differs, brings the node back, runs one round, and shows that all three are equal.
    Exit code 0 only if they are.
    """
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-demo-"))
    kept = False
    try:
        kept = run_async(_demo, directory, keep, output)
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


async def _demo(directory: Path, keep: bool, output: str) -> bool:
    """Whether the nodes were left running."""
    import trio

    from gossipnode.cli.local.demo_story import GROUP
    from gossipnode.cli.local.local_nodes import LocalNodes, free_addresses

    cluster = LocalNodes(directory, [f"{GROUP}:1:{len(NAMES)}"], detached=keep)
    for name, address in zip(NAMES, free_addresses(len(NAMES)), strict=True):
        cluster.add(name, address)
    demo = _Demo(cluster, as_json=output == "json")
    kept = False
    try:
        await demo.run()
        kept = keep
    finally:
        if not kept:
            with trio.CancelScope(shield=True):
                await cluster.stop_all()
    if kept:
        demo.tell_kept()
    return kept


@dataclass(slots=True)
class _Demo:
    cluster: LocalNodes
    as_json: bool
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        """Tell a line of the story, on stdout unless the result is asked for as JSON."""
        line = f"{time.monotonic() - self.began:5.1f} s  {text}"
        if self.as_json:
            say(line)
        else:
            print_line(line)
            flush_results()

    async def run(self) -> None:
        """The whole story. Raises Failure when the nodes are not equal at its end."""
        from gossipnode.cli.local.demo_story import difference, make_plan, unicode_table

        plan = make_plan(unicode_table())
        await self._start()
        await self._write(plan)
        await self._bring_back()
        before = await self._views()
        self._tell_views("before the round", before)
        past = await self._repair(before)
        after = await self._views()
        self._tell_views("after the round", after)
        problem = difference(after, plan)
        if self.as_json:
            self._print_json(past, after, not problem)
        if problem:
            raise Failure(f"the nodes are not equal: {problem}", FAILED)
        self.tell(
            f"All three trees, read from the nodes themselves, are equal: {after[0].live:,} records and "
            f"{after[0].deleted:,} tombstones on each of {', '.join(view.name for view in after)}."
        )

    async def _start(self) -> None:
        await self.cluster.start_all()
        self.cluster.write_description()
        for node in self.cluster.nodes:
            pid = node.process.pid if node.process else 0
            self.tell(f"Node {node.name} is a process of its own (pid {pid}), at {node.address}.")
        self.tell("All three have agreed to form a cluster. From now on two of them decide who is a member.")

    async def _write(self, plan: Plan) -> None:
        from gossipnode.cli.local.demo_story import Stamps, write

        a, b, c = (node.address for node in self.cluster.nodes)
        stamps = Stamps()
        self.tell(
            f"The data: {plan.records:,} Unicode characters, a record each, with name, category and so on."
        )
        common = {record.entity: stamps.stamped(record) for record in plan.common}
        await self._in(write, [a, b, c], list(common.values()))
        self.tell(f"{len(common):,} of them are written to all three nodes.")
        self.cluster.kill(self.cluster["c"])
        self.tell("Node c is killed (kill -9). It will miss everything that is written from here on.")
        both = [stamps.stamped(record) for record in plan.both]
        await self._in(write, [a, b], both)
        self.tell(f"{len(both):,} more are written to a and b.")

        def old(records: Any) -> list[Any]:
            return [common[record.entity] for record in records]

        on_a = [stamps.stamped(record) for record in plan.only_on_a]
        on_a += [stamps.changed(record, "a") for record in old(plan.newer_on_a)]
        on_a += [stamps.deleted(record) for record in old(plan.deleted_on_a)]
        on_b = [stamps.stamped(record) for record in plan.only_on_b]
        on_b += [stamps.changed(record, "b") for record in old(plan.newer_on_b)]
        on_b += [stamps.deleted(record) for record in old(plan.deleted_on_b)]
        await self._in(write, [a], on_a)
        await self._in(write, [b], on_b)
        self.tell(
            f"And a and b drift apart: {len(plan.only_on_a):,} records only on a, "
            f"{len(plan.only_on_b):,} only on b; "
            f"{len(plan.newer_on_a):,} changed on a, {len(plan.newer_on_b):,} on b; "
            f"{len(plan.deleted_on_a):,} deleted on a, {len(plan.deleted_on_b):,} on b."
        )

    async def _in(self, write: Callable[..., Any], addresses: list[Any], records: list[Any]) -> None:
        await write(addresses, records, ANSWER_SECONDS)

    async def _bring_back(self) -> None:
        c = self.cluster["c"]
        await self.cluster.start(c)
        self.cluster.write_description()
        self.tell(f"Node c is back, with what was on its disk (pid {c.process.pid if c.process else 0}).")

    async def _views(self) -> list[View]:
        from gossipnode.cli.local.demo_story import read_views

        return await read_views({node.name: node.address for node in self.cluster.nodes}, ANSWER_SECONDS)

    def _tell_views(self, when: str, views: list[View]) -> None:
        roots = {view.root for view in views}
        same = "one root" if len(roots) == 1 else f"{len(roots)} different roots"
        self.tell(f"The trees {when}: {same}.")
        for view in views:
            counts = f"{view.live:6,} records, {view.deleted:3,} tombstones"
            self.tell(f"    {view.name}: {counts}, root {view.root[:16]}...")

    async def _repair(self, before: list[View]) -> messages.Round:
        from gossipnode.cli.local.demo_story import GROUP
        from gossipnode.client.calls.node_client import connect_node
        from gossipnode.wire.generated.bp.gossipnode import v1 as messages
        from gossipnode.wire.round_codec import event_content

        first = self.cluster.nodes[0]
        self.tell(f"One round of repair is started at {first.name}: the message goes round the ring.")
        past: messages.Round | None = None
        async with connect_node(first.address, timeout_seconds=ANSWER_SECONDS) as node:
            async with node.repair(GROUP, 0, wait=True) as events:
                async for event in events:
                    match event_content(event):
                        case messages.Hop() as hop:
                            self._tell_hop(hop)
                        case messages.Round() as finished:
                            past = finished
                        case None:
                            pass
        if past is None or past.outcome not in ("converged", "repaired"):
            raise Failure(f"the round ended as {past.outcome if past else 'nothing'}", FAILED)
        sent = sum(hop.bytes_sent + hop.bytes_received for hop in past.hops)
        self.tell(f"The round is over: {past.outcome} in {past.seconds:.1f} s, {shown_bytes(sent)} in all.")
        leaves = LEAF_BYTES * len(past.hops) * max(view.live + view.deleted for view in before)
        self.tell(
            f"    To compare all records one by one would have taken {shown_bytes(leaves)} of digests alone."
        )
        return past

    def _tell_hop(self, hop: messages.Hop) -> None:
        if hop.outcome in ("skipped", "failed"):
            self.tell(f"    {hop.from_} -> {hop.to}: {hop.outcome}, {hop.reason}")
            return
        compared = (
            "roots compared, equal"
            if hop.outcome == "equal"
            else "digests compared where they differ, both repaired"
        )
        self.tell(
            f"    {hop.from_} -> {hop.to}: {compared}; {hop.from_} sent {hop.sent:,} records "
            f"({shown_bytes(hop.bytes_sent)}) and received {hop.received:,} "
            f"({shown_bytes(hop.bytes_received)}), {hop.seconds:.1f} s"
        )

    def _print_json(self, past: messages.Round, views: list[View], equal: bool) -> None:
        from gossipnode.cli.shapes import round_shape

        nodes = [
            {"name": view.name, "root": view.root, "records": view.live, "tombstones": view.deleted}
            for view in views
        ]
        seconds = round(time.monotonic() - self.began, 3)
        print_json({"equal": equal, "seconds": seconds, "nodes": nodes, "round": round_shape(past)})

    def tell_kept(self) -> None:
        """Say what runs on, and how to end it."""
        pids = " ".join(str(node.process.pid) for node in self.cluster.nodes if node.process)
        first = self.cluster.nodes[0]
        self.tell(f"The nodes run on; described in {self.cluster.directory / 'cluster.json'}.")
        self.tell(f"Look: gossipnode status --at {first.address}. End them: kill {pids}")
