"""Who may call: clusters by name, members by certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trustme

from gossipnode.config.address import parse_address
from gossipnode.config.settings import Settings, load_settings
from gossipnode.core.cluster.registry_records import member_entity
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.certificates import CertificateError, Certificates, PeerDialer
from gossipnode.rpc import CallContext, ReplyBudget, RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from tests.node.support import make_local, member_seeds
from tests.records import record


class Issuer:
    """A CA, and certificates by name, as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, *names: str, file: str = "") -> dict[str, object]:
        """The settings of [tls] for a node that shows these names."""
        issued = self.authority.issue_cert(*names)
        cert, key = (self.directory / f"{file or names[0]}.{kind}" for kind in ("pem", "key"))
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return {"tls.ca": str(self.ca), "tls.cert": str(cert), "tls.key": str(key)}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("tls"))


def settings(**overrides: object) -> Settings:
    return load_settings(
        overrides={
            "node.name": "a",
            "node.listen": "a:7400",
            "node.data_dir": "unused",
            "cluster.peers": ["b=b:7400"],
            "groups": ["sw:1:2"],
            **overrides,
        }
    )


def access_of(node: Settings, members: Sequence[str] = ("a", "b")) -> Access:
    return Access(node, make_local(members=members).registry)


def call(path: str = services.REPAIR.path, names: Sequence[str] = (), **metadata: str) -> CallContext:
    sent = {f"gossipnode-{key}": value for key, value in metadata.items()}
    return CallContext(path, sent, "somewhere", tuple(names), None, ReplyBudget(1))


def refusal(access: Access, context: CallContext) -> str:
    """Why a call is refused; "" when it is let in."""
    try:
        access.authorize(context)
    except RpcError as error:
        return error.message if error.status is Status.PERMISSION_DENIED else str(error.status)
    return ""


def test_another_cluster_is_refused_on_every_method() -> None:
    access = access_of(settings(**{"cluster.name": "red"}))
    for path in (services.REPAIR.path, services.NODE_APPLY.path, services.APPLY.path):
        assert not refusal(access, call(path, cluster="red"))
        assert not refusal(access, call(path))
        assert "cluster 'red', the caller to 'blue'" in refusal(access, call(path, cluster="blue"))


@pytest.mark.parametrize(
    "method",
    [
        services.REPAIR,
        services.PROPAGATION,
        services.REPORT,
        services.REPLICA_EXCHANGE,
        services.REPLICA_SCAN,
        services.REPLICA_HELLO,
    ],
)
def test_what_replicas_ask_takes_a_members_certificate(method: object, certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a")))
    path = method.path  # type: ignore[attr-defined]
    assert not refusal(access, call(path, ["b"]))
    assert not refusal(access, call(path, ["b"], node="b"))
    assert "names nobody" in refusal(access, call(path))
    assert "names a-client: only members" in refusal(access, call(path, ["a-client"]))
    # A name is taken from the certificate, never from a message.
    assert "names b: only members" in refusal(access, call(path, ["b"], node="a"))
    assert refusal(access, call(path, ["a-client"], node="b"))


def test_a_node_that_joins_shows_a_certificate_with_its_own_name(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a")))
    path = services.REPLICA_JOIN.path
    assert not refusal(access, call(path, ["new"], node="new"))
    assert "does not name 'b'" in refusal(access, call(path, ["new"], node="b"))
    assert refusal(access, call(path, node="new"))
    assert refusal(access, call(path, ["new"]))


def test_who_is_a_member_is_asked_anew_for_each_call(certificates: Issuer) -> None:
    registry = make_local(members=("a", "b")).registry
    access = Access(settings(**certificates.issue("a")), registry)
    assert refusal(access, call(names=["c"]))
    registry.took(member_seeds(("c",)))
    assert not refusal(access, call(names=["c"]))
    assert not refusal(access, call(names=["b"]))


def test_a_forgotten_member_may_still_hand_over_what_it_has(certificates: Issuer) -> None:
    registry = make_local(members=("a", "b")).registry
    access = Access(settings(**certificates.issue("a")), registry)
    gone = record(member_entity("b"), revision=5, delete_time=5)
    registry.took([gone])
    assert "b" not in registry.view.members
    assert not refusal(access, call(names=["b"]))


def test_clients_need_no_members_name(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a")))
    for method in (services.NODE_APPLY, services.NODE_STATUS, services.QUERY):
        assert not refusal(access, call(method.path, ["a-client"]))


def test_without_tls_or_without_required_certificates_names_do_not_count(certificates: Issuer) -> None:
    for access in (
        access_of(settings()),
        access_of(settings(**certificates.issue("a"), **{"tls.require_client": False})),
    ):
        assert not refusal(access, call(services.REPAIR.path))


def test_every_call_says_who_we_are() -> None:
    sent = call_metadata.own_metadata("red", "a")
    assert sent == {call_metadata.CLUSTER: "red", call_metadata.NODE: "a"}


async def test_without_tls_the_authority_is_the_address() -> None:
    """It goes into a header that foreign servers read: HOST:PORT, and no prose."""
    cluster = Cluster()
    dialer = PeerDialer(cluster.network, cluster.world("a").rng, Certificates(None))
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
