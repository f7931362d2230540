"""The fence: what a replica serves, and what it refuses since its caller sees other members than it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.cluster_metadata import Group, Identity
from gossipnode.core.cluster.fence import ViewConflict, session_conflict, view_conflict
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import Births, moving
from tests.core.support import examples

SHARD = ShardId("g", 0, 7)

ages = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1), min_size=1)


def view(members: Births, settled: Births | None = None) -> ClusterView:
    """A view of members with the births of their stores, and a group of two replicas."""
    return ClusterView(moving(settled or members, members, Group("g", replicas=2, incarnation=7)))


def placed(seen: ClusterView, shard: ShardId = SHARD) -> Placement:
    placement = seen.placement(shard)
    assert placement is not None
    return placement


def conflict(seen: ClusterView, name: str, shard: ShardId, fence: bytes) -> ViewConflict | None:
    """What the member of this name, by this view, says to a request."""
    member = seen.members.get(name)
    return view_conflict(seen, member.identity if member else Identity(name, 0), shard, fence)


# The fence of a request


def test_every_holder_serves_what_is_asked_in_its_own_view() -> None:
    seen = view(dict.fromkeys("abcd", 0))
    placement = placed(seen)
    assert len(placement.holders) == 2
    for name in placement.holders:
        assert conflict(seen, name, SHARD, placement.fence) is None


def test_a_member_without_a_copy_serves_nothing() -> None:
    seen = view(dict.fromkeys("abcd", 0))
    placement = placed(seen)
    (other, *_) = sorted(set("abcd") - set(placement.holders))
    found = conflict(seen, other, SHARD, placement.fence)
    assert found == ViewConflict(f"{other} holds no copy of g/0")


def test_another_store_of_a_replicas_name_serves_nothing_once_the_cluster_is_formed() -> None:
    seen = view({"a": 1, "b": 1})
    stranger, fence = Identity("a", 2), placed(seen).fence
    assert view_conflict(seen, stranger, SHARD, fence) == ViewConflict(
        "a is no member with this data directory"
    )
    forming = ClusterView(seen.metadata, formed=False)
    assert view_conflict(forming, stranger, SHARD, fence) is None


@pytest.mark.parametrize("shard", [ShardId("g", 1, 7), ShardId("g", 0, 6), ShardId("g", 0), ShardId("h", 0)])
def test_an_unknown_shard_is_told_from_an_unknown_view(shard: ShardId) -> None:
    seen = view({"a": 0})
    found = conflict(seen, "a", shard, placed(seen).fence)
    assert found == ViewConflict(f"a knows no shard {shard} of that incarnation", unknown_shard=True)


def test_another_fence_is_refused() -> None:
    seen = view({"a": 0, "b": 0})
    for fence in (b"", b"12345678", placed(view({"a": 0, "b": 1}, {"a": 0, "b": 0})).fence):
        assert conflict(seen, "a", SHARD, fence) == ViewConflict("a sees other members for g/0")


@pytest.mark.slow
@examples(200)
@given(asker=st.tuples(ages, ages), replica=st.tuples(ages, ages), name=st.sampled_from("abcd"))
def test_a_request_is_served_by_the_holders_that_see_the_same_placement(
    asker: tuple[dict[str, int], dict[str, int]], replica: tuple[dict[str, int], dict[str, int]], name: str
) -> None:
    theirs, ours = placed(view(*asker)), placed(view(*replica))
    found = conflict(view(*replica), name, SHARD, theirs.fence)
    assert (found is None) == (theirs == ours and name in ours.holders)


# The fence of a session


@pytest.mark.parametrize("incarnation", ["", "7"])
@pytest.mark.parametrize("fenced", [True, False])
def test_a_session_is_let_in_by_what_its_caller_says_if_anything(incarnation: str, fenced: bool) -> None:
    placement = placed(view({"a": 0, "b": 0}))
    fence = placement.fence.hex() if fenced else ""
    assert session_conflict("a", placement, incarnation=incarnation, fence=fence) == ""


@pytest.mark.parametrize("incarnation", ["0", "6", "07", "x"])
def test_a_session_over_another_incarnation_is_refused(incarnation: str) -> None:
    placement = placed(view({"a": 0, "b": 0}))
    for fence in ("", "ab", placement.fence.hex()):
        found = session_conflict("a", placement, incarnation=incarnation, fence=fence)
        assert found == "a has another incarnation of group 'g'"


def test_a_session_with_another_fence_is_refused() -> None:
    placement = placed(view({"a": 0, "b": 0}))
    moving = placed(view({"a": 0, "b": 1}, {"a": 0, "b": 0}))
    for fence in ("ab", moving.fence.hex()):
        found = session_conflict("a", placement, incarnation="7", fence=fence)
        assert found == "a sees other members for g/0"
