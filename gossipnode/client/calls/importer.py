"""Writes many records through one call: several batches are in flight, each answered when it is durable.

A bad record refuses its whole batch and ends the call. Then the import stops; or, when bad records are to be
skipped, it goes on with a new call and the batch without that record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from gossipnode.client.calls.node_client import ImportStream, NodeClient
from gossipnode.client.errors import BadRecordError, FailedError
from gossipnode.client.values.property_codec import encode_property
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.wire.generated.bp.gossipnode import v1 as messages

BATCH_MAX_RECORDS = 256
BATCH_MAX_BYTES = 512 << 10
"""A batch is sent as soon as it has reached one of these."""
BATCHES_IN_FLIGHT = 4
"""Batches that are sent before the first of them must be answered."""


@dataclass(slots=True)
class Batch:
    """Encoded records, each with its place in the input: the number of its line, from 1."""

    records: list[messages.Record] = field(default_factory=list[messages.Record])
    places: list[int] = field(default_factory=list[int])
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it is time to send it."""
        return len(self.records) >= BATCH_MAX_RECORDS or self.size_bytes >= BATCH_MAX_BYTES

    def add(self, record: StoredProperty, place: int) -> None:
        """Add a record.

        Raises:
            BadRecordError: it is too large.
            InvalidInputError: it cannot be encoded.
        """
        payload = encode_property(record)
        if len(payload) > PROPERTY_MAX_BYTES:
            raise BadRecordError(f"the record has {len(payload):,} bytes, over {PROPERTY_MAX_BYTES:,}")
        self.records.append(messages.Record(property=payload, delete_time=record.delete_time))
        self.places.append(place)
        self.size_bytes += len(payload)


@dataclass(slots=True)
class Importer:
    """One import. `run` takes the batches; `written` says at any moment how many records are durable.

    They are those up to the place `written_to`: batches are answered in their order.
    """

    node: NodeClient
    group: str
    keep_versions: bool = False
    ack: str = ""
    on_bad: Callable[[int, str], None] | None = None
    """Gets the place and the problem of each refused record, which is skipped. If None, the import stops."""
    written: int = 0
    written_to: int = 0
    _unanswered: deque[Batch] = field(default_factory=deque[Batch])
    """Batches that were sent and not answered yet, or that must be sent again; in order."""

    async def run(self, batches: AsyncGenerator[Batch]) -> None:
        """Send all batches and wait until every record is durable. Closes `batches`.

        Raises:
            BadRecordError: a record was refused, and nothing of its batch was written; names its place.
            ClientError: the call failed. What `written` counts is durable all the same.
        """
        ended = False
        async with aclosing(batches):
            while not ended:
                async with self.node.import_stream() as stream:
                    ended = await self._one_call(stream, batches)

    async def _one_call(self, stream: ImportStream, batches: AsyncIterator[Batch]) -> bool:
        """Go on until the input ends (True) or a bad record ends the call (False)."""
        open_ = True
        for batch in list(self._unanswered):
            open_ = open_ and await self._send(stream, batch)
        problem: BadRecordError | None = None
        more = True
        while (more and open_) or self._unanswered:
            if more and open_:
                try:
                    batch = await anext(batches)
                except StopAsyncIteration:
                    more = False
                except BadRecordError as error:
                    # The input itself is wrong here. The batches before it were sent, so take their answers.
                    more, problem = False, error
                else:
                    self._unanswered.append(batch)
                    open_ = await self._send(stream, batch)
            wait = not (more and open_) or len(self._unanswered) >= BATCHES_IN_FLIGHT
            if wait and self._unanswered and not await self._take_answer(stream):
                return False
        if more:
            raise FailedError("the node ended the import before it had taken everything")
        await stream.finish()
        if problem is not None:
            raise problem
        return True

    async def _send(self, stream: ImportStream, batch: Batch) -> bool:
        return await stream.send(
            messages.ImportRequest(
                group=self.group, records=batch.records, keep_versions=self.keep_versions, ack=self.ack
            )
        )

    async def _take_answer(self, stream: ImportStream) -> bool:
        """Wait for the answer to the earliest open batch. False if it refused a record and ended the call."""
        answer = await stream.answer()
        batch = self._unanswered[0]
        if answer.bad_record is None:
            self._unanswered.popleft()
            self.written += answer.records
            self.written_to = batch.places[-1]
            return True
        place = batch.places[answer.bad_record]
        if self.on_bad is None:
            raise BadRecordError(f"line {place}: {answer.problem}")
        self.on_bad(place, answer.problem)
        del batch.records[answer.bad_record], batch.places[answer.bad_record]
        if not batch.records:
            self._unanswered.popleft()
        return False
