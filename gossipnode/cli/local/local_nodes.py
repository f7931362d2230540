"""Real node processes on this machine, for `cluster` and `demo`: started, watched, and stopped with us.

The standard input of a node is a pipe from this process, and the node stops when the pipe closes. So it ends
with this process even after kill -9. Only a node that was started detached runs on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from gossipnode.cli.failure import FAILED, Failure
from gossipnode.client.calls.node_client import connect_node
from gossipnode.client.errors import ClientError
from gossipnode.client.values.property_json import dump_json
from gossipnode.config.address import Address

READY_SECONDS = 60.0
FORMED_SECONDS = 60.0
FORMED_PAUSE_SECONDS = 0.1
STATUS_SECONDS = 5.0
"""How long the nodes may take to form their cluster, and how they are asked whether they have."""

STOP_SECONDS = 15.0
"""The 10 s that a node gives to what is running, and five more."""
LOG_TAIL_BYTES = 4096
LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class LocalNode:
    """One node process. `process` is None before it was started, and after it was stopped."""

    name: str
    address: Address
    directory: Path
    status_address: Address | None = None
    """Where its status page is, if it has one."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The file of its settings, which `gossipnode run --config` takes as well."""
        return self.directory / f"{self.name}.toml"

    @property
    def data_dir(self) -> Path:
        """Where it keeps its records."""
        return self.directory / self.name

    @property
    def snapshot_dir(self) -> Path:
        """Where its snapshots are."""
        return self.directory / f"{self.name}-snapshots"

    @property
    def log(self) -> Path:
        """What it said on stderr."""
        return self.directory / f"{self.name}.log"

    def describe(self) -> dict[str, object]:
        """Its entry in cluster.json."""
        return {
            "name": self.name,
            "address": str(self.address),
            "status_address": None if self.status_address is None else str(self.status_address),
            "pid": None if self.process is None else self.process.pid,
            "data_dir": str(self.data_dir.absolute()),
        }


