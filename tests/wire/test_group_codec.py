"""Definitions of groups, and changes to them, come back as they were sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.cluster_metadata import Group
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.group_codec import (
    GroupAlteration,
    NewGroup,
    decode_alteration,
    decode_new_group,
    encode_alteration,
    encode_group,
    encode_group_change,
    encode_groups,
    encode_new_group,
)
from tests.wire.support import TEXTS, examples

COUNTS = st.integers(0, 2**32 - 1)
SECONDS = st.integers(0, 2**64 - 1)
TAGS = st.lists(TEXTS, max_size=3).map(tuple)
GROUP = Group("sw", 2, 3, AckLevel.ALL, 36 * 3600, ("zone", "port"), 2**62)


@pytest.mark.slow
@examples(50)
@given(st.builds(NewGroup, TEXTS, COUNTS, COUNTS, TEXTS, SECONDS, TAGS, st.booleans()))
def test_a_new_group_comes_back_as_it_went(group: NewGroup) -> None:
    data = encode(encode_new_group(group))
    assert decode_new_group(decode(v1.CreateGroupRequest, data)) == group
    assert decode_new_group(encode_new_group(group)) == group


@pytest.mark.slow
@examples(50)
@given(
    st.builds(
        GroupAlteration,
        TEXTS,
        st.none() | TEXTS,
        st.none() | SECONDS,
        st.none() | TAGS,
        st.none() | COUNTS,
        st.booleans(),
    )
)
def test_an_alteration_comes_back_as_it_went(alteration: GroupAlteration) -> None:
    data = encode(encode_alteration(alteration))
    assert decode_alteration(decode(v1.AlterGroupRequest, data)) == alteration
    assert decode_alteration(encode_alteration(alteration)) == alteration


def test_no_index_any_more_differs_from_nothing_said_of_indexes() -> None:
    silent, none = GroupAlteration("g"), GroupAlteration("g", indexes=())
    assert encode(encode_alteration(silent)) == b"\x0a\x01g"
    assert encode(encode_alteration(none)) == b"\x0a\x01g\x22\x00"
    for alteration in (silent, none):
        assert decode_alteration(decode(v1.AlterGroupRequest, encode(encode_alteration(alteration)))) == (
            alteration
        )


def test_a_zero_that_is_given_is_no_absent_one() -> None:
    alteration = GroupAlteration("g", ack="", tombstone_retention_seconds=0, replicas=0)
    request = node_pb2.AlterGroupRequest.FromString(encode(encode_alteration(alteration)))
    assert request.HasField("ack")
    assert request.HasField("tombstone_retention_seconds")
    assert request.HasField("replicas")
    assert not request.HasField("indexes")


def test_the_definition_of_a_group() -> None:
    read = node_pb2.Group.FromString(encode(encode_group(GROUP)))
    assert (read.name, read.shards, read.replicas, read.ack) == ("sw", 2, 3, "all")
    assert (read.tombstone_retention_seconds, list(read.indexes)) == (129_600, ["zone", "port"])
    assert read.incarnation == 2**62


def test_who_knows_of_a_change() -> None:
    assert encode_group_change(GROUP, acknowledged=2, members=3, epoch=9) == v1.GroupResponse(
        group=encode_group(GROUP), acknowledged=2, members=3, epoch=9
    )


def test_several_groups_stay_in_their_order() -> None:
    groups = encode_groups([GROUP, Group("a")]).groups
    assert [group.name for group in groups] == ["sw", "a"]
