"""Members and groups as records: what is read from them, and which records are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.registry_records import (
    SEED_REVISION,
    SETTLED_ENTITY,
    Entry,
    InvalidGroupError,
    Tags,
    build_view,
    check_group,
    group_entity,
    group_of,
    group_tags,
    lost_creation,
    member_entity,
    member_of,
    member_tags,
    reborn,
    settled_tags,
)
from gossipnode.core.cluster.view import NEVER_DELETED, SYSTEM_GROUP, ClusterView, Group, Member
from gossipnode.core.model.limits import (
    GROUP_INDEXES_MAX,
    GROUP_MAX_BYTES,
    REPLICAS_MAX,
    SHARDS_MAX,
    STAMP_MAX_NANOSECONDS,
)
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import NO_VALUE, IntArray, StrArray, TagValue
from gossipnode.core.model.version import Version
from tests.core.support import examples

GROUP = Group(
    "g",
    shards=8,
    replicas=2,
    ack=AckLevel.ONE,
    tombstone_retention_seconds=60,
    indexes=("a", "b"),
    incarnation=7,
    follows=3,
)


def entry(entity: Entity, tags: Tags, revision: int = 1, deleted: int = 0) -> Entry:
    return Entry(entity, Version(revision, deleted, b""), tags)


def member(name: str, joined: int = 0, birth: int = 0, *, deleted: int = 0) -> Entry:
    return entry(member_entity(name), member_tags(Member(name, f"{name}:1", joined, birth)), deleted=deleted)


def group(of: Group, *, revision: int = 1, deleted: int = 0) -> Entry:
    return entry(group_entity(of.name), group_tags(of), revision, deleted)


def settled(**joined: int) -> Entry:
    return entry(SETTLED_ENTITY, settled_tags(joined))


def view(*entries: Entry, configured: Mapping[str, Group] | None = None) -> ClusterView:
    return build_view(entries, configured or {})


# --- there and back ---


def test_a_member_and_a_group_come_back_as_they_were() -> None:
    one = Member("a", "host:1", 5, 6)
    assert member_of("a", member_tags(one)) == one
    assert group_of("g", group_tags(GROUP)) == GROUP
    assert group_of("h", group_tags(Group("h"))) == Group("h")


def test_members_come_in_order_with_the_forgotten_apart() -> None:
    seen = view(member("c"), member("a", joined=4), member("b", deleted=9), settled(a=4, c=0))
    assert list(seen.members) == ["a", "c"]
    assert seen.forgotten == {"b"}
    assert seen.settled == {"a": 4, "c": 0}
    assert seen.is_settled


def test_without_a_word_on_it_all_members_are_settled() -> None:
    assert view(member("a", joined=4), member("b")).is_settled
    deleted = Entry(SETTLED_ENTITY, Version(1, 9, b""), settled_tags({"x": 1}))
    assert view(member("a"), deleted).settled == {"a": 0}


def test_a_deleted_group_is_gone_up_to_its_deletion() -> None:
    seen = view(group(GROUP, revision=20, deleted=20))
    assert seen.groups == {}
    assert seen.deleted == {"g": 20}


def test_a_configured_group_keeps_its_shards_and_replicas() -> None:
    configured = {"g": Group("g", shards=4, replicas=3)}
    altered = replace(GROUP, incarnation=0, follows=NEVER_DELETED)
    seen = view(group(altered, revision=SEED_REVISION + 1), configured=configured)
    assert seen.groups["g"] == replace(altered, shards=4, replicas=3)
    assert view(configured=configured).groups == configured


def test_another_nodes_configuration_counts_where_there_is_none() -> None:
    configured = {"g": Group("g", shards=4, replicas=3, ack=AckLevel.LOCAL)}
    seed = replace(GROUP, incarnation=0, follows=NEVER_DELETED)
    assert view(group(seed, revision=SEED_REVISION), configured=configured).groups == configured
    joined = build_view([group(seed, revision=SEED_REVISION)], {}, adopt_configured=True)
    assert joined.groups == {"g": seed}
    # A node with a configuration of its own knows only the groups of that.
    assert view(group(seed, revision=SEED_REVISION)).groups == {}


# --- what makes no sense ---


@pytest.mark.parametrize(
    "change",
    [
        {"shards": 0},
        {"shards": -1},
        {"shards": SHARDS_MAX + 1},
        {"shards": "8"},
        {"shards": None},
        {"replicas": 0},
        {"replicas": REPLICAS_MAX + 1},
        {"replicas": NO_VALUE},
        {"ack": "local"},
        {"ack": "most"},
        {"ack": 1},
        {"ack": None},
        {"tombstone_retention_seconds": 0},
        {"tombstone_retention_seconds": None},
        {"indexes": "a"},
        {"indexes": StrArray([""])},
        {"indexes": StrArray("abcdefghijklmnopqrstuvwxyz")},
        {"incarnation": -1},
        {"incarnation": STAMP_MAX_NANOSECONDS + 1},
    ],
)
def test_a_definition_that_makes_no_sense_is_left_out(change: dict[str, TagValue | None]) -> None:
    tags = {key: value for key, value in {**group_tags(GROUP), **change}.items() if value is not None}
    assert group_of("g", tags) is None
    assert view(member("a"), entry(group_entity("g"), tags)).groups == {}


@pytest.mark.parametrize("name", [SYSTEM_GROUP, "_other", "a" * (GROUP_MAX_BYTES + 1)])
def test_a_definition_of_a_name_that_no_group_may_have_is_left_out(name: str) -> None:
    assert view(group(replace(GROUP, name=name))).groups == {}


@pytest.mark.parametrize(
    "change", [{"address": 5}, {"address": None}, {"joined": "5"}, {"birth": StrArray([])}]
)
def test_a_member_that_makes_no_sense_is_left_out(change: dict[str, TagValue | None]) -> None:
    whole = member_tags(Member("a", "a:1", 1, 2))
    tags = {key: value for key, value in {**whole, **change}.items() if value is not None}
    assert member_of("a", tags) is None
    assert view(entry(member_entity("a"), tags)).members == {}


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"members": StrArray(["a"])},
        {"members": "a", "joined": IntArray([1])},
        {"members": StrArray(["a", "b"]), "joined": IntArray([1])},
    ],
)
def test_settled_members_that_make_no_sense_are_left_out(tags: Tags) -> None:
    assert view(member("a", joined=3), entry(SETTLED_ENTITY, tags)).settled == {"a": 3}


def test_records_of_other_kinds_are_left_out() -> None:
    seen = view(member("a"), entry(Entity(SYSTEM_GROUP, "weather", "today"), {"shards": 1}))
    assert list(seen.members) == ["a"]
    assert seen.groups == {}


values = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(max_size=4),
    st.binary(max_size=3),
    st.just(NO_VALUE),
    st.lists(st.text(max_size=3), max_size=3).map(StrArray),
    st.lists(st.integers(-3, 3), max_size=3).map(IntArray),
)
keys = st.sampled_from([*group_tags(GROUP), "address", "joined", "birth", "members"])


@pytest.mark.slow
@examples(100)
@given(
    st.dictionaries(keys, values),
    st.sampled_from([member_entity("m"), group_entity("x"), SETTLED_ENTITY]),
)
def test_whatever_comes_there_is_a_view(tags: Tags, entity: Entity) -> None:
    seen = view(member("a"), group(GROUP), entry(entity, tags))
    assert "a" in seen.members
    for shard in seen.shards():
        assert seen.placement(shard) is not None
    assert len(seen.view_id) == 8


# --- checks ---


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ""}, "name: expected 1 to"),
        ({"name": "a/b"}, 'without "/"'),
        ({"name": "\ud800"}, "no valid Unicode text"),
        ({"name": "é" * GROUP_MAX_BYTES}, "name: expected 1 to"),
        ({"name": "a\x1b[2J"}, r"name: expected printable characters, got 'a\\x1b\[2J'"),
        (
            {"tombstone_retention_seconds": 99_999_999 * 86400},
            "expected 3153600000 s at most, got",
        ),
        ({"shards": 0}, "shards: expected 1 to 1024, got 0"),
        ({"replicas": 1025}, "replicas: expected 1 to 1024, got 1025"),
        ({"tombstone_retention_seconds": 0}, "tombstone_retention: expected a time above 0"),
        ({"ack": AckLevel.LOCAL}, "ack: expected one, quorum or all"),
        ({"indexes": ("",)}, "indexes: '' is no tag key"),
        ({"indexes": tuple(map(str, range(GROUP_INDEXES_MAX + 1)))}, "indexes: expected 16 at most, got 17"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_its_field(change: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidGroupError, match=f"^.*{problem}"):
        check_group(replace(GROUP, **change))  # type: ignore[arg-type]


def test_a_group_of_an_earlier_version_stays_one() -> None:
    for change in ({"name": "a\x1b[2J"}, {"tombstone_retention_seconds": 99_999_999 * 86400}):
        group = replace(GROUP, **change)  # type: ignore[arg-type]
        assert group_of(group.name, group_tags(group)) == group


def test_a_member_with_another_store_and_the_same_joining_is_reborn() -> None:
    was = Member("a", "a:1", 3, 10)
    assert reborn(was, replace(was, birth=11))
    assert reborn(was, replace(was, birth=9, address="b:1"))
    assert not reborn(was, was)
    assert not reborn(was, replace(was, birth=11, joined=4))
    assert not reborn(was, replace(was, birth=0))
    assert not reborn(replace(was, birth=0), was)


def test_a_creation_is_lost_to_one_that_did_not_know_of_it() -> None:
    assert lost_creation(Group("g", incarnation=5), Group("g", incarnation=6))
    assert lost_creation(Group("g", incarnation=6), Group("g", incarnation=5))
    assert not lost_creation(Group("g", incarnation=5), Group("g", incarnation=5))
    assert not lost_creation(Group("g", incarnation=5), Group("g", incarnation=9, follows=7))
