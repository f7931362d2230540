"""`apply`: what it writes and prints; and the life of a record, with `get` and `delete`."""

from __future__ import annotations

import json

import pytest

from tests.cli.answers import COMMANDS
from tests.cli.conftest import Cli, Peer, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", "sw/a/1"], ["no tag given"]),
        (["apply", "sw/a/1", "a=1", "a=2"], ["tag 'a' is given twice"]),
        (["apply", "sw/a/1", "a"], ["'a' is no tag", "key=text"]),
        (["apply", "sw/a/1", "a:int=9223372036854775808"], ["tag 'a'", "out of range"]),
        (["apply", "sw/a/1", "a:number=5"], ["tag 'a' has an unknown type 'number'"]),
        (["apply", "sw/a/1", "a:binary=%"], ["tag 'a'", "base64"]),
        (["apply", "sw/a/1", "a:timestamp=today"], ["tag 'a'", "'today' is no timestamp"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


def test_who_acknowledged_is_told_as_json(ask_peer: Cli, peer: Peer) -> None:
    peer.answers = {method: answer for _, method, answer in COMMANDS}
    applied = json.loads(ask_peer("apply", "sw/n/i", "a=x", "-o", "json").out)
    assert applied == {
        "group": "sw", "name": "n", "id": "i", "created": True, "tags": {"a": "x"}, "mod_revision": 7,
        "acknowledged": 2, "replicas": 3,
    }  # fmt: skip


@pytest.mark.slow
def test_the_life_of_a_record(ask: Cli) -> None:
    (made,) = lines(ask("apply", "sw/life/1/2", "a=x", "n:int=9223372036854775807", "-o", "json"))
    assert made == {
        "group": "sw", "name": "life", "id": "1/2", "created": True,
        "tags": {"a": "x", "n": 9223372036854775807},
        "mod_revision": made["mod_revision"], "acknowledged": 1, "replicas": 1,
    }  # fmt: skip
    (merged,) = lines(ask("apply", "sw/life/1/2", "b:str[]=", "a=y", "-o", "json"))
    assert merged["created"] is False
    assert merged["tags"] == {"a": "y", "n": 9223372036854775807, "b": {"str[]": []}}
    (shown,) = lines(ask("get", "sw/life/1/2", "-o", "json", "--ack", "local"))
    assert list(shown) == [
        "group", "name", "id", "tags", "create_revision", "mod_revision", "updated_at", "delete_time",
    ]  # fmt: skip
    assert list(shown["tags"]) == ["a", "n", "b"]  # type: ignore[call-overload]
    assert shown["mod_revision"] == merged["mod_revision"]
    assert shown["create_revision"] == made["mod_revision"]
    assert shown["delete_time"] == 0
    (replaced,) = lines(ask("apply", "sw/life/1/2", "c:null=", "--replace", "-o", "json"))
    assert replaced["tags"] == {"c": None}
    (gone,) = lines(ask("delete", "sw/life/1/2", "-o", "json"))
    assert gone["deleted"] is True
    assert gone["mod_revision"] > replaced["mod_revision"]  # type: ignore[operator]
    again = ask("delete", "sw/life/1/2", "-o", "json")
    assert (again.code, json.loads(again.out)["deleted"]) == (3, False)
    missing = ask("get", "sw/life/1/2")
    assert (missing.code, missing.out) == (3, "")
    assert "sw/life/1/2: no such record" in missing.problem


@pytest.mark.slow
def test_a_record_over_the_limit(ask: Cli) -> None:
    ended = ask("apply", "sw/big/1", "a=" + "x" * (1 << 20))
    assert ended.code == 2
    assert "sw/big/1: the record has 1,048," in ended.problem
    assert ask("apply", "sw/big/1", "a=" + "x" * 600_000).code == 0
    ended = ask("apply", "sw/big/1", "b=" + "x" * 600_000)
    assert ended.code == 2
    assert "1048576 bytes" in ended.problem
