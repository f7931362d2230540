"""Whole reconcile sessions: whatever two replicas hold, both hold the newest of it afterwards."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.reconcile.reconcile_messages import Sums, Tags, Unmatched, Wants, WantsAll
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileClient
from tests.core.session.reconcile.reconcile_sides import (
    KEY,
    OTHER_KEY,
    SHARD,
    Replica,
    Session,
    reconcile,
    record,
)
from tests.records import bare_record

RECORDS = st.dictionaries(
    st.integers(0, 200), st.tuples(st.integers(1, 3), st.sampled_from([0, 2]), st.sampled_from([b"x", b"y"])),
    max_size=150,
)  # fmt: skip


def replica_of(drawn: dict[int, tuple[int, int, bytes]]) -> Replica:
    return Replica(
        record(identity, revision, deleted=deleted, payload=payload)
        for identity, (revision, deleted, payload) in drawn.items()
    )


@given(RECORDS, RECORDS)
def test_both_hold_the_newest_of_both(
    client: dict[int, tuple[int, int, bytes]], server: dict[int, tuple[int, int, bytes]]
) -> None:
    reconcile(replica_of(client), replica_of(server))


def test_two_equal_replicas_say_two_messages() -> None:
    session = reconcile(Replica(map(record, range(500))), Replica(map(record, range(500))))
    assert len(session.client.sent) == len(session.server.sent) == 1


@pytest.mark.parametrize("empty", ["client", "server"])
def test_an_empty_replica_is_filled_without_comparing(empty: str) -> None:
    full = [record(identity) for identity in range(3000)]
    client, server = Replica(() if empty == "client" else full), Replica(full if empty == "client" else ())
    session = reconcile(client, server)
    sides = session.client, session.server
    assert [side.count(kind) for side in sides for kind in (Sums, Tags, Unmatched)] == [0] * 6
    # In the order of the tree, in which the other store takes them fastest, and each of them once.
    sent = (session.server if empty == "client" else session.client).records_sent
    assert sent == sorted(full, key=lambda each: each.entity)


def test_what_is_written_while_an_empty_replica_is_filled_is_not_lost() -> None:
    """A record that is put where the pages have gone by is left to the next session."""
    client, server = Replica(record(identity) for identity in range(1000, 3000)), Replica()
    session = Session(client, server)

    def write(step: int) -> None:
        if step % 10 == 0 and step < 500:
            client.write(record(step))

    session.run(between=write)
    reconcile(client, server)


@pytest.mark.parametrize("lacking", ["client", "server"])
def test_new_records_are_sent_once_and_unasked(lacking: str) -> None:
    old = [record(identity) for identity in range(3000)]
    new = [record(f"new{identity}") for identity in range(5)]
    client = Replica(old if lacking == "client" else [*old, *new])
    server = Replica([*old, *new] if lacking == "client" else old)
    session = reconcile(client, server)
    sender = session.server if lacking == "client" else session.client
    assert (len(sender.records_sent), set(sender.records_sent)) == (5, set(new))
    assert session.client.count(Wants) + session.server.count(Wants) == 0


def test_one_overwrite_in_many_costs_a_few_sums_and_tags() -> None:
    records = [record(identity) for identity in range(20_000)]
    changed = [record(17, 2), *records]
    session = reconcile(Replica(records), Replica(changed))
    sums = [message for side in (session.client, session.server) for message in side.sent]
    assert sum(len(message.sums) for message in sums if isinstance(message, Sums)) <= 64
    assert sum(len(message.tags) for message in sums if isinstance(message, Tags)) <= 60
    assert session.server.records_sent == [record(17, 2)]


def test_both_sides_diverged_and_neither_loses() -> None:
    rng = random.Random(7)
    base = [record(identity) for identity in range(5000)]
    ours = [record(identity, 2) for identity in rng.sample(range(5000), 200)]
    theirs = [record(identity, 3) for identity in rng.sample(range(5000), 200)]
    session = reconcile(Replica([*base, *ours]), Replica([*base, *theirs]))
    assert len(session.client.records_sent) <= 200
    assert len(session.server.records_sent) == 200


def test_a_small_replica_and_a_large_one_with_other_records() -> None:
    """The tags of the few are compared with a bucket of many, so that sums are needed once more."""
    reconcile(Replica(record(f"s{each}") for each in range(30)), Replica(map(record, range(5000))))


def test_writes_come_while_a_session_runs() -> None:
    client, server = Replica(map(record, range(300))), Replica(record(each, 2) for each in range(200, 500))
    rng = random.Random(3)

    def write(step: int) -> None:
        if step < 300:
            rng.choice([client, server]).write(record(rng.randrange(600), 2 + step))

    session = Session(client, server)
    assert session.run(write) is SessionEnd.REPAIRED
    reconcile(client, server)


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_session_that_is_cut_keeps_what_was_stored(cut: int) -> None:
    client, server = Replica(map(record, range(400))), Replica(record(each, 2) for each in range(200, 900))

    class CutError(Exception):
        pass

    def cut_at(step: int) -> None:
        if step == cut:
            raise CutError

    with pytest.raises(CutError):
        Session(client, server).run(cut_at)
    held = len(client.held & server.held)
    session = reconcile(client, server)
    sent = len(session.client.records_sent) + len(session.server.records_sent)
    assert sent == 900 - held


def test_a_server_without_the_shard_says_so() -> None:
    session = Session(Replica([record(1)]), Replica(), holds_shard=False)
    assert session.run() is SessionEnd.NO_TREE


def test_two_keys_cannot_be_compared() -> None:
    session = Session(Replica([record(1)]), Replica([record(1)], OTHER_KEY))
    assert session.run() is SessionEnd.OTHER_KEY


@pytest.mark.parametrize(
    ("client_root", "server_root", "end"),
    [
        ("a", "a", SessionEnd.EQUAL),
        ("a", "b", SessionEnd.OTHER_TREE),
        ("a", None, SessionEnd.EQUAL),
        (None, "b", SessionEnd.EQUAL),
    ],
)
def test_a_wrong_digest_of_a_tree_is_noticed(
    client_root: str | None, server_root: str | None, end: SessionEnd
) -> None:
    session = Session(Replica([record(1)]), Replica([record(1)]))
    index = session.client.replica.index
    session.client.session = ReconcileClient(SHARD, 1, index, tree_root=client_root)
    session.server.tree_root = server_root
    assert session.run() is end


def with_version_hash(version_hash: int) -> Replica:
    replica = Replica([record(1)])
    replica.index.put(KEY.of_entity(record(1).entity), version_hash, 0)
    return replica


def test_a_difference_that_no_tag_shows_is_noticed_in_the_end() -> None:
    session = Session(with_version_hash(0x1_0000_0005), with_version_hash(0x2_0000_0005))
    assert session.run() is SessionEnd.STILL_DIFFERS


def test_a_write_in_between_explains_a_difference() -> None:
    client, server = with_version_hash(0x1_0000_0005), with_version_hash(0x2_0000_0005)
    session = Session(client, server)

    def write(step: int) -> None:
        if step == 3:
            server.write(record(2))

    assert session.run(write) is SessionEnd.REPAIRED


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_record_that_cannot_be_read_is_counted(side: str) -> None:
    session = Session(Replica([record(1)]), Replica([record(2)]))
    getattr(session, side).unreadable.add(0)
    assert session.run() is SessionEnd.REPAIRED
    assert session.skipped() == {"not readable here": 1}


def test_a_wanted_record_that_never_comes_is_counted() -> None:
    session = Session(
        Replica(record(identity, 2) for identity in range(40)),
        Replica(record(identity) for identity in range(40)),
    )

    def spoil(step: int) -> None:
        if session.server.count(Wants):
            session.client.unreadable.update(range(40))

    assert session.run(spoil) is SessionEnd.REPAIRED
    assert session.client.session.counts.reasons == {"not readable here": 40}
    assert session.server.session.counts.reasons == {"asked for and not sent": 40}


def test_records_of_other_shards_are_left_out() -> None:
    server = Replica([record(1)])
    server.records[0] = bare_record(Entity("other", "n", "1"), b"payload")
    session = Session(Replica([record(2)]), server)
    session.run()
    assert session.client.session.counts.reasons == {"of another group or shard": 1}


def test_an_empty_side_of_a_large_session_asks_for_all_at_once() -> None:
    session = reconcile(Replica(), Replica(map(record, range(200))))
    assert session.client.count(WantsAll) <= 1
