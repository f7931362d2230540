"""Clusters of three real nodes to be attacked: plain, under mutual TLS, or with a hostile fourth member."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import trio
import trustme

from attacks import innocents
from benchmarks.nodes import GROUP, status_kb
from gossipnode.cli.local.local_nodes import LocalNode, LocalNodes, free_addresses
from gossipnode.config.address import Address
from gossipnode.rpc import Channel

MEMBERS = "abc"
ATTACKED = "a"
HOSTILE_MEMBER = "aa"
"""The hostile member comes after the attacked node in the ring."""


class Kind(Enum):
    """What kind of cluster an attack needs."""

    PLAIN = "plain"
    TLS = "tls"
    RING = "ring"


class TlsNodes(LocalNodes):
    """Nodes that serve under mutual TLS, each with a certificate in its directory."""

    def issue(self, authority: trustme.CA, name: str) -> None:
        """Write the files of a certificate."""
        issued = authority.issue_cert(name, "localhost")
        cert = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self.directory / f"{name}.pem").write_bytes(cert)
        (self.directory / f"{name}.key").write_bytes(issued.private_key_pem.bytes())
        (self.directory / "ca.pem").write_bytes(authority.cert_pem.bytes())

    def _settings(self, node: LocalNode) -> str:
        files = {"ca": "ca.pem", "cert": f"{node.name}.pem", "key": f"{node.name}.key"}
        lines = [f'{key} = "{self.directory / file}"' for key, file in files.items()]
        return super()._settings(node) + "\n".join(["[tls]", *lines, "require_client = true", ""])


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs, with one node that is attacked."""

    kind: Kind
    nodes: LocalNodes
    hostile: Address | None
    """Where the nodes look for the hostile member, which the attack itself serves."""

    @property
    def address(self) -> Address:
        """Of the attacked node."""
        return self.nodes[ATTACKED].address

    @property
    def resident_mb(self) -> float:
        """What the attacked node holds in memory now."""
        return round(status_kb(self.nodes[ATTACKED], "VmRSS") / 1024, 1)

    @property
    def highest_mb(self) -> float:
        """What it held at most since `forget_highest`."""
        return round(status_kb(self.nodes[ATTACKED], "VmHWM") / 1024, 1)

    def forget_highest(self) -> None:
        """Let the system begin anew with the highest memory."""
        process = self.nodes[ATTACKED].process
        assert process is not None
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def request(self, seconds: float) -> innocents.Request:
        """What innocent clients are told."""
        request = innocents.Request(self.address.host, self.address.port, seconds)
        if self.kind is Kind.TLS:
            files = self.nodes.directory
            request.ca, request.cert, request.key = (
                str(files / name) for name in ("ca.pem", "client.pem", "client.key")
            )
        return request

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """An honest connection to the attacked node."""
        async with innocents.channel_to(self.request(0)) as channel:
            yield channel


@asynccontextmanager
async def cluster_of(kind: Kind) -> AsyncIterator[Cluster]:
    """A fresh cluster, stopped and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-hostile-"))
    names = [*MEMBERS, HOSTILE_MEMBER] if kind is Kind.RING else [*MEMBERS]
    groups = [f"{GROUP}:1:{len(MEMBERS)}"]
    nodes = TlsNodes(directory, groups) if kind is Kind.TLS else LocalNodes(directory, groups)
    try:
        addresses = dict(zip(names, free_addresses(len(names)), strict=True))
        for name, address in addresses.items():
            if name == HOSTILE_MEMBER:
                nodes.foreign[name] = address
            else:
                nodes.add(name, address)
        if isinstance(nodes, TlsNodes):
            authority = trustme.CA()
            for name in (*names, "client"):
                nodes.issue(authority, name)
        await _start(nodes)
        try:
            yield Cluster(kind, nodes, addresses.get(HOSTILE_MEMBER))
        finally:
            await nodes.stop_all()
    finally:
        shutil.rmtree(directory)


async def _start(nodes: LocalNodes) -> None:
    """Start the nodes. Of the hostile member they only know the address, as of a foreign one."""
    nodes.directory.mkdir(parents=True, exist_ok=True)
    for node in nodes.nodes:
        node.config.write_text(nodes._settings(node))
    async with trio.open_nursery() as nursery:
        for node in nodes.nodes:
            nursery.start_soon(nodes.start, node)
