"""The newest version of a record, as replicas tell of it: joined, and certain or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.newest import NewestRecords, Stale, certain_record
from gossipnode.core.query.replica_messages import (
    SAME,
    Candidate,
    RecordsRead,
    RecordsWritten,
    Refusal,
    ReplicaReply,
)
from gossipnode.core.query.request_lineage import KnownRequest, Lineage
from gossipnode.core.query.search import Place
from tests.core.support import examples
from tests.records import bare_record, entity

SHARD = ShardId("sw", 0)
N1, N2 = entity("n/1"), entity("n/2")
REPLICAS = ("a", "b", "c")


def n(number: int, revision: int = 1, *, deleted: int = 0) -> Record:
    return bare_record(f"n/{number}", revision=revision, delete_time=deleted)


def joined(*own: Record | None, entities: Sequence[Entity] = (N1, N2)) -> NewestRecords:
    return NewestRecords(SHARD, entities, own or (None,) * len(entities))


# Answers to one read


def test_the_newest_version_of_each_record_counts_whoever_has_it() -> None:
    newest = joined()
    assert newest.take("a", RecordsRead((n(1, 5), None))) == ""
    assert newest.take("b", RecordsRead((n(1, 6), n(2, 1)))) == ""
    assert newest.take("c", RecordsRead((n(1, 4), n(2, 3, deleted=3)))) == ""
    assert newest.records() == [n(1, 6), n(2, 3, deleted=3)]
    assert list(newest.stale()) == [
        Stale("a", SHARD, n(1, 6)),
        Stale("a", SHARD, n(2, 3, deleted=3)),
        Stale("b", SHARD, n(2, 3, deleted=3)),
        Stale("c", SHARD, n(1, 6)),
    ]


def test_what_too_few_have_is_uncertain() -> None:
    newest = joined()
    newest.take("a", RecordsRead((n(1, 6), n(2, 3))))
    newest.take("b", RecordsRead((n(1, 6), n(2, 3))))
    assert newest.uncertain(lambda names: len(names) >= 2) == []
    newest.take("c", RecordsRead((n(1, 5), None)))
    assert newest.uncertain(lambda names: len(names) >= 2) == []
    assert newest.uncertain(lambda names: names == {"a", "b", "c"}) == [n(1, 6), n(2, 3)]
    newest.take("c", RecordsRead((n(1, 7, deleted=7), n(2, 3))))
    assert newest.uncertain(lambda names: len(names) >= 2) == [n(1, 7, deleted=7)]


def test_what_an_answer_had_no_room_for_is_left_aside() -> None:
    newest = joined()
    newest.take("a", RecordsRead((n(1, 6), n(2, 3))))
    newest.take("b", RecordsRead((n(1, 5),)))
    assert newest.uncertain(lambda names: len(names) >= 2) == [n(1, 6)]


def test_what_nobody_has_is_none_and_makes_nobody_stale() -> None:
    newest = joined()
    for name in REPLICAS:
        newest.take(name, RecordsRead((None, n(2))))
    assert newest.records() == [None, n(2)]
    assert list(newest.stale()) == []


def test_the_same_stands_for_our_own_version() -> None:
    newest = joined(n(1, 5), None)
    assert newest.take("b", RecordsRead((SAME, None))) == ""
    assert newest.records() == [n(1, 5), None]
    # Our own version does not count before some replica has answered with it.
    assert joined(n(1, 5), None).records() == [None, None]


def test_an_answer_that_covers_the_first_records_alone_bounds_them_all() -> None:
    newest = joined()
    newest.take("a", RecordsRead((n(1), n(2, 9))))
    newest.take("b", RecordsRead((n(1),)))
    newest.take("c", RecordsRead((n(1), None)))
    assert newest.records() == [n(1)]
    assert list(newest.stale()) == [Stale("c", SHARD, n(2, 9))]


@pytest.mark.parametrize(
    "reply",
    [
        RecordsRead(()),
        RecordsRead((None, None, None)),
        RecordsRead((n(2), None)),
        RecordsRead((None, n(1))),
        RecordsWritten(()),
        Refusal(9, "no"),
    ],
)
def test_an_answer_that_does_not_fit_does_not_count(reply: ReplicaReply) -> None:
    newest = joined()
    assert newest.take("a", reply) == "its answer does not fit"
    assert newest.records() == [None, None]
    assert list(newest.stale()) == []


def test_the_lineage_is_that_of_the_newest_version() -> None:
    one, two = KnownRequest("one", True, 4), KnownRequest("two", False, 5)
    newest = joined(entities=(N1,))
    newest.take("a", RecordsRead((n(1, 4),), Lineage((one,))))
    assert newest.lineage() == Lineage((one,))
    newest.take("b", RecordsRead((n(1, 5),), Lineage((two,))))
    assert newest.lineage() == Lineage((two,))
    newest.take("c", RecordsRead((n(1, 6),)))
    assert newest.lineage() == Lineage((one, two), since=6)


revisions = st.lists(st.integers(0, 3), min_size=1, max_size=3)


@examples(200)
@given(st.dictionaries(st.sampled_from(REPLICAS), revisions))
def test_it_joins_what_a_maximum_would(held: dict[str, list[int]]) -> None:
    """Revision 0 stands for a record that a replica does not have."""
    entities = [entity(f"n/{number}") for number in range(3)]
    newest = joined(entities=entities)
    for name, found in held.items():
        records = tuple(n(number, revision) if revision else None for number, revision in enumerate(found))
        assert newest.take(name, RecordsRead(records)) == ""
    best = [max((found[at] for found in held.values() if at < len(found)), default=0) for at in range(3)]
    covered = min((len(found) for found in held.values()), default=3)
    assert newest.records() == [n(at, best[at]) if best[at] else None for at in range(covered)]
    assert list(newest.stale()) == [
        Stale(name, SHARD, n(at, best[at]))
        for name, found in held.items()
        for at, revision in enumerate(found)
        if revision != best[at]
    ]


# Candidates of a query


def candidate(revision: int, *, payload: bool = True) -> Candidate:
    of = n(1, revision)
    return Candidate(Place(N1), SHARD, of.version, of.payload if payload else None)


def certain(found: dict[str, Candidate], asked: str = "abc") -> Record | None:
    return certain_record(list(found.items()), frozenset(asked))


def test_a_record_is_certain_when_all_that_were_asked_report_one_version() -> None:
    found = {name: candidate(5, payload=name == "b") for name in REPLICAS}
    assert certain(found) == n(1, 5)
    assert certain({"a": candidate(5)}, "a") == n(1, 5)


@pytest.mark.parametrize(
    "found",
    [
        # An older version: it may be behind.
        {"a": candidate(5), "b": candidate(4), "c": candidate(5)},
        # Nothing: it may hold a newer version that does not match.
        {"a": candidate(5), "b": candidate(5)},
        # The version alone, from everybody.
        {name: candidate(5, payload=False) for name in REPLICAS},
        # The record itself, but of the older version.
        {"a": candidate(5, payload=False), "b": candidate(4), "c": candidate(5, payload=False)},
    ],
)
def test_a_record_is_read_by_key_where_anything_is_uncertain(found: dict[str, Candidate]) -> None:
    assert certain(found) is None


def test_a_replica_that_is_no_longer_asked_need_not_report() -> None:
    assert certain({"a": candidate(5), "b": candidate(5)}, "ab") == n(1, 5)
    # What one had reported before it broke off counts all the same.
    assert certain({"a": candidate(5), "b": candidate(6)}, "a") is None


@pytest.mark.slow
@examples(200)
@given(
    st.dictionaries(st.sampled_from(REPLICAS), st.tuples(st.integers(1, 3), st.booleans()), min_size=1),
    st.sets(st.sampled_from(REPLICAS)),
)
def test_certain_is_what_no_replica_that_was_asked_may_contradict(
    reports: dict[str, tuple[int, bool]], asked: set[str]
) -> None:
    revision, _ = next(iter(reports.values()))
    found = {name: candidate(each, payload=sent) for name, (each, sent) in reports.items()}
    agreed = asked <= reports.keys() and all(each == revision for each, _ in reports.values())
    sent = (revision, True) in reports.values()
    assert certain(found, "".join(asked)) == (n(1, revision) if agreed and sent else None)
