"""Takes snapshots of this node's store while it runs, one at a time, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog
import trio

from gossipnode import __version__
from gossipnode.config.settings import NodeSettings
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.node.identity.birth import BIRTH_NOTE, birth_in
from gossipnode.node.identity.own_boot import BOOT_NOTE, boot_in
from gossipnode.node.identity.owner import OWNER_NOTE, owner_in
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.store.snapshot.database_copy import (
    CopyFacts,
    check_has_store,
    copy_database,
    copy_facts,
    file_sha256,
)
from gossipnode.store.snapshot.manifest import (
    MANIFEST_NAME,
    TAKEN_AT_FORMAT,
    CopiedFile,
    Manifest,
    Marks,
    SnapshotError,
    encode_manifest,
)
from gossipnode.store.snapshot.snapshot_files import (
    check_is_free,
    check_snapshot_name,
    newest_taken_at,
    partial_snapshot,
    remove_remains,
    write_durably,
)
from gossipnode.store.sqlite.disk.file import FILE_NAME
from gossipnode.wire.epochs.epoch_codec import decode_state
from gossipnode.wire.wire_errors import WireError


@dataclass(slots=True)
class SnapshotProgress:
    """How far a snapshot is. The thread that takes it writes here, and the loop reads."""

    bytes_done: int = 0
    bytes_estimated: int = 0


class SnapshotOutcomes(NamedTuple):
    """What became of snapshots. Times are in nanoseconds since 1970, 0 for never."""

    taken: int = 0
    """Since the node started, as `failed`."""
    failed: int = 0
    """Those that began, and were not taken: given up by their clients, too."""
    taken_at: int = 0
    """When the last one that is known of was begun, also before the node started."""
    failed_at: int = 0


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A snapshot that is whole and durable."""

    path: Path
    manifest: Manifest


class Snapshots:
    """Takes the snapshots of one node."""

    def __init__(self, settings: NodeSettings, wall_clock: Callable[[], int]) -> None:
        """Copy the store of `settings`; `wall_clock` gives nanoseconds since 1970. Nothing is read yet."""
        self._name = settings.name
        self._database = settings.data_dir / FILE_NAME
        self._directory = settings.snapshot_dir
        self._wall_clock = wall_clock
        self._taking: str | None = None
        self.outcomes = SnapshotOutcomes()
        self._threads = trio.CapacityLimiter(1)
        self._log = structlog.get_logger("gossipnode.snapshots")

    async def remove_remains(self) -> None:
        """Remove what a crash has left of snapshots. One that cannot be read is told of in the log."""
        if self._directory is None:
            return
        try:
            removed = await trio.to_thread.run_sync(remove_remains, self._directory, limiter=self._threads)
        except OSError as error:
            self._log.warning("the directory of snapshots cannot be read", reason=str(error))
            return
        if removed:
            self._log.info("remains of snapshots removed", remains=removed)

    async def recall(self) -> None:
        """Look for the newest snapshot of this node, so that its age is known after a restart as well."""
        if self._directory is None:
            return
        found = await trio.to_thread.run_sync(
            newest_taken_at, self._directory, self._name, limiter=self._threads
        )
        if found is not None:
            taken_at = int(found.timestamp()) * NANOSECONDS_PER_SECOND
            self.outcomes = self.outcomes._replace(taken_at=max(taken_at, self.outcomes.taken_at))

    async def take(self, name: str, progress: SnapshotProgress) -> TakenSnapshot:
        """Take a snapshot, and return once it is whole and durable. When cancelled, nothing of it is left.

        Raises:
            SnapshotNameError: no snapshot can have this name.
            SnapshotExistsError: there is one of this name.
            SnapshotError: no directory is set or it cannot be written to, or another snapshot is being taken.
            StoreFullError: there is no space for it.
            StoreError: the store cannot be read.
        """
        check_snapshot_name(name)
        if self._directory is None:
            raise SnapshotError(
                f"{self._name} has no directory for snapshots: set [node] snapshot_dir, and start it again"
            )
        if self._taking is not None:
            raise SnapshotError(
                f"{self._name} is taking the snapshot {self._taking!r} already: wait until that is done"
            )
        self._taking = name
        began = self._wall_clock()
        now = datetime.fromtimestamp(began // NANOSECONDS_PER_SECOND, UTC)
        try:
            taken = await trio.to_thread.run_sync(
                self._take, self._directory, name, now, progress, limiter=self._threads
            )
        except BaseException:
            known = self.outcomes
            self.outcomes = known._replace(failed=known.failed + 1, failed_at=self._wall_clock())
            raise
        finally:
            self._taking = None
        self.outcomes = self.outcomes._replace(taken=self.outcomes.taken + 1, taken_at=began)
        return taken

    def _take(self, directory: Path, name: str, now: datetime, progress: SnapshotProgress) -> TakenSnapshot:
        """Runs in a thread."""

        def told(done: int, in_all: int) -> None:
            progress.bytes_done, progress.bytes_estimated = done, in_all
            trio.from_thread.check_cancelled()

        check_is_free(directory, name)
        check_has_store(self._database)
        with partial_snapshot(directory, name) as partial:
            copy = partial / FILE_NAME
            copy_database(self._database, copy, told)
            file = CopiedFile(
                name=FILE_NAME,
                bytes=copy.stat().st_size,
                sha256=file_sha256(copy, lambda _done, _in_all: trio.from_thread.check_cancelled()),
            )
            manifest = describe_copy(
                copy_facts(copy),
                file,
                snapshot=name,
                node=self._name,
                taken_at=now.strftime(TAKEN_AT_FORMAT),
            )
            write_durably(partial / MANIFEST_NAME, encode_manifest(manifest))
        return TakenSnapshot(directory.absolute() / name, manifest)


def describe_copy(facts: CopyFacts, file: CopiedFile, *, snapshot: str, node: str, taken_at: str) -> Manifest:
    """The manifest of a copy, by the notes in it: the node itself may be further by now."""
    birth = birth_in(facts.notes.get(BIRTH_NOTE))
    value = _cluster_in(facts.notes.get(CLUSTER_NOTE))
    return Manifest(
        gossipnode=__version__,
        schema=facts.schema,
        snapshot=snapshot,
        taken_at=taken_at,
        node=owner_in(facts.notes.get(OWNER_NOTE)) or node,
        birth=None if birth is None else f"{birth.number:016x}",
        cluster_id=None if value is None else value.cluster_id.hex(),
        epoch=0 if value is None else value.epoch,
        members=() if value is None else tuple(value.members),
        groups=() if value is None else tuple(value.groups),
        marks=Marks(
            boot=boot_in(facts.notes.get(BOOT_NOTE)), commit=facts.commit, last_stamp=facts.last_stamp
        ),
        records=facts.records,
        tombstones=facts.tombstones,
        file=file,
    )


def _cluster_in(note: bytes | None) -> ClusterMetadata | None:
    """The newest epoch that a note tells; None without one, and for a note that has rotted."""
    try:
        return None if note is None else decode_state(0, note).decided
    except WireError:
        return None
