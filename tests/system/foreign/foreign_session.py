"""A session that a compatible peer opens, made of stock gRPC.

It has the habits of the recorded peer: it sends its slots in pages of ten, and ends its half only after the
server has ended the stream.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tests.system.digests import leaves_by_slot, slot_shas
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.held_records import Held, held_of, sync_of
from tests.system.stock_client import Stock
from tests.system.stock_messages import repairs

PAGE = 10
"""Slots, or leaves, of one message."""

MISSING, SYNC = 1, 2
"""Which message a server answers with a record: property_missing or property_sync."""


def request_of(**data: Any) -> Any:
    return repairs.RepairRequest(**data)


WAIT_NEXT = request_of(wait_next_differ=repairs.WaitNextDifferData())


def root_request(group: str, shard: int, sha: str) -> Any:
    return request_of(tree_root=repairs.TreeRoot(group=group, shard_id=shard, root_sha=sha))


def slot_requests(slots: dict[int, str]) -> list[Any]:
    """Pages of slots, and an empty page after the last one."""
    made = [repairs.TreeSlotSHA(slot=slot, value=sha) for slot, sha in sorted(slots.items())]
    pages = [made[at : at + PAGE] for at in range(0, len(made), PAGE)]
    return [request_of(tree_slots=repairs.TreeSlots(slot_sha=each)) for each in [*pages, []]]


class ForeignSession:
    """A session that the foreign peer opens. Everything sent and heard is kept in order."""

    def __init__(
        self,
        stock: Stock,
        replica: ForeignReplica,
        group: str,
        shard: int = 0,
        *,
        on_page: Callable[[Any], None] = lambda _page: None,
    ) -> None:
        """`on_page` is called with each page before it is answered."""
        self.replica = replica
        self.group, self.shard = group, shard
        self.before = list(replica.records.values())
        self.sent: list[Any] = []
        self.heard: list[Any] = []
        self.found = self.equal = False
        self._on_page = on_page
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stock = stock
        self._own: list[tuple[Held, str]] = []
        self._slot = -1

    def run(self) -> ForeignSession:
        """Run the session to the end of its stream. Raises grpc.RpcError when that ends with an error."""
        call = self._stock.repair_stream(iter(self._outgoing.get, None))
        try:
            self._talk(call)
            # The server has ended the stream by itself, for our half is still open.
            assert call.code() is grpc.StatusCode.OK
        finally:
            self._outgoing.put(None)
            call.cancel()
        return self

    def _talk(self, call: Iterator[Any]) -> None:
        self._own_slots = leaves_by_slot(self.replica.records.values())
        self._say(root_request(self.group, self.shard, self.replica.root))
        verdict = self._hear(call)
        assert verdict is not None
        assert verdict.WhichOneof("data") == "root_compare", verdict
        self.found, self.equal = verdict.root_compare.tree_found, verdict.root_compare.root_sha_match
        if not self.found or self.equal:
            assert self._hear(call) is None
            return
        for request in slot_requests(slot_shas(self.replica.records.values())):
            self._say(request)
        while (message := self._hear(call)) is not None:
            if message.WhichOneof("data") == "property_sync":
                self._answered(message.property_sync)
                continue
            page = message.differ_tree_summary
            self._on_page(page)
            for node in page.nodes:
                self._compare(node)
            if not page.nodes:
                self._leave_slot()
            self._say(WAIT_NEXT)

    def _say(self, message: Any) -> None:
        self.sent.append(message)
        self._outgoing.put(message)

    def _hear(self, call: Iterator[Any]) -> Any | None:
        message = next(call, None)
        if message is not None:
            self.heard.append(message)
        return message

    def _answered(self, answer: Any) -> None:
        held = held_of(answer.property)
        own = self.replica.records.get(held.text)
        if not self.replica.take(held) and _source(answer) == SYNC and own is not None:
            # The recorded peer does not yield: it sends its own version once more.
            self._sync(own)

    def _compare(self, node: Any) -> None:
        if node.slot_index != self._slot:
            self._leave_slot()
            self._slot = node.slot_index
            self._own = list(self._own_slots.get(node.slot_index, ()))
        if not node.exists:
            return
        group, name, id_ = (part.encode() for part in node.entity.split("/", 2))
        while self._own and self._own[0][0].key < (group, name, id_):
            self._sync(self._own.pop(0)[0])
        if not self._own or self._own[0][0].text != node.entity:
            self._say(request_of(property_missing=repairs.PropertyMissing(entity=node.entity)))
            return
        own, sha = self._own.pop(0)
        if sha != node.sha:
            self._sync(own)

    def _leave_slot(self) -> None:
        for own, _ in self._own:
            self._sync(own)
        self._own = []

    def _sync(self, held: Held) -> None:
        self._say(request_of(property_sync=sync_of(held)))

    # For assertions

    @property
    def pages(self) -> list[Any]:
        return [m.differ_tree_summary for m in self.heard if m.WhichOneof("data") == "differ_tree_summary"]

    @property
    def answers(self) -> list[tuple[int, Held]]:
        """(from, record) of each record that the server sent."""
        found = [m.property_sync for m in self.heard if m.WhichOneof("data") == "property_sync"]
        return [(_source(answer), held_of(answer.property)) for answer in found]

    def sent_kinds(self) -> list[str]:
        return [message.WhichOneof("data") for message in self.sent]


def _source(answer: Any) -> int:
    return int(getattr(answer, "from"))  # "from" is a keyword of Python
