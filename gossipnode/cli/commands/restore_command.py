"""`restore`: a snapshot becomes the data directory of a node, offline."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.commands.start_lines import join_lines, named_shards, start_line
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import output_option, run_async
from gossipnode.cli.output import counted, print_folded, print_json, print_line, progress, say
from gossipnode.cli.standard_streams import until_reader_leaves

if TYPE_CHECKING:
    from gossipnode.node.snapshots.restored_store import RestoredStore
    from gossipnode.store.snapshot.manifest import Manifest

_PATH = PathType(path_type=Path)


@click.command("restore", cls=Command)
@click.argument("snapshot", type=_PATH)
@click.option(
    "--data-dir",
    type=_PATH,
    required=True,
    metavar="D",
    help="Empty, or not there yet: of the node to start.",
)
@click.option(
    "--new-cluster",
    is_flag=True,
    help="Make it the first member of a new cluster, where the old one is lost or shall be left alone.",
)
@output_option
def command(snapshot: Path, data_dir: Path, new_cluster: bool, output: str) -> None:
    """Bring SNAPSHOT back into an empty data directory.

    SNAPSHOT is the directory that `gossipnode snapshot` made. Its checksum is compared on the way. The store
    counts as a new one: when its node is started, it takes its own place again, and fills itself from the
    other members before it counts. That needs a majority of them.

    Where no majority is left, restore the snapshot of one node with --new-cluster and start it. Then restore
    those of the other nodes without, and start each with --join ADDR --as-new.
    """
    from gossipnode.client.errors import sole_error
    from gossipnode.core.cluster.change_refusals import ChangeRefusedError
    from gossipnode.store.interface import StoreError

    if not snapshot.is_dir():
        raise Failure(f"{snapshot}: no such directory", WRONG_USE)
    if data_dir.exists() and not data_dir.is_dir():
        raise Failure(f"--data-dir {data_dir}: it is no directory", WRONG_USE)
    try:
        manifest, restored = _restore(snapshot, data_dir, new_cluster)
    except (StoreError, ChangeRefusedError, BaseExceptionGroup) as caught:
        error = sole_error(caught)
        if not isinstance(error, StoreError | ChangeRefusedError):
            raise
        raise Failure(str(error), FAILED) from None
    with until_reader_leaves():
        if output == "json":
            print_json(_shape(data_dir, manifest, restored))
        else:
            _print(data_dir, manifest, restored)


def _restore(snapshot: Path, data_dir: Path, new_cluster: bool) -> tuple[Manifest, RestoredStore]:
    from gossipnode.store.snapshot.manifest import read_manifest
    from gossipnode.store.snapshot.placing import check_snapshot, placed_copy

    manifest = read_manifest(snapshot)
    check_snapshot(snapshot, manifest)
    bar = progress(f"restoring {manifest.snapshot}", manifest.file.bytes, is_bytes=True)
    with bar as advance, placed_copy(snapshot, manifest, data_dir, advance) as restoring:
        restored: RestoredStore = run_async(_make_another, restoring, new_cluster)
    return manifest, restored


async def _make_another(directory: Path, new_cluster: bool) -> RestoredStore:
    from gossipnode.node.snapshots.restored_store import make_another
    from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
    from gossipnode.wire.property.canonical_json import leaf_digest
    from gossipnode.wire.property.index_rows import payload_rows

    async with open_sqlite_store(
        directory, leaf_digest=partial(leaf_digest, spacing="none"), index_rows=payload_rows, dialect=None
    ) as store:
        return await make_another(store, random.SystemRandom(), new_cluster=new_cluster)


def _run_here(data_dir: Path, restored: RestoredStore) -> str:
    if restored.recovery is not None:
        return start_line(restored.recovery.survivor, data_dir)
    member = None if restored.before is None else restored.before.members.get(restored.name)
    return "" if member is None else start_line(member, data_dir)


def _shape(data_dir: Path, manifest: Manifest, restored: RestoredStore) -> dict[str, object]:
    recovery = restored.recovery
    value = restored.before if recovery is None else recovery.after
    doubtful = None if recovery is None else recovery.doubtful
    return {
        "data_dir": str(data_dir),
        "snapshot": manifest.snapshot,
        "taken_at": manifest.taken_at,
        "name": restored.name,
        "new_cluster": recovery is not None,
        "epoch": 0 if value is None else value.epoch,
        "cluster_id": None if value is None else value.cluster_id.hex(),
        "members": [] if value is None else list(value.members),
        "groups": [] if value is None else list(value.groups),
        "records": manifest.records,
        "tombstones": manifest.tombstones,
        "no_copy": [] if doubtful is None else list(map(str, doubtful.no_copy)),
        "one_copy_of_several": [] if doubtful is None else list(map(str, doubtful.one_copy_of_several)),
        "run_here": _run_here(data_dir, restored),
        "run_others": [] if recovery is None else join_lines(recovery.survivor, recovery.others),
    }


def _print(data_dir: Path, manifest: Manifest, restored: RestoredStore) -> None:
    print_folded(
        f"{data_dir} is that of {restored.name} as of {manifest.taken_at}, with "
        f"{counted(manifest.records, 'record')} and {counted(manifest.tombstones, 'tombstone')}."
    )
    if restored.recovery is not None:
        _print_new_cluster(data_dir, restored)
        return
    here = _run_here(data_dir, restored)
    if not here:
        print_folded("Its node was no member of a cluster. Start it with its settings, as before.")
        return
    print_folded(
        "Start it with its settings, as before, or as follows, while a majority of the members runs: it "
        "takes its own place again, and fills itself from the others before it counts:"
    )
    print_line(f"  {here}")
    print_folded(
        "If no majority is left, restore one node with --new-cluster, and add --join and --as-new here."
    )


def _print_new_cluster(data_dir: Path, restored: RestoredStore) -> None:
    recovery = restored.recovery
    assert recovery is not None
    doubtful = recovery.doubtful
    if doubtful.no_copy:
        say(f"it has no copy of {named_shards(doubtful.no_copy)}: other snapshots have their records")
    if doubtful.one_copy_of_several:
        shards = named_shards(doubtful.one_copy_of_several)
        say(f"others may have more of {shards}: it has one of several copies")
    print_folded(
        f"{restored.name} is the only member of a new cluster, in epoch {recovery.after.epoch}, with "
        f"{counted(len(recovery.after.groups), 'group')}. Start it with its settings, or with:"
    )
    print_line(f"  {_run_here(data_dir, restored)}")
    if recovery.others:
        print_folded(
            "Then start each other member, on its own restored snapshot if there is one, else on an empty "
            "data directory:"
        )
        for line in join_lines(recovery.survivor, recovery.others):
            print_line(f"  {line}")
