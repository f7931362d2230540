"""Searches of replicas and their candidates come back as they were sent, however deep or large they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import NO_VALUE
from gossipnode.core.model.version import Version
from gossipnode.core.query.criteria import (
    CRITERIA_DEPTH_MAX,
    Condition,
    Criteria,
    InvalidCriteriaError,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
)
from gossipnode.core.query.replica_messages import Candidate
from gossipnode.core.query.search import Place, Search
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.query.scan_codec import (
    SearchedShard,
    add_candidate,
    decode_candidates,
    decode_search,
    encode_search,
)
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import EVERY_TYPE, TAG_VALUES, TEXTS, examples

SHARDS = (
    SearchedShard(ShardId("g", 0, 7), b"12345678", True),
    SearchedShard(ShardId("g", 3, 7), b"87654321", False),
    SearchedShard(ShardId("h", 0), b"", False),
)
VERSION = Version(5, 0, b"d" * 32)


def sent(search: Search) -> tuple[Search, list[SearchedShard]]:
    """A search as the replica has it, which was in bytes on the way."""
    request = pb.ScanRequest.FromString(encode_search(search, SHARDS).SerializeToString())
    return decode_search(request)


def search(**options: Any) -> Search:
    return Search(tuple(each.shard for each in SHARDS), **options)


CONDITIONS = st.builds(
    Condition, st.text(min_size=1, max_size=10), st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.GE]), TEXTS
) | st.builds(
    Condition,
    st.just("k"),
    st.just(Op.MATCH),
    TEXTS,
    st.builds(MatchOption, st.sampled_from(["simple", "standard", "url"]), st.sampled_from(LogicalOp)),
)
CRITERIA: st.SearchStrategy[Criteria] = st.recursive(
    CONDITIONS,
    lambda inner: st.builds(LogicalExpression, st.sampled_from(LogicalOp), inner, inner),
    max_leaves=8,
)
ENTITIES = st.builds(Entity, st.just("g"), TEXTS, TEXTS)
PLACES = st.builds(Place, ENTITIES, TAG_VALUES.filter(lambda value: value is not None) | st.just(NO_VALUE))
SEARCHES = st.builds(
    search,
    name=TEXTS,
    ids=st.frozensets(TEXTS, max_size=5),
    criteria=st.none() | CRITERIA,
    order_by=TEXTS,
    descending=st.booleans(),
    after=st.none() | PLACES,
    tombstones=st.booleans(),
    expected=st.integers(0, 2**32 - 1),
)


@pytest.mark.slow
@given(SEARCHES)
@examples(150)
def test_a_search_comes_back_as_it_went(search: Search) -> None:
    assert sent(search) == (search, list(SHARDS))


def nested(depth: int) -> Criteria:
    criteria: Criteria = Condition("k", Op.EQ, "v")
    for _ in range(depth - 1):
        criteria = LogicalExpression(LogicalOp.AND, Condition("k", Op.EQ, "v"), criteria)
    return criteria


def test_criteria_as_deep_as_a_client_may_nest_them_come_back() -> None:
    deepest = search(criteria=nested(CRITERIA_DEPTH_MAX))
    assert sent(deepest)[0] == deepest


def test_criteria_that_are_deeper_are_refused() -> None:
    with pytest.raises(InvalidCriteriaError, match="more than 64 deep"):
        sent(search(criteria=nested(CRITERIA_DEPTH_MAX + 1)))


def test_malformed_criteria_are_refused() -> None:
    request = encode_search(search(), SHARDS)
    request.criteria = b"\xff"
    with pytest.raises(WireError, match="Criteria"):
        decode_search(request)


def test_criteria_with_a_value_that_fits_no_field_are_refused() -> None:
    with pytest.raises(WireError, match="'n'"):
        encode_search(search(criteria=Condition("n", Op.EQ, 2**63)), SHARDS)


def stored(key: str, size: int = 10, shard: int = 0) -> Candidate:
    """A candidate whose payload has this size."""
    return Candidate(Place(Entity("g", "n", key)), ShardId("g", shard, 7), VERSION, b"p" * size)


def page_of(*candidates: Candidate, properties: bool) -> tuple[pb.ScanPage, list[int]]:
    page = pb.ScanPage()
    sizes = [
        add_candidate(
            page,
            each.place,
            Record(each.place.entity, each.version, each.payload or b""),
            each.shard.shard,
            properties=properties,
        )
        for each in candidates
    ]
    return pb.ScanPage.FromString(page.SerializeToString()), sizes


@pytest.mark.parametrize("properties", [True, False])
def test_candidates_come_back_with_their_payload_or_without(properties: bool) -> None:
    candidates = [stored("a"), stored("b/c", shard=3), stored("d")]
    page, _ = page_of(*candidates, properties=properties)
    shards = [each.shard for each in SHARDS]
    expected = candidates if properties else [each._replace(payload=None) for each in candidates]
    assert decode_candidates(page, shards) == expected


@pytest.mark.parametrize("value", [*EVERY_TYPE.values()], ids=[*EVERY_TYPE])
def test_the_value_that_a_candidate_is_ordered_by_comes_back(value: Any) -> None:
    candidate = stored("a")._replace(place=Place(Entity("g", "n", "a"), value))
    page, _ = page_of(candidate, properties=True)
    assert decode_candidates(page, [ShardId("g", 0, 7)]) == [candidate]


def test_a_candidate_of_a_shard_that_was_not_asked_for_is_refused() -> None:
    page, _ = page_of(stored("a", shard=9), properties=True)
    with pytest.raises(WireError, match="not asked for"):
        decode_candidates(page, [each.shard for each in SHARDS])


@pytest.mark.parametrize("properties", [True, False])
@pytest.mark.parametrize("value", [NO_VALUE, "short", "x" * 100_000], ids=["none", "short", "long"])
def test_no_candidate_takes_more_bytes_than_it_is_counted_with(properties: bool, value: Any) -> None:
    """A page is sent once it has a certain size, so uncounted bytes could make a message too large."""
    payload = 100_100 if value is not NO_VALUE else 10
    candidate = Candidate(
        Place(Entity("g", "n", "i" * 4096), value), ShardId("g", 0, 7), VERSION, b"p" * payload
    )
    page, (size,) = page_of(candidate, properties=properties)
    assert page.ByteSize() <= size
