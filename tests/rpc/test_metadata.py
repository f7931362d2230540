"""Timeouts to and from their header field."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc.http2.headers import parse_head
from gossipnode.rpc.metadata import encode_timeout, parse_timeout


def timeout_of(value):
    return parse_timeout(parse_head([(b"grpc-timeout", value.encode())]))


@settings(deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e7))
def test_timeouts_are_rounded_up_a_little(seconds):
    told = timeout_of(encode_timeout(seconds))
    assert seconds * (1 - 1e-6) <= told <= seconds * 1.1 + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5000m"), (0.5, "500m"), (60, "60S"), (4.9997, "5000m"), (0, "0u"), (-1, "0u"), (1e12, "99999999S")],
)
def test_timeouts_by_example(seconds, text):
    assert encode_timeout(seconds) == text


def test_calls_with_one_timeout_share_one_value():
    assert len({encode_timeout(5 - lost * 1e-5) for lost in range(1000)}) == 1
