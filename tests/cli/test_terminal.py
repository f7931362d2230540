"""What a real terminal gets: no control characters, and nothing that is cut off without a sign."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gossipnode.cli.commands.cluster_command import _Watch  # pyright: ignore[reportPrivateUsage]
from gossipnode.cli.local.local_nodes import LocalNodes
from gossipnode.config.address import Address
from gossipnode.core.model.property import Entity
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import build_property
from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Peer

NASTY = "g\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u2066\u200b\x7f\x08\r\n\t\u2028"
ASKING = [
    ["group", "list"],
    ["group", "show", "sw"],
    ["group", "create", "sw", "--shards", "1", "--replicas", "1"],
    ["status"],
    ["members"],
    ["query", "sw", "--trace"],
    ["export", "sw"],
    ["get", "sw/n/i"],
    ["apply", "sw/n/i", "a=x"],
    ["delete", "sw/n/i"],
    ["repair", NASTY],
    ["repair", NASTY, "--wait"],
    ["tree", NASTY, "--shard", "0", "--leaves"],
]
"""Commands that ask a node. What all of them print off a terminal is tested beside the gate."""


BAR = re.compile(r"\x1b\[[0-9;?]*[AmKhl]|\r|\x1b\[2K")


def on_terminal(columns: int, *arguments: str, typed: bytes = b"") -> tuple[int, str]:
    """The exit code of a command, and all that a terminal of this width got from it.

    When the command asks a question, `typed` is typed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=its, stdout=its, stderr=its, env=environment | {"TERM": "xterm"}
    )
    os.close(its)
    parts: list[bytes] = []
    while part := _read(ours):
        parts.append(part)
        if typed and b"".join(parts).endswith(b"? [y/N] "):
            os.write(ours, typed)
            typed = b""
    os.close(ours)
    return process.wait(WAIT_SECONDS), b"".join(parts).decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux says so when the other side is closed.
        return b""


def nasty_peer(peer: Peer) -> None:
    group = messages.Group(name=NASTY, shards=1, replicas=1, ack="one", indexes=[NASTY])
    shard = messages.ShardStatus(
        group=NASTY, shard=0, replicas=[NASTY], tree="ready", moving=messages.ShardStatusMoving(to=[NASTY])
    )
    hop = messages.Hop(from_=NASTY, to=NASTY, outcome="failed", reason=NASTY)
    past = messages.Round(group=NASTY, origin=NASTY, outcome="incomplete", hops=[hop])
    span = common.Span(message=NASTY, tags=[common.Tag(key=NASTY, value=NASTY)], error=True)
    trace = common.Trace(trace_id=NASTY, spans=[span])
    slot = messages.TreeResponseSlot(slot=1, sha=NASTY)
    leaf = messages.TreeResponseLeaf(group=NASTY, name=NASTY, id=NASTY, slot=1, sha=NASTY)
    payload = build_property(Entity("sw", NASTY, NASTY), {NASTY: NASTY}, create_revision=5, mod_revision=7)
    record = messages.Record(property=payload)
    peer.answers = {
        services.NODE_LIST_GROUPS: messages.ListGroupsResponse(groups=[group]),
        services.NODE_STATUS: messages.StatusResponse(
            node=NASTY,
            address=NASTY,
            version=NASTY,
            state=NASTY,
            members=[messages.Member(name=NASTY, address=NASTY, state="up")],
            shards=[shard],
            rounds=[past],
        ),
        services.NODE_QUERY: [messages.RecordBatch(records=[record], trace=trace)],
        services.NODE_EXPORT: [messages.RecordBatch(records=[record])],
        services.NODE_GET: messages.GetResponse(record=record),
        services.NODE_APPLY: messages.ApplyResponse(created=True, property=payload),
        services.NODE_CREATE_GROUP: messages.GroupResponse(group=group, acknowledged=1, members=2),
        services.NODE_TREE: [messages.TreeResponse(state=NASTY, root=NASTY, slots=[slot], leaves=[leaf])],
        services.NODE_DELETE: RpcError(Status.NOT_FOUND, f"known are {NASTY}"),
        services.NODE_REPAIR: [
            messages.RoundEvent(group=NASTY),
            messages.RoundEvent(group=NASTY, hop=hop),
            messages.RoundEvent(group=NASTY, finished=past),
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "-o", "json"], ["query", "sw", "--trace"], ["repair", NASTY, "--wait"]],
    ids=" ".join,
)
def test_no_control_character_reaches_a_terminal(peer: Peer, arguments: list[str]) -> None:
    nasty_peer(peer)
    _, shown = on_terminal(200, *arguments, "--at", peer.address)
    assert "[2J" in shown
    if arguments[0] == "repair":
        # The progress bar moves the cursor and sets colours.
        shown = BAR.sub("", shown)
    assert all(line.isprintable() for line in shown.split("\n"))


@pytest.mark.slow
def test_nothing_is_cut_off_on_a_narrow_terminal(peer: Peer) -> None:
    names = [f"storage-node-{number}.example" for number in range(3)]
    shard = messages.ShardStatus(
        group="a-group-of-a-long-name",
        shard=0,
        replicas=names,
        records=1_234_567,
        tree="ready",
        root="abc" * 20,
    )
    past = messages.Round(round="7f3a9c1e", group="sw", origin=names[0], outcome="converged", seconds=1.5)
    peer.answers[services.NODE_STATUS] = messages.StatusResponse(
        node="a",
        members=[messages.Member(name=name, address=f"{name}:7400", state="up") for name in names],
        shards=[shard],
        rounds=[past],
    )
    code, shown = on_terminal(60, "status", "--at", peer.address)
    assert code == 0
    tables = shown[shown.index("member ") :].splitlines()
    assert max(map(len, tables)) <= 60
    letters = "".join(shown.split())
    for fact in ("1,234", "abcabc", "7f3a9c", "1.500", "storage-node-2.example:7400"):
        assert fact in letters or fact in shown, shown


def test_the_live_table_of_a_cluster(tmp_path: Path) -> None:
    cluster = LocalNodes(tmp_path, ["sw:1:1"])
    cluster.add("a", Address("127.0.0.1", 7400))
    watch = _Watch(cluster, "table")
    shard = messages.ShardStatus(group=f"[red]{NASTY}", shard=0, records=1_234_567, root="abc" * 20)
    watch._statuses["a"] = messages.StatusResponse(node="a", state="ready", shards=[shard])
    drawn = StringIO()
    Console(file=drawn, width=60, force_terminal=True, color_system=None).print(watch._table())
    shown = drawn.getvalue()
    assert "\x1b" not in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    columns = "".join(shown.split())
    assert "[red" in columns
