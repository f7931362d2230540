"""The part of NodeService that takes a snapshot, and tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.node.endpoints.node_service import only_request
from gossipnode.node.peers.audit import Audit
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.snapshots.snapshots import SnapshotProgress, Snapshots, TakenSnapshot
from gossipnode.rpc import ServerStream
from gossipnode.store.snapshot.manifest import encode_manifest
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1

PROGRESS_SECONDS = 0.5
"""The time between two events: a client hears more often than its timeout that the node goes on."""


class SnapshotCalls:
    """Serves those who take snapshots."""

    def __init__(self, snapshots: Snapshots, audit: Audit) -> None:
        """Take them by `snapshots`, and tell `audit` of each."""
        self._snapshots = snapshots
        self._audit = audit

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.NODE_SNAPSHOT: self.snapshot}

    async def snapshot(self, stream: ServerStream[v1.SnapshotRequest, v1.SnapshotEvent]) -> None:
        """Take a snapshot. It ends with the call: one that is given up leaves nothing."""
        request = await only_request(stream)
        progress = SnapshotProgress()
        taken: list[TakenSnapshot] = []
        ended = trio.Event()

        async def take() -> None:
            taken.append(await self._snapshots.take(request.name, progress))
            ended.set()

        with as_status(), one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take)
                while not ended.is_set():
                    with trio.move_on_after(PROGRESS_SECONDS):
                        await ended.wait()
                    if not ended.is_set():
                        await stream.send(_event(progress))
        (snapshot,) = taken
        manifest = snapshot.manifest
        self._audit.changed(stream.call, "snapshot taken", path=str(snapshot.path), records=manifest.records)
        last = _event(SnapshotProgress(manifest.file.bytes, manifest.file.bytes))
        last.path, last.manifest = str(snapshot.path), encode_manifest(manifest).decode()
        await stream.send(last)


def _event(progress: SnapshotProgress) -> v1.SnapshotEvent:
    return v1.SnapshotEvent(bytes_done=progress.bytes_done, bytes_estimated=progress.bytes_estimated)
