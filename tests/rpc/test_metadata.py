"""Timeouts, statuses and user metadata to and from their header fields."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc.http2.headers import parse_head
from gossipnode.rpc.metadata import (
    encode_timeout,
    encode_user_metadata,
    parse_timeout,
    status_error,
    status_fields,
)
from gossipnode.rpc.status import Status


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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("3S", 3.0),
        ("4m", 4e-3),
        ("5u", 5e-6),
        ("6n", 6e-9),
        ("00000001S", 1.0),
        ("99999999H", 99_999_999 * 3600.0),
        ("0n", 0.0),
    ],
)
def test_each_unit_of_a_timeout(value, seconds):
    assert timeout_of(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a%20b%0A", "a b\n"),
        ("caf%C3%A9", "café"),
        ("100%25", "100%"),
        ("%", "%"),
        ("%4", "%4"),
        ("50%zz", "50%zz"),
        ("%E4", "\ufffd"),
        ("%C3%28", "\ufffd("),
        ("", ""),
    ],
)
def test_a_message_of_a_status_whose_escapes_are_broken(sent, read):
    error = status_error(parse_head([(b"grpc-status", b"5"), (b"grpc-message", sent.encode())]))
    assert error is not None
    assert (error.status, error.message) == (Status.NOT_FOUND, read)


@pytest.mark.parametrize("message", ["\t\nwhite ☺ and 😈\r\n", "100%", "%20", "ä" * 1000])
def test_a_message_of_a_status_comes_back(message):
    fields, once = status_fields(Status.ABORTED, message, headers_sent=True)
    sent = [*fields, *((name.encode(), value.encode()) for name, value in once)]
    error = status_error(parse_head(sent))
    assert error is not None
    assert (error.status, error.message) == (Status.ABORTED, message)


def test_a_message_that_is_no_unicode_is_told_all_the_same():
    """A path that is no UTF-8 has lone surrogates in Python's text."""
    assert status_fields(Status.INTERNAL, "no \udcff", headers_sent=True)[1] == [("grpc-message", "no ?")]


def test_metadata_that_was_sent_before_can_be_added_to_and_differ():
    sent = {"key": "a", "key-bin": b"a"}
    fields = encode_user_metadata(sent)
    fields.append(("more", "b"))
    assert encode_user_metadata(sent) == [("key", "a"), ("key-bin", "YQ")]
    assert encode_user_metadata({**sent, "key": "c"}) == [("key", "c"), ("key-bin", "YQ")]
    for wrong in ({"key": b"a"}, {"key-bin": "a"}, {"key": ["a"]}):
        with pytest.raises(TypeError):
            encode_user_metadata(wrong)


@pytest.mark.parametrize("name", ["connection", "transfer-encoding", "upgrade", "content-length", "host"])
def test_metadata_has_no_name_that_http2_keeps_for_itself(name):
    with pytest.raises(ValueError, match=name):
        encode_user_metadata({name: "x"})
