"""A session that a compatible peer opens, message by message, as a test writes them."""

from __future__ import annotations

import queue
from typing import Any

from tests.system.digests import root_sha, slot_shas
from tests.system.foreign.foreign_session import root_request, slot_requests
from tests.system.held_records import Held
from tests.system.stock_client import Stock


class ForeignScript:
    """A session that goes on step by step, as the test says."""

    def __init__(self, stock: Stock, group: str, records: list[Held], *, shard: int = 0) -> None:
        self.group, self.shard, self.records = group, shard, records
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call = stock.repair_stream(iter(self._outgoing.get, None))

    def __enter__(self) -> ForeignScript:
        return self

    def __exit__(self, *_: object) -> None:
        self._outgoing.put(None)
        self.call.cancel()

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._outgoing.put(message)

    def half_close(self) -> None:
        self._outgoing.put(None)

    def next(self) -> Any | None:
        return next(self.call, None)

    def next_page(self) -> Any:
        """The next page; other messages that come before it are dropped."""
        while (message := self.next()) is not None:
            if message.WhichOneof("data") == "differ_tree_summary":
                return message.differ_tree_summary
        raise AssertionError("the server ended the stream")

    def verdict(self) -> None:
        """Send the root, and read the verdict that the trees differ."""
        self.say(root_request(self.group, self.shard, root_sha(self.records)))
        message = self.next()
        assert message is not None
        assert message.root_compare.tree_found
        assert not message.root_compare.root_sha_match

    def begin(self) -> None:
        """Send the root and, after the verdict, the slots."""
        self.verdict()
        self.say(*slot_requests(slot_shas(self.records)))
