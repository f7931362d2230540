"""The commands that talk to a node, against one real node."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Cli, Ended, Running

pytestmark = pytest.mark.slow


@pytest.fixture
def ask(cli: Cli, node: Running) -> Cli:
    """Run a command that asks the node."""

    def call(*arguments: str) -> Ended:
        return cli(*arguments, "--at", node.address)

    return call


def lines(ended: Ended) -> list[dict[str, object]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


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


def test_tables_are_plain_off_a_terminal(ask: Cli) -> None:
    assert ask("apply", "sw/plain/[red]1", "a=\x1b[31mred").code == 0
    for ended in (ask("get", "sw/plain/[red]1"), ask("query", "sw", "--name", "plain")):
        assert ended.code == 0
        assert "\x1b" not in ended.out
        assert "sw/plain/[red]1" in ended.out
    for command in (["status"], ["members"], ["tree", "sw", "--shard", "0", "--leaves"], ["repair", "sw"]):
        assert ask(*command).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "nope/x/1"],
        ["apply", "nope/x/1", "a=1"],
        ["delete", "nope/x/1"],
        ["query", "nope"],
        ["export", "nope"],
        ["tree", "nope", "--shard", "0"],
        ["repair", "nope"],
        ["repair", "nope", "--wait"],
        ["import", "nope", "unicode"],
    ],
)
def test_an_unknown_group(ask: Cli, arguments: list[str]) -> None:
    ended = ask(*arguments)
    assert (ended.code, ended.out) == (3, "")
    assert "'nope'" in ended.problem


def test_an_unknown_shard(ask: Cli) -> None:
    for arguments in (["tree", "sw", "--shard", "7"], ["repair", "sw", "--shard", "7", "--wait"]):
        ended = ask(*arguments)
        assert ended.code == 3
        assert "7" in ended.problem


def test_a_groups_own_by_the_node_is_refused(ask: Cli) -> None:
    ended = ask("apply", "_gossipnode/x/1", "a=1")
    assert ended.code in (3, 5)
    assert "_gossipnode" in ended.problem


def test_a_record_over_the_limit(ask: Cli, tmp_path: Path) -> None:
    ended = ask("apply", "sw/big/1", "a=" + "x" * (1 << 20))
    assert ended.code == 2
    assert "sw/big/1: the record has 1,048," in ended.problem
    assert ask("apply", "sw/big/1", "a=" + "x" * 600_000).code == 0
    ended = ask("apply", "sw/big/1", "b=" + "x" * 600_000)
    assert ended.code == 2
    assert "1048576 bytes" in ended.problem
    line = json.dumps({"name": "big", "id": "2", "tags": {"a": "x" * ((1 << 20) + 1)}})
    (tmp_path / "big").write_text('{"name": "big", "id": "3", "tags": {"a": 1}}\n' + line)
    ended = ask("import", "sw", str(tmp_path / "big"))
    assert ended.code == 1
    assert "line 2: the record has 1,048," in ended.problem
    assert ask("get", "sw/big/3").code == 3


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


def test_status_members_and_tree(ask: Cli, node: Running) -> None:
    ask("apply", "sw/tree/1", "a=1")
    (status,) = lines(ask("status", "-o", "json"))
    assert list(status) == [
        "node", "address", "version", "state", "members", "shards", "rounds",
        "registry_root", "read_repairs", "read_repairs_dropped",
    ]  # fmt: skip
    assert (status["node"], status["address"], status["state"]) == ("a", node.address, "ready")
    shards = status["shards"]
    assert isinstance(shards, list)
    assert [(shard["group"], shard["shard"]) for shard in shards] == [("many", 0), ("many", 1), ("sw", 0)]
    assert list(shards[2]) == [
        "group", "shard", "replicas", "records", "tombstones", "root", "tree", "last_converged", "moving",
    ]  # fmt: skip
    (member,) = lines(ask("members", "-o", "json"))
    assert (list(member), member["name"], member["state"]) == (["name", "address", "state"], "a", "up")
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "-o", "json"))
    assert list(tree) == ["group", "shard", "state", "root", "slots"]
    assert (tree["state"], tree["root"]) == ("ready", shards[2]["root"])
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "--leaves", "-o", "json"))
    leaves = tree["leaves"]
    assert isinstance(leaves, list)
    leaf = next(leaf for leaf in leaves if leaf["name"] == "tree")
    assert list(leaf) == ["group", "name", "id", "slot", "sha", "mod_revision", "delete_time"]


def test_repair(ask: Cli) -> None:
    started = lines(ask("repair", "many", "-o", "json"))
    assert [(one["group"], one["shard"]) for one in started] == [("many", 0), ("many", 1)]
    finished = lines(ask("repair", "many", "--wait", "-o", "json"))
    assert [(one["shard"], one["outcome"], one["hops"]) for one in finished] == [
        (0, "converged", []),
        (1, "converged", []),
    ]
    assert list(finished[0]) == ["round", "group", "shard", "origin", "outcome", "seconds", "hops"]


def test_import_takes_what_export_writes(ask: Cli, tmp_path: Path) -> None:
    for number in range(3):
        ask("apply", f"many/x/{number}", f"n:int={number}", "e:int[]=", "z:binary=AP8=")
    ask("delete", "many/x/1")
    live = ask("export", "many")
    assert [record["id"] for record in lines(live)] == ["0", "2"]
    assert "exported 2 records of many" in live.err
    everything = ask("export", "many", "--tombstones")
    assert len(lines(everything)) == 3
    (tmp_path / "all").write_text(everything.out)
    (result,) = lines(ask("import", "many", str(tmp_path / "all"), "--keep-versions", "-o", "json"))
    assert list(result) == ["group", "records", "skipped", "seconds"]
    assert (result["group"], result["records"], result["skipped"]) == ("many", 3, 0)
    assert ask("export", "many", "--tombstones").out == everything.out
    refused = ask("import", "many", str(tmp_path / "all"))
    assert refused.code == 1
    assert "line 2: a deleted record" in refused.problem
    other = ask("import", "sw", str(tmp_path / "all"))
    assert other.code == 1
    assert "line 1: belongs to group 'many', not to 'sw'" in other.problem


def test_import_from_standard_input(ask: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"name": "stdin", "id": "1", "tags": {"a": 1}}\n\n{"name": "stdin", "id": "2", "tags": {"a": 2}}'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    (result,) = lines(ask("import", "sw", "-", "-o", "json"))
    assert (result["records"], result["skipped"]) == (2, 0)


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
    assert f"({written:,} records before it written)" in ended.problem
    stored = lines(ask("query", "sw", "--name", name, "--limit", "1000", "-o", "json"))
    assert len(stored) == written
    skipped = ask("import", "sw", str(file), "--skip-bad", "-o", "json")
    assert (json.loads(skipped.out)["records"], json.loads(skipped.out)["skipped"]) == (599, 1)
    assert f"line {bad}: skipped: 1.5 is no whole number" in skipped.err


def test_a_record_that_only_the_node_can_judge(ask: Cli, tmp_path: Path) -> None:
    """A stamp from the future: the client knows no bound for it but the node's clock."""
    record = '{"name": "late", "id": "%d", "tags": {"a": 1}, "create_revision": 1, "mod_revision": %d}'
    file = tmp_path / "lines"
    future = 1 << 61
    file.write_text("\n".join(record % (n, future if n == 300 else n) for n in range(1, 601)))
    ended = ask("import", "sw", str(file), "--keep-versions")
    assert ended.code == 1
    assert "line 300: " in ended.problem
    assert "(256 records before it written)" in ended.problem
    skipped = ask("import", "sw", str(file), "--keep-versions", "--skip-bad", "-o", "json")
    assert (json.loads(skipped.out)["records"], json.loads(skipped.out)["skipped"]) == (599, 1)


def test_the_table_of_characters(ask: Cli) -> None:
    (result,) = lines(ask("import", "many", "unicode", "-o", "json"))
    assert isinstance(result["records"], int)
    assert result["records"] > 20_000
    (record,) = lines(ask("get", "many/unicode/U+00BD", "-o", "json"))
    assert record["tags"] == {
        "name": "VULGAR FRACTION ONE HALF", "category": "No", "code_point": 189, "bidirectional": "ON",
        "numeric": "1/2", "decomposition": "<fraction> 0031 2044 0032",
    }  # fmt: skip
