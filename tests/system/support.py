"""Node processes with ports of their own, what they log, and a stock gRPC client for them.

Every process holds the reading end of a pipe of ours and stops when it closes; besides, `Nodes.end_all` ends
each by its pid. A log is read by a thread as it comes, so that a test can wait for a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from gossipnode.wire.generated.pb.banyandb.property.v1 import gossip_pb2 as gossip
from gossipnode.wire.generated.pb.banyandb.property.v1 import property_pb2 as properties
from gossipnode.wire.generated.pb.banyandb.property.v1 import repair_pb2 as repairs
from gossipnode.wire.generated.pb.banyandb.property.v1 import rpc_pb2 as rpc
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2 as own

WAIT_SECONDS = 45.0
"""The longest that any test waits for what must come."""
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPNODE_")}
COMMAND = [sys.executable, "-m", "gossipnode"]
LOOPBACK = "127.0.0.1"

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], what: str, seconds: float = WAIT_SECONDS) -> Found:
    """The first true answer of `look`, which asks a process or the system and so takes its time by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        select.select([], [], [], 0.01)
    raise AssertionError(f"within {seconds:g} s there was no {what}")


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens at just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


# --- processes ---


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The one line on stderr that every error is."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("gossipnode: ")
        assert "Traceback" not in self.err
        return self.err.removeprefix("gossipnode: ").rstrip("\n")


def command(*arguments: str, **options: Any) -> Ended:
    """Run a command of gossipnode to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=WAIT_SECONDS,
        check=False,
        **options,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Lines:
    """The lines of a pipe, as they come."""

    def __init__(self, pipe: Any) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Read to the end, which must be near, and close the pipe."""
        self._thread.join(WAIT_SECONDS)
        self._pipe.close()

    @property
    def all(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def wait(self, wanted: Callable[[str], bool], what: str, *, count: int = 1) -> list[str]:
        """Wait for `count` lines that are wanted, old ones included."""

        def found() -> list[str]:
            return [line for line in self._lines if wanted(line)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= count or self._ended, WAIT_SECONDS)
            lines = found()
            assert len(lines) >= count, f"no {what} in:\n" + "\n".join(self._lines[-30:])
            return lines


@dataclass
class Node:
    """A node in a process of its own; started, stopped and started again with the same settings."""

    name: str
    config: Path
    data_dir: Path
    wanted_address: str
    address: str = ""
    extra: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    log: Lines | None = None
    said: list[str] = field(default_factory=list)
    """What earlier processes of this node have logged."""

    def start(self, *arguments: str) -> Node:
        """Start it and wait until it serves."""
        problem = self.try_start(*arguments)
        assert problem is None, problem
        return self

    def try_start(self, *arguments: str) -> Ended | None:
        """Start it; None once it serves, or how it ended instead."""
        self.process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(self.config), "--until-stdin-closes", *self.extra, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self.log = Lines(self.process.stderr)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line:
            code = self.process.wait(WAIT_SECONDS)
            return Ended(code, "", "".join(f"{said}\n" for said in self._close()))
        assert line.startswith(f"ready {self.name} "), line
        self.address = line.split()[2]
        return None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait for its end."""
        assert self.process is not None
        code = self.process.wait(seconds)
        self._close()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def _close(self) -> list[str]:
        process, log = self.process, self.log
        if process is None or log is None:
            return []
        log.close()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self.said += log.all
        self.log = None
        return log.all

    @property
    def lines(self) -> list[str]:
        """All that it has logged in its life."""
        return [*self.said, *(self.log.all if self.log is not None else [])]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log's entries of one kind."""
        found = [json.loads(line) for line in self.lines if f'"event": "{event}"' in line]
        return [entry for entry in found if entry["event"] == event]

    def wait_event(self, event: str, *, count: int = 1, **fields: object) -> list[dict[str, Any]]:
        """Wait for entries of one kind in the log of the process that runs."""
        assert self.log is not None

        def wanted(line: str) -> bool:
            if f'"event": "{event}"' not in line:
                return False
            entry = json.loads(line)
            return all(entry.get(key) == value for key, value in fields.items())

        return [json.loads(line) for line in self.log.wait(wanted, f"{event} {fields}", count=count)]

    def assert_no_defect(self) -> None:
        """Nothing that it logged comes from a defect."""
        for line in self.lines:
            for mark in ("Traceback", '"exception"', "exc_type", '"level": "critical"'):
                assert mark not in line, line

    # What the system knows of the process

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(key)).split()[1]) * 1024

    @contextlib.contextmanager
    def memory_watched(self, most_bytes: int = 100 << 20) -> Iterator[None]:
        """Nothing done in the block lets the resident memory grow by more than this, also for a moment."""
        before = self._status("VmRSS")
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        yield
        grown = self._status("VmHWM") - before
        assert grown < most_bytes, f"grown by {grown >> 20} MiB"

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self._close()