@dataclass(slots=True)
class LocalNodes:
    """The nodes of one cluster on loopback, with their files in one directory."""

    directory: Path
    groups: Sequence[str]
    nodes: list[LocalNode] = field(default_factory=list[LocalNode])
    foreign: dict[str, Address] = field(default_factory=dict[str, Address])
    """Members of another kind, which are somebody else's to run."""
    detached: bool = False
    """Whether the nodes are to run on when this process ends."""

    def add(self, name: str, address: Address, status_address: Address | None = None) -> None:
        """Plan a node. All are planned before the first is started, because each must know all of them."""
        self.nodes.append(LocalNode(name, address, self.directory, status_address))

    def __getitem__(self, name: str) -> LocalNode:
        return next(node for node in self.nodes if node.name == name)

    async def start_all(self) -> None:
        """Write the settings, start every node, and wait until they have formed their cluster.

        Raises:
            Failure: a node ended instead, or they did not form it in time; it says what is waited for.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        for node in self.nodes:
            node.config.write_text(self._settings(node))
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self.start, node)
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._wait_formed, node)

    async def _wait_formed(self, node: LocalNode) -> None:
        """Wait until a node that serves is a member of a cluster, and has found the other nodes."""
        waits, names = "it does not answer", {each.name for each in self.nodes}
        with trio.move_on_after(FORMED_SECONDS):
            while node.process is None or node.process.poll() is None:
                try:
                    async with connect_node(node.address, timeout_seconds=STATUS_SECONDS) as client:
                        status = await client.status()
                    missing = names - {member.name for member in status.members if member.state == "up"}
                    if status.epoch and not missing and not status.unheard:
                        return
                    problems = status.forming.problems or [f"{name}: not found" for name in sorted(missing)]
                    waits = "it waits for " + ("; ".join(problems) or "the others")
                except ClientError as error:
                    waits = str(error)
                await trio.sleep(FORMED_PAUSE_SECONDS)
            raise Failure(f"node {node.name} has ended: {_last_words(node.log)}", FAILED)
        raise Failure(
            f"no cluster was formed within {FORMED_SECONDS:g} s: {node.name} is up, and {waits}", FAILED
        )

    async def start(self, node: LocalNode) -> None:
        """Start one node and wait until it serves.

        Raises:
            Failure: it ended instead, with what it said, or it did not serve in time.
        """
        arguments = [sys.executable, "-m", "gossipnode", "run", "--config", str(node.config)]
        if not self.detached:
            arguments.append("--until-stdin-closes")
        # The node gets a session of its own, so that Ctrl-C reaches us alone, and we stop the nodes.
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and needs no thread
                arguments,
                stdin=subprocess.DEVNULL if self.detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        served = False
        with trio.move_on_after(READY_SECONDS) as patience:
            served = await _wait_ready(node.process)
        if patience.cancelled_caught:
            raise Failure(
                f"node {node.name} did not serve within {READY_SECONDS:g} s; see {node.log}", FAILED
            )
        if not served:
            raise Failure(f"node {node.name} did not start: {_last_words(node.log)}", FAILED)

    async def stop(self, node: LocalNode) -> None:
        """Let a node stop in order; kill it if it takes too long."""
        process, node.process = node.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS) as patience:
            await _wait_end(process)
        if patience.cancelled_caught:
            process.kill()
        process.wait()

    def kill(self, node: LocalNode) -> None:
        """End a node at once, as a power failure would."""
        if node.process is not None:
            node.process.kill()
            node.process.wait()
            node.process = None

    async def stop_all(self) -> None:
        """Stop every node, even while this task is being cancelled."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for node in self.nodes:
                    nursery.start_soon(self.stop, node)

    def write_description(self) -> Path:
        """Write cluster.json, whole or not at all."""
        path = self.directory / "cluster.json"
        draft = path.with_suffix(".json.new")
        draft.write_text(json.dumps({"nodes": [node.describe() for node in self.nodes]}, indent=2) + "\n")
        draft.replace(path)
        return path

    def _settings(self, node: LocalNode) -> str:
        peers = ", ".join(
            f"{_quoted(peer.name)} = {_quoted(str(peer.address))}" for peer in self.nodes if peer is not node
        )
        foreign = ", ".join(
            f"{_quoted(name)} = {_quoted(str(address))}" for name, address in self.foreign.items()
        )
        sections = [
            "[node]",
            f"name = {_quoted(node.name)}",
            f"listen = {_quoted(str(node.address))}",
            f"data_dir = {_quoted(str(node.data_dir.absolute()))}",
            f"snapshot_dir = {_quoted(str(node.snapshot_dir.absolute()))}",
            *([] if node.status_address is None else [f'status_listen = "{node.status_address}"']),
            "[cluster]",
            f"peers = {{ {peers} }}",
            f"foreign = {{ {foreign} }}",
        ]
        for spec in self.groups:
            name, shards, replicas = spec.rsplit(":", 2)
            sections += [f"[groups.{_quoted(name)}]", f"shards = {shards}", f"replicas = {replicas}"]
        return "\n".join(sections) + "\n"


def _quoted(text: str) -> str:
    """A text as TOML writes it: as in JSON, except for the one control character that JSON allows."""
    return dump_json(text).replace("\x7f", "\\u007f")


def _environment() -> dict[str, str]:
    """Our environment without the settings of nodes, which would hold for every node."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPNODE_")}


async def _wait_ready(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process says that it is ready, before its output ends."""
    assert process.stdout is not None
    said = b""
    async with trio.lowlevel.FdStream(os.dup(process.stdout.fileno())) as output:
        while part := await output.receive_some(256):
            said += part
            if b"ready " in said and said.endswith(b"\n"):
                return True
    return False


async def _wait_end(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process to end, and give its exit code."""
    return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


async def wait_end(node: LocalNode) -> int | None:
    """Wait until a node's process ends; gives its exit code, or None when it was not running."""
    return None if node.process is None else await _wait_end(node.process)


def _last_words(log: Path) -> str:
    lines = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").splitlines()
    said = [line.removeprefix("gossipnode: ") for line in lines if line.startswith("gossipnode: ")]
    return said[-1] if said else f"see {log}"


def free_addresses(count: int) -> list[Address]:
    """Addresses on loopback that nobody listens at just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [Address(LOOPBACK, each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
