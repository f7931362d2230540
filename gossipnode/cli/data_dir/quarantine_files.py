"""The quarantine of a data directory: files of records as `export` prints them, which `import` takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import trio

from gossipnode.client.errors import FailedError
from gossipnode.client.values.property_codec import decode_property
from gossipnode.client.values.property_json import dump_json, property_to_json
from gossipnode.config.settings import Settings
from gossipnode.core.model.property import Record, ShardId
from gossipnode.wire.generated.bp.gossipnode import v1

QUARANTINE_DIRECTORY = "quarantine"
"""Beside the store, in the data directory."""


class QuarantineFiles:
    """A file for each shard."""

    def __init__(self, settings: Settings) -> None:
        """Keep them in the node's data directory. Nothing is made before the first record."""
        self._directory = Path(settings.node.data_dir) / QUARANTINE_DIRECTORY

    async def keep(self, shard: ShardId, records: Sequence[Record]) -> str:
        """See `Quarantine.keep`."""
        path = self._directory / f"{shard.group}.{shard.shard}.{shard.incarnation}.ndjson"
        lines = [_line(record) for record in records]
        await trio.to_thread.run_sync(_append, path, "".join(f"{line}\n" for line in lines))
        return str(path)


def _line(record: Record) -> str:
    """A record as `export` prints it; one that cannot be read, with its bytes in hexadecimal digits."""
    try:
        return dump_json(property_to_json(decode_property(v1.Record(property=record.payload))))
    except FailedError:
        return dump_json({**record.entity._asdict(), "unreadable": record.payload.hex()})


def _append(path: Path, text: str) -> None:
    """Add text to a file, on the disk before it returns."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
