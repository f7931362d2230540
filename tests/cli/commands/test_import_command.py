"""`import`: lines of JSON, from a file or from standard input, and the table of characters."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "sw", "/nowhere/file"], ["/nowhere/file", "No such file"]),
        (["import", "sw", "/"], ["/: cannot be read"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.slow
def test_a_record_over_the_limit(ask: Cli, tmp_path: Path) -> None:
    line = json.dumps({"name": "big", "id": "2", "tags": {"a": "x" * ((1 << 20) + 1)}})
    (tmp_path / "big").write_text('{"name": "big", "id": "3", "tags": {"a": 1}}\n' + line)
    ended = ask("import", "sw", str(tmp_path / "big"))
    assert ended.code == 1
    assert "line 2: the record has 1,048," in ended.problem
    assert ask("get", "sw/big/3").code == 3


@pytest.mark.parametrize("mark_at", [0, 2])
def test_a_mark_of_unicode_before_a_line_is_skipped(
    ask_peer: Cli, peer: Peer, tmp_path: Path, mark_at: int
) -> None:
    """As some editors write it, and as it stands within files that were joined."""
    found = [b'{"name": "n", "id": "%d", "tags": {"a": 1}}\n' % number for number in range(3)]
    found[mark_at] = b"\xef\xbb\xbf" + found[mark_at]
    (tmp_path / "marked").write_bytes(b"".join(found))
    peer.answers[services.NODE_IMPORT] = lambda request: [
        messages.ImportResponse(records=len(request.records))
    ]
    (result,) = lines(ask_peer("import", "sw", str(tmp_path / "marked"), "-o", "json"))
    assert (result["records"], result["skipped"]) == (3, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_file_that_is_not_utf_8(ask_peer: Cli, tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / "in").write_bytes(f'{mark}{{"name": "\xe4", "id": "i"}}\n'.encode(encoding))
    ended = ask_peer("import", "sw", str(tmp_path / "in"))
    assert (ended.code, ended.out) == (1, "")
    wanted = "not UTF-8 text" if encoding == "latin-1" else "UTF-16 text: save the file as UTF-8"
    assert f"line 1: {wanted}" in ended.problem


@pytest.mark.slow
def test_import_from_standard_input(ask: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"name": "stdin", "id": "1", "tags": {"a": 1}}\n\n{"name": "stdin", "id": "2", "tags": {"a": 2}}'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    (result,) = lines(ask("import", "sw", "-", "-o", "json"))
    assert (result["records"], result["skipped"]) == (2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [1, 2, 255, 256, 257, 600])
def test_a_bad_line_is_named_and_nothing_of_its_batch_is_written(ask: Cli, tmp_path: Path, bad: int) -> None:
    name = f"bad{bad}"
    good = [json.dumps({"name": name, "id": f"{number:04}", "tags": {"a": 1}}) for number in range(1, 601)]
    file = tmp_path / "lines"
    file.write_text(
        "\n".join([*good[: bad - 1], '{"name": "x", "id": "y", "tags": {"a": 1.5}}', *good[bad:]])
    )
    ended = ask("import", "sw", str(file))
    assert (ended.code, ended.out) == (1, "")
    written = (bad - 1) // 256 * 256
    assert f"lines, line {bad}: 1.5 is no whole number" in ended.problem
    on = f"; go on with --from-line {written + 1}" if written else ""
    assert f"({written:,} records written{on})" in ended.problem
    stored = lines(ask("query", "sw", "--name", name, "--limit", "1000", "-o", "json"))
    assert len(stored) == written
    skipped = ask("import", "sw", str(file), "--skip-bad", "-o", "json")
    assert skipped.code == 1
    assert (json.loads(skipped.out)["records"], json.loads(skipped.out)["skipped"]) == (599, 1)
    assert f"line {bad}: skipped: 1.5 is no whole number" in skipped.err
    assert skipped.err.endswith("lines: 1 bad line skipped\n")


@pytest.mark.slow
def test_a_record_that_only_the_node_can_judge(ask: Cli, tmp_path: Path) -> None:
    """The command takes stamps that the node does not."""
    record = '{"name": "late", "id": "late-%d", "tags": {"a": 1}, "create_revision": 1, "mod_revision": %d}'
    file = tmp_path / "lines"
    last = 1 << 62
    file.write_text("\n".join(record % (n, last if n == 300 else n) for n in range(1, 601)))
    ended = ask("import", "sw", str(file), "--keep-versions")
    assert ended.code == 1
    assert "line 300: " in ended.problem
    assert "(256 records written; go on with --from-line 257)" in ended.problem
    skipped = ask("import", "sw", str(file), "--keep-versions", "--skip-bad", "-o", "json")
    assert skipped.code == 1
    assert (json.loads(skipped.out)["records"], json.loads(skipped.out)["skipped"]) == (599, 1)


def test_an_import_that_is_cut_short_says_where_to_go_on(ask_peer: Cli, peer: Peer, tmp_path: Path) -> None:
    """Blank lines count as lines, and the second batch is lost with its node."""
    file = tmp_path / "lines"
    file.write_text(
        "\n" + "\n".join(json.dumps({"name": "n", "id": f"{n}", "tags": {"a": 1}}) for n in range(600))
    )
    taken: list[bytes] = []

    def take(request: messages.ImportRequest) -> list[messages.ImportResponse]:
        if len(taken) == 255:
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        taken.extend(bytes(record.property) for record in request.records)
        return [messages.ImportResponse(records=len(request.records))]

    peer.answers[services.NODE_IMPORT] = take
    ended = ask_peer("import", "sw", str(file))
    assert ended.code == 4
    assert ended.problem.endswith("the node is stopping; 255 records written; go on with --from-line 257")
    taken.clear()
    (result,) = lines(ask_peer("import", "sw", str(file), "--from-line", "502", "-o", "json"))
    assert result["records"] == len(taken) == 100
    assert b"500" in taken[0]


@pytest.mark.slow
def test_what_was_exported_while_a_clock_was_ahead_comes_back(ask: Cli, tmp_path: Path) -> None:
    ahead = time.time_ns() + 3600 * 1_000_000_000
    record = {"name": "ahead", "tags": {"a": 1}, "create_revision": ahead, "mod_revision": ahead}
    dead = {**record, "id": "dead", "delete_time": ahead + 1}
    file = tmp_path / "lines"
    file.write_text("".join(json.dumps(each) + "\n" for each in ({**record, "id": "live"}, dead)))
    (result,) = lines(ask("import", "sw", str(file), "--keep-versions", "-o", "json"))
    assert (result["records"], result["skipped"]) == (2, 0)
    (live,) = lines(ask("get", "sw/ahead/live", "-o", "json"))
    assert (live["tags"], live["mod_revision"]) == ({"a": 1}, ahead)
    assert ask("get", "sw/ahead/dead").code == 3
    # A later write wins, and the stamps of other records stay near the node's clock.
    (later,) = lines(ask("apply", "sw/ahead/live", "a:int=2", "-o", "json"))
    (other,) = lines(ask("apply", "sw/ahead/other", "a:int=2", "-o", "json"))
    assert int(str(later["mod_revision"])) > ahead > int(str(other["mod_revision"]))


@pytest.mark.slow
def test_the_table_of_characters(ask: Cli) -> None:
    (result,) = lines(ask("import", "many", "unicode", "-o", "json"))
    assert isinstance(result["records"], int)
    assert result["records"] > 20_000
    (record,) = lines(ask("get", "many/unicode/U+00BD", "-o", "json"))
    assert record["tags"] == {
        "name": "VULGAR FRACTION ONE HALF", "category": "No", "code_point": 189, "bidirectional": "ON",
        "numeric": "1/2", "decomposition": "<fraction> 0031 2044 0032",
    }  # fmt: skip