class Nodes:
    """The nodes of a test, and the places of members that a test plays itself."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def plan(
        self,
        *names: str,
        groups: Sequence[str] = ("sw:1:3",),
        ack: str = "quorum",
        others: Mapping[str, str] | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        tls: Callable[[str], Mapping[str, object]] | None = None,
        data_dir: Path | None = None,
    ) -> list[Node]:
        """Write settings for nodes that know each other and `others`, which the test plays. Starts none.

        A group has no more replicas than there are members. With `ack` "local" each node writes alone.
        """
        addresses = {
            name: f"{LOOPBACK}:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)
        }
        members = {**addresses, **(others or {})}
        for name in names:
            sections: dict[str, dict[str, object]] = {
                "node": {
                    "name": name,
                    "listen": addresses[name],
                    "data_dir": str(data_dir or self.directory / name),
                },
                "cluster": {"peers": {peer: at for peer, at in members.items() if peer != name}},
                "repair": {"schedule": ""},
            }
            if tls is not None:
                sections["tls"] = dict(tls(name))
            for section, values in (settings or {}).items():
                sections.setdefault(section, {}).update(values)
            for spec in groups:
                group, shards, replicas = spec.rsplit(":", 2)
                sections[f"groups.{group}"] = {
                    "shards": int(shards),
                    "replicas": min(int(replicas), len(members)),
                    "ack": ack,
                }
            config = self.directory / f"{name}.toml"
            config.write_text(_toml(sections))
            self.nodes[name] = Node(name, config, data_dir or self.directory / name, addresses[name])
        return [self.nodes[name] for name in names]

    def start(self, *names: str, **options: Any) -> list[Node]:
        """Plan nodes and start them, side by side."""
        planned = self.plan(*names, **options)
        threads = [threading.Thread(target=node.try_start) for node in planned]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for node in planned:
            assert node.address, node.lines
        return planned

    def end_all(self) -> None:
        """End every node; what they logged last stands in the report of a test that fails."""
        for node in self.nodes.values():
            node.end()
            print(f"--- {node.name}", *node.lines[-20:], sep="\n")


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            if isinstance(value, Mapping):
                inner = ", ".join(f"{json.dumps(name)} = {json.dumps(each)}" for name, each in value.items())
                lines.append(f"{key} = {{ {inner} }}")
            else:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def verify(node: Node) -> dict[str, Any]:
    """What `verify` finds in the data of a node that is stopped; it must be clean."""
    ended = command("verify", "--data-dir", str(node.data_dir), "-o", "json")
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.out)
    assert found["wrong"] == 0
    return found


# --- a stock client ---

REPAIR = "/banyandb.property.v1.RepairService/Repair"
PROPAGATION = "/banyandb.property.v1.GossipService/Propagation"
PROPERTY = "/banyandb.property.v1.PropertyService"
NODE_SERVICE = "/gossipnode.v1.NodeService"
ROUND_SERVICE = "/gossipnode.v1.RoundService"
BIG_MESSAGES = (("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))


class Stock:
    """A stock gRPC client, with messages of Google's protobuf."""

    def __init__(
        self, address: str, *, credentials: Any = None, metadata: Any = (), options: Any = ()
    ) -> None:
        # A subchannel of its own: two clients of a test are two connections.
        options = (*BIG_MESSAGES, ("grpc.use_local_subchannel_pool", 1), *options)
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=options)
        self.metadata = metadata

    def __enter__(self) -> Stock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def unary(self, path: str, request: Any, reply: Any, *, timeout: float = WAIT_SECONDS) -> Any:
        call = self.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        return call(request, timeout=timeout, metadata=self.metadata)

    def answers(self, path: str, request: Any, reply: Any, *, timeout: float = WAIT_SECONDS) -> Any:
        call = self.channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        return call(request, timeout=timeout, metadata=self.metadata)

    def repair_stream(self, requests: Iterable[Any], *, timeout: float = WAIT_SECONDS) -> Any:
        """Open a repair session."""
        call = self.channel.stream_stream(
            REPAIR,
            request_serializer=repairs.RepairRequest.SerializeToString,
            response_deserializer=repairs.RepairResponse.FromString,
        )
        return call(iter(requests), timeout=timeout, metadata=self.metadata)

    def raw_unary(self, path: str, request: bytes, *, timeout: float = WAIT_SECONDS) -> bytes:
        return self.channel.unary_unary(path)(request, timeout=timeout, metadata=self.metadata)

    def raw_stream(
        self, path: str, requests: Iterable[bytes], *, timeout: float = WAIT_SECONDS
    ) -> list[bytes]:
        return list(self.channel.stream_stream(path)(iter(requests), timeout=timeout, metadata=self.metadata))

    # The compatible services

    def apply(self, record: Any, *, replace: bool = False, **options: Any) -> Any:
        strategy = 2 if replace else 0
        request = rpc.ApplyRequest(property=record, strategy=strategy)
        return self.unary(f"{PROPERTY}/Apply", request, rpc.ApplyResponse, **options)

    def delete(self, group: str, name: str, id_: str = "", **options: Any) -> Any:
        request = rpc.DeleteRequest(group=group, name=name, id=id_)
        return self.unary(f"{PROPERTY}/Delete", request, rpc.DeleteResponse, **options)

    def query(self, group: str | Sequence[str], *, timeout: float = WAIT_SECONDS, **fields: Any) -> list[Any]:
        groups = [group] if isinstance(group, str) else list(group)
        request = rpc.QueryRequest(groups=groups, **fields)
        reply = self.unary(f"{PROPERTY}/Query", request, rpc.QueryResponse, timeout=timeout)
        return list(reply.properties)

    def propagation(self, request: Any, **options: Any) -> Any:
        return self.unary(PROPAGATION, request, gossip.PropagationResponse, **options)

    # Our own services

    def import_versions(self, group: str, records: Iterable[tuple[Any, int]], *, batch: int = 250) -> int:
        """Write records with their stamps and delete times as given."""
        held = [own.Record(property=record, delete_time=delete_time) for record, delete_time in records]
        requests = [
            own.ImportRequest(group=group, records=held[at : at + batch], keep_versions=True)
            for at in range(0, len(held), batch)
        ]
        written = 0
        for answer in self.import_stream(requests):
            assert not answer.HasField("bad_record"), answer
            written += answer.records
        assert written == len(held)
        return written

    def import_stream(self, requests: Iterable[Any]) -> Any:
        call = self.channel.stream_stream(
            f"{NODE_SERVICE}/Import",
            request_serializer=own.ImportRequest.SerializeToString,
            response_deserializer=own.ImportResponse.FromString,
        )
        return call(iter(requests), timeout=WAIT_SECONDS, metadata=self.metadata)

    def export(self, group: str) -> dict[tuple[str, str], tuple[Any, int]]:
        """Every record by name and id, tombstones included."""
        request = own.ExportRequest(group=group, tombstones=True)
        return {
            (record.property.metadata.name, record.property.id): (record.property, record.delete_time)
            for batch in self.answers(f"{NODE_SERVICE}/Export", request, own.RecordBatch)
            for record in batch.records
        }

    def root(self, group: str, shard: int = 0) -> str:
        (tree,) = self.answers(
            f"{NODE_SERVICE}/Tree", own.TreeRequest(group=group, shard=shard), own.TreeResponse
        )
        assert tree.state == "ready"
        return str(tree.root)

    def status(self, **options: Any) -> Any:
        return self.unary(f"{NODE_SERVICE}/Status", own.StatusRequest(), own.StatusResponse, **options)

    def repair(self, group: str, *, timeout: float = WAIT_SECONDS) -> Any:
        """Start a round of shard 0 and wait for its end."""
        finished = None
        for event in self.start_repair(group, timeout=timeout):
            if event.HasField("finished"):
                finished = event.finished
        assert finished is not None
        return finished

    def start_repair(self, group: str, *, timeout: float = WAIT_SECONDS) -> Any:
        request = own.RepairRequest(group=group, shard=0, wait=True)
        return self.answers(f"{NODE_SERVICE}/Repair", request, own.RoundEvent, timeout=timeout)


