"""Each change of the cluster metadata by its rule, and what is said when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import (
    SHARDS_NAMED_MAX,
    ChangeRefusedError,
    GroupExistsError,
    NoSuchThingError,
)
from gossipnode.core.cluster.cluster_metadata import (
    ClusterMetadata,
    Group,
    Identity,
    InvalidGroupError,
    Member,
)
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.model.property import FIRST_EPOCH, ShardId
from tests.core.cluster.clusters import (
    CLUSTER_ID,
    KEY,
    born,
    drop,
    formed,
    layout,
    member,
    moving,
    replace_member,
    settle,
)

ONE_COPY = Group("sw", shards=8, replicas=1)
THREE_COPIES = Group("sw", shards=8, replicas=3)


def all_settled(value: ClusterMetadata) -> ClusterMetadata:
    return settle(value, [(shard, value.place(shard).fence) for shard in value.shards()])


def refusal(change: Callable[[], object], kind: type[Exception] = ChangeRefusedError) -> str:
    with pytest.raises(kind) as caught:
        change()
    return str(caught.value)


# --- the first epoch ---


def test_the_first_epoch_is_what_its_members_agreed_to() -> None:
    value = changes.first_epoch(
        CLUSTER_ID, KEY, [member("b", 2), member("a", 1)], [Group("h"), Group("g")], {"q": "q:1", "p": "p:1"}
    )
    assert value.epoch == FIRST_EPOCH
    assert (list(value.members), list(value.groups), list(value.foreign)) == (
        ["a", "b"],
        ["g", "h"],
        ["p", "q"],
    )
    assert value.layouts == (layout({"a": 1, "b": 2}),)
    assert value.is_settled
    assert value.voters == {"a": 1, "b": 2}
    assert {group.incarnation for group in value.groups.values()} == {FIRST_EPOCH}


# --- join ---


def test_a_newcomer_is_a_member_at_once_and_has_all_to_fill() -> None:
    before = formed("ab", THREE_COPIES)
    after = changes.join(before, member("c", 9, leaving=True))
    assert after.epoch == before.epoch + 1
    assert after.members["c"] == member("c", 9)
    assert after.lies == {"sw": (0,) * 8}
    assert all(after.place(shard).joining == ("c",) for shard in after.shards())


def test_a_member_that_joins_again_changes_its_address_or_nothing() -> None:
    before = formed("abc", THREE_COPIES)
    assert changes.join(before, member("b")) is before
    after = changes.join(before, Member("b", "elsewhere:9"))
    assert after == replace(before, epoch=2, members={**before.members, "b": Member("b", "elsewhere:9")})


def test_a_member_that_leaves_and_joins_again_goes_on_leaving() -> None:
    before = changes.leave(formed("abc"), "b")
    assert changes.join(before, member("b")) is before
    assert changes.join(before, Member("b", "elsewhere:9")).members["b"].leaving


def test_a_name_belongs_to_one_store() -> None:
    told = refusal(lambda: changes.join(formed("abc"), member("b", 4)))
    assert told == (
        "a member 'b' at b:1 has another data directory: give every node a name of its own, or start it with "
        "--join --replace if that disk is lost for good"
    )


def test_a_foreign_name_is_no_members() -> None:
    told = refusal(lambda: changes.join(formed("abc", foreign={"p": "p:1"}), member("p")))
    assert told.startswith("'p' is a foreign member")


def test_who_joins_is_not_forgotten_any_more() -> None:
    value = drop(formed("abc"), "c")
    assert value.forgotten == {"c"}
    assert changes.join(value, member("c", 4)).forgotten == set()


def test_a_dropped_store_comes_back_only_once_no_shard_lies_by_it() -> None:
    """It has missed what was acknowledged since, and would be taken for a source of it."""
    value = drop(formed("abcde", Group("sw", shards=4, replicas=4)), "c")
    told = refusal(lambda: changes.join(value, member("c")))
    assert told.startswith("c was dropped with this data directory, and shards still lie by it: wait until")
    assert changes.join(value, member("c", 1)).members["c"].birth == 1
    back = changes.join(all_settled(value), member("c"))
    assert all("c" not in back.place(shard).sources for shard in back.shards())


# --- replace ---


def test_a_new_store_takes_the_place_of_a_member() -> None:
    before = formed("abc", THREE_COPIES)
    after = replace_member(before, Member("b", "new:1", 5))
    assert after.epoch == before.epoch + 1
    assert after.members["b"] == Member("b", "new:1", 5)
    assert after.forgotten == set()
    assert after.place(ShardId("sw", 0)).lost == {"b"}
    assert replace_member(after, Member("b", "new:1", 5)) is after
    assert replace_member(after, Member("b", "newer:1", 5)).members["b"].address == "newer:1"


def test_the_only_copy_is_not_replaced_unless_its_loss_is_accepted() -> None:
    before = formed("ab", ONE_COPY)
    there = [str(shard) for shard in before.shards() if before.place(shard).settled == ("b",)]
    assert 1 < len(there) <= SHARDS_NAMED_MAX
    told = refusal(lambda: replace_member(before, member("b", 5)))
    assert told == (
        "b cannot be replaced without losing acknowledged writes: too few other copies of "
        f"{', '.join(there)}; bring it back, or accept that with --accept-loss"
    )
    after = replace_member(before, member("b", 5), accept_loss=True)
    assert after.is_member(Identity("b", 5))


def test_of_three_copies_one_may_be_replaced_after_the_other_once_it_is_filled() -> None:
    value = replace_member(formed("abc", THREE_COPIES), member("b", 5))
    told = refusal(lambda: replace_member(value, member("c", 6)))
    named = ", ".join(f"sw/{number}" for number in range(SHARDS_NAMED_MAX))
    assert f"too few other copies of {named} and 3 more; bring it back" in told
    assert replace_member(all_settled(value), member("c", 6)).members["c"].birth == 6


def test_one_that_was_never_filled_can_be_replaced_at_any_time() -> None:
    value = replace_member(formed("abc", THREE_COPIES), member("b", 5))
    assert replace_member(value, member("b", 6)).members["b"].birth == 6


def test_nobody_is_replaced_who_is_no_member() -> None:
    told = refusal(lambda: replace_member(formed(), member("x")), NoSuchThingError)
    assert told == "there is no member 'x': see `members`"


# --- leave ---


def test_members_may_be_told_to_go_one_after_the_other_without_waiting() -> None:
    """Each stays a source of what it has, so nothing is lost, whoever acknowledged it."""
    before = formed("abcde", THREE_COPIES)
    value = changes.leave(changes.leave(before, "d"), "e")
    for shard in value.shards():
        assert value.place(shard).sources == before.place(shard).settled
        assert value.place(shard).coming == ("a", "b", "c")
    assert value.voters == before.voters
    assert changes.leave(value, "d") is value


def test_the_only_copy_stays_a_source_until_it_is_handed_over() -> None:
    value = changes.leave(formed("abc", ONE_COPY), "c")
    held = [shard for shard in value.shards() if value.place(shard).settled == ("c",)]
    assert held
    assert all(value.place(shard).sources == ("c",) for shard in held)
    assert str(held[0]) in refusal(lambda: drop(value, "c"))
    value = drop(all_settled(value), "c")
    assert list(value.members) == ["a", "b"]
    assert value.is_settled


def test_the_last_member_does_not_go() -> None:
    value = changes.leave(formed("ab"), "b")
    for change in (changes.leave, drop):
        assert "a is the last member" in refusal(lambda: change(value, "a", force=True))  # noqa: B023


def test_below_a_quorum_of_a_group_nobody_goes_unless_forced() -> None:
    value = formed("ab", Group("wide", shards=1, replicas=3), ONE_COPY)
    for change in (changes.leave, drop):
        assert refusal(lambda: change(value, "b")) == (  # noqa: B023
            "without b there are 1 members, and a quorum of group 'wide' needs 2: add a member first, or "
            "force it with --force"
        )
    assert changes.leave(value, "b", force=True).members["b"].leaving


def test_where_there_is_no_quorum_already_anybody_may_go() -> None:
    value = formed("abc", Group("wide", replicas=9))
    assert changes.leave(value, "c").members["c"].leaving


def test_nobody_leaves_who_is_no_member() -> None:
    for change in (changes.leave, drop):
        told = refusal(lambda: change(formed(), "x" * 100), NoSuchThingError)  # noqa: B023
        assert told == f"there is no member '{'x' * 80}': see `members`"


# --- drop ---


def test_a_dropped_member_is_gone_and_its_name_is_kept() -> None:
    before = formed("abcd", THREE_COPIES)
    after = drop(before, "d")
    assert after.epoch == before.epoch + 1
    assert list(after.members) == ["a", "b", "c"]
    assert after.forgotten == {"d"}
    assert drop(after, "d") is after
    assert drop(drop(after, "c", force=True, accept_loss=True), "d").forgotten == {"c", "d"}


def test_a_second_member_is_not_dropped_before_the_first_ones_copies_are_made() -> None:
    value = drop(formed("abcde", THREE_COPIES), "d")
    both = [str(shard) for shard in value.shards() if {"d", "e"} <= {*value.place(shard).settled}]
    assert both
    told = refusal(lambda: drop(value, "e"))
    assert (
        f"e cannot be dropped without losing acknowledged writes: too few other copies of {both[0]}" in told
    )
    assert "e" not in drop(all_settled(value), "e").members
    assert "e" not in drop(value, "e", accept_loss=True).members


@pytest.mark.parametrize(
    "change",
    [
        lambda value, birth: drop(value, "d", birth=birth),
        lambda value, birth: changes.leave(value, "d", birth=birth),
        lambda value, birth: replace_member(value, member("d", 6), gone=birth),
    ],
)
def test_only_the_store_that_was_looked_for_goes(
    change: Callable[[ClusterMetadata, int], ClusterMetadata],
) -> None:
    """Whether it answers was found out for one store. Meanwhile another one may have taken its place."""
    before = formed("abcd", THREE_COPIES)
    value = replace_member(before, member("d", 5))
    told = refusal(lambda: change(value, before.members["d"].birth))
    assert told == "d is another data directory by now: look at `members`, and ask again"
    assert change(value, 5) != value


def test_who_handed_all_over_goes_whatever_quorums_there_are() -> None:
    value = all_settled(changes.leave(formed("ab", Group("wide", replicas=3)), "b", force=True))
    assert list(drop(value, "b").members) == ["a"]


def test_what_nobody_has_any_more_lies_at_once_where_it_is_to_lie() -> None:
    """Its new replicas take writes from now on, and are the only sources of them."""
    value = drop(formed("abc", ONE_COPY), "c", accept_loss=True)
    for shard in value.shards():
        placement = value.place(shard)
        assert placement.sources
        assert not placement.lost
    told = refusal(lambda: drop(value, "b"))
    assert "b cannot be dropped without losing" in told


# --- groups ---


def test_a_group_is_of_the_epoch_that_made_it() -> None:
    value = changes.create_group(formed("abc"), Group("g"))
    assert value.groups == {"g": Group("g", incarnation=2)}
    assert value.is_settled
    value = changes.create_group(changes.delete_group(value, "g"), Group("g"))
    assert value.groups["g"].incarnation == 4
    assert list(changes.create_group(value, Group("a")).groups) == ["a", "g"]


def test_a_group_that_exists_is_not_made_again() -> None:
    value = formed("abc", Group("g"))
    told = refusal(lambda: changes.create_group(value, Group("g")), GroupExistsError)
    assert told == "group 'g' exists already: `group alter` changes it"


@pytest.mark.parametrize("leaving", [False, True])
def test_more_replicas_than_members_are_wanted_only_by_force(leaving: bool) -> None:
    value = changes.leave(formed("abc"), "c") if leaving else formed("ab")
    value = changes.create_group(value, Group("h", replicas=2))
    told = (
        "is to have 3 replicas, and the number of members is 2: `all` needs 3 members; start further members "
        "first, or have it so all the same with --force (force=True)"
    )
    assert refusal(lambda: changes.create_group(value, Group("g"))) == f"group 'g' {told}"
    assert changes.create_group(value, Group("g"), force=True).groups["g"].replicas == 3

    def more(group: Group) -> Group:
        return replace(group, replicas=3)

    assert refusal(lambda: changes.alter_group(value, "h", more)) == f"group 'h' {told}"
    assert changes.alter_group(value, "h", more, force=True).groups["h"].replicas == 3


def test_fewer_replicas_need_no_force_though_there_are_too_few_members_for_them() -> None:
    value = changes.create_group(formed("ab"), Group("g", replicas=5), force=True)
    lower = changes.alter_group(value, "g", lambda group: replace(group, replicas=4))
    assert lower.groups["g"].replicas == 4


def test_a_definition_that_no_group_may_have_is_refused() -> None:
    value = formed("abc", Group("g"))
    with pytest.raises(InvalidGroupError, match="shards"):
        changes.create_group(value, Group("h", shards=0))
    with pytest.raises(InvalidGroupError, match="ack"):
        changes.alter_group(value, "g", lambda group: replace(group, ack=AckLevel.LOCAL))


def test_what_moves_nothing_is_altered_in_place() -> None:
    value = formed("abc", Group("g"))
    assert changes.alter_group(value, "g", lambda group: group) is value
    after = changes.alter_group(value, "g", lambda group: replace(group, ack=AckLevel.ALL))
    assert after == replace(value, epoch=2, groups={"g": Group("g", ack=AckLevel.ALL)})


def test_replicas_that_are_altered_back_move_back() -> None:
    value = formed("abcd", Group("g", shards=8, replicas=3), Group("h"))
    before = {shard: value.place(shard).settled for shard in value.shards()}
    for replicas in (2, 4, 3):
        value = changes.alter_group(value, "g", lambda group: replace(group, replicas=replicas))  # noqa: B023
        for shard in value.shards():
            assert value.place(shard).settled == before[shard]
            assert value.place(shard).needed_before == 3
    value = all_settled(value)
    assert value.is_settled
    assert {shard: value.place(shard).settled for shard in value.shards()} == before


def test_a_group_that_is_deleted_leaves_nothing() -> None:
    value = moving(born("ab"), born("abc"), Group("g", shards=4, replicas=1))
    value = changes.alter_group(value, "g", lambda group: replace(group, replicas=2))
    value = changes.delete_group(value, "g")
    assert (value.groups, value.lies, value.layouts) == ({}, {}, (layout(born("abc")),))
    for change in (
        lambda: changes.delete_group(value, "g"),
        lambda: changes.alter_group(value, "g", lambda group: group),
    ):
        assert refusal(change, NoSuchThingError) == "group 'g' is unknown here; this cluster has: none"


# --- settle ---


def test_shards_settle_one_by_one_and_layouts_go_with_the_last() -> None:
    value = changes.join(formed("ab", Group("g", shards=3, replicas=2)), member("c"))
    for count, shard in enumerate(value.shards(), 1):
        value = settle(value, [(shard, value.place(shard).fence)])
        assert len([*value.unsettled_shards()]) == 3 - count
        assert not value.place(shard).moving
    assert value.epoch == 5
    assert (value.layouts, value.lies) == ((layout(born("abc")),), {})


def test_what_has_another_fence_by_now_is_left_out() -> None:
    before = changes.join(formed("ab", Group("g", shards=2, replicas=3)), member("c"))
    filled = [(shard, before.place(shard).fence) for shard in before.shards()]
    after = changes.join(before, member("d"))
    moved = [shard for shard, fence in filled if after.place(shard).fence != fence]
    assert moved
    value = settle(after, filled)
    assert [*value.unsettled_shards()] == moved


def test_what_is_settled_or_does_not_exist_is_nothing_to_settle() -> None:
    value = moving(born("ab"), born("abc"), Group("g", shards=2))
    first = ShardId("g", 0)
    fence = value.place(first).fence
    value = settle(value, [(first, fence)])
    for shard in (first, ShardId("g", 1, 9), ShardId("nobody", 0)):
        assert settle(value, [(shard, fence)]) is value
