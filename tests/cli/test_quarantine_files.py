"""What a node may not have any more is kept in a file that `import` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gossipnode.cli.data_dir.quarantine_files import QuarantineFiles
from gossipnode.config.settings import load_settings
from gossipnode.core.model.property import ShardId
from tests.records import bare_record, record


def quarantine(directory: Path) -> QuarantineFiles:
    directory.mkdir()
    settings = load_settings(
        overrides={"node.name": "a", "node.listen": "127.0.0.1:0", "node.data_dir": str(directory)}
    )
    return QuarantineFiles(settings)


def lines_of(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


async def test_records_are_kept_as_export_prints_them(tmp_path: Path) -> None:
    files = quarantine(tmp_path / "data")
    shard = ShardId("sw", 3, 7)
    first = await files.keep(shard, [record("n/1", x=1)])
    assert await files.keep(shard, [record("n/2", x=2)]) == first
    assert first == str(tmp_path / "data" / "quarantine" / "sw.3.7.ndjson")
    assert [(line["group"], line["name"], line["id"], line["tags"]) for line in lines_of(first)] == [
        ("sw", "n", "1", {"x": 1}),
        ("sw", "n", "2", {"x": 2}),
    ]


async def test_one_that_cannot_be_read_is_kept_by_its_bytes(tmp_path: Path) -> None:
    path = await quarantine(tmp_path / "data").keep(ShardId("sw", 0), [bare_record("n/1", b"\xff\xff")])
    assert lines_of(path) == [{"group": "sw", "name": "n", "id": "1", "unreadable": "ffff"}]
