"""One import call: batches in, answers out, in order.

A batch is checked and stamped while the one before it is on its way to the disk. After a bad record nothing
more is prepared, so that no later batch is written.
"""

from __future__ import annotations

import trio

from gossipnode.node.client_requests import BadRecord, ClientRequests, ImportedRecord, PreparedImport
from gossipnode.node.limits import IMPORT_BATCHES_AHEAD, IMPORT_MAX_RECORDS
from gossipnode.node.statuses import as_status
from gossipnode.rpc import ServerStream
from gossipnode.wire.errors import WireError
from gossipnode.wire.generated.bp.gossipnode import v1


class ImportCall:
    """Serves one import."""

    def __init__(
        self, stream: ServerStream[v1.ImportRequest, v1.ImportResponse], requests: ClientRequests
    ) -> None:
        """Read batches from `stream`, and store them by `requests`."""
        self._stream = stream
        self._requests = requests
        self._unwritten: set[PreparedImport] = set()

    async def run(self) -> None:
        """Serve the call to its end.

        Raises:
            RpcError: the status that ends it.
        """
        ready_in, ready_out = trio.open_memory_channel[PreparedImport | BadRecord](IMPORT_BATCHES_AHEAD)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._commit, ready_out)
                async with ready_in:
                    await self._prepare(ready_in)
        finally:
            for prepared in self._unwritten:
                prepared.release()

    async def _prepare(self, ready: trio.MemorySendChannel[PreparedImport | BadRecord]) -> None:
        while (batch := await self._stream.recv()) is not None:
            with as_status():
                prepared = await self._prepare_batch(batch)
            if isinstance(prepared, PreparedImport):
                self._unwritten.add(prepared)
            await ready.send(prepared)
            if isinstance(prepared, BadRecord):
                return

    async def _prepare_batch(self, batch: v1.ImportRequest) -> PreparedImport | BadRecord:
        check_ack(batch.ack)
        if len(batch.records) > IMPORT_MAX_RECORDS:
            raise WireError(f"records: {len(batch.records)}, expected {IMPORT_MAX_RECORDS} at most")
        records = [ImportedRecord(record.property, record.delete_time) for record in batch.records]
        return await self._requests.prepare_import(batch.group, records, keep_versions=batch.keep_versions)

    async def _commit(self, ready: trio.MemoryReceiveChannel[PreparedImport | BadRecord]) -> None:
        async with ready:
            async for prepared in ready:
                done: int | BadRecord
                if isinstance(prepared, BadRecord):
                    done = prepared
                else:
                    with as_status():
                        done = await prepared.commit()
                    prepared.release()
                    self._unwritten.discard(prepared)
                await self._stream.send(_answer(done))


def _answer(done: int | BadRecord) -> v1.ImportResponse:
    if isinstance(done, BadRecord):
        return v1.ImportResponse(bad_record=done.position, problem=done.problem)
    return v1.ImportResponse(records=done)


def check_ack(ack: str) -> None:
    """Refuse an acknowledgement level that is not served.

    Raises:
        WireError: names those that are.
    """
    if ack not in ("", "local"):
        raise WireError(f"ack {ack[:20]!r}: only local is served, by the node asked")
