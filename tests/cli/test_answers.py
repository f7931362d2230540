"""What commands ask of a node and make of its answers, against a peer with set answers."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.cli.options import spread_values
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Method, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import build_property
from tests.cli.conftest import Cli, Peer

PAYLOAD = build_property(Entity("sw", "n", "i"), {"a": "x"}, create_revision=5, mod_revision=7)
RECORD = messages.Record(property=PAYLOAD)
COMMANDS: list[tuple[list[str], Method[Any, Any], Any]] = [
    (
        ["apply", "sw/n/i", "a=x"],
        services.NODE_APPLY,
        messages.ApplyResponse(created=True, property=PAYLOAD, acknowledged=2, replicas=3),
    ),
    (
        ["delete", "sw/n/i"],
        services.NODE_DELETE,
        messages.DeleteResponse(deleted=True, acknowledged=2, replicas=3, mod_revision=9),
    ),
    (["get", "sw/n/i"], services.NODE_GET, messages.GetResponse(record=RECORD, acknowledged=2, replicas=3)),
    (["query", "sw"], services.NODE_QUERY, [messages.RecordBatch(records=[RECORD])]),
    (["import", "sw", "-"], services.NODE_IMPORT, [messages.ImportResponse(records=1)]),
    (["export", "sw"], services.NODE_EXPORT, [messages.RecordBatch(records=[RECORD])]),
]


@pytest.fixture(autouse=True)
def _one_line_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"name": "n", "id": "i", "tags": {"a": "x"}}\n'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(line)))


@pytest.mark.parametrize("level", ["", "local", "one", "quorum", "all"])
@pytest.mark.parametrize(("arguments", "method", "answer"), COMMANDS, ids=[case[0][0] for case in COMMANDS])
def test_the_acknowledgement_is_passed_on_as_it_is(
    ask_peer: Cli, peer: Peer, arguments: list[str], method: Method[Any, Any], answer: Any, level: str
) -> None:
    peer.answers[method] = answer
    ended = ask_peer(*arguments, *(["--ack", level] if level else []))
    assert ended.code == 0, ended.err
    assert [request.ack for request in peer.asked] == [level]


@pytest.mark.parametrize(("arguments", "method", "answer"), COMMANDS, ids=[case[0][0] for case in COMMANDS])
def test_too_few_replicas_are_exit_code_4(
    ask_peer: Cli, peer: Peer, arguments: list[str], method: Method[Any, Any], answer: Any
) -> None:
    problem = "1 of 3 replicas took it, quorum needs 2; not: b (no answer), c (down)"
    peer.answers[method] = RpcError(Status.UNAVAILABLE, problem)
    ended = ask_peer(*arguments)
    assert ended.code == 4
    assert f"{peer.address}: {problem}" in ended.problem


def test_who_acknowledged_is_told_as_json(ask_peer: Cli, peer: Peer) -> None:
    peer.answers = {method: answer for _, method, answer in COMMANDS}
    applied = json.loads(ask_peer("apply", "sw/n/i", "a=x", "-o", "json").out)
    assert applied == {
        "group": "sw", "name": "n", "id": "i", "created": True, "tags": {"a": "x"}, "mod_revision": 7,
        "acknowledged": 2, "replicas": 3,
    }  # fmt: skip
    deleted = json.loads(ask_peer("delete", "sw/n/i", "-o", "json").out)
    assert deleted == {
        "group": "sw", "name": "n", "id": "i", "deleted": True, "mod_revision": 9,
        "acknowledged": 2, "replicas": 3,
    }  # fmt: skip


# --- query --trace ---

TRACE = common.Trace(
    trace_id="7f3a",
    spans=[
        common.Span(
            message="query",
            duration=12_345_678,
            tags=[common.Tag("groups", "sw")],
            children=[
                common.Span(
                    message="shard",
                    duration=3_000_000,
                    tags=[
                        common.Tag("shard", "sw/0"),
                        common.Tag("node", "b"),
                        common.Tag("rows_read", "120"),
                    ],
                    children=[common.Span(message="scan\x1b[31m", duration=1500)],
                ),
                common.Span(message="shard", duration=0, error=True, tags=[common.Tag("node", "c")]),
            ],
        )
    ],
)


def test_a_trace_is_a_tree_on_stderr_and_the_results_stay_as_they_are(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_QUERY] = lambda request: [
        messages.RecordBatch(records=[RECORD]),
        messages.RecordBatch(records=[RECORD], trace=TRACE if request.query.trace else common.Trace()),
    ]
    plain = ask_peer("query", "sw")
    assert (plain.code, plain.err) == (0, "")
    assert not peer.asked[0].query.trace
    traced = ask_peer("query", "sw", "--trace")
    assert (traced.code, traced.out) == (0, plain.out)
    assert traced.err.splitlines() == [
        "trace 7f3a",
        "  query  groups=sw  12.346 ms",
        "    shard  shard=sw/0  node=b  rows_read=120  3.000 ms",
        "      scan\\x1b[31m  0.002 ms",
        "    shard  node=c  0.000 ms  failed",
    ]


def test_a_trace_as_json_is_the_last_line_on_stderr(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_QUERY] = [messages.RecordBatch(records=[RECORD], trace=TRACE)]
    ended = ask_peer("query", "sw", "--trace", "-o", "json")
    assert len(ended.out.splitlines()) == 1
    (line,) = ended.err.splitlines()
    trace = json.loads(line)["trace"]
    assert (list(trace), trace["trace_id"], trace["error"]) == (["trace_id", "error", "spans"], "7f3a", False)
    (span,) = trace["spans"]
    assert list(span) == ["message", "tags", "milliseconds", "error", "children"]
    assert (span["message"], span["tags"], span["milliseconds"]) == ("query", {"groups": "sw"}, 12.346)
    assert [child["error"] for child in span["children"]] == [False, True]
    assert span["children"][0]["children"][0]["message"] == "scan\x1b[31m"


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_node_that_sends_no_trace(ask_peer: Cli, peer: Peer, output: str) -> None:
    peer.answers[services.NODE_QUERY] = []
    ended = ask_peer("query", "sw", "--trace", "-o", output)
    assert (ended.code, ended.err) == (0, "the node sent no trace\n")


# --- status ---


def status(**fields: Any) -> messages.StatusResponse:
    shards = [
        messages.ShardStatus(group="sw", shard=0, replicas=["a", "b"], records=1, tree="ready"),
        messages.ShardStatus(
            group="sw",
            shard=1,
            replicas=["a", "c"],
            tree="ready",
            moving=messages.ShardStatusMoving(to=["d"], done=120, total=4000),
        ),
    ]
    return messages.StatusResponse(
        node="a", address="h:1", version="1", state="ready", shards=shards, registry_root="abc" * 20, **fields
    )


def test_a_status_shows_moves_and_read_repairs(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(
        replicas=messages.ReplicaCounters(read_repairs=1, read_repairs_dropped=2)
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert list(shown) == [
        "node", "address", "version", "state", "members", "shards", "rounds",
        "registry_root", "read_repairs", "read_repairs_dropped",
    ]  # fmt: skip
    assert (shown["registry_root"], shown["read_repairs"], shown["read_repairs_dropped"]) == (
        "abc" * 20,
        1,
        2,
    )
    assert [shard["moving"] for shard in shown["shards"]] == [
        None,
        {"to": ["d"], "done": 120, "total": 4000},
    ]
    table = ask_peer("status").out
    assert "members and groups as of abcabcabcabc, 1 stale copy mended by reads (2 left to a round)" in table
    assert table.endswith("\n\nsw/1 moving to d: 120/4,000 records\n")


def test_a_move_that_has_just_begun(ask_peer: Cli, peer: Peer) -> None:
    found = status()
    found.shards[1].moving = messages.ShardStatusMoving(to=["d", "e"])
    peer.answers[services.NODE_STATUS] = found
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["shards"][1]["moving"] == {"to": ["d", "e"], "done": 0, "total": 0}
    assert "moving to d,e: 0/0 records" in ask_peer("status").out


def test_a_status_without_moves_says_nothing_of_them(ask_peer: Cli, peer: Peer) -> None:
    found = status()
    del found.shards[1]
    peer.answers[services.NODE_STATUS] = found
    table = ask_peer("status").out
    assert "0 stale copies mended by reads\n" in table
    assert "mov" not in table


# --- several values of one option ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""),
        ("x --join a b c -o json y", "x --join a --join b --join c -o json y"),
        ("--join a --join b c", "--join a --join b --join c"),
        ("--join=a b", "--join=a --join b"),
        ("--join --other a b", "--join --other a b"),
        ("--join a -- b c", "--join a -- b c"),
        ("--other a b", "--other a b"),
    ],
)
def test_several_values_of_one_option(arguments: str, expected: str) -> None:
    assert spread_values(arguments.split(), {"--join"}) == expected.split()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "--many", "--many=a", "--one", "-o", "--", "-"])))
def test_values_are_neither_lost_nor_moved(arguments: list[str]) -> None:
    spread = spread_values(arguments, {"--many"})
    assert [each for each in spread if each != "--many"] == [each for each in arguments if each != "--many"]
    assert spread_values(arguments, ()) == arguments
    assert spread_values(spread, {"--many"}) == spread
