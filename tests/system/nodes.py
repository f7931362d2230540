"""The nodes of a test: their settings, their start and stop, and that none of them outlives the test."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.ports import Ports
from tests.system.processes import Node


class Nodes:
    """The nodes of a test, by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: dict[str, Node] = {}
        self.ports = Ports()

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
        """Write settings for nodes, and start none of them.

        They know each other and the foreign members of `others` (addresses by name), which the test plays
        itself. A group is given as NAME:SHARDS:REPLICAS, and has no more replicas than there are own members.
        With `ack` "local" the acknowledgement of one replica is enough.
        """
        addresses = {name: self.ports.address() for name in names}
        for name in names:
            sections: dict[str, dict[str, object]] = {
                "node": {
                    "name": name,
                    "listen": addresses[name],
                    "data_dir": str(data_dir or self.directory / name),
                },
                "cluster": {
                    "peers": {peer: at for peer, at in addresses.items() if peer != name},
                    "foreign": dict(others or {}),
                },
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
                    "replicas": min(int(replicas), len(names)),
                    "ack": ack,
                }
            config = self.directory / f"{name}.toml"
            config.write_text(_toml(sections))
            self.nodes[name] = Node(name, config, data_dir or self.directory / name, addresses[name])
        return [self.nodes[name] for name in names]

    def start(self, *names: str, **options: Any) -> list[Node]:
        """Plan nodes, start them all at once, and wait until they have formed their cluster."""
        planned = self.plan(*names, **options)
        start_all(*planned)
        for node in planned:
            node.wait_event("epoch")
        return planned

    def end_all(self) -> None:
        """End every node, and print its last lines: pytest shows them if the test has failed.

        Their ports are given back.
        """
        for node in self.nodes.values():
            node.end()
            print(f"--- {node.name}", *node.lines[-20:], sep="\n")
        self.ports.give_back()


def start_all(*nodes: Node) -> None:
    """Start nodes side by side, and wait until all of them serve."""
    with ThreadPoolExecutor(len(nodes)) as threads:
        list(threads.map(Node.start, nodes))


def stop_all(*nodes: Node) -> None:
    """Tell nodes to stop, all at once. Each must end in order, with no defect in its log."""
    for node in nodes:
        node.send(signal.SIGTERM)
    for node in nodes:
        assert node.wait() == 0, node.lines
        node.assert_no_defect()


@contextlib.contextmanager
def nodes_without_defect(directory: Path) -> Iterator[Nodes]:
    """Nodes that are stopped after the block. They must end in order, with no defect in their logs."""
    made = Nodes(directory)
    try:
        yield made
        stop_all(*(node for node in made.nodes.values() if node.running))
        for node in made.nodes.values():
            node.assert_no_defect()
    finally:
        made.end_all()


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
