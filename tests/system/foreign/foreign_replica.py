"""The records of a compatible peer that is not ours."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from tests.system.digests import root_sha
from tests.system.held_records import Held


class ForeignReplica:
    """The records of one shard at a foreign peer. Of two versions with one revision it keeps the first."""

    def __init__(self, records: Iterable[Held] = (), *, total_order: bool = False) -> None:
        """With `total_order` it compares versions as a gossipnode does: both sides then keep the same one."""
        self._lock = threading.Lock()
        self._total_order = total_order
        self._records = {held.text: held for held in records}

    @property
    def records(self) -> dict[str, Held]:
        with self._lock:
            return dict(self._records)

    @property
    def root(self) -> str:
        return root_sha(self.records.values())

    def take(self, held: Held) -> bool:
        """Keep a version if it is newer than the one that is held; False if it is not."""
        with self._lock:
            known = self._records.get(held.text)
            if known is not None and self.version(held) <= self.version(known):
                return False
            self._records[held.text] = held
            return True

    def version(self, held: Held) -> tuple[int, int, bytes]:
        encoded = held.message.SerializeToString(deterministic=True)
        tie = hashlib.blake2b(encoded, digest_size=32).digest() if self._total_order else b""
        return held.revision, held.delete_time, tie
