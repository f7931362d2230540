"""Verbs that put records past every rule, and those that let them rot."""

from __future__ import annotations

import pytest

from tests.sim.scenario.played import played, problems

pytestmark = pytest.mark.slow

PAIR = "nodes a b\ngroups sw:1:2\n"


def test_a_raw_record_is_in_one_store_and_counts_as_a_write_of_unknown_end() -> None:
    result = played(
        PAIR + "raw-put a sw/n/1 x=1 -> ok\nholds a sw/n/1 -> live x=1\nholds b sw/n/1 -> nothing\nfinish"
    )
    assert not result.problems
    assert not result.violations
    (operation,) = result.history.operations
    assert not operation.acknowledged


def test_a_field_that_nobody_knows_does_not_change_the_digest() -> None:
    put = "raw-put a sw/n/1 x=1 at=5\nraw-put b sw/n/1 x=1 at=5"
    assert not problems(PAIR + put + "\nequal -> ok")
    assert not problems(PAIR + put + " unknown=1\nequal -> fails")


def test_many_raw_records_are_each_in_one_replica() -> None:
    result = played("nodes a b c\ngroups sw:8:2\nraw-put-many sw/n 3 4 x=7 -> ok\nequal -> fails\nfinish")
    assert not result.problems
    held = [key for replicas in result.history.replicas.values() for key in replicas[0].held]
    assert sorted(key for key in held if key.startswith("sw/")) == [
        f"sw/n/{number}" for number in range(3, 7)
    ]


def test_a_raw_record_may_be_at_all_other_replicas_in_an_older_version() -> None:
    result = played(
        "nodes a b c\ngroups sw:1:3\nraw-put-many sw/n 0 3 x=7 older=1 -> ok\nequal -> fails\nfinish"
    )
    assert not result.problems
    assert not result.violations
    puts = [operation for operation in result.history.operations if operation.keys == ("sw/n/1",)]
    assert [operation.node for operation in puts] == ["a", "b", "c", "b"]


def test_a_wrong_digest_makes_a_round_repair_what_is_equal() -> None:
    assert not problems(
        PAIR
        + "spoil b sw/n/1 -> fails\napply a sw/n/1 x=1 ack=all\nround a sw 0 -> converged\n"
        + "wait 90\nspoil b sw/n/1 -> ok\nequal -> ok\nround a sw 0 -> repaired"
    )


def test_the_record_of_which_a_bit_flips_can_be_named() -> None:
    assert not problems(
        PAIR
        + "apply a sw/n/1 x=1 ack=all\napply a sw/n/2 x=2 ack=all\nflip b sw/n/3 -> fails\n"
        + "flip b sw/n/2 -> ok\nget b sw/n/1 ack=local via=none -> x=1\n"
        + "get b sw/n/2 ack=local via=none -> !x=2"
    )


def test_a_disk_can_lose_its_last_commits() -> None:
    assert not problems(
        PAIR
        + "apply a sw/n/1 x=1 ack=all\napply a sw/n/1 x=2 ack=all\nlose b 1 -> ok started\n"
        + "holds b sw/n/1 -> x=1"
    )


def test_all_links_can_be_named_at_once() -> None:
    result = played(
        "nodes a b c\ngroups sw:1:3\ncut *-*\nget a sw/n/1 via=none -> fails\nmend *-*\nwait 40\nget a sw/n/1"
    )
    assert not result.problems
    assert result.history.calm[0].ends == 0.0
    assert result.operations == 2


def test_many_records_go_to_one_replica_after_the_other() -> None:
    """So that a round has to gather records and to spread them."""
    result = played(
        PAIR + "raw-put-many sw/n 0 3 x=1\nholds a sw/n/0 -> live\nholds b sw/n/0 -> nothing\n"
        "holds a sw/n/1 -> nothing\nholds b sw/n/1 -> live\nholds a sw/n/2 -> live"
    )
    assert not result.problems
