"""What is kept beside records comes back as it was, and what has rotted is taken for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import KeptLineage, KnownRequest, Lineage, LineagePage
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.lineage_codec import decode_kept, decode_page, encode_kept, encode_page
from tests.wire.support import examples

STAMPS = st.integers(0, STAMP_MAX_NANOSECONDS)
KEPT = st.builds(
    KeptLineage,
    st.builds(Version, STAMPS, STAMPS, st.binary(min_size=32, max_size=32)),
    st.builds(
        Lineage,
        st.lists(
            st.builds(KnownRequest, st.text(min_size=1, max_size=20), st.booleans(), STAMPS), max_size=4
        ).map(tuple),
        STAMPS,
    ),
)
ONE = KeptLineage(Version(5, 0, b"d" * 32), Lineage((KnownRequest("one", True, 5),), 3))


@given(KEPT)
@examples(50)
def test_it_comes_back_as_it_was(kept: KeptLineage) -> None:
    assert decode_kept(encode_kept(kept)) == kept


def test_a_flipped_bit_makes_nothing_of_it() -> None:
    kept = encode_kept(ONE)
    for bit in range(len(kept) * 8):
        flipped = bytearray(kept)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode_kept(bytes(flipped)) is None


@given(st.binary(max_size=40))
@examples(50)
def test_any_bytes_make_nothing_or_a_lineage(raw: bytes) -> None:
    assert decode_kept(raw) is None
    assert decode_kept(raw[:4]) is None


def test_a_page_comes_back_as_it_was() -> None:
    entity = Entity("sw", "n", "1")
    page = LineagePage([(entity, encode_kept(ONE)), (Entity("sw", "n", "2"), b"x")], entity)
    assert decode_page("sw", encode_page(page)) == page
    assert decode_page("sw", encode_page(LineagePage([], None))) == LineagePage([], None)


def test_a_page_that_names_what_no_record_can_have_is_refused() -> None:
    reply = pb.LineagesReply(found=[pb.LineagesReply.KeyLineage(key=pb.RecordKey(name="", id="1"))])
    with pytest.raises(InvalidEntityError):
        decode_page("sw", reply)
