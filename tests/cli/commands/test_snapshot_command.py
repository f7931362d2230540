"""`snapshot`: what is asked of a node, and what is said of its answer."""

from __future__ import annotations

import json

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.store.snapshot.manifest import CopiedFile, Manifest, Marks, encode_manifest
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, lines

MANIFEST = Manifest(
    gossipnode="0.1.0",
    schema=6,
    snapshot="nightly",
    taken_at="2026-01-02T03:04:05Z",
    node="a",
    birth="0000000000000011",
    cluster_id="00ff",
    epoch=3,
    members=("a", "b"),
    groups=("sw",),
    marks=Marks(boot=2, commit=9, last_stamp=5),
    records=1000,
    tombstones=1,
    file=CopiedFile(name="store.db", bytes=70_000, sha256="ab"),
)
EVENTS = [
    messages.SnapshotEvent(bytes_done=10, bytes_estimated=70_000),
    messages.SnapshotEvent(bytes_done=71_000, bytes_estimated=71_000),
    messages.SnapshotEvent(
        bytes_done=70_000,
        bytes_estimated=70_000,
        path="/snapshots/nightly",
        manifest=encode_manifest(MANIFEST).decode(),
    ),
]


@pytest.mark.slow
def test_a_snapshot(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_SNAPSHOT] = EVENTS
    (told,) = lines(ask_peer("snapshot", "nightly", "-o", "json"))
    assert told.pop("path") == "/snapshots/nightly"
    assert isinstance(told.pop("seconds"), float)
    assert told == json.loads(encode_manifest(MANIFEST))
    assert [each.name for each in peer.asked] == ["nightly"]
    ended = ask_peer("snapshot", "nightly")
    assert (ended.code, ended.err) == (0, "")
    for words in ("/snapshots/nightly: 1,000 records and 1 tombstone of a", "70 kB", "epoch 3", "commit 9"):
        assert words in ended.out


@pytest.mark.slow
def test_what_a_node_refuses(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_SNAPSHOT] = RpcError(Status.ALREADY_EXISTS, "nightly is there already")
    ended = ask_peer("snapshot", "nightly")
    assert (ended.code, ended.problem) == (1, "nightly is there already")
    peer.answers[services.NODE_SNAPSHOT] = RpcError(Status.INVALID_ARGUMENT, "no name")
    assert ask_peer("snapshot", "nightly").code == 2
    peer.answers[services.NODE_SNAPSHOT] = RpcError(Status.PERMISSION_DENIED, "this takes an admin")
    assert ask_peer("snapshot", "nightly").code == 5
    peer.answers[services.NODE_SNAPSHOT] = EVENTS[:1]
    assert "did not say that the snapshot is whole" in ask_peer("snapshot", "nightly").problem
