"""What this node has heard of the stores of other members: their last starts, and their newest commits.

A start is durable here before its member is told that it was heard. A commit is durable within
`COMMITS_KEPT_SECONDS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import structlog
import trio

from gossipnode.core.cluster.boots import BootMark, BootVerdict, judge, remembered
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.store.interface import Store, StoreError

BOOTS_NOTE = "boots"
"""The store's note of other stores: by name, the birth and the three numbers of a mark, as JSON."""

COMMITS_KEPT_SECONDS = 1.0
"""How long a commit that was heard of may be in memory alone."""


class BootMemory:
    """Remembers the newest mark of one store of each name. `recall` before its first use."""

    def __init__(self, store: Store) -> None:
        """Keep it in `store`."""
        self._store = store
        self._known: dict[str, tuple[int, BootMark]] = {}
        self._durable: dict[str, tuple[int, int, int]] = {}
        """By name, the birth and the start that the note has."""
        self._grown = trio.Event()
        self._log = structlog.get_logger("gossipnode.cluster")

    async def recall(self) -> None:
        """Read the note. From one that has rotted nothing follows.

        Raises:
            StoreError: the store cannot be read.
        """
        note = await self._store.note(BOOTS_NOTE)
        if note is None:
            return
        try:
            for name, (birth, boot, nonce, commit) in json.loads(note).items():
                self._known[name] = int(birth), BootMark(int(boot), int(nonce), int(commit))
            self._durable = _starts(self._known)
        except (ValueError, TypeError, AttributeError):
            self._log.warning("the note of other members' starts is damaged, and is begun again")

    def known(self, store: Identity) -> BootMark | None:
        """The newest mark of a store; None if nothing was heard of it."""
        birth, mark = self._known.get(store.name, (0, None))
        return mark if birth == store.birth else None

    def judge(self, store: Identity, told: BootMark) -> BootVerdict:
        """Compare what a store says with what is known of it."""
        return judge(self.known(store), told)

    async def remember(self, store: Identity, told: BootMark) -> None:
        """Keep what a store says. A new start is durable when this returns.

        Raises:
            StoreError: it was not kept.
        """
        self.heard(store, told)
        if self._durable.get(store.name) != (store.birth, *told.start):
            await self._keep()

    def heard(self, store: Identity, told: BootMark) -> None:
        """Take note of what a store says, if it does not contradict what is known. It is durable soon."""
        known = self.known(store)
        if judge(known, told) is BootVerdict.REWOUND:
            return
        after = remembered(known, told)
        if after != known:
            self._known[store.name] = store.birth, after
            self._grown.set()

    def committed(self, store: Identity, boot: int, commit: int) -> None:
        """A store has told the number of a commit, beside an answer."""
        known = self.known(store)
        if known is not None and known.boot == boot and commit > known.commit:
            self._known[store.name] = store.birth, known._replace(commit=commit)
            self._grown.set()

    async def run(self) -> None:
        """Keep what was heard, until cancelled."""
        while True:
            await self._grown.wait()
            try:
                await self._keep()
            except StoreError as error:
                self._log.debug("starts of other members not kept yet", reason=str(error))
            await trio.sleep(COMMITS_KEPT_SECONDS)

    async def _keep(self) -> None:
        self._grown = trio.Event()
        note = json.dumps({name: [birth, *mark] for name, (birth, mark) in sorted(self._known.items())})
        starts = _starts(self._known)
        try:
            # Without a number: members would tell each other of the commits that only note such numbers.
            await self._store.keep_note(BOOTS_NOTE, note.encode(), numbered=False)
        except BaseException:
            self._grown.set()
            raise
        self._durable = starts


def _starts(known: Mapping[str, tuple[int, BootMark]]) -> dict[str, tuple[int, int, int]]:
    return {name: (birth, *mark.start) for name, (birth, mark) in known.items()}
