"""Whether what a replica says to a write is an acknowledgement, and why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import RecordsRead, RecordsWritten, Refusal, ReplicaReply
from gossipnode.core.query.write_answers import WriteAnswers
from tests.core.support import examples
from tests.records import bare_record

RECORDS = (bare_record("n/1"), bare_record("n/2"))
STORED, OLDER, EQUAL, REFUSED = WriteOutcome


def written(*outcomes: WriteOutcome) -> RecordsWritten:
    return RecordsWritten(tuple(WriteResult(each, None, "too odd" * (each is REFUSED)) for each in outcomes))


def test_what_is_stored_or_was_there_already_is_acknowledged() -> None:
    answers = WriteAnswers(RECORDS)
    for reply in (written(STORED, STORED), written(STORED, EQUAL), written(EQUAL, EQUAL)):
        assert answers.take("a", reply) == ""
    assert not answers.overtaken


def test_a_newer_version_overtakes_the_write() -> None:
    answers = WriteAnswers(RECORDS)
    assert answers.take("a", written(STORED, OLDER)) == "has a newer version"
    assert answers.overtaken
    # That does not change with what other replicas say.
    assert answers.take("b", written(STORED, STORED)) == ""
    assert answers.overtaken


def test_a_newer_version_acknowledges_a_write_of_versions_as_they_are() -> None:
    answers = WriteAnswers(RECORDS, newer_counts=True)
    assert answers.take("a", written(OLDER, OLDER)) == ""
    assert not answers.overtaken


def test_a_record_that_is_refused_fails_the_write_and_is_named_where_there_are_many() -> None:
    assert WriteAnswers(RECORDS).take("a", written(STORED, REFUSED)) == "too odd"
    named = WriteAnswers(RECORDS, newer_counts=True, names_records=True)
    assert named.take("a", written(REFUSED, STORED)) == "sw/n/1: too odd"
    assert named.take("a", written(OLDER, REFUSED)) == "sw/n/2: too odd"


@pytest.mark.parametrize("names_records", [False, True])
def test_who_refuses_without_a_reason_acknowledges_nothing(names_records: bool) -> None:
    answers = WriteAnswers(RECORDS, names_records=names_records)
    silent = RecordsWritten((WriteResult(REFUSED, None, ""), WriteResult(STORED, None, "")))
    assert "refused" in answers.take("a", silent)
    assert answers.take("a", Refusal(9, "", other_view=False)) == "refused it without a reason"


def test_a_refusal_says_why_itself() -> None:
    answers = WriteAnswers(RECORDS, newer_counts=True)
    assert answers.take("a", Refusal(9, "a sees other members", other_view=True)) == "a sees other members"
    assert not answers.overtaken


@pytest.mark.parametrize(
    "reply", [written(STORED), written(STORED, STORED, STORED), written(), RecordsRead((None, None))]
)
def test_an_answer_that_does_not_fit_is_none(reply: ReplicaReply) -> None:
    answers = WriteAnswers(RECORDS, newer_counts=True)
    assert answers.take("a", reply) == "its answer does not fit"


@examples(100)
@given(st.lists(st.sampled_from(WriteOutcome), min_size=2, max_size=2), st.booleans())
def test_only_a_replica_that_took_every_record_counts(
    outcomes: list[WriteOutcome], newer_counts: bool
) -> None:
    answers = WriteAnswers(RECORDS, newer_counts=newer_counts)
    taken = {STORED, EQUAL, OLDER} if newer_counts else {STORED, EQUAL}
    assert (answers.take("a", written(*outcomes)) == "") == (set(outcomes) <= taken)
    assert answers.overtaken <= (OLDER in outcomes and not newer_counts)
