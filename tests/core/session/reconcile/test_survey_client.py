"""A client that only looks at what differs: it finds all of it, and leaves both replicas as they are."""

from __future__ import annotations

import pytest
from hypothesis import given

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.reconcile import survey_client
from gossipnode.core.session.reconcile.reconcile_messages import SentRecords, Tags, Wants
from gossipnode.core.session.reconcile.survey_client import (
    Difference,
    SurveyClient,
    SurveyTooLargeError,
)
from tests.core.session.reconcile.reconcile_sides import Replica, Session, record
from tests.core.session.reconcile.test_reconcile import RECORDS, replica_of


def surveyed(client: Replica, server: Replica) -> tuple[Session, list[Difference]]:
    """Run a survey; neither side may change."""
    before = client.held, server.held
    session = Session(client, server, kind=SurveyClient)
    # It is a session in good order: the trees need not be compared after it.
    assert session.run() in (SessionEnd.EQUAL, SessionEnd.REPAIRED)
    assert (client.held, server.held) == before
    assert session.client.count(SentRecords) == 0
    assert not session.skipped()
    assert isinstance(session.client.session, SurveyClient)
    return session, session.client.session.differences()


def differences(client: Replica, server: Replica) -> list[Difference]:
    """What differs, from the replicas themselves."""
    ours = {each.entity: each.version for each in client.held}
    theirs = {each.entity: each.version for each in server.held}
    found = [Difference(each, ours.get(each), theirs.get(each)) for each in ours.keys() | theirs.keys()]
    return sorted(
        (each for each in found if each.here != each.there),
        key=lambda each: (slot_of(each.entity), each.entity),
    )


@given(RECORDS, RECORDS)
def test_all_that_differs_is_found_with_both_versions(
    client: dict[int, tuple[int, int, bytes]], server: dict[int, tuple[int, int, bytes]]
) -> None:
    ours, theirs = replica_of(client), replica_of(server)
    _, found = surveyed(ours, theirs)
    assert found == differences(ours, theirs)


@pytest.mark.parametrize("empty", ["client", "server"])
def test_against_an_empty_replica_everything_differs(empty: str) -> None:
    full = [record(identity) for identity in range(3000)]
    client, server = Replica(() if empty == "client" else full), Replica(full if empty == "client" else ())
    _, found = surveyed(client, server)
    assert found == differences(client, server)
    assert len(found) == 3000


def test_some_of_many_are_found_on_both_sides() -> None:
    base = [record(identity) for identity in range(5000)]
    client = Replica([*base, *(record(each, 2) for each in range(0, 5000, 50)), record("ours")])
    server = Replica([*base, *(record(each, 3) for each in range(0, 5000, 40)), record("theirs")])
    session, found = surveyed(client, server)
    assert found == differences(client, server)
    # What is equal does not travel, and the server asks for nothing.
    assert len(session.server.records_sent) == sum(each.there is not None for each in found)
    assert session.server.count(Wants) == 0


def test_equal_replicas_end_with_the_opening() -> None:
    session, found = surveyed(Replica(map(record, range(300))), Replica(map(record, range(300))))
    assert (found, session.client.end) == ([], SessionEnd.EQUAL)


@pytest.mark.parametrize("empty", ["client", "server"])
def test_too_many_are_not_kept(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_client, "SURVEY_MAX_RECORDS", 100)
    full = [record(identity) for identity in range(101)]
    client, server = Replica(() if empty == "client" else full), Replica(full if empty == "client" else ())
    with pytest.raises(SurveyTooLargeError, match="more than 100 records differ"):
        surveyed(client, server)
    surveyed(Replica(full[:100]), Replica())


def test_a_record_that_rotted_here_is_counted() -> None:
    client = Replica([record("a"), record("b")])
    session = Session(client, Replica([record("c")]), kind=SurveyClient)
    session.client.unreadable = {0}
    session.run()
    assert session.client.session.counts.reasons == {"not readable here": 1}


def test_what_became_equal_while_it_was_looked_at_is_no_difference() -> None:
    base = [record(identity) for identity in range(5000)]
    client = Replica([*base, record("changed", 1)])
    server = Replica([*base, record("changed", 2), record("new")])
    session = Session(client, server, kind=SurveyClient)
    written: list[int] = []

    def write(step: int) -> None:
        # Our tags of the place are under way: the server finds that it alone has these versions.
        if session.client.count(Tags) and not written:
            written.append(step)
            client.write(record("changed", 2))
            client.write(record("new"))

    session.run(between=write)
    assert written, "the client has sent no tags"
    assert isinstance(session.client.session, SurveyClient)
    assert session.client.session.differences() == []
