"""The client alone: what a server must not do."""

from __future__ import annotations

import pytest

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.session.commands import Finish, ReadLeaves, Send, SessionEnd
from gossipnode.core.session.messages import DifferSummary, PageLeaf, PropertySync
from gossipnode.core.session.tree import Tree
from gossipnode.core.session.tree_client import PENDING_PAGES_MAX, TreeClient
from tests.core.session.talk import DIFFER, EQUAL, LAST_PAGE, NOT_FOUND, Message, Side, client_of, page
from tests.core.session.tree_client.client_side import A0, A1, B0, WAIT, begun, in_pages, slot_page, sync
from tests.core.support import SHARD, Shelf, record


def refused(client: Side, message: Message) -> str:
    with pytest.raises(SessionViolationError) as error:
        client.session.receive(message)  # type: ignore[arg-type]
    return str(error.value)


def test_nothing_is_taken_before_the_root_was_sent() -> None:
    shelf = Shelf()
    assert refused(Side(client_of(shelf), shelf), DIFFER) == "expected one root_compare, after tree_root"
    assert (
        refused(Side(client_of(shelf), shelf), LAST_PAGE) == "expected root_compare, got differ_tree_summary"
    )


@pytest.mark.parametrize(
    ("message", "name"), [(LAST_PAGE, "differ_tree_summary"), (sync(record(A0, 1)), "property_sync")]
)
def test_nothing_but_the_verdict_answers_the_root(message: Message, name: str) -> None:
    assert refused(begun(), message) == f"expected root_compare, got {name}"


@pytest.mark.parametrize("verdict", [EQUAL, DIFFER, NOT_FOUND])
def test_a_second_verdict_is_refused(verdict: Message) -> None:
    client = begun()
    client.session.receive(verdict)  # type: ignore[arg-type]
    assert refused(client, DIFFER) == "expected one root_compare, after tree_root"
    if verdict is DIFFER:
        client.settle()
        assert refused(client, EQUAL) == "expected one root_compare, after tree_root"


@pytest.mark.parametrize("verdict", [EQUAL, NOT_FOUND])
@pytest.mark.parametrize(
    ("message", "name"), [(LAST_PAGE, "differ_tree_summary"), (sync(record(A0, 1)), "property_sync")]
)
def test_nothing_follows_a_verdict_that_ends_the_session(
    verdict: Message, message: Message, name: str
) -> None:
    client = begun()
    client.hear(verdict)
    assert refused(client, message) == f"expected the end of the session, got {name}"


def test_nothing_follows_the_last_page_but_records() -> None:
    client = in_pages()
    client.session.receive(LAST_PAGE)  # type: ignore[arg-type]
    assert refused(client, LAST_PAGE) == "differ_tree_summary after the last page"
    assert refused(client, page(record(A0, 1))) == "differ_tree_summary after the last page"
    assert client.settle() == [WAIT]
    assert refused(client, page(record(A0, 1))) == "differ_tree_summary after the last page"
    client.hear(sync(record(A0, 1)))


def test_pages_may_come_ahead_of_the_wait_only_so_far() -> None:
    client = in_pages()
    for _ in range(PENDING_PAGES_MAX):
        client.session.receive(slot_page(1))  # type: ignore[arg-type]
    assert refused(client, slot_page(1)) == "differ_tree_summary pages ahead of wait_next_differ"
    assert refused(client, LAST_PAGE) == "differ_tree_summary pages ahead of wait_next_differ"


@pytest.mark.parametrize("slot", [-1, SLOT_COUNT, SLOT_COUNT + 5])
@pytest.mark.parametrize("exists", [True, False])
def test_a_slot_out_of_range_ends_the_session(slot: int, exists: bool) -> None:
    client = in_pages()
    client.session.receive(DifferSummary((PageLeaf(slot, exists, "g/n/x", "00"),)))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError) as error:
        client.settle()
    assert str(error.value) == f"slot {slot} is not between 0 and 31"


def test_a_slot_that_comes_again_ends_the_session() -> None:
    client = in_pages()
    client.hear(page(record(A0, 1)), page(record(B0, 1)))
    client.session.receive(page(record(A1, 1)))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError) as error:
        client.settle()
    assert str(error.value) == "slot 3 came again after another one"


def test_a_slot_named_as_lacking_does_not_come_again() -> None:
    client = in_pages()
    client.session.receive(slot_page(3, 3))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError, match=r"^slot 3 came again"):
        client.settle()


@pytest.mark.parametrize("verdict", [None, DIFFER])
def test_an_end_before_the_last_page_is_refused(verdict: Message | None) -> None:
    client = begun()
    for message in [verdict] if verdict else []:
        client.session.receive(message)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(SessionViolationError) as error:
            client.session.peer_ended()
        assert str(error.value) == "the server ended the session before its last page"
        client.settle()


def test_an_end_is_taken_once_the_last_wait_is_sent() -> None:
    client = in_pages()
    client.session.receive(LAST_PAGE)  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError):
        client.session.peer_ended()
    assert client.session.next_command() == Send((WAIT,))
    client.session.peer_ended()
    assert client.session.next_command() == Finish(SessionEnd.REPAIRED)


def test_leaves_that_were_not_asked_for_are_a_fault_of_the_caller() -> None:
    client = TreeClient(SHARD, 1, Tree("", ()), page_leaves=10)
    with pytest.raises(AssertionError, match="leaves of a slot that was not asked for"):
        client.leaves_read(ReadLeaves(3, None, 10), [])
    side = in_pages()
    side.session.receive(slot_page(3))  # type: ignore[arg-type]
    assert side.session.next_command() == ReadLeaves(3, None, 10)
    with pytest.raises(AssertionError, match="leaves of a slot that was not asked for"):
        side.session.leaves_read(ReadLeaves(4, None, 10), [])


def test_a_server_that_repeats_itself_gets_no_more_than_it_may() -> None:
    """It sends the same leaves and the same old record again and again. Our answers are bounded."""
    client = in_pages(record(A0, 9))
    said: list[Message] = []
    for _ in range(20):
        said += client.hear(page(record(A1, 1)), sync(record(A0, 1)))
    assert said.count(PropertySync(record(A0, 9))) <= 2
    assert said.count(WAIT) == 20


def test_results_that_do_not_fit_what_was_asked_are_a_fault_of_the_caller() -> None:
    client = in_pages(record(A0, 1)).session
    client.receive(sync(record(A0, 2)))  # type: ignore[arg-type]
    assert client.next_write() is not None
    with pytest.raises(ValueError, match="shorter"):
        client.written([])


def test_nothing_that_the_server_says_matters_once_it_has_ended_or_judged() -> None:
    assert not begun().session.over
    client = in_pages(record(A0, 1))
    client.hear(LAST_PAGE)
    assert not client.session.over
    client.session.peer_ended()
    assert client.session.over
    for verdict in (EQUAL, NOT_FOUND):
        client = begun()
        client.hear(verdict)
        assert client.session.over


def test_a_client_does_not_read_its_tree() -> None:
    with pytest.raises(AssertionError, match="a client does not read its tree"):
        begun().session.tree_read(None)
