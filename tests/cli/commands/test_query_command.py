"""`query`: which records it finds, and how it tells the way they were found."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from gossipnode.cli.output import TableWriter
from gossipnode.cli.table_layout import SAMPLE_CHARACTERS, SAMPLE_ROWS
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.answers import RECORD
from tests.cli.conftest import Cli, Peer, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["query"], ["Missing argument 'GROUP...'"]),
        (["query", "sw", "--where", "a >"], ["--where, column 4: expected a value"]),
        (["query", "sw", "--desc"], ["--desc needs --order-by"]),
        (["query", "sw", "--limit", "0"], ["--limit", "0"]),
        (["query", "sw", "--after", "x"], ["'x' is no key"]),
        (["query", "sw", "--after", "other/n/i"], ["--after", "'other/n/i' is of group 'other'", "asks sw"]),
        (["query", "sw", "--name", ""], ["'--name'", "expected text, got nothing"]),
        (["query", "sw", "--id", "1", "--id", ""], ["'--id'", "expected text, got nothing"]),
        (["query", "sw", "--order-by", ""], ["'--order-by'", "expected text, got nothing"]),
        (["query", "sw", "--select", " ,"], ["'--select'", "expected text, got nothing"]),
        (["query", "sw", "--where", "n IN (" + "1," * 4096 + "1)"], ["4,096 values at most, not 4,097"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.slow
def test_query(ask: Cli) -> None:
    for number in range(6):
        tags = [f"n:int={number}", f"s=v{number % 2}", "t:str[]=x,y" if number < 3 else "t:str[]=z"]
        assert ask("apply", f"sw/query/{number}", *tags).code == 0

    def ids(*arguments: str) -> str:
        found = lines(ask("query", "sw", "--name", "query", "-o", "json", *arguments))
        return "".join(str(record["id"]) for record in found)

    assert ids() == "012345"
    assert ids("--limit", "2") == "01"
    assert ids("--id", "4", "--id", "2") == "24"
    assert ids("--where", 's = "v1" AND (n > 3 OR t HAVING "x")') == "15"
    assert ids("--where", "n NOT IN (1, 2) AND absent != 5") == "0345"
    assert ids("--order-by", "n", "--desc", "--limit", "3") == "543"
    assert ids("--order-by", "n", "--desc", "--after", "sw/query/3") == "210"
    assert ids("--after", "sw/query/3") == "45"
    (record,) = lines(ask("query", "sw", "many", "--id", "5", "--select", "s,n", "-o", "json"))
    assert record["tags"] == {"n": 5, "s": "v1"}
    assert lines(ask("query", "sw", "--name", "none", "-o", "json")) == []


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


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_query_that_stops_at_its_limit_says_so(ask_peer: Cli, peer: Peer, output: str) -> None:
    def answer(request: messages.QueryRequest) -> list[messages.RecordBatch]:
        return [messages.RecordBatch(records=[RECORD])] * min(request.query.limit, there)

    peer.answers[services.NODE_QUERY] = answer
    there = 101
    ended = ask_peer("query", "sw", "-o", output)
    assert (ended.code, ended.err) == (0, "the first 100 of more: --limit N\n")
    assert ended.out.count("sw/n/i" if output == "table" else '"id": "i"') == 100
    assert ask_peer("query", "sw", "-o", output, "--limit", "7").err == "the first 7 of more: --limit N\n"
    assert ask_peer("query", "sw", "-o", output, "--limit", "101").err == ""
    there = 100
    ended = ask_peer("query", "sw", "-o", output)
    assert (ended.code, ended.err) == (0, "")
    assert ask_peer("query", "sw", "--limit", str((1 << 32) - 1)).err == ""


def test_a_table_is_printed_while_its_rows_arrive(
    ask_peer: Cli, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    add = TableWriter.add

    def counting(table: TableWriter, row: Iterable[object]) -> None:
        add(table, row)
        kept.append(len(table._sample))

    monkeypatch.setattr(TableWriter, "add", counting)
    peer.answers[services.NODE_QUERY] = [messages.RecordBatch(records=[RECORD] * 64)] * 40
    ended = ask_peer("query", "sw", "--limit", "3000")
    assert (ended.code, len(ended.out.splitlines())) == (0, 2 + 64 * 40)
    assert (len(kept), max(kept)) == (64 * 40, SAMPLE_ROWS - 1)


def test_wide_rows_are_kept_in_lower_number(capsys: pytest.CaptureFixture[str]) -> None:
    table = TableWriter("key", "tags")
    table.add(("k", "x" * SAMPLE_CHARACTERS))
    assert capsys.readouterr().out.startswith("key")
    table.add(("l", "y"))
    assert capsys.readouterr().out.startswith("l ")
