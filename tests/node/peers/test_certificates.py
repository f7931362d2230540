"""Certificates as files: read, read again, and shown by nodes to each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import parse_address
from gossipnode.core.access.certificate_rules import DAY_SECONDS
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.peers.certificate_files import CertificateError
from gossipnode.node.peers.certificates import Certificates, PeerDialer
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


def test_a_reload_takes_new_contexts_and_says_what_was_read(certificates: Issuer) -> None:
    files = certificates.issue("a", "a.example", file="read", ends=datetime(2040, 1, 2, tzinfo=UTC))
    read = Certificates(settings(**files).tls)
    before = [read.client_context(check_hostname=check) for check in (True, False)]
    assert read.reload() == {
        "ca": files["tls.ca"],
        "cert": files["tls.cert"],
        "key": files["tls.key"],
        "names": ["a", "a.example"],
        "valid_until": "2040-01-02 00:00 UTC",
        "authorities": 1,
    }
    after = [read.client_context(check_hostname=check) for check in (True, False)]
    assert not set(before) & set(after)
    assert Certificates(None).reload() == {}


def test_a_reload_with_a_broken_file_changes_nothing(certificates: Issuer) -> None:
    files = certificates.issue("a", file="reloaded")
    read = Certificates(settings(**files).tls)
    context = read.client_context(check_hostname=True)
    cert = Path(str(files["tls.cert"]))
    kept = cert.read_bytes()
    cert.write_text("half written")
    with pytest.raises(CertificateError):
        read.reload()
    assert read.client_context(check_hostname=True) is context
    cert.write_bytes(kept)
    read.reload()


async def test_what_is_wrong_with_certificates_is_told_at_the_start_and_after_a_reload(
    certificates: Issuer, autojump_clock: object
) -> None:
    cluster = Cluster(names="a")
    ends = datetime.fromtimestamp(cluster.world("a").wall_clock() / 1e9, UTC) + timedelta(days=13.5)
    files = certificates.issue("a", file="ending", begins=ends - timedelta(days=90), ends=ends)
    async with trio.open_nursery() as nursery:
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "a", **files)
        (ending,) = [entry["event"] for entry in logs if "certificate" in entry["event"]]
        assert ending.startswith(f"{files['tls.cert']}: the node's certificate ends on ")
        assert ending.endswith("in 13 days: put a new one there and send SIGHUP")
        certificates.issue("b", file="ending")
        with structlog.testing.capture_logs() as logs:
            cluster.nodes["a"].reload_certificates()
        read, warning = logs
        assert (read["event"], read["names"]) == ("certificates read again", ["b"])
        assert "the node's certificate names b, not a" in warning["event"]
        assert list(cluster.parts("a").access.warnings()) == [warning["event"]]
        cluster.stop()


async def test_what_is_wrong_with_certificates_is_told_each_day_and_as_one_ends(
    certificates: Issuer, autojump_clock: object
) -> None:
    cluster = Cluster(names="a")
    ends = datetime.fromtimestamp(cluster.world("a").wall_clock() / 1e9, UTC) + timedelta(days=1.5)
    files = certificates.issue("a", file="ended", begins=ends - timedelta(days=90), ends=ends)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **files)
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(1.4 * DAY_SECONDS)
            told = [entry["event"] for entry in logs if "the node's certificate" in entry["event"]]
            assert len(told) == 1
            assert "within a day" in told[0]
            await trio.sleep(0.11 * DAY_SECONDS)
        told = [entry["event"] for entry in logs if "the node's certificate" in entry["event"]]
        assert len(told) == 2
        assert "the node's certificate expired on " in told[1]
        cluster.stop()


async def test_without_tls_a_reload_says_so(autojump_clock: object) -> None:
    cluster = Cluster(names="a")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a")
        with structlog.testing.capture_logs() as logs:
            cluster.nodes["a"].reload_certificates()
        assert [entry["event"] for entry in logs] == ["no certificates to read again: [tls] is not set"]
        cluster.stop()


async def test_nodes_repair_each_other_over_mutual_tls(certificates: Issuer, autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        for name in "ab":
            await cluster.start(nursery, name, **certificates.issue(name))
        await cluster.put("a", record("n/1"))
        assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


@pytest.mark.parametrize("members", [{}, {"tls.members": ["*.nodes.example"]}])
async def test_a_node_with_another_nodes_address_but_not_its_name_is_skipped(
    certificates: Issuer, autojump_clock: object, members: dict[str, object]
) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **certificates.issue("a"), **members)
        await cluster.start(nursery, "b", **certificates.issue("mallory"), **members)
        await cluster.put("a", record("n/secret"))
        finished = await cluster.round()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert "certificate" in finished.hops[0].reason.lower()
        assert "('" not in finished.hops[0].reason
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
