"""The schema of the file: its tables, how a file is recognised, and how an older one is brought up to date.

A schema version is never changed once a file may have it. A change is a further entry of `MIGRATIONS`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gossipnode.store.interface import StoreTooNewError
from gossipnode.store.sqlite.sqlite_errors import damaged

APPLICATION_ID = 0x676F7370
"""The mark of our files (`PRAGMA application_id`): "gosp"."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE shard (sid INTEGER PRIMARY KEY, grp BLOB NOT NULL, number INT NOT NULL,"
        " UNIQUE (grp, number))",
        # Narrow rows in the order of the tree, so that a slot is hashed without reading payloads.
        "CREATE TABLE leaf (sid INT NOT NULL, slot INT NOT NULL, entity BLOB NOT NULL,"
        " mod_revision INT NOT NULL, delete_time INT NOT NULL, digest BLOB NOT NULL, sha BLOB,"
        " rid INT NOT NULL, PRIMARY KEY (sid, slot, entity)) WITHOUT ROWID",
        # By rid, so that a bulk load appends to the index, and payloads are read nearly in file order.
        "CREATE INDEX leaf_unhashed ON leaf (sid, rid) WHERE sha IS NULL",
        "CREATE TABLE payload (rid INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
        "CREATE TABLE slot (sid INT NOT NULL, slot INT NOT NULL, generation INT NOT NULL,"
        " records INT NOT NULL, tombstones INT NOT NULL, unhashed INT NOT NULL, sha BLOB,"
        " PRIMARY KEY (sid, slot)) WITHOUT ROWID",
        "INSERT INTO meta VALUES ('clean', 1), ('last_stamp', 0), ('dialect', '')",
    ),
    (
        # AUTOINCREMENT never gives the number of a dropped shard to another one. A digest that was computed
        # before the drop can therefore not be kept for another shard.
        "CREATE TABLE new_shard (sid INTEGER PRIMARY KEY AUTOINCREMENT, grp BLOB NOT NULL,"
        " number INT NOT NULL, incarnation INT NOT NULL, UNIQUE (grp, number, incarnation))",
        "INSERT INTO new_shard SELECT sid, grp, number, 0 FROM shard",
        "DROP TABLE shard",
        "ALTER TABLE new_shard RENAME TO shard",
        "CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        # An index is built up to the leaf at (slot, entity); slot is null once all leaves are in it. An index
        # that was given up has no sid, and stays listed until its last row is removed.
        "CREATE TABLE tag_index (iid INTEGER PRIMARY KEY AUTOINCREMENT, sid INT, tag BLOB NOT NULL,"
        " slot INT, entity BLOB, UNIQUE (sid, tag))",
        "CREATE INDEX tag_index_due ON tag_index (iid) WHERE sid IS NULL OR slot IS NOT NULL",
        "CREATE TABLE tag_row (iid INT NOT NULL, kind INT NOT NULL, key BLOB NOT NULL, entity BLOB NOT NULL,"
        " PRIMARY KEY (iid, kind, key, entity)) WITHOUT ROWID",
    ),
    (
        # Records that rotted. What is left of the payload is kept, null if nothing is.
        "CREATE TABLE set_aside (sid INT NOT NULL, slot INT NOT NULL, entity BLOB NOT NULL,"
        " mod_revision INT NOT NULL, delete_time INT NOT NULL, digest BLOB NOT NULL, bytes BLOB,"
        " reason TEXT NOT NULL, PRIMARY KEY (sid, slot, entity)) WITHOUT ROWID",
    ),
    ("INSERT INTO meta VALUES ('commits', 0)",),
    # Beside the payload, since that is the page which a write of the record has to write anyway.
    ("ALTER TABLE payload ADD COLUMN lineage BLOB",),
    # Finds a record by its number alone. New records have larger numbers, so the index is appended to.
    ("CREATE INDEX leaf_number ON leaf (rid)",),
    (
        # The commit that stored the version: null for one of before this was kept. By the index it is found
        # what has come since a commit, and nothing has to be cut off it.
        "ALTER TABLE leaf ADD COLUMN seq INT",
        "CREATE INDEX leaf_changed ON leaf (sid, seq) WHERE seq IS NOT NULL",
        # How the version came, and which one it took the place of.
        "ALTER TABLE payload ADD COLUMN arrival BLOB",
        "ALTER TABLE payload ADD COLUMN replaced_revision INT",
        "ALTER TABLE payload ADD COLUMN replaced_delete INT",
    ),
    (
        # By group and number, since marks may be kept before the first record of a shard.
        "CREATE TABLE retention (grp BLOB NOT NULL, number INT NOT NULL, incarnation INT NOT NULL,"
        " sealed INT NOT NULL, complete INT NOT NULL, mark INT NOT NULL,"
        " PRIMARY KEY (grp, number, incarnation)) WITHOUT ROWID",
        # Finds the oldest tombstones. Live records have no row in it.
        "CREATE INDEX leaf_tombstone ON leaf (sid, max(mod_revision, delete_time)) WHERE delete_time > 0",
    ),
    # The stamp of the version that the writer had seen: null where it is not known.
    ("ALTER TABLE payload ADD COLUMN built_upon INT",),
)
"""Entry i has the statements that lead from schema version i to i + 1. Entries are only added."""


def check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a file, which is certainly one of ours.

    Raises:
        StoreDamagedError: the file is not one of ours.
        StoreTooNewError: a newer gossipnode wrote it.
    """
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise damaged(path, "it lacks the mark of one")
    version = _number(connection, "PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise StoreTooNewError(
            f"{path} has schema version {version}, this gossipnode knows up to {len(MIGRATIONS)}: start the"
            " newer gossipnode that wrote it"
        )
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from a schema version up to the newest one, in one transaction."""
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
