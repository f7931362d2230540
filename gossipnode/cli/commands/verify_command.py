"""`verify`: an offline check of a data directory; every digest is computed from the payloads again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import output_option
from gossipnode.cli.output import counted, print_folded, print_json, print_table, progress
from gossipnode.cli.standard_streams import until_reader_leaves
from gossipnode.core.model.property import FIRST_EPOCH

if TYPE_CHECKING:
    from gossipnode.core.model.property import ShardId
    from gossipnode.store.interface import LeafDigest, StoreSummary


@click.command("verify", cls=Command)
@click.option(
    "--data-dir", type=PathType(path_type=Path), required=True, metavar="D", help="Of a stopped node."
)
@output_option
def command(data_dir: Path, output: str) -> None:
    """Compute every digest and index in a data directory again. Exit code 1 if one is wrong.

    The node must not be running. D may also be a snapshot, of which the checksum is compared as well.
    """
    from gossipnode.store.interface import StoreError

    if not data_dir.is_dir():
        raise Failure(f"--data-dir {data_dir}: no such directory", WRONG_USE)
    try:
        summary = _as_its_manifest_says(data_dir, _verify(data_dir))
    except StoreError as error:
        raise Failure(str(error), FAILED) from None
    with until_reader_leaves():
        if output == "json":
            print_json(_shape(data_dir, summary))
        else:
            _print(data_dir, summary)
    if summary.wrong_count:
        first = summary.wrong[0] if summary.wrong else ""
        raise Failure(f"{data_dir}: {summary.wrong_count:,} wrong: {first}", FAILED)


def _verify(data_dir: Path) -> StoreSummary:
    from gossipnode.store.verify.check_store import verify_store
    from gossipnode.wire.property.index_rows import payload_rows

    with progress(f"verifying {data_dir}") as advance:
        done_before = 0

        def moved(done: int, _total: int) -> None:
            nonlocal done_before
            advance(done - done_before)
            done_before = done

        return verify_store(data_dir, _leaf_digest, index_rows=payload_rows, progress=moved)


def _as_its_manifest_says(data_dir: Path, summary: StoreSummary) -> StoreSummary:
    """What was found, and whether the file is what a manifest beside it says, as in a snapshot."""
    from dataclasses import replace

    from gossipnode.store.snapshot.database_copy import file_sha256
    from gossipnode.store.snapshot.manifest import MANIFEST_NAME, read_manifest
    from gossipnode.store.sqlite.disk.file import FILE_NAME

    if not (data_dir / MANIFEST_NAME).exists():
        return summary
    wanted = read_manifest(data_dir).file.sha256
    found = file_sha256(data_dir / FILE_NAME, lambda _done, _in_all: None)
    if found == wanted:
        return summary
    finding = f"{FILE_NAME}: its SHA-256 is {found}, and {MANIFEST_NAME} says {wanted}"
    return replace(summary, wrong=(finding, *summary.wrong), wrong_count=summary.wrong_count + 1)


def _leaf_digest(dialect: str) -> LeafDigest:
    from gossipnode.wire.property.canonical_json import leaf_digest

    return partial(leaf_digest, spacing="commas" if dialect == "commas" else "none")


def _shape(data_dir: Path, summary: StoreSummary) -> dict[str, object]:
    return {
        "data_dir": str(data_dir),
        "records": summary.records,
        "tombstones": summary.tombstones,
        "wrong": summary.wrong_count,
        "shards": [
            {"group": shard.group, "shard": shard.shard, **_incarnation(shard), "root": root}
            for shard, root in summary.roots
        ],
        "findings": list(summary.wrong),
    }


def _incarnation(shard: ShardId) -> dict[str, int]:
    """The incarnation of a group that a command made. An earlier group of that name may lie beside it."""
    return {"incarnation": shard.incarnation} if shard.incarnation != FIRST_EPOCH else {}


def _print(data_dir: Path, summary: StoreSummary) -> None:
    print_folded(
        f"{data_dir}: {counted(summary.records, 'record')}, {counted(summary.tombstones, 'tombstone')}, "
        f"{summary.wrong_count:,} wrong"
    )
    print_table(("shard", "root"), [(str(shard), root or "(empty)") for shard, root in summary.roots])
    for finding in summary.wrong:
        print_folded(finding)
