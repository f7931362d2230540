"""What a client asked for and was never given counts as left out, with the key of one of the records."""

from __future__ import annotations

import pytest

from gossipnode.core.session import asked
from gossipnode.core.session.asked import AskedRecords
from gossipnode.core.session.commands import SessionCounts
from gossipnode.core.session.messages import AnswerTo, Unreadable
from tests.core.session.talk import LAST_PAGE, Message, page
from tests.core.session.tree_client.client_side import A0, A1, A2, WAIT, in_pages, sync
from tests.core.support import record

A_PAGE = page(*(record(id_, 1) for id_ in (A0, A1, A2)))


def counts_after(*answers: Message) -> SessionCounts:
    """A client asks for three records, is given these answers, and the server ends the session."""
    client = in_pages()
    assert client.hear(A_PAGE)[-1] == WAIT
    assert client.hear(*answers, LAST_PAGE) == [WAIT]
    assert "never given by the peer" not in client.session.counts.reasons, "the server may still answer"
    client.session.peer_ended()
    client.settle()
    assert client.finished
    return client.session.counts


def test_what_was_never_given_is_left_out_and_named() -> None:
    counts = counts_after(sync(record(A0, 1), AnswerTo.MISSING))
    assert counts.reasons == {"never given by the peer": 2}
    assert counts.reasons_text() == f"2 never given by the peer, such as g/n/{A1}"


def test_every_answer_counts_whatever_its_kind_and_whether_it_can_be_read() -> None:
    counts = counts_after(
        sync(record(A0, 1), AnswerTo.MISSING),
        sync(record(A1, 1), AnswerTo.UNSPECIFIED),
        sync(Unreadable("mod_revision is missing"), AnswerTo.MISSING),
    )
    assert counts.reasons == {"not storable": 1}


def test_an_answer_that_comes_twice_stands_for_no_other_one() -> None:
    twice = sync(record(A0, 1), AnswerTo.MISSING)
    counts = counts_after(twice, twice, sync(record(A1, 1), AnswerTo.MISSING))
    assert counts.reasons_text() == f"1 never given by the peer, such as g/n/{A2}"


def test_more_than_can_be_named_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "ASKED_NAMES_MAX", 1)
    records, counts = AskedRecords(), SessionCounts()
    for id_ in (A0, A1, A2):
        records.ask(record(id_, 1).entity.text)
    records.given(record(A2, 1))
    records.count_unanswered(counts)
    assert counts.reasons_text() == f"2 never given by the peer, such as g/n/{A0}"
