"""Records as a replica holds them, in messages of Google's protobuf; and what a node holds."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, repairs


class Held(NamedTuple):
    """A version of a record: its property, and the time of its delete or 0."""

    message: Any
    delete_time: int = 0

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """Group, name and id as UTF-8. The leaves of a tree are in this order."""
        metadata = self.message.metadata
        return metadata.group.encode(), metadata.name.encode(), self.message.id.encode()

    @property
    def text(self) -> str:
        """group/name/id"""
        return b"/".join(self.key).decode()

    @property
    def revision(self) -> int:
        return int(self.message.metadata.mod_revision)


def held_record(group: str, id_: str, revision: int, value: str = "v", delete_time: int = 0) -> Held:
    """A record named n, with one tag."""
    return Held(property_of(group, "n", id_, {"k": value}, revision=revision), delete_time)


def held_by(stock: Stock, group: str) -> dict[str, Held]:
    """Every record that a node holds in a group, by group/name/id."""
    return {held.text: held for held in (Held(*pair) for pair in stock.export(group).values())}


def sync_of(held: Held) -> Any:
    """The record as a session sends it."""
    return repairs.PropertySync(
        id=f"{held.text}/{held.revision}".encode(), property=held.message, delete_time=held.delete_time
    )


def held_of(sync: Any) -> Held:
    """The record that a session has sent."""
    return Held(sync.property, sync.delete_time)
