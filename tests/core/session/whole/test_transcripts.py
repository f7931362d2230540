"""Sessions recorded between two peers, replayed against each of our sides in turn.

What may differ from the recording, and why:
- Slots: the peer sends pages of ten slots, and we send all in one page.
- Order: our store works beside the session, so our answers may stand elsewhere among the other messages than
the
  peer's. Pages keep their order; records are compared as a multiset.
- Versions: the peer has no order for equal revisions. The tests at the end show what comes of that, and what
  our sides do instead.
"""

from __future__ import annotations

from collections import Counter

import pytest

from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    TreeSlots,
    WaitNextDiffer,
)
from tests.core.session.golden import TRANSCRIPTS, messages, said_by, shelf, transcript
from tests.core.session.talk import Message, Side, client_of, describe, repair, server_of, talk
from tests.core.support import Shelf

TIES = {"same-revision-other-content", "tombstone-on-client"}


def test_all_recorded_transcripts_are_there() -> None:
    assert len(TRANSCRIPTS) == 10


def held(name: str, side: str) -> Shelf:
    return shelf(name, side) or Shelf()


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_trees_before_are_computed_alike(name: str) -> None:
    for side, tree in zip(("client", "server"), transcript(name)["before"], strict=True):
        assert held(name, side).tree().root == tree.get("root", "")


def replay_to_server(name: str) -> tuple[Side, list[Message]]:
    """Run our server against the recorded client."""
    ours = held(name, "server")
    server = Side(server_of(ours), ours, tree_found=shelf(name, "server") is not None)
    sent: list[Message] = []
    for message in said_by("client", name):
        if server.finished:
            break
        sent += server.hear(message)
    return server, sent


def replay_to_client(name: str) -> tuple[Side, list[Message]]:
    """Run our client against the recorded server."""
    ours = held(name, "client")
    client = Side(client_of(ours), ours)
    sent = client.settle()
    for message in said_by("server", name):
        sent += client.hear(message)
    client.session.peer_ended()
    sent += client.settle()
    return client, sent


def pages(sent: list[Message]) -> list[Message]:
    return [each for each in sent if not isinstance(each, PropertyAnswer)]


def records(sent: list[Message]) -> Counter[str]:
    kinds = (PropertyAnswer, PropertySync, PropertyMissing)
    return Counter(describe(each) for each in sent if isinstance(each, kinds))


@pytest.mark.parametrize("name", sorted({*TRANSCRIPTS} - {"same-revision-other-content"}))
def test_our_server_answers_the_recorded_client_as_the_peer_did(name: str) -> None:
    server, sent = replay_to_server(name)
    recorded = said_by("server", name)
    assert pages(sent) == pages(recorded)
    assert records(sent) == records(recorded)
    ends = {"equal": SessionEnd.EQUAL, "server-no-tree": SessionEnd.NO_TREE}
    assert server.end is ends.get(name, SessionEnd.REPAIRED)
    assert server.session.counts.skipped == 0
    assert server.shelf.tree().root == transcript(name)["after"][1].get("root", "")


@pytest.mark.parametrize("name", sorted({*TRANSCRIPTS} - {"same-revision-other-content"}))
def test_our_client_says_to_the_recorded_server_what_the_peer_did(name: str) -> None:
    client, sent = replay_to_client(name)
    recorded = said_by("client", name)
    assert sent[0] == recorded[0]
    assert [slot for each in sent if isinstance(each, TreeSlots) for slot in each.slots] == [
        slot for each in recorded if isinstance(each, TreeSlots) for slot in each.slots
    ]
    assert records(sent) == records(recorded)
    assert sent.count(WaitNextDiffer()) == recorded.count(WaitNextDiffer())
    if client.end is SessionEnd.REPAIRED:
        assert sent[-1] == recorded[-1] == WaitNextDiffer()
    ends = {"equal": SessionEnd.EQUAL, "server-no-tree": SessionEnd.NO_TREE}
    assert client.end is ends.get(name, SessionEnd.REPAIRED)
    assert client.session.counts.skipped == 0
    assert client.shelf.tree().root == transcript(name)["after"][0]["root"]


