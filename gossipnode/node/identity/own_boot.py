"""This start of this node's store, and whether the store counts: nobody remembers a later state of it.

A store that went back in time lacks what it has acknowledged, and has forgotten its promises. So from its
start until a majority of the members has heard of it, it serves requests of the level local alone: see
`core.cluster.boots`.
"""

from __future__ import annotations

import random

import structlog

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.cluster.boots import BootMark, BootVerdict, commit_to_tell
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.node.identity.birth import OFFER_NOTE, Birth, keep_birth, renew
from gossipnode.store.interface import LOST_COMMITS_NOTE, Store, StoreFullError

BOOT_NOTE = "boot"
"""The store's note of its starts: how many, the nonce of the last one, and the commit to tell, or cleared."""

_CLEARED = "cleared"


class OwnBoot:
    """This start. Made by `open_boot`."""

    def __init__(self, store: Store, birth: Birth, earlier: int, nonce: int, recovered: int) -> None:
        """A start after `earlier` ones, that found the commit `recovered` in the store."""
        self._store = store
        self._recovered = recovered
        self._boot = earlier + 1
        self._nonce = nonce
        self.counted = False
        """Whether the start is noted in the store. It is told to nobody before."""
        self.birth = birth
        self.cleared = False
        """Whether the store counts."""
        self.noted = False
        """Whether it is noted that the store counts."""
        self.lost_commits = 0
        """Commits whose log was found damaged when the store was opened."""
        self.heard_by: set[Identity] = set()
        """The members that have heard of this start, and remember no later state."""
        self.refused: tuple[BootVerdict, str] | None = None
        """The verdict of a member for which this store does not count, and the member's name."""
        self.changed = ChangeEvent()
        """Tells that one of these has changed."""

    @property
    def mark(self) -> BootMark | None:
        """What the node says of its store; None while the start is not noted."""
        if not self.counted:
            return None
        # Told before it is noted, the next start would have lost the commits that it tells of.
        return BootMark(self._boot, self._nonce, self._store.commit_number if self.noted else self._recovered)

    async def count(self) -> None:
        """Note the start.

        Raises:
            StoreError: it was not kept.
        """
        await self._keep(str(self._recovered))
        self.counted = True

    def clear(self) -> None:
        """The store counts from now on. `note_cleared` comes next."""
        self.cleared = True
        self.changed.notify()

    async def note_cleared(self) -> None:
        """Note that the store counts. Until that is noted, no later commit is told.

        Raises:
            StoreError: it was not noted, and has to be.
        """
        assert self.cleared
        await self._keep(_CLEARED)
        self.noted = True

    def judged(self, member: Identity, verdict: BootVerdict) -> None:
        """A member has answered what it thinks of this start."""
        match verdict:
            case BootVerdict.HEARD if member not in self.heard_by:
                self.heard_by.add(member)
                self.changed.notify()
            case BootVerdict.REWOUND | BootVerdict.RUNNING if self.refused is None:
                self.refused = verdict, member.name
                self.changed.notify()
            case _:
                pass

    async def renew(self, rng: random.Random) -> None:
        """Make the store another one, which is to take the place of the one that it was.

        Raises:
            StoreError: that was not kept.
        """
        # What it alone has is offered to every replica once it is a member again.
        await self._store.keep_note(OFFER_NOTE, b"due")
        self.birth = await renew(self._store, rng, takes_over=True)
        await self.forget_lost_commits()
        self.heard_by.clear()
        self.refused = None
        # Of the new birth members have heard nothing yet. The next start must not tell less than this one.
        self._recovered = self._store.commit_number
        await self._keep(str(self._recovered))
        self.changed.notify()

    async def took_over(self) -> None:
        """The store is a member in the place of the one that it was.

        Raises:
            StoreError: that was not kept.
        """
        self.birth = self.birth._replace(takes_over=False)
        await keep_birth(self._store, self.birth)

    async def forget_lost_commits(self) -> None:
        """What follows from the damage in the log was done.

        Raises:
            StoreError: that was not kept.
        """
        if self.lost_commits:
            await self._store.keep_note(LOST_COMMITS_NOTE, None, numbered=False)
            self.lost_commits = 0

    async def _keep(self, state: str) -> None:
        # Without a number: starts alone must not make up for commits that were lost.
        note = f"{self._boot} {self._nonce} {state}"
        await self._store.keep_note(BOOT_NOTE, note.encode(), numbered=False)


async def open_boot(store: Store, birth: Birth, rng: random.Random) -> OwnBoot:
    """Count a start of a store. On a full disk it is not counted yet, and not cleared before it is.

    A note that has rotted counts as none. Members then remember a later start.

    Raises:
        StoreError: the store cannot be read.
    """
    earlier, told = _parsed(await store.note(BOOT_NOTE))
    recovered = commit_to_tell(store.commit_number, told)
    boot = OwnBoot(store, birth, earlier, rng.getrandbits(64), recovered)
    lost = await store.note(LOST_COMMITS_NOTE)
    boot.lost_commits = int(lost) if lost is not None and lost.isdigit() else 0
    try:
        await boot.count()
    except StoreFullError as error:
        structlog.get_logger("gossipnode.store").info("start not noted yet", reason=str(error))
    return boot


def _parsed(note: bytes | None) -> tuple[int, int | None]:
    """The starts before this one, and the commit to tell if the last of them was not cleared."""
    match (note or b"").decode(errors="replace").split():
        case [boot, _, state] if boot.isdecimal() and state == _CLEARED:
            return int(boot), None
        case [boot, _, state] if boot.isdecimal() and state.isdecimal():
            return int(boot), int(state)
        case _:
            return 0, None


def boot_in(note: bytes | None) -> int:
    """How often a store was started, by its note of that; 0 if it has rotted."""
    return _parsed(note)[0]
