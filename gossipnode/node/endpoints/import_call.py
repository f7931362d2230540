"""One import call: batches in, answers out, in order.

A batch is checked while the one before it is on its way to the disk. After a bad record no batch is prepared,
so that no later batch is written. A client that reads no answers must not keep the locks of its records:
batches are written without waiting for it, and only their answers wait.
"""

from __future__ import annotations

from typing import TypeAlias

import trio

from gossipnode.concurrency.shares import Caller
from gossipnode.core.access.roles import Role
from gossipnode.node.coordinate.bulk_writes import BadRecord, BulkWrites, ImportedRecord, PreparedImport
from gossipnode.node.coordinate.large_writes import OWN_WORK
from gossipnode.node.peers.access import Access
from gossipnode.node.refusals.error_status import as_status
from gossipnode.rpc import ServerStream
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.record_codec import decode_import, encode_bad_record, encode_stored
from gossipnode.wire.wire_errors import WireError

IMPORT_MAX_RECORDS = 4096
"""Records in one message of an import."""

IMPORT_BATCHES_UNANSWERED = 3
"""Batches of one import that may be under way, from being prepared until their answer is sent."""

Prepared: TypeAlias = PreparedImport | BadRecord


class ImportCall:
    """Serves one import."""

    def __init__(
        self,
        stream: ServerStream[v1.ImportRequest, v1.ImportResponse],
        bulk: BulkWrites,
        access: Access,
        caller: Caller = OWN_WORK,
    ) -> None:
        """Read batches of `caller` from `stream`, and store them by `bulk`.

        `access` says whether it may have stamps kept as they are.
        """
        self._access = access
        self._stream = stream
        self._bulk = bulk
        self._caller = caller
        self._unwritten: dict[PreparedImport, None] = {}
        self._unanswered = trio.Semaphore(IMPORT_BATCHES_UNANSWERED, max_value=IMPORT_BATCHES_UNANSWERED)

    async def run(self) -> None:
        """Serve the call to its end.

        Raises:
            RpcError: the status that ends it.
        """
        # The semaphore bounds what is under way, so neither channel is ever full.
        prepared_in, prepared_out = trio.open_memory_channel[Prepared](IMPORT_BATCHES_UNANSWERED)
        answers_in, answers_out = trio.open_memory_channel[v1.ImportResponse](IMPORT_BATCHES_UNANSWERED)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._commit, prepared_out, answers_in)
                nursery.start_soon(self._answer, answers_out)
                async with prepared_in:
                    await self._prepare(prepared_in)
        finally:
            for prepared in self._unwritten:
                prepared.release()

    async def _prepare(self, prepared_in: trio.MemorySendChannel[Prepared]) -> None:
        while (batch := await self._stream.recv()) is not None:
            await self._unanswered.acquire()
            with as_status():
                prepared = await self._prepare_batch(batch)
            if isinstance(prepared, PreparedImport):
                self._unwritten[prepared] = None
            await prepared_in.send(prepared)
            if isinstance(prepared, BadRecord):
                return

    async def _prepare_batch(self, batch: v1.ImportRequest) -> Prepared:
        if len(batch.records) > IMPORT_MAX_RECORDS:
            raise WireError(f"records: {len(batch.records)}, expected {IMPORT_MAX_RECORDS} at most")
        if batch.keep_versions:
            # Stamps that are taken as given win over whatever others have written.
            self._access.require(self._stream.call, Role.ADMIN)
        records = [ImportedRecord(*fields) for fields in decode_import(batch)]
        return await self._bulk.prepare_import(
            batch.group, records, keep_versions=batch.keep_versions, ack=batch.ack, caller=self._caller
        )

    async def _commit(
        self,
        prepared_out: trio.MemoryReceiveChannel[Prepared],
        answers_in: trio.MemorySendChannel[v1.ImportResponse],
    ) -> None:
        async with prepared_out, answers_in:
            async for prepared in prepared_out:
                if isinstance(prepared, BadRecord):
                    answer = encode_bad_record(prepared.position, prepared.problem)
                else:
                    with as_status():
                        answer = encode_stored(await prepared.commit())
                    prepared.release()
                    self._unwritten.pop(prepared, None)
                await answers_in.send(answer)

    async def _answer(self, answers_out: trio.MemoryReceiveChannel[v1.ImportResponse]) -> None:
        async with answers_out:
            async for answer in answers_out:
                await self._stream.send(answer)
                self._unanswered.release()
