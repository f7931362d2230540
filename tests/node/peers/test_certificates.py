"""Certificates as files: read, read again, and shown by nodes to each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import parse_address
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.peers.certificates import CertificateError, Certificates, PeerDialer
from gossipnode.rpc import RpcError
from gossipnode.sim import Cluster
from gossipnode.wire import services
from tests.node.peers.issuing import Issuer, no_secret, settings
from tests.records import record


async def test_without_tls_the_authority_is_the_address() -> None:
    """Foreign servers read it in a header, so it must have the form HOST:PORT."""
    cluster = Cluster()
    dialer = PeerDialer(
        cluster.network, cluster.world("a").rng, Certificates(None), MemoryBudget(), no_secret()
    )
    channel = dialer.open("b", parse_address("b:7400"))
    assert channel.authority == "b:7400"


@pytest.mark.parametrize("broken", ["tls.ca", "tls.cert", "tls.key"])
def test_a_file_that_is_no_certificate_is_named(broken: str, certificates: Issuer) -> None:
    files = certificates.issue("a", file=f"broken-{broken}")
    bad = certificates.directory / f"bad-{broken}"
    bad.write_text("no PEM at all")
    with pytest.raises(CertificateError, match=str(bad)):
        Certificates(settings(**{**files, broken: str(bad)}).tls)


def test_a_reload_with_a_broken_file_changes_nothing(certificates: Issuer) -> None:
    files = certificates.issue("a", file="reloaded")
    read = Certificates(settings(**files).tls)
    read.reload()
    cert = Path(str(files["tls.cert"]))
    kept = cert.read_bytes()
    cert.write_text("half written")
    with pytest.raises(CertificateError):
        read.reload()
    cert.write_bytes(kept)
    read.reload()


async def test_nodes_repair_each_other_over_mutual_tls(certificates: Issuer, autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        for name in "ab":
            await cluster.start(nursery, name, **certificates.issue(name))
        await cluster.put("a", record("n/1"))
        assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


async def test_a_node_with_another_nodes_address_but_not_its_name_is_skipped(
    certificates: Issuer, autojump_clock: object
) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **certificates.issue("a"))
        await cluster.start(nursery, "b", **certificates.issue("mallory"))
        await cluster.put("a", record("n/secret"))
        finished = await cluster.round()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert "certificate" in finished.hops[0].reason.lower()
        assert (await cluster.stores["b"].counts(ShardId("sw", 0))).records == 0
        cluster.stop()


async def test_a_call_without_a_certificate_reaches_no_handler(
    certificates: Issuer, autojump_clock: object
) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **certificates.issue("a"))
        async with cluster.channel("a") as channel:
            with pytest.raises(RpcError):
                async with channel.stream(services.REPAIR, timeout=30) as stream:
                    await stream.recv()
        cluster.stop()
