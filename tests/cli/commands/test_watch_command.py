"""`watch`, `wait` and `explain`: what they print, and how they end."""

from __future__ import annotations

import json

import pytest

from gossipnode.client.values.watched import shown_token
from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.watch.watch_filter import EventKind
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb
from gossipnode.wire.watch_codec import (
    WatchAnswer,
    encode_change_event,
    encode_sign_event,
)
from tests.cli.conftest import Cli, Peer, lines, refused
from tests.records import record

TOKEN = shown_token(b"tok")
LIVE = record("n/1", revision=5, a="y")
GONE = record("n/\x1b[2J", revision=9, delete_time=9)
OLD = record("n/1", revision=3, a="x").payload
ANSWERS = [
    WatchAnswer([encode_change_event(EventKind.PUT, LIVE, None, None)]),
    WatchAnswer([encode_sign_event(EventKind.READY)], b"tok"),
    WatchAnswer(token=b"tok"),
    WatchAnswer(
        [
            encode_change_event(EventKind.PUT, LIVE, OLD, Arrival(Through.HINT, "b")),
            encode_change_event(EventKind.DELETE, GONE, None, None),
            encode_sign_event(EventKind.GAP, "made again"),
        ],
        b"tok2",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watch"], ["GROUP"]),
        (["watch", "sw", "--ack", "all"], ["--ack"]),
        (["watch", "sw", "--where", "a ="], ["--where, column 4"]),
        (["watch", "sw", "--since", "?"], ["no token of a watch"]),
        (["wait", "sw"], ["no key"]),
        (["wait", "sw/n/i", "--revision", "0"], ["--revision"]),
        (["explain", "sw"], ["no key"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


def test_events_for_people(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.WATCH] = ANSWERS
    ended = ask_peer("watch", "sw", "--name", "n", "--since", TOKEN)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "put       sw/n/1  a=y",
        "ready",
        "put       sw/n/1  a=y  (hint, b)",
        "delete    sw/n/\\x1b[2J  k=v",
        "gap       made again",
    ]
    assert ended.err == f"to go on from here: --since {shown_token(b'tok2')}\n"
    assert (peer.asked[0].name, peer.asked[0].since, peer.asked[0].ack) == ("n", b"tok", "one")


def test_events_as_json(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.WATCH] = ANSWERS
    first, ready, put, delete, gap = lines(ask_peer("watch", "sw", "-o", "json"))
    key = {"group": "sw", "name": "n", "id": "1"}
    nowhere = {"old": None, "mod_revision": 5, "delete_time": 0, "through": None, "from": None}
    assert first == {"event": "put", **key, "tags": {"a": "y"}, **nowhere, "token": None}
    assert ready == {"event": "ready", "group": "sw", "token": TOKEN}
    assert (put["old"], put["through"], put["from"], put["token"]) == ({"a": "x"}, "hint", "b", TOKEN)
    assert (delete["event"], delete["id"], delete["delete_time"]) == ("delete", "\x1b[2J", 9)
    assert gap == {
        "event": "gap",
        "group": "sw",
        "reason": "made again",
        "token": shown_token(b"tok2"),
    }


def test_a_watch_that_is_refused_says_where_to_go_on(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.WATCH] = RpcError(Status.UNAVAILABLE, "the node is stopping")
    ended = ask_peer("watch", "sw", "--since", TOKEN)
    assert ended.code == 4
    said, problem = ended.err.splitlines()
    assert said == f"to go on from here: --since {TOKEN}"
    assert "the node is stopping" in problem


def waited(*lagging: str) -> pb.WaitResponse:
    reply = pb.WaitResponse(revision=5, applied=["a", "b"])
    for each in lagging:
        reply.lagging.add(node=each, why="it holds 3, which is 2 s older")
    return reply


def test_a_wait_that_ends_well(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.WAIT] = waited()
    ended = ask_peer("wait", "sw/n/1", "--revision", "5")
    assert (ended.code, ended.out) == (0, "2 replicas of sw/n/1 at 5\n")
    assert (peer.asked[0].revision, peer.asked[0].milliseconds) == (5, 9500)


def test_a_wait_that_does_not_names_those_that_lag(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.WAIT] = waited("c")
    ended = ask_peer("wait", "sw/n/1", "-o", "json")
    assert ended.code == 4
    assert ended.problem == ("sw/n/1: not at all replicas within 10 s: c: it holds 3, which is 2 s older")
    assert json.loads(ended.out) == {
        "key": "sw/n/1",
        "revision": 5,
        "replicas": 3,
        "applied": ["a", "b"],
        "lagging": [{"node": "c", "why": "it holds 3, which is 2 s older"}],
    }


def explained() -> pb.ExplainResponse:
    reply = pb.ExplainResponse(winners=["a"], why="its revision 7 is larger than 3")
    told = reply.replicas.add(node="a", overlap=True)
    told.version.mod_revision, told.version.digest = 7, b"\1" * 32
    told.arrival.through, told.arrival.source, told.arrival.at_milliseconds = 2, "b", 1500
    told.replaced.mod_revision = 3
    reply.replicas.add(node="b", problem="down")
    reply.replicas.add(node="c")
    return reply


def test_an_explanation(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.EXPLAIN] = explained()
    ended = ask_peer("explain", "sw/n/1")
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows[2] == [
        *("a", "*", "7", "round", "from", "b,", "1970-01-01T00:00:01.500Z"),
        *("3,", "unseen", "by", "its", "writer"),
    ]
    assert rows[3] == ["b", "not", "known:", "down"]
    assert rows[4] == ["c", "none"]
    assert ended.out.splitlines()[-1] == "* wins: its revision 7 is larger than 3"
    (shape,) = lines(ask_peer("explain", "sw/n/1", "-o", "json"))
    assert (shape["key"], shape["winner"], shape["why"]) == ("sw/n/1", "a", "its revision 7 is larger than 3")
    replicas = shape["replicas"]
    assert isinstance(replicas, list)
    assert replicas[0] == {
        "node": "a",
        "mod_revision": 7,
        "delete_time": 0,
        "digest": "01" * 32,
        "received": "1970-01-01T00:00:01.500Z",
        "through": "round",
        "from": "b",
        "replaced": 3,
        "overlap": True,
        "problem": None,
    }


def test_a_record_that_nobody_holds(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.EXPLAIN] = pb.ExplainResponse(why="no replica holds it")
    ended = ask_peer("explain", "sw/n/1", "-o", "json")
    assert ended.code == 3
    assert ended.problem == "sw/n/1: no replica holds it"
