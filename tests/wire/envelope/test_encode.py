"""Control messages, written as betterproto writes them. All of them are held against it in `test_strict`."""

from __future__ import annotations

import pytest

from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.gossipnode import v1 as node


def test_of_a_oneof_one_field_is_written() -> None:
    both = node.RoundEvent(hop=node.Hop(from_="a"), finished=node.Round(round="r"))
    assert encode(both) == bytes(both) == encode(node.RoundEvent(finished=node.Round(round="r")))


def test_a_text_that_is_no_unicode_is_not_written() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode(node.GetRequest(group="\ud800"))


def test_defaults_are_left_out_and_what_was_put_in_empty_is_not() -> None:
    assert encode(node.GetResponse()) == encode(node.GetResponse(acknowledged=0)) == b""
    empty = node.AlterGroupRequest(indexes=node.AlterGroupRequestTagList())
    assert encode(empty) == bytes(empty)
    put = node.AlterGroupRequest(indexes=node.AlterGroupRequestTagList(tags=[]))
    assert encode(put) == bytes(put) == b"\x22\x00"


def test_numbers_are_packed() -> None:
    assert encode(model.IntArray(value=[1, 300])) == b"\x0a\x03\x01\xac\x02"
    assert encode(model.IntArray(value=[])) == b""
