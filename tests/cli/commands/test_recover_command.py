"""`recover`: a data directory of one survivor, from its question to what its store says afterwards."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.deciding.epoch_messages import NO_BALLOT, Ballot
from gossipnode.core.model.property import ShardId
from gossipnode.node.identity.birth import BIRTH_NOTE, Birth, noted_birth
from gossipnode.node.identity.owner import OWNER_NOTE, take_store
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.store.interface import Store
from gossipnode.store.sqlite.sqlite_store import SqliteStore, open_sqlite_store
from gossipnode.wire.epochs.epoch_codec import decode_state, encode_state
from tests.cli.conftest import Cli, refused
from tests.cli.test_confirm import type_in
from tests.core.cluster.clusters import CLUSTER_ID, KEY, formed
from tests.records import record
from tests.store.support import leaf_digest

GROUPS = (Group("alone", shards=2, replicas=1), Group("sw", shards=1, replicas=3))
OLD = formed("abc", *GROUPS)
NO_COPY = [str(shard) for shard in OLD.shards() if "a" not in OLD.place(shard).settled]
UNFORMED: AcceptorState[ClusterMetadata] = AcceptorState(0)
Result = TypeVar("Result")


def opened(directory: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return open_sqlite_store(directory, leaf_digest=leaf_digest, dialect="commas")


def in_store(directory: Path, work: Callable[[Store], Awaitable[Result]]) -> Result:
    """Open the store of a data directory, and do something with it."""

    async def run() -> Result:
        async with opened(directory) as store:
            return await work(store)

    return trio.run(run)


def kept_state(directory: Path) -> AcceptorState[ClusterMetadata]:
    async def read(store: Store) -> AcceptorState[ClusterMetadata]:
        return decode_state(0, await store.note(CLUSTER_NOTE) or b"")

    return in_store(directory, read)


def note(key: str, value: bytes | None) -> Callable[[Store], Awaitable[None]]:
    async def keep(store: Store) -> None:
        await store.keep_note(key, value)

    return keep


@pytest.fixture
def survivor(tmp_path: Path) -> Path:
    """The data directory of a, a member of the cluster of a, b and c, which accepted what comes next."""
    value = OLD
    ballot = Ballot(3, 3)
    later = formed("abc", *GROUPS, Group("later"))
    state = AcceptorState(0, value, ballot, (ballot, ClusterMetadata(**{**vars(later), "epoch": 2})))

    async def fill(store: Store) -> None:
        await take_store(store, "a", tmp_path)
        await store.keep_note(BIRTH_NOTE, b"0")
        await store.keep_note(CLUSTER_NOTE, encode_state(state))
        await store.write([(ShardId("sw", 0), record(f"n/{number}")) for number in range(3)])
        await store.tree(ShardId("sw", 0))

    in_store(tmp_path, fill)
    return tmp_path


def test_a_survivor_becomes_a_cluster_of_its_own(cli: Cli, survivor: Path) -> None:
    ended = cli("recover", "--data-dir", str(survivor), "--yes")
    assert ended.code == 0
    shown = " ".join(ended.out.split())
    assert "a is the only member of a new cluster, in epoch 1000001" in shown
    assert "3 records and 0 tombstones" in shown
    assert f"gossipnode run --name a --listen a:1 --data-dir {survivor}\n" in ended.out
    for other in "bc":
        assert (
            f"gossipnode run --name {other} --listen {other}:1 --data-dir data/{other} --join a:1 --as-new\n"
            in ended.out
        )
    assert f"a has no copy of {', '.join(NO_COPY)}: only other members" in ended.err
    assert "a may lack acknowledged writes of sw/0" in ended.err
    assert "the newest epoch that it knows is 1, with the members a, b, c" in ended.err
    state = kept_state(survivor)
    value = state.decided
    assert value is not None
    assert (state.promised, state.accepted) == (NO_BALLOT, None)
    assert (list(value.members), list(value.groups), value.epoch) == (["a"], ["alone", "sw"], 1_000_001)
    assert value.cluster_id != CLUSTER_ID
    assert value.key not in (KEY, b"")


def test_records_and_their_digests_stay(cli: Cli, survivor: Path) -> None:
    async def look(store: Store) -> tuple[object, object]:
        return await store.counts(ShardId("sw", 0)), await store.last_stamp()

    before = in_store(survivor, look)
    assert cli("recover", "--data-dir", str(survivor), "--yes").code == 0
    assert in_store(survivor, look) == before
    assert "unhashed=0" in str(before)


def test_a_store_that_could_not_take_its_own_place_is_a_survivor(cli: Cli, survivor: Path) -> None:
    """Of two members one is lost, and the other one went back in time: nothing is left but that one."""
    in_store(survivor, note(BIRTH_NOTE, b"77 takes-over"))
    assert cli("recover", "--data-dir", str(survivor), "--yes").code == 0
    value = kept_state(survivor).decided
    assert value is not None
    assert value.members["a"].birth == OLD.members["a"].birth

    async def birth(store: Store) -> Birth | None:
        return await noted_birth(store)

    assert in_store(survivor, birth) == Birth(OLD.members["a"].birth)


def test_what_it_did_as_json(cli: Cli, survivor: Path) -> None:
    ended = cli("recover", "--data-dir", str(survivor), "--yes", "-o", "json")
    assert ended.code == 0
    told = json.loads(ended.out)
    value = kept_state(survivor).decided
    assert value is not None
    assert told == {
        "data_dir": str(survivor),
        "name": "a",
        "epoch_before": 1,
        "epoch": 1_000_001,
        "cluster_id": value.cluster_id.hex(),
        "members_before": ["a", "b", "c"],
        "groups": ["alone", "sw"],
        "records": 3,
        "tombstones": 0,
        "no_copy": NO_COPY,
        "one_copy_of_several": ["sw/0"],
        "run_here": f"gossipnode run --name a --listen a:1 --data-dir {survivor}",
        "run_others": [
            f"gossipnode run --name {other} --listen {other}:1 --data-dir data/{other} --join a:1 --as-new"
            for other in "bc"
        ],
    }


def test_it_is_done_once(cli: Cli, survivor: Path) -> None:
    assert cli("recover", "--data-dir", str(survivor), "--yes").code == 0
    ended = cli("recover", "--data-dir", str(survivor), "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.problem
        == f"{survivor}: a is the only member of its cluster, and decides alone: start it as it is"
    )


def test_without_a_terminal_it_needs_yes(cli: Cli, survivor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    ended = cli("recover", "--data-dir", str(survivor))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(
        "gossipnode: there is no terminal to ask at, and nothing was changed: add --yes\n"
    )
    value = kept_state(survivor).decided
    assert value == OLD


@pytest.mark.parametrize(("typed", "code", "epoch"), [(b"n\n", 1, 1), (b"y\n", 0, 1_000_001)])
def test_on_a_terminal_it_asks(
    cli: Cli, survivor: Path, monkeypatch: pytest.MonkeyPatch, typed: bytes, code: int, epoch: int
) -> None:
    type_in(monkeypatch, typed)
    ended = cli("recover", "--data-dir", str(survivor))
    assert ended.code == code
    assert (
        "make a the only member of a new cluster, in place of the one in epoch 1 (a, b, c)? [y/N]"
        in ended.err
    )
    value = kept_state(survivor).decided
    assert value is not None
    assert value.epoch == epoch


def problem(cli: Cli, directory: Path, *arguments: str) -> str:
    ended = cli("recover", "--data-dir", str(directory), "--yes", *arguments)
    assert (ended.code, ended.out) == (1, "")
    return ended.problem


def test_another_nodes_directory(cli: Cli, survivor: Path) -> None:
    assert problem(cli, survivor, "--name", "zz").endswith("belongs to node 'a', and not to 'zz'")
    assert cli("recover", "--data-dir", str(survivor), "--yes", "--name", "a").code == 0


def test_a_note_of_the_name_that_has_rotted(cli: Cli, survivor: Path) -> None:
    in_store(survivor, note(OWNER_NOTE, b"rotten"))
    assert "give its name as --name" in problem(cli, survivor)
    assert "b is no member in epoch 1" not in problem(cli, survivor, "--name", "zz")
    assert "zz is no member in epoch 1" in problem(cli, survivor, "--name", "zz")
    assert cli("recover", "--data-dir", str(survivor), "--yes", "--name", "a").code == 0


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (CLUSTER_NOTE, None, "knows no epoch"),
        (CLUSTER_NOTE, encode_state(UNFORMED), "its cluster was never formed"),
        (CLUSTER_NOTE, b"\xff\xff", "the note of members and groups is damaged"),
        (BIRTH_NOTE, None, "knows no epoch"),
        (BIRTH_NOTE, b"7", "a is no member in epoch 1"),
    ],
)
def test_a_store_that_cannot_be_recovered(
    cli: Cli, survivor: Path, key: str, value: bytes | None, why: str
) -> None:
    in_store(survivor, note(key, value))
    assert why in problem(cli, survivor)


def test_a_directory_without_a_whole_store(cli: Cli, survivor: Path, tmp_path: Path) -> None:
    refused(cli, ["recover", "--data-dir", "/nowhere/d", "--yes"], ["/nowhere/d: no such directory"])
    refused(cli, ["recover", "--yes"], ["--data-dir"])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert problem(cli, empty).startswith("there is no store in ")
    assert list(empty.iterdir()) == []
    (survivor / "store.db").write_bytes(b"no store at all" * 1000)
    assert "damaged" in problem(cli, survivor) or "not a" in problem(cli, survivor)


def test_a_node_that_runs(cli: Cli, survivor: Path) -> None:
    async def run() -> None:
        async with opened(survivor):
            ended = await trio.to_thread.run_sync(
                lambda: cli("recover", "--data-dir", str(survivor), "--yes", "-o", "json")
            )
        assert (ended.code, ended.out) == (1, "")
        assert ended.problem.startswith(f"{survivor} is in use by another process")

    trio.run(run)
