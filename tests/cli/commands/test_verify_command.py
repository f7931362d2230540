"""`verify`: the data directory that it wants. What it finds is tested in `test_run_command`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.store.snapshot.manifest import MANIFEST_NAME
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.wire.property.canonical_json import leaf_digest
from tests.cli.conftest import Cli, lines, refused
from tests.records import record
from tests.store.snapshot.taking import take_snapshot


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], ["--data-dir"]),
        (["verify", "--data-dir", "/nowhere/d"], ["/nowhere/d: no such directory"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


def test_a_snapshot_and_its_manifest(cli: Cli, tmp_path: Path) -> None:
    async def fill() -> None:
        async with open_sqlite_store(tmp_path / "data", leaf_digest=digest, dialect="none") as store:
            await store.write([(ShardId("sw", 0), record(f"n/{number}", k=number)) for number in range(3)])

    trio.run(fill)
    take_snapshot(tmp_path / "data", tmp_path, "one")
    snapshot = tmp_path / "one"
    (told,) = lines(cli("verify", "--data-dir", str(snapshot), "-o", "json"))
    assert (told["records"], told["wrong"]) == (3, 0)
    manifest = json.loads((snapshot / MANIFEST_NAME).read_bytes())
    manifest["file"]["sha256"] = "00"
    (snapshot / MANIFEST_NAME).write_text(json.dumps(manifest))
    ended = cli("verify", "--data-dir", str(snapshot))
    assert ended.code == 1
    assert f"{snapshot}: 1 wrong: store.db: its SHA-256 is" in ended.problem
    (snapshot / MANIFEST_NAME).write_text("{")
    ended = cli("verify", "--data-dir", str(snapshot))
    assert ended.code == 1
    assert "no manifest of a snapshot, or it is torn" in ended.problem


def digest(payload: bytes, delete_time: int) -> bytes:
    return leaf_digest(payload, delete_time, spacing="none")
