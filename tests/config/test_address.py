"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.config.address import Address, AddressError, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:7400", Address("localhost", 7400)),
        ("10.0.0.1:1", Address("10.0.0.1", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("node-a.example.org:7400", Address("node-a.example.org", 7400)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no port"),
        ("7400", "has no port"),
        (":7400", "has no host"),
        ("host:", "no valid port"),
        ("host:http", "no valid port"),
        ("host:65536", "no valid port"),
        ("host:-1", "no valid port"),
        ("host:0", "port 0"),
        ("::1:7400", "in brackets"),
        ("[::1]", "expected HOST:PORT"),
        ("[::1:7400", "expected HOST:PORT"),
        ("[host]:7400", "no IPv6 address"),
        ("999.0.0.1:7400", "no IPv4 address"),
        ("http://host:7400", "is a URL"),
        ("a b:7400", "no valid host name"),
        ("host:７４００", "no valid port"),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse_address(text)
    assert words in str(raised.value)


def test_port_zero_is_for_listening_only() -> None:
    assert parse_address("127.0.0.1:0", allow_port_zero=True).port == 0


@given(st.text(st.sampled_from("ab:.[]019-% /"), max_size=12))
def test_an_address_is_read_back_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address
