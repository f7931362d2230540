"""Verbs that act on machines and members, and the end of every fault."""

from __future__ import annotations

import pytest

from tests.sim.scenario.played import played, problems

pytestmark = pytest.mark.slow

TRIO = "nodes a b c\ngroups sw:1:3\n"


@pytest.mark.parametrize(
    "fault", ["tear a", "fail a 1", "full a", "commits a 1 5", "hang a", "slow a 1", "pause a", "cut a-*"]
)
def test_heal_ends_every_fault(fault: str) -> None:
    result = played(f"{TRIO}{fault}\nheal\nwait 20\napply a sw/n/1 x=1 ack=all via=none -> ok\nfinish")
    assert not result.problems
    assert not result.violations


def test_a_disk_that_hangs_keeps_its_machine_from_reading_and_writing_until_it_goes_on() -> None:
    assert not problems(
        TRIO
        + "apply a sw/n/1 x=1 ack=all -> ok\nhang a\nget a sw/n/1 ack=local via=none timeout=3 -> fails\n"
        + "apply b sw/n/1 x=2 via=none -> ok\nholds a sw/n/1 -> x=1\nunhang a\nwait 1\n"
        + "get a sw/n/1 ack=local via=none -> x=2\nhang a\ncrash a\n"
        # A node whose disk hangs has not started before the disk goes on.
        + "@60 restart a -> ok started\n@65 state a -> !running\n@70 heal\n@75 state a -> running\nfinish"
    )


def test_a_commit_that_is_torn_ends_the_node_and_leaves_nothing() -> None:
    assert not problems(
        f"{TRIO}tear a\napply b sw/n/1 x=1 -> ok\nuntil a ended -> ok\nholds a sw/n/1 -> nothing"
    )


def test_a_run_that_ends_with_a_paused_machine_ends() -> None:
    result = played(f"{TRIO}pause b\napply a sw/n/1 x=1 -> ok\nstate b -> running")
    assert not result.problems
    assert not result.history.spins


def test_a_machine_that_has_moved_is_not_where_it_was() -> None:
    assert not problems(f"{TRIO}move b b2\nget b sw/n/1 via=none -> fails NoNodeError\ncrash b -> fails")


def test_a_node_that_joins_is_a_member() -> None:
    assert not problems(f"{TRIO}join d through a -> started\nwait 5\nmembers a -> a b c d")


def test_a_request_that_is_tried_again_under_its_name_is_one_write() -> None:
    first = "apply a sw/n/1 x=1 request=r -> ok created\n"
    assert not problems(
        f"{TRIO}{first}apply b sw/n/1 x=1 request=r -> ok created\napply b sw/n/1 x=1 -> merged"
    )


def test_the_end_of_a_run_tells_what_each_node_holds() -> None:
    usage = played(f"{TRIO}apply a sw/n/1 x=1 -> ok\nfinish").history.usage
    assert [each.node for each in usage] == ["a", "b", "c"]
    assert all(each.connections >= 2 and each.tasks > 10 and each.memory_bytes for each in usage)
    assert all(0 < each.steps_a_minute < 5000 for each in usage)


def test_a_wrong_clock_leaves_a_majority_and_no_calm() -> None:
    result = played(
        "nodes a b c\ngroups sw:1:3\nclock a +30\nclock b +30\nwait 5\ncrash c\nwait 1\nstop b\nwait 1"
    )
    assert [period.ends for period in result.history.calm] == [0.0]
    (served,) = result.history.served
    assert (served.begins, round(served.ends)) == (0.0, 6)


def test_a_node_with_an_empty_disk_takes_its_place_again_by_a_member_alone() -> None:
    result = played(
        f"{TRIO}apply a sw/n/1 x=1 ack=all -> ok\nreinstate c through a -> fails\nwipe c -> fails\n"
        "state c -> ended --join\nreinstate c through a -> started\nwait 5\n"
        "holds c sw/n/1 -> live x=1\nfinish"
    )
    assert not result.problems
    assert not result.violations


def test_healing_gives_a_node_with_an_empty_disk_its_place_again() -> None:
    result = played(
        f"{TRIO}apply a sw/n/1 x=1 ack=all -> ok\nwipe c\nheal\nholds c sw/n/1 -> live x=1\nfinish"
    )
    assert not result.problems
    assert not result.violations


def test_a_disk_is_lost_at_random_only_where_that_can_be_mended() -> None:
    assert not problems(f"{TRIO}wipe c if-settled -> fails\nstate c -> running")
    five = "nodes a b c d e\ngroups sw:1:3\n"
    assert not problems(f"{five}wipe c if-settled\nstate c -> ended\nwipe d if-settled\nstate d -> running")


def test_a_second_node_of_a_name_takes_the_place_of_the_first_if_it_asks_for_it() -> None:
    assert not problems(f"{TRIO}twin c c2 -> fails\nstate c -> running\nstate c2 -> ended")
    result = played(
        f"{TRIO}cut c-*\nwait 3\ntwin c c2 through a -> started\nmend all\nwait 20\nstate c -> ended\n"
        "state c2 -> running\nheal\nstate c -> ended\nfinish"
    )
    assert not result.problems
    assert not result.violations
