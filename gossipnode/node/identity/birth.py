"""The birth of a store: a random number that tells one data directory of a node from another one."""

from __future__ import annotations

import random
from typing import NamedTuple

from gossipnode.store.interface import Store, StoreError

BIRTH_NOTE = "birth"
"""The store's note of its birth: 64 random bits, drawn when it was made."""

EARLIER_SYSTEM_GROUP = "_gossipnode"
"""The group that earlier versions kept members and groups in, as records."""

OFFER_NOTE = "offer"
"""The store's note that it got another birth with records in it, which not every replica may have yet."""

_TAKES_OVER = "takes-over"


class EarlierStoreError(StoreError):
    """An earlier version of gossipnode made the data directory."""


class Birth(NamedTuple):
    """Which store this is."""

    number: int
    """64 random bits, never 0."""
    takes_over: bool = False
    """Whether the store was given this birth to take the place of the one that it was before, see `renew`."""


async def birth_of(store: Store, rng: random.Random) -> Birth:
    """The birth of a store, by its note. A store without one gets one now.

    So does one whose note has rotted: it then counts as another store.

    Raises:
        EarlierStoreError: the store was made by an earlier version, which kept members and groups as records.
        StoreError: the note was not kept.
    """
    if any(shard.group == EARLIER_SYSTEM_GROUP for shard in store.shards()):
        raise EarlierStoreError(
            "the data directory was made by an earlier version of gossipnode: carry its records over with "
            "`export --tombstones` of that version and `import --keep-versions` of this one, into an empty "
            "directory"
        )
    return await noted_birth(store) or await renew(store, rng, takes_over=False)


async def noted_birth(store: Store) -> Birth | None:
    """The birth of a store, by its note; None if it has none, or the note has rotted."""
    return birth_in(await store.note(BIRTH_NOTE))


def birth_in(note: bytes | None) -> Birth | None:
    """The birth that a note tells; None without a note, and for one that has rotted."""
    number, _, takes_over = (note or b"").decode(errors="replace").partition(" ")
    if number.isdecimal() and takes_over in ("", _TAKES_OVER):
        return Birth(int(number), bool(takes_over))
    return None


async def renew(store: Store, rng: random.Random, *, takes_over: bool) -> Birth:
    """Make a store another one: its records stay, and nothing that it has agreed to or counted for does.

    With `takes_over` it is to take the place of the member that it was, also after a restart. Once it has,
    `keep_birth` notes that.

    Raises:
        StoreError: the note was not kept.
    """
    birth = Birth(rng.getrandbits(64) or 1, takes_over)
    await keep_birth(store, birth)
    return birth


async def keep_birth(store: Store, birth: Birth) -> None:
    """Note the birth of a store.

    Raises:
        StoreError: it was not kept.
    """
    note = f"{birth.number} {_TAKES_OVER}" if birth.takes_over else str(birth.number)
    await store.keep_note(BIRTH_NOTE, note.encode())
