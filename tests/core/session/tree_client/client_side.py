"""A client alone, at several points of its session."""

from __future__ import annotations

from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    TreeRoot,
    WaitNextDiffer,
)
from tests.core.session.talk import DIFFER, NO_MORE_SLOTS, Side, client_of
from tests.core.support import Shelf, id_in_slot

A0, A1, A2 = sorted(id_in_slot(3, nth) for nth in range(3))
B0, B1 = sorted(id_in_slot(8, nth) for nth in range(2))
WAIT = WaitNextDiffer()


def begun(*held: object) -> Side:
    """A client over these records that has sent its root."""
    shelf = Shelf(held)  # type: ignore[arg-type]
    client = Side(client_of(shelf), shelf)
    assert client.settle() == [TreeRoot("g", 0, shelf.tree().root)]
    return client


def in_pages(*held: object) -> Side:
    """A client over these records that has heard of a mismatch and sent its slots."""
    client = begun(*held)
    assert client.hear(DIFFER)[-1] == NO_MORE_SLOTS
    return client


def slot_page(*slots: int) -> DifferSummary:
    return DifferSummary(tuple(PageLeaf(slot, False, "", "") for slot in slots))


def sync(new: object, answer_to: AnswerTo = AnswerTo.SYNC) -> PropertyAnswer:
    return PropertyAnswer(answer_to, new)  # type: ignore[arg-type]