@pytest.mark.parametrize("name", sorted({*TRANSCRIPTS} - {"server-no-tree"}))
def test_two_of_ours_converge_on_the_recorded_stores(name: str) -> None:
    client, server = held(name, "client"), held(name, "server")
    repair(client, server)
    assert client.records == server.records
    if name not in TIES:
        assert client.tree().root == transcript(name)["after"][0]["root"]


# Where the recorded peer is wrong


def test_the_peer_never_converges_on_the_same_revision_with_other_content() -> None:
    roots = [tree["root"] for tree in transcript("same-revision-other-content")["after"]]
    assert roots[0] != roots[1]
    recorded = Counter(describe(message) for _, message in messages("same-revision-other-content"))
    assert recorded["property_sync g/n/x@5"] == 3
    assert recorded["property_sync SYNC g/n/x@5"] == 2


def test_our_server_decides_the_tie_and_answers_a_peer_that_bounces_at_most_once() -> None:
    server, sent = replay_to_server("same-revision-other-content")
    ours = held("same-revision-other-content", "server").records
    theirs = held("same-revision-other-content", "client").records
    (entity,) = ours
    winner = max(ours[entity], theirs[entity], key=lambda each: each.version)
    assert server.shelf.records[entity] == winner
    assert server.end is SessionEnd.REPAIRED
    answers = [each for each in sent if isinstance(each, PropertyAnswer)]
    assert answers == ([PropertyAnswer(AnswerTo.SYNC, ours[entity])] if winner == ours[entity] else [])
    assert pages(sent) == pages(said_by("server", "same-revision-other-content"))


def test_our_client_decides_the_tie_and_answers_a_peer_that_bounces_at_most_once() -> None:
    client, sent = replay_to_client("same-revision-other-content")
    ours = held("same-revision-other-content", "client").records
    theirs = held("same-revision-other-content", "server").records
    (entity,) = ours
    winner = max(ours[entity], theirs[entity], key=lambda each: each.version)
    assert client.shelf.records[entity] == winner
    # We offer ours once in answer to the page, and once more in answer to the peer's copy if ours is newer.
    assert sent.count(PropertySync(ours[entity])) == (2 if winner == ours[entity] else 1)
    assert client.end is SessionEnd.REPAIRED


def test_a_client_that_bounces_after_its_last_wait_breaks_nothing() -> None:
    """In the recording the peer answers a late record even after its last wait_next_differ."""
    recorded = said_by("client", "same-revision-other-content")
    assert isinstance(recorded[-1], PropertySync)
    assert isinstance(recorded[-2], WaitNextDiffer)
    ours = held("same-revision-other-content", "server")
    server = Side(server_of(ours), ours)
    for message in recorded[:-2]:
        server.hear(message)
    server.session.receive(recorded[-3])  # a record still on its way to the store holds the end back
    server.session.receive(recorded[-2])
    server.session.receive(recorded[-1])
    server.settle()
    assert server.end is SessionEnd.REPAIRED
    assert server.session.counts.received == 4


def test_a_delete_keeps_its_own_time_and_the_root_follows() -> None:
    """The peer's server stores the delete under a time of its own. Ours keeps the time that came with it."""
    name = "tombstone-on-client"
    kept = [leaf for tree in transcript(name)["after"] for leaf in tree["leaves"]]
    assert kept[0][2] != kept[1][2]
    server, _ = replay_to_server(name)
    ((entity, stored),) = server.shelf.records.items()
    assert entity.text == "g/n/x"
    assert stored.version.delete_time == 1900000000000000000
    assert server.shelf.records == held(name, "client").records


def test_a_delete_wins_over_a_live_record_of_the_same_revision_also_when_the_live_side_is_the_client() -> (
    None
):
    """Between two peers the live record would win here, and the delete would be lost."""
    live, deleted = held("tombstone-on-client", "server"), held("tombstone-on-client", "client")
    expected = dict(deleted.records)
    done = talk(live, deleted).run()
    assert live.records == deleted.records == expected
    assert done.client.end is SessionEnd.REPAIRED
    assert all(isinstance(each, DifferSummary | PropertyAnswer) for each in done.server_sent[1:])