def property_of(
    group: str,
    name: str,
    id_: str,
    tags: Mapping[str, object] | None = None,
    *,
    revision: int = 0,
    create_revision: int | None = None,
) -> Any:
    """A property with text, number, bytes or list tags."""
    made = properties.Property(id=id_)
    made.metadata.group, made.metadata.name = group, name
    if revision:
        made.metadata.mod_revision = revision
        made.metadata.create_revision = 1 if create_revision is None else create_revision
    for key, value in ({"k": "v"} if tags is None else tags).items():
        tag = made.tags.add(key=key)
        match value:
            case str():
                tag.value.str.value = value
            case int():
                tag.value.int.value = value
            case bytes():
                tag.value.binary_data = value
            case list() if value and isinstance(value[0], int):
                tag.value.int_array.value.extend(value)
            case list():
                tag.value.str_array.value.extend(value)
            case _:
                tag.value.null = 0
    return made


def tags_of(record: Any) -> dict[str, object]:
    """Its text and number tags."""
    found: dict[str, object] = {}
    for tag in record.tags:
        kind = tag.value.WhichOneof("value")
        value = getattr(tag.value, kind)
        found[tag.key] = list(value.value) if "array" in kind else getattr(value, "value", value)
    return found


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *words: str) -> Iterator[None]:
    """The call in the block ends with this status, and its text holds these words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code, caught.value
    for word in words:
        assert word in caught.value.details()
