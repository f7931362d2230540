"""What a call says of the span that it is a part of: taken only in the form that W3C gives it."""

from __future__ import annotations

import pytest

from gossipnode.node.peers.call_metadata import traceparent

GOOD = f"00-{'ab' * 16}-{'cd' * 8}-01"


def test_a_traceparent_is_taken() -> None:
    assert traceparent({"traceparent": GOOD}) == GOOD


@pytest.mark.parametrize(
    "said", ["", "x", GOOD.upper(), GOOD + "\n", GOOD + "-more", GOOD[:-1], "é" + GOOD[1:], GOOD.encode()]
)
def test_anything_else_is_not(said: str | bytes) -> None:
    assert traceparent({"traceparent": said}) == ""
    assert traceparent({}) == ""
