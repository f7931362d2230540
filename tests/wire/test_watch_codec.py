"""Watches, tokens, arrivals and feeds as bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.watch.told_change import FeedPage, ToldChange
from gossipnode.core.watch.watch_filter import EventKind
from gossipnode.core.watch.watch_token import FeedPosition, TokenError, WatchToken
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.replica.arrival_codec import decode_kept_arrival, encode_kept_arrival
from gossipnode.wire.replica.change_codec import decode_changes, encode_changes
from gossipnode.wire.services import WATCH
from gossipnode.wire.watch_codec import (
    WatchAnswer,
    decode_token,
    encode_change_event,
    encode_sign_event,
    encode_token,
    encode_watch_answer,
)
from gossipnode.wire.wire_errors import WireError
from tests.records import record

positions = st.builds(
    FeedPosition,
    st.text(min_size=1, max_size=9),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**63),
    st.frozensets(st.integers(0, 2**32 - 1)),
    st.integers(0, 2**62),
)
tokens = st.builds(
    WatchToken,
    st.text("0123456789abcdef", min_size=1, max_size=32),
    st.text(max_size=9),
    st.integers(0, 2**62),
    st.lists(positions, min_size=1, max_size=4).map(tuple),
)


@given(tokens)
def test_a_token_comes_back(token: WatchToken) -> None:
    assert decode_token(encode_token(token)) == token


@given(st.binary(max_size=60))
def test_what_is_no_token_is_refused_in_one_way(junk: bytes) -> None:
    try:
        token = decode_token(junk)
    except TokenError:
        return
    assert token.cluster
    assert token.positions


def test_an_answer_is_what_clients_read() -> None:
    old = record("n/1", revision=3, a="x").payload
    arrival = Arrival(Through.READ_REPAIR, "b", 17)
    live = record("n/1", revision=5, a="y")
    gone = record("n/2", revision=5, delete_time=9)
    answer = WatchAnswer(
        [
            encode_change_event(EventKind.PUT, live, old, arrival),
            encode_change_event(EventKind.DELETE, gone, None, None),
            encode_sign_event(EventKind.GAP, "why"),
        ],
        b"token",
    )
    read: v1.WatchResponse = WATCH.decode_reply(encode_watch_answer(answer))
    assert read.token == b"token"
    put, delete, gap = read.events
    assert (put.event, put.through, put.from_) == ("put", "read repair", "b")
    assert (read_tags(put.record.property), read_tags(put.old)) == ({"a": "y"}, {"a": "x"})
    assert (delete.event, delete.record.delete_time, delete.through) == ("delete", 9, "")
    assert (gap.event, gap.reason, gap.record.property) == ("gap", "why", b"")
    assert encode_watch_answer(WatchAnswer()) == b""


@given(
    st.builds(
        Arrival,
        st.sampled_from(Through),
        st.text(max_size=20),
        st.integers(1, 2**50),
    )
)
def test_an_arrival_is_kept_in_a_few_bytes(arrival: Arrival) -> None:
    kept = encode_kept_arrival(arrival)
    assert decode_kept_arrival(kept) == arrival
    assert len(kept) <= 14 + len(arrival.source.encode())


def test_a_rotten_arrival_is_none() -> None:
    assert decode_kept_arrival(b"") is None
    assert decode_kept_arrival(b"\xff\xff") is None


def test_a_page_of_a_feed_comes_back() -> None:
    live, gone = record("n/1", revision=5, a="y"), record("n/2", revision=5, delete_time=9)
    page = FeedPage(
        [
            ToldChange(3, live, 7, Arrival(Through.HINT, "c", 5), (3, 0), b"old"),
            ToldChange(0, gone, 0),
        ],
        8,
        ready=True,
    )
    read = decode_changes("sw", encode_changes(page))
    assert (read.sequence, read.ready) == (8, True)
    for told, before in zip(read.changes, page.changes, strict=True):
        for field in ("shard", "record", "sequence", "arrival", "replaced", "old"):
            assert getattr(told, field) == getattr(before, field)


def test_a_feed_of_another_group_is_refused() -> None:
    page = encode_changes(FeedPage([ToldChange(0, record("n/1", group="other"), 1)], 1))
    with pytest.raises(WireError, match="of another group"):
        decode_changes("sw", page)
