"""A server alone, at several points of its session."""

from __future__ import annotations

from gossipnode.core.model.property import Record
from gossipnode.core.session.messages import DifferSummary, PropertySync, TreeRoot, WaitNextDiffer
from tests.core.session.talk import DIFFER, LAST_PAGE, NO_MORE_SLOTS, Message, Side, server_of
from tests.core.support import Shelf, id_in_slot, record

A0, A1, A2 = sorted(id_in_slot(3, nth) for nth in range(3))
B0, B1 = sorted(id_in_slot(8, nth) for nth in range(2))
C0 = id_in_slot(20)
WAIT = WaitNextDiffer()
ROOT = TreeRoot("g", 0, "another root")


def begun(*held: Record, page_leaves: int = 10) -> Side:
    """A server over these records that has heard a root that differs."""
    shelf = Shelf(held)
    server = Side(server_of(shelf, page_leaves=page_leaves), shelf)
    assert server.hear(ROOT) == [DIFFER]
    return server


def at_page(*held: Record, page_leaves: int = 10) -> Side:
    """A server that has sent its first page to a client that holds nothing."""
    server = begun(*held, page_leaves=page_leaves)
    (first,) = server.hear(NO_MORE_SLOTS)
    assert isinstance(first, DifferSummary)
    return server


def at_last_wait() -> Side:
    return at_page()


def over() -> Side:
    server = at_page()
    assert server.hear(WAIT) == []
    assert server.finished
    return server


def draining(*held: Record) -> Side:
    """A server that has heard the last wait while a record was still on its way to the store."""
    server = at_page(*held)
    while held and server.hear(WAIT) != [LAST_PAGE]:
        pass
    server.session.receive(PropertySync(record(B1, 1)))  # type: ignore[arg-type]
    server.session.receive(WAIT)  # type: ignore[arg-type]
    return server


def syncs(*records: Record) -> list[Message]:
    return [PropertySync(each) for each in records]
