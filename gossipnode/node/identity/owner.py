"""Which node a store belongs to, by a note in the store.

A copy of a data directory that is started under another name would be taken for a new member, although it
holds what another member had. So a store stays with the name under which it was first opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import structlog

from gossipnode.store.interface import OtherNodeError, Store, StoreFullError

OWNER_NOTE = "owner"
"""The store's note of its node: the name, and a digest of it, by which a name that has rotted is known."""

_DIGEST_CHARACTERS = 16


async def take_store(store: Store, name: str, data_dir: Path) -> None:
    """Let the node of this name have the store of a data directory.

    A store without an owner gets this one. An earlier version made it, or its note has rotted.

    Raises:
        OtherNodeError: it belongs to a node of another name.
        StoreError: the note was not kept.
    """
    owner = await owner_of(store)
    if owner == name:
        return
    if owner is not None:
        raise OtherNodeError(
            f"{data_dir} belongs to node {owner!r}, and this one is {name!r}: start it as {owner!r}, or give "
            f"it an empty data directory; if it is a copy, or {owner!r} is gone, --join ADDR --as-new brings "
            "its records in under the new name"
        )
    try:
        await give_store(store, name)
    except StoreFullError as error:
        # A node starts on a full disk. It will say that the disk is full, and the next start keeps the note.
        structlog.get_logger("gossipnode.store").info("owner not noted yet", reason=str(error))


async def give_store(store: Store, name: str) -> None:
    """Let the node of this name have a store, even if another one had it.

    Raises:
        StoreError: the note was not kept.
    """
    await store.keep_note(OWNER_NOTE, _note(name))


async def owner_of(store: Store) -> str | None:
    """The name of the node that a store belongs to; None if no node has it, or its note has rotted."""
    return owner_in(await store.note(OWNER_NOTE))


def _note(name: str) -> bytes:
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name} {digest}".encode()


def owner_in(note: bytes | None) -> str | None:
    """The name in a note; None without a note, and for one that has rotted."""
    if note is None:
        return None
    try:
        name = note.decode().rpartition(" ")[0]
    except UnicodeDecodeError:
        return None
    return name if note == _note(name) else None
