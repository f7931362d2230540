"""`snapshot`: a consistent copy of a node's store, taken while it runs, on the disk of that node."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import FAILED, Failure
from gossipnode.cli.options import NodeTarget, checked, output_option, run_async, target_options
from gossipnode.cli.output import Advance, counted, print_folded, print_json, progress, shown_bytes
from gossipnode.config.values import text

if TYPE_CHECKING:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages


@click.command("snapshot", cls=Command)
@click.argument("name", callback=checked(text))
@output_option
@target_options
def command(name: str, output: str, target: NodeTarget) -> None:
    """Take a snapshot NAME of the node asked, on its own disk, below its [node] snapshot_dir.

    The node goes on with reads and writes. The snapshot has what its store had at one moment: of each shard
    that this node holds, its own copy. It is a directory with the copy and a manifest, which appears when
    both are whole. `restore` brings it back. Where clients have roles, this takes an admin.
    """
    run_async(_snapshot, target, name, output)


async def _snapshot(target: NodeTarget, name: str, output: str) -> None:
    from gossipnode.store.snapshot.manifest import decode_manifest, manifest_shape

    began = time.monotonic()
    last = await _take(target, name)
    if last is None or not last.path:
        raise Failure(f"{target.address} ended the call, and did not say that the snapshot is whole", FAILED)
    manifest = decode_manifest(last.manifest.encode(), "the manifest of the snapshot")
    seconds = time.monotonic() - began
    if output == "json":
        print_json({"path": last.path, **manifest_shape(manifest), "seconds": round(seconds, 3)})
        return
    print_folded(
        f"{last.path}: {counted(manifest.records, 'record')} and {counted(manifest.tombstones, 'tombstone')} "
        f"of {manifest.node}, {shown_bytes(manifest.file.bytes)}, epoch {manifest.epoch}, commit "
        f"{manifest.marks.commit}, taken at {manifest.taken_at} in {seconds:.1f} s"
    )


async def _take(target: NodeTarget, name: str) -> messages.SnapshotEvent | None:
    """Take it, and show how far it is; gives the last event."""
    last: messages.SnapshotEvent | None = None
    shown = 0
    with ExitStack() as stack:
        advance: Advance | None = None
        async with target.connect() as node, node.snapshot(name) as events:
            async for event in events:
                last = event
                if advance is None:
                    # Only now it is known how much there is to do.
                    bar = progress(f"snapshot {name}", event.bytes_estimated or None, is_bytes=True)
                    advance = stack.enter_context(bar)
                advance(max(0, event.bytes_done - shown))
                shown = max(shown, event.bytes_done)
    return last
