"""Boots: what members say of a store, by what they remember of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.boots import (
    BootMark,
    BootVerdict,
    NextStep,
    commit_to_tell,
    is_overtaken,
    judge,
    next_step,
    not_heard_by,
    remembered,
)
from gossipnode.core.cluster.changes import first_epoch
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Identity, Member
from tests.core.support import examples

numbers = st.integers(1, 4)
marks = st.builds(BootMark, numbers, numbers, numbers)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (BootMark(3, 7, 100), BootVerdict.HEARD),
        (BootMark(3, 7, 40), BootVerdict.HEARD),
        (BootMark(4, 8, 100), BootVerdict.NEWER),
        (BootMark(4, 8, 99), BootVerdict.REWOUND),
        (BootMark(3, 8, 500), BootVerdict.REWOUND),
        (BootMark(2, 8, 500), BootVerdict.REWOUND),
    ],
)
def test_a_store_is_judged_by_its_starts_and_its_commits(told: BootMark, verdict: BootVerdict) -> None:
    assert judge(BootMark(3, 7, 100), told) is verdict


def test_what_was_never_heard_of_is_new() -> None:
    assert judge(None, BootMark(1, 1, 0)) is BootVerdict.NEWER


@examples(300)
@given(st.lists(marks, max_size=6), marks)
def test_what_is_remembered_only_grows(told: list[BootMark], last: BootMark) -> None:
    """A store is never judged to be newer than one that was heard later."""
    known: BootMark | None = None
    for mark in [*told, last]:
        if judge(known, mark) in (BootVerdict.HEARD, BootVerdict.NEWER):
            after = remembered(known, mark)
            if known is not None:
                assert (after.boot, after.commit) >= (known.boot, known.commit)
                assert after.commit >= known.commit
                assert judge(after, known) is (
                    BootVerdict.HEARD if after.start == known.start else BootVerdict.REWOUND
                )
            known = after


def cluster(names: str) -> ClusterMetadata:
    members = [Member(name, f"{name}:7400", ord(name)) for name in names]
    return first_epoch(bytes(16), bytes(16), members, [])


def identity(name: str) -> Identity:
    return Identity(name, ord(name))


@pytest.mark.parametrize(
    ("names", "heard_by", "missing"),
    [
        ("a", "", ""),
        ("ab", "", "b"),
        ("ab", "b", ""),
        ("abc", "", "bc"),
        ("abc", "c", ""),
        ("abcd", "b", "cd"),
        ("abcd", "bd", ""),
        ("abcde", "bc", ""),
    ],
)
def test_a_majority_has_to_have_heard_of_a_store(names: str, heard_by: str, missing: str) -> None:
    value = cluster(names)
    found = not_heard_by(value, identity("a"), {identity(name) for name in heard_by})
    assert "".join(found) == missing


def test_the_word_of_a_store_that_was_replaced_does_not_count() -> None:
    heard = {Identity("b", 1), Identity("c", 2), Identity("x", ord("x"))}
    assert list(not_heard_by(cluster("abc"), identity("a"), heard)) == ["b", "c"]


@pytest.mark.parametrize(("found", "earlier", "told"), [(7, None, 7), (7, 5, 5), (5, 7, 5)])
def test_a_store_tells_the_commit_before_its_first_start_that_did_not_count(
    found: int, earlier: int | None, told: int
) -> None:
    assert commit_to_tell(found, earlier) == told


@pytest.mark.parametrize(
    ("refused", "cleared", "lost", "others", "step"),
    [
        (None, False, False, 2, NextStep.GO_ON),
        (None, True, False, 2, NextStep.GO_ON),
        (None, False, True, 2, NextStep.RENEW),
        (None, False, True, 0, NextStep.FORGET_LOSS),
        (BootVerdict.REWOUND, False, False, 2, NextStep.RENEW),
        (BootVerdict.REWOUND, True, False, 2, NextStep.YIELD_TO_LATER),
        (BootVerdict.RUNNING, False, True, 2, NextStep.YIELD_TO_RUNNING),
        (BootVerdict.RUNNING, True, False, 0, NextStep.YIELD_TO_RUNNING),
    ],
)
def test_what_a_store_does_by_what_is_known_of_it(
    refused: BootVerdict | None, cleared: bool, lost: bool, others: int, step: NextStep
) -> None:
    assert next_step(refused, cleared=cleared, lost_commits=lost, others=others) is step


def test_what_is_remembered_is_the_last_start_and_the_highest_commit() -> None:
    first, more, later = BootMark(1, 5, 10), BootMark(1, 5, 12), BootMark(2, 6, 12)
    assert remembered(None, first) == first
    assert remembered(first, more) == more
    assert remembered(more, first) == more
    assert remembered(more, later) == later


def test_a_start_is_overtaken_by_a_later_one_alone() -> None:
    assert not is_overtaken(None, 3)
    assert not is_overtaken(BootMark(3, 5, 10), 3)
    assert not is_overtaken(BootMark(3, 5, 10), 4)
    assert is_overtaken(BootMark(3, 5, 10), 2)
