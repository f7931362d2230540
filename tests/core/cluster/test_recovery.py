"""A survivor goes on alone, as another cluster: what stays, what is given up, and what may be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Identity
from gossipnode.core.cluster.deciding.acceptor import AcceptorState, adopt, answer
from gossipnode.core.cluster.deciding.epoch_messages import Ballot, Prepare, Promise, Stranger
from gossipnode.core.cluster.recovery import EPOCHS_SKIPPED, doubtful_shards, recovered
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import KEY, drop, formed, layout, member, moving

NEW_ID = b"another cluster!"
NEW_KEY = b"another key 5678"
A = Identity("a", 0)

ONE = Group("one", shards=8, replicas=1)
TWO = Group("two", shards=8, replicas=2)
THREE = Group("three", shards=2, replicas=3)


def recover(value: ClusterMetadata, own: Identity = A) -> ClusterMetadata:
    return recovered(value, own, NEW_ID, NEW_KEY)


def test_the_survivor_is_the_sole_member_of_another_cluster() -> None:
    before = changes.create_group(
        formed("abc", ONE, THREE, foreign={"p": "p:1"}), replace(TWO, incarnation=0)
    )
    after = recover(before)
    assert after.epoch == before.epoch + EPOCHS_SKIPPED == 2 + 1_000_000
    assert (after.cluster_id, after.key) == (NEW_ID, NEW_KEY)
    assert after.members == {"a": member("a")}
    assert after.voters == {"a": 0}
    assert after.groups == before.groups
    assert {group.name: group.incarnation for group in after.groups.values()} == {
        "one": 1,
        "three": 1,
        "two": 2,
    }
    assert after.foreign == before.foreign
    assert after.is_settled
    assert after.layouts == (layout({"a": 0}),)
    assert all(after.place(shard).settled == ("a",) for shard in after.shards())
    assert not any(after.place(shard).moving for shard in after.shards())


def test_a_cluster_without_a_key_gets_none() -> None:
    assert recover(replace(formed("ab", ONE), key=b"")).key == b""
    assert recover(formed("ab", ONE)).key not in (KEY, b"")


def test_moves_that_were_under_way_are_given_up() -> None:
    before = changes.alter_group(
        changes.join(formed("abc", ONE, THREE), member("d")), "one", lambda group: replace(group, replicas=2)
    )
    assert all((before.lies, before.movers, before.altered))
    after = recover(before)
    assert (after.lies, after.movers, after.altered) == ({}, {}, {})
    assert after.groups["one"].replicas == 2


def test_who_was_leaving_stays() -> None:
    before = changes.leave(formed("abc", THREE), "a", force=True)
    assert recover(before).members["a"].leaving is False


def test_the_other_members_are_forgotten_and_come_back_with_new_births() -> None:
    before = drop(formed("abcd", THREE), "d")
    after = recover(before)
    assert after.forgotten == {"b", "c", "d"}
    back = changes.join(after, member("b", 9))
    assert (list(back.members), back.forgotten) == (["a", "b"], {"c", "d"})
    assert all(back.place(shard).sources == ("a",) for shard in back.shards())
    assert all(back.place(shard).joining == ("b",) for shard in back.shards())
    assert list(changes.join(back, member("zz", 4)).members) == ["a", "b", "zz"]


def test_groups_that_come_later_are_none_that_the_old_cluster_may_have_made() -> None:
    unheard_of = changes.create_group(formed("abc", THREE), Group("new", replicas=1))
    after = changes.create_group(recover(formed("abc", THREE)), Group("new", replicas=1))
    assert after.groups["new"].incarnation > unheard_of.groups["new"].incarnation + EPOCHS_SKIPPED // 2


def test_nothing_of_the_old_cluster_is_taken_any_more() -> None:
    old = formed("abc", THREE)
    state = AcceptorState(0, recover(old))
    later = replace(old, epoch=5_000_000)
    assert adopt(state, later, teller=1) is state
    _, reply = answer(state, Prepare(old.cluster_id, state.instance, 0, Ballot(1, 1)))
    assert isinstance(reply, Stranger)
    _, reply = answer(state, Prepare(NEW_ID, state.instance, 0, Ballot(1, 1)))
    assert isinstance(reply, Promise)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (lambda: recover(formed("abc", THREE), Identity("a", 5)), "a is no member in epoch 1"),
        (lambda: recover(formed("abc", THREE), Identity("zz", 0)), "--join ADDR --as-new"),
        (lambda: recover(formed("a", ONE)), "a is the only member of its cluster"),
        (lambda: recovered(recover(formed("abc")), A, b"x" * 16, b""), "start it as it is"),
    ],
)
def test_who_cannot_be_recovered(refused: Callable[[], object], why: str) -> None:
    with pytest.raises(ChangeRefusedError, match=why):
        refused()


def test_which_shards_may_lack_acknowledged_writes() -> None:
    value = formed("abc", ONE, TWO, THREE)
    doubtful = doubtful_shards(value, "a")
    held = {shard for shard in value.shards() if "a" in value.place(shard).settled}
    assert {*doubtful.no_copy} == {*value.shards()} - held
    assert {shard.group for shard in doubtful.no_copy} == {"one", "two"}
    # Of two replicas both acknowledge a quorum write, of three any two.
    assert doubtful.one_copy_of_several == (ShardId("three", 0), ShardId("three", 1))
    assert held - {*doubtful.one_copy_of_several} > {shard for shard in held if shard.group == "one"}


def test_a_copy_that_was_being_filled_is_no_copy() -> None:
    value = moving({"a": 0, "b": 0}, {"a": 0, "b": 0, "d": 0}, THREE)
    assert doubtful_shards(value, "d").no_copy == (ShardId("three", 0), ShardId("three", 1))
    assert doubtful_shards(value, "a").no_copy == ()
