"""Wrong arguments are refused before any node is asked, which shows as there is no node at the address."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gossipnode.client import (
    Client,
    Condition,
    InvalidInputError,
    LogicalExpression,
    LogicalOp,
    Op,
    TlsFiles,
    connect,
)
from gossipnode.client.values import given
from tests.client.support import run

NOBODY = "127.0.0.1:1"


def too_deep() -> Any:
    criteria: Any = Condition("a", Op.EQ, 1)
    for _ in range(100):
        criteria = LogicalExpression(LogicalOp.AND, criteria, Condition("a", Op.EQ, 1))
    return criteria


@pytest.mark.parametrize(
    ("method", "arguments", "options", "problem"),
    [
        ("apply", ("", "n", "i", {"a": 1}), {}, "group is empty"),
        ("apply", ("g", "a/b", "i", {"a": 1}), {}, "name 'a/b' holds a \"/\""),
        ("apply", ("g", "n", "i" * 4097, {"a": 1}), {}, "id is longer than 4096 bytes"),
        ("apply", ("g", "n", 7, {"a": 1}), {}, "id is a text, not a int"),
        ("apply", ("g", "n", "i", {"a": 1.5}), {}, "tag 'a': a float is no tag value"),
        ("apply", ("g", "n", "i", {"a": "x" * (1 << 20)}), {}, "g/n/i: the record has 1,048,"),
        (
            "apply",
            ("g", "n", "i", {"a": 1}),
            {"ack": "most"},
            "ack is one of local, one, quorum, all, not 'most'",
        ),
        ("get", ("g", "n", ""), {}, "id is empty"),
        ("get", ("g\ud800", "n", "i"), {}, "no valid Unicode text"),
        ("get", ("g", "n", "i"), {"ack": ""}, "ack is one of local, one, quorum, all, not ''"),
        ("delete", ("g", "n", ""), {}, "id is empty"),
        ("query", (), {}, "a query names one group at least"),
        ("query", (1,), {}, "each of groups is a text, not a int"),
        ("query", ("g",), {"ids": "abc"}, "ids is a list of texts, not a str"),
        ("query", ("g",), {"ids": [1]}, "each of ids is a text, not a int"),
        ("query", ("g",), {"select": "a"}, "select is a list of texts"),
        ("query", ("g",), {"name": None}, "name is a text, not a NoneType"),
        ("query", ("g",), {"limit": 0}, "limit is a number from 1"),
        ("query", ("g",), {"limit": 1.5}, "limit is a whole number, not a float"),
        ("query", ("g",), {"after": "h/n/i"}, "after: 'h/n/i' is of a group that the query does not ask"),
        ("query", ("g",), {"limit": True}, "limit is a whole number, not a bool"),
        ("query", ("g",), {"after": "g/n"}, "after: 'g/n' is no key: expected GROUP/NAME/ID"),
        ("query", ("g",), {"after": ("g", "n", "i")}, "after is a text, not a tuple"),
        ("query", ("g",), {"where": "a ="}, "where: column 4: expected a value"),
        ("query", ("g",), {"where": "a = 1 " * 20_000}, "where: the expression is longer than"),
        ("query", ("g",), {"where": Condition("a", Op.IN, 1)}, "where: IN on tag 'a' takes an array"),
        (
            "query",
            ("g",),
            {"where": Condition("a", Op.EQ, 1 << 64)},
            "where: criteria: the value for tag 'a'",
        ),
        ("query", ("g",), {"where": too_deep()}, "where: criteria are nested more than 64 deep"),
        ("query", ("g",), {"ack": "none"}, "ack is one of"),
        ("create_group", ("",), {}, "name is empty"),
        ("create_group", ("g",), {"shards": 0}, "shards is a number from 1"),
        ("create_group", ("g",), {"replicas": "3"}, "replicas is a whole number, not a str"),
        ("create_group", ("g",), {"indexes": "tag"}, "indexes is a list of texts"),
        ("create_group", ("g",), {"tombstone_retention": 7}, "tombstone_retention is a timedelta, not a int"),
        ("alter_group", ("g",), {"tombstone_retention": timedelta(days=36_501)}, "36500 days at most"),
        ("alter_group", ("g",), {"tombstone_retention": timedelta(0)}, "one second at least"),
        ("alter_group", ("g",), {"ack": "two"}, "ack is one of"),
        ("delete_group", (1,), {}, "name is a text"),
        ("group", ("",), {}, "name is empty"),
        ("forget_member", ("",), {}, "name is empty"),
    ],
)
def test_calls(method: str, arguments: tuple[Any, ...], options: dict[str, Any], problem: str) -> None:
    async def work() -> None:
        async with connect(NOBODY) as client:
            call = getattr(Client, method)(client, *arguments, **options)
            if method != "query":
                await call

    with pytest.raises(InvalidInputError) as caught:
        run("trio", work)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("addresses", "options", "problem"),
    [
        ((), {}, "connect takes 1 to 64 addresses, not 0"),
        ([f"n{number}:1" for number in range(65)], {}, "connect takes 1 to 64 addresses, not 65"),
        (("localhost",), {}, "'localhost' has no port"),
        (("http://localhost:7400",), {}, "is a URL"),
        ((7400,), {}, "an address is a text, not a int"),
        ((NOBODY,), {"timeout": 0}, "timeout is a number of seconds above 0, not 0"),
        ((NOBODY,), {"timeout": float("inf")}, "timeout is a number of seconds above 0"),
        ((NOBODY,), {"timeout": float("nan")}, "timeout is a number of seconds above 0"),
        ((NOBODY,), {"timeout": "10"}, "timeout is a number of seconds, not a str"),
        ((NOBODY,), {"tls": TlsFiles(Path("/nowhere/ca.pem"))}, "tls: ca: no such file: /nowhere/ca.pem"),
        ((NOBODY,), {"tls": TlsFiles(Path(__file__))}, "not usable as PEM certificates"),
    ],
)
def test_connect(addresses: Any, options: dict[str, Any], problem: str) -> None:
    async def work() -> None:
        async with connect(*addresses, **options):
            pass

    with pytest.raises(InvalidInputError) as caught:
        run("trio", work)
    assert problem in str(caught.value)


def test_what_is_just_right() -> None:
    assert given.timeout(0.001) == 0.001
    assert given.seconds(timedelta(seconds=1)) == 1
    assert given.seconds(timedelta(days=7, milliseconds=1)) == 7 * 24 * 3600
    assert given.count("limit", (1 << 32) - 1) == (1 << 32) - 1
    assert len(given.addresses([*(f"n{number}:1" for number in range(64)), "n1:1"])) == 64
    assert (given.ack(None), given.ack("all")) == ("", "all")
    with pytest.raises(InvalidInputError):
        given.count("limit", 1 << 32)


def test_wrong_input_is_a_value_error_too() -> None:
    assert issubclass(InvalidInputError, ValueError)
