"""`group`: what is asked, what is printed, and how it ends, against a peer with set answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, refused

GROUP = messages.Group(
    name="sw",
    shards=8,
    replicas=3,
    ack="quorum",
    tombstone_retention_seconds=36 * 3600,
    indexes=["zone", "port"],
    incarnation=17,
)
SHAPE = {
    "name": "sw", "shards": 8, "replicas": 3, "ack": "quorum", "tombstone_retention": "36h",
    "indexes": ["zone", "port"], "incarnation": 17,
}  # fmt: skip


def changed(acknowledged: int = 3) -> messages.GroupResponse:
    return messages.GroupResponse(group=GROUP, acknowledged=acknowledged, members=3)


def shape(out: str) -> Any:
    found = json.loads(out)
    assert list(found)[: len(SHAPE)] == list(SHAPE)
    return found


def test_create(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_CREATE_GROUP] = changed()
    arguments = ["--shards", "8", "--replicas", "3", "--ack", "all", "--retention", "36h", "-o", "json"]
    ended = ask_peer("group", "create", "sw", *arguments, "--index", "zone", "--index", "port")
    assert (ended.code, ended.err) == (0, "")
    assert shape(ended.out) == SHAPE
    assert peer.asked == [
        messages.CreateGroupRequest(
            name="sw",
            shards=8,
            replicas=3,
            ack="all",
            tombstone_retention_seconds=129_600,
            indexes=["zone", "port"],
        )
    ]


def test_create_by_force(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_CREATE_GROUP] = changed()
    ended = ask_peer("group", "create", "sw", "--shards", "8", "--replicas", "3", "--force", "-o", "json")
    assert shape(ended.out) == SHAPE
    assert peer.asked == [messages.CreateGroupRequest(name="sw", shards=8, replicas=3, force=True)]


def test_create_without_enough_members(ask_peer: Cli, peer: Peer) -> None:
    why = "group 'sw' is to have 3 replicas, and the number of members is 1"
    peer.answers[services.NODE_CREATE_GROUP] = RpcError(Status.FAILED_PRECONDITION, why)
    ended = ask_peer("group", "create", "sw", "--shards", "8", "--replicas", "3")
    assert (ended.code, ended.out) == (1, "")
    assert why in ended.problem


def test_help_of_force_says_what_it_means(cli: Cli) -> None:
    said = " ".join(cli("group", "create", "--help").out.split())
    assert "none is reached until more than half as many members are there" in said


def test_create_with_defaults_and_several_values_of_one_option(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_CREATE_GROUP] = changed()
    ended = ask_peer("group", "create", "sw", "--index", "zone", "port", "--replicas", "3", "--shards", "8")
    assert ended.code == 0
    for words in ("name", "sw", "36h", "zone port", "quorum"):
        assert words in ended.out
    assert peer.asked == [
        messages.CreateGroupRequest(name="sw", shards=8, replicas=3, indexes=["zone", "port"])
    ]


def test_who_does_not_know_yet_is_said(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_CREATE_GROUP] = changed(acknowledged=2)
    ended = ask_peer("group", "create", "sw", "--shards", "8", "--replicas", "3", "-o", "json")
    assert ended.code == 0
    assert shape(ended.out) == SHAPE
    assert ended.err.startswith("2 of 3 members know by now")


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        (["--ack", "one"], messages.AlterGroupRequest(name="sw", ack="one")),
        (["--replicas", "5"], messages.AlterGroupRequest(name="sw", replicas=5)),
        (["--replicas", "5", "--force"], messages.AlterGroupRequest(name="sw", replicas=5, force=True)),
        (["--retention", "7d"], messages.AlterGroupRequest(name="sw", tombstone_retention_seconds=604_800)),
        (
            ["--index", "a", "--index=b", "c"],
            messages.AlterGroupRequest(
                name="sw", indexes=messages.AlterGroupRequestTagList(tags=["a", "b", "c"])
            ),
        ),
        (
            ["--no-index"],
            messages.AlterGroupRequest(name="sw", indexes=messages.AlterGroupRequestTagList(tags=[])),
        ),
    ],
)
def test_alter_sends_what_is_given_and_nothing_else(
    ask_peer: Cli, peer: Peer, options: list[str], request_: messages.AlterGroupRequest
) -> None:
    peer.answers[services.NODE_ALTER_GROUP] = changed()
    ended = ask_peer("group", "alter", "sw", *options, "-o", "json")
    assert shape(ended.out) == SHAPE
    encode = services.NODE_ALTER_GROUP.encode_request
    assert [encode(request) for request in peer.asked] == [encode(request_)]


def test_no_index_is_another_thing_than_nothing_said_of_indexes() -> None:
    encode = services.NODE_ALTER_GROUP.encode_request
    none = messages.AlterGroupRequest(name="sw", indexes=messages.AlterGroupRequestTagList(tags=[]))
    assert encode(none) == encode(messages.AlterGroupRequest(name="sw")) + b"\x22\x00"


def test_list(ask_peer: Cli, peer: Peer) -> None:
    groups = [messages.Group(name="a", ack="one", tombstone_retention_seconds=45), GROUP]
    peer.answers[services.NODE_LIST_GROUPS] = messages.ListGroupsResponse(groups=groups)
    ended = ask_peer("group", "list", "-o", "json")
    first, second = ended.out.splitlines()
    assert (shape(first)["name"], shape(first)["tombstone_retention"], shape(first)["indexes"]) == (
        "a", "45s", [],
    )  # fmt: skip
    assert shape(second) == SHAPE
    table = ask_peer("group", "list").out.splitlines()
    assert table[0].split() == ["name", "shards", "replicas", "ack", "retention", "indexes", "incarnation"]
    assert table[2].split() == ["a", "0", "0", "one", "45s", "none", "0"]
    peer.answers[services.NODE_LIST_GROUPS] = messages.ListGroupsResponse()
    assert ask_peer("group", "list", "-o", "json").out == ""
    assert peer.asked[-1] == messages.ListGroupsRequest()


def test_show(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_LIST_GROUPS] = messages.ListGroupsResponse(groups=[GROUP])
    assert shape(ask_peer("group", "show", "sw", "-o", "json").out) == SHAPE
    assert peer.asked == [messages.ListGroupsRequest(name="sw")]
    assert "36h" in ask_peer("group", "show", "sw").out


@pytest.mark.parametrize(
    "answer", [messages.ListGroupsResponse(), RpcError(Status.NOT_FOUND, "there is no group 'nope'")]
)
def test_show_an_unknown_group(ask_peer: Cli, peer: Peer, answer: object) -> None:
    peer.answers[services.NODE_LIST_GROUPS] = answer
    ended = ask_peer("group", "show", "nope")
    assert (ended.code, ended.out) == (3, "")
    assert "no group 'nope'" in ended.problem


def test_delete(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_DELETE_GROUP] = changed()
    ended = ask_peer("group", "delete", "sw", "-o", "json")
    assert (ended.code, ended.err) == (0, "")
    assert shape(ended.out) == SHAPE | {"deleted": True}
    assert peer.asked == [messages.DeleteGroupRequest(name="sw")]
    ended = ask_peer("group", "delete", "sw")
    assert "deleted" in ended.out
    assert "sw" in ended.out


def test_delete_says_what_it_does(cli: Cli) -> None:
    said = " ".join(cli("group", "delete", "--help").out.split())
    assert "and all of its records, on every member" in said
    assert "On a terminal you are asked before" in said


@pytest.mark.parametrize("command", ["create", "alter"])
def test_help_of_the_retention_says_when_tombstones_go(cli: Cli, command: str) -> None:
    said = " ".join(cli("group", command, "--help").out.split())
    assert "remembered at the least, as in 7d, 36h, 90m. They are purged by the next round after that" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["group", "create", "sw"], ["Missing option '--shards'", "gossipnode group create --help"]),
        (["group", "create", "sw", "--shards", "1"], ["Missing option '--replicas'"]),
        (["group", "create", "sw", "--shards", "0", "--replicas", "3"], ["--shards", "1<=x<=1024"]),
        (["group", "create", "sw", "--shards", "1", "--replicas", "2000"], ["--replicas", "1<=x<=1024"]),
        (["group", "create", "--shards", "1", "--replicas", "1"], ["Missing argument 'NAME'"]),
        (["group", "create", "a/b", "--shards", "1", "--replicas", "1"], ["'a/b' holds a \"/\""]),
        (["group", "create", "x" * 256, "--shards", "1", "--replicas", "1"], ["longer than 255 bytes"]),
        (["group", "create", "a\udcff", "--shards", "1", "--replicas", "1"], ["is no UTF-8 text"]),
        (
            ["group", "create", "a\x1b[2J", "--shards", "1", "--replicas", "1"],
            ["'a\\x1b[2J' holds characters"],
        ),
        (["group", "alter", "sw", "--retention", "99999999d"], ["--retention", "expected 36500d at most"]),
        (["group", "show", ""], ["'NAME'", "expected text, got nothing"]),
        (["group", "delete", ""], ["expected text, got nothing"]),
        (["group", "alter", "sw"], ["nothing to change: give --replicas, "]),
        (["group", "alter", "sw", "--force"], ["nothing to change"]),
        (["group", "alter", "sw", "--replicas", "0"], ["--replicas", "1<=x<=1024"]),
        (["group", "alter", "sw", "--ack", "local"], ["--ack", "'local'", "quorum"]),
        (["group", "alter", "sw", "--retention", "7 days"], ["--retention", 'expected a time such as "7d"']),
        (["group", "alter", "sw", "--retention", "0s"], ["--retention", "above 0"]),
        (["group", "alter", "sw", "--index", ""], ["--index", "expected text, got nothing"]),
        (["group", "alter", "sw", "--index", "a", "a"], ["--index", "'a' is given twice"]),
        (["group", "alter", "sw", "--index", "x" * 256], ["--index", "longer than 255 bytes"]),
        (["group", "alter", "sw", "--index", *"abcdefghijklmnopq"], ["--index", "16 tags at most, got 17"]),
        (["group", "alter", "sw", "--index", "a", "--no-index"], ["exclude each other"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.parametrize("command", ["create", "alter", "list", "show", "delete"])
def test_help_is_there_for_every_command_of_a_group(cli: Cli, command: str) -> None:
    assert cli("group", command, "--help").out.startswith(f"Usage: gossipnode group {command}")
