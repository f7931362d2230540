"""Who may call: clusters by name, members by certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog.testing

from gossipnode.config.settings import Settings
from gossipnode.core.access.roles import Role
from gossipnode.core.cluster.view import ClusterView
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.audit import REFUSED_CALLERS_MAX, Audit
from gossipnode.node.peers.method_access import needed_role
from gossipnode.rpc import CallContext, Method, ReplyBudget, RpcError, Status
from gossipnode.wire import services
from tests.concurrency.accounts import account
from tests.node.epochs import change, dropped, joins
from tests.node.peers.issuing import Issuer, settings
from tests.node.support import make_local


def access_of(node: Settings, members: Sequence[str] = ("a", "b")) -> Access:
    return Access(node, make_local(members=members).cluster, Audit())


def call(path: str = services.REPAIR.path, names: Sequence[str] = (), **metadata: str) -> CallContext:
    sent = {f"gossipnode-{key}": value for key, value in metadata.items()}
    return CallContext(path, sent, "somewhere", tuple(names), None, ReplyBudget(1, account()))


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


OF_MEMBERS = (
    services.REPAIR,
    services.RECONCILE,
    services.PROPAGATION,
    services.REPORT,
    services.ALIVE,
    services.ROUND_ENDED,
    services.FOREIGN_TURN,
    services.REPLICA_EXCHANGE,
    services.REPLICA_SCAN,
    services.REPLICA_LINEAGES,
    services.REPLICA_CHANGES,
    services.REPLICA_ARRIVED,
    services.REPLICA_RETENTION,
    services.REPLICA_HELLO,
    services.REPLICA_EPOCH,
)


@pytest.mark.parametrize("method", OF_MEMBERS)
@pytest.mark.parametrize("require_client", [True, False])
def test_what_replicas_ask_takes_a_members_certificate(
    method: Any, require_client: bool, certificates: Issuer
) -> None:
    access = access_of(settings(**certificates.issue("a"), **{"tls.require_client": require_client}))
    path = method.path
    assert not refusal(access, call(path, ["b"]))
    assert not refusal(access, call(path, ["b"], node="b"))
    assert "a caller without a certificate: only members" in refusal(access, call(path))
    assert "names a-client: only members" in refusal(access, call(path, ["a-client"]))
    # A name is taken from the certificate, never from a message.
    assert "names b: only members" in refusal(access, call(path, ["b"], node="a"))
    assert refusal(access, call(path, ["a-client"], node="b"))


def test_every_method_that_a_node_serves_has_a_role_or_is_of_members() -> None:
    """A method that was added and listed nowhere is one of members: it is not open by mistake."""
    served = {each.path for each in vars(services).values() if isinstance(each, Method)}
    assert {path for path in served if needed_role(path) is None} == {
        *(method.path for method in OF_MEMBERS),
        services.REPLICA_JOIN.path,
        services.PROVE.path,
    }
    assert needed_role("/of.somebody/Else") is None


JOIN = services.REPLICA_JOIN.path


def test_a_node_that_joins_shows_a_certificate_with_its_own_name(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a"), **{"tls.members": ["new"]}))
    assert not refusal(access, call(JOIN, ["new"], node="new"))
    assert "does not name 'b'" in refusal(access, call(JOIN, ["new"], node="b"))
    assert refusal(access, call(JOIN, node="new"))
    assert refusal(access, call(JOIN, ["new"]))


@pytest.mark.parametrize(
    ("patterns", "may"), [([], "b c"), (["d"], "b c d"), (["*.nodes.example", "n-*"], "b c e n-5")]
)
def test_those_alone_may_join_that_members_names_or_that_are_configured(
    patterns: list[str], may: str, certificates: Issuer
) -> None:
    """The certificate of an application is of the same CA, and its holder is no node."""
    node = settings(
        **certificates.issue("a"), **{"tls.members": patterns, "cluster.peers": ["b=b:7400", "c=c:7400"]}
    )
    access = access_of(node)
    for name, dns in (("b", "b"), ("c", "c"), ("d", "d"), ("e", "e.nodes.example"), ("n-5", "n-5")):
        refused = refusal(access, call(JOIN, [dns], node=name))
        assert (not refused) == (name in may.split()), (name, refused)
    assert "app-7 is not one of those that may join: add it to [tls] members" in refusal(
        access, call(JOIN, ["app-7"], node="app-7")
    )


def test_a_certificate_stands_for_a_node_by_the_first_label_of_a_name_that_may_join(
    certificates: Issuer,
) -> None:
    access = access_of(settings(**certificates.issue("a"), **{"tls.members": ["*.nodes.example"]}))
    exchange = services.REPLICA_EXCHANGE.path
    context = call(exchange, ["b.nodes.example"], node="b")
    assert not refusal(access, context)
    assert context.peer_certificate_names == ("b.nodes.example", "b"), "by which it is known from here on"
    assert access.names_member(["b.nodes.example"])
    for other in ("b.apps.example", "b.x.nodes.example", "nodes.example", "b"):
        assert access.names_member([other]) == (other == "b")
        assert (not refusal(access, call(exchange, [other], node="b"))) == (other == "b")
    assert refusal(access, call(exchange, ["d.nodes.example"], node="d")), "it may join, and has not"


def test_who_is_a_member_is_asked_again_for_each_call(certificates: Issuer) -> None:
    local = make_local(members=("a", "b"))
    access = Access(settings(**certificates.issue("a")), local.cluster, Audit())
    assert refusal(access, call(names=["c"]))
    change(local, joins("c"))
    assert not refusal(access, call(names=["c"]))
    assert not refusal(access, call(names=["b"]))


def test_a_member_that_was_dropped_is_refused_at_once(certificates: Issuer) -> None:
    local = make_local(members=("a", "b"))
    access = Access(settings(**certificates.issue("a")), local.cluster, Audit())
    assert not refusal(access, call(names=["b"]))
    change(local, dropped("b"))
    assert refusal(access, call(names=["b"]))
    assert refusal(access, call(services.REPLICA_EXCHANGE.path, ["b"]))
    for told in (services.REPLICA_HELLO, services.REPLICA_EPOCH):
        assert not refusal(access, call(told.path, ["b"], node="b")), "it is told that it was dropped"
        assert refusal(access, call(told.path, ["x"]))


def test_a_node_that_is_about_to_join_answers_the_member_that_looks_for_it(certificates: Issuer) -> None:
    local = make_local(own_name="c", members=("c",))
    local.cluster.view = ClusterView(local.cluster.configured, formed=False)
    access = Access(settings(**certificates.issue("c")), local.cluster, Audit())
    assert not refusal(access, call(services.REPLICA_HELLO.path, ["a"], node="a"))
    assert refusal(access, call(services.REPLICA_HELLO.path, ["b"], node="a"))
    assert refusal(access, call(services.REPLICA_EXCHANGE.path, ["a"], node="a"))


def test_clients_need_no_members_name(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a")))
    for method in (services.NODE_APPLY, services.NODE_STATUS, services.QUERY):
        assert not refusal(access, call(method.path, ["a-client"]))


READ, WRITE, ADMIN = services.NODE_GET.path, services.NODE_APPLY.path, services.NODE_FORGET_MEMBER.path
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ROLES: dict[str, object] = {"tls.readers": ["dash-*"], "tls.writers": ["app-*"], "tls.admins": ["ops"]}


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("dash-1", (READ, HEALTH, REFLECTION)),
        ("app-7", (READ, WRITE, HEALTH, REFLECTION)),
        ("ops", (READ, WRITE, ADMIN, HEALTH, REFLECTION)),
        ("b", (READ, WRITE, ADMIN, HEALTH, REFLECTION)),
        ("somebody", ()),
        ("", ()),
    ],
)
def test_each_role_may_do_what_is_its_own(name: str, may: Sequence[str], certificates: Issuer) -> None:
    node = settings(**certificates.issue("a"), **ROLES, **{"tls.require_client": False})
    access = access_of(node)
    for path in (READ, WRITE, ADMIN, HEALTH, REFLECTION):
        refused = refusal(access, call(path, [name] if name else []))
        assert (not refused) == (path in may), (name, path, refused)


@pytest.mark.parametrize(
    ("roles", "stranger_may"),
    [
        ({}, (READ, WRITE, ADMIN)),
        ({"tls.admins": ["ops"]}, (READ, WRITE)),
        ({"tls.readers": ["dash-*"]}, (READ, WRITE, ADMIN)),
        ({"tls.writers": ["app-*"]}, ()),
    ],
)
def test_those_without_a_role_are_writers_unless_writers_are_named(
    roles: dict[str, object], stranger_may: Sequence[str], certificates: Issuer
) -> None:
    access = access_of(settings(**certificates.issue("a"), **roles))
    for path in (READ, WRITE, ADMIN):
        assert (not refusal(access, call(path, ["somebody"]))) == (path in stranger_may)


def test_a_refusal_names_who_was_refused_and_what_to_do(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a"), **ROLES))
    assert refusal(access, call(WRITE, ["dash-1"])) == (
        "the certificate names dash-1, which is a reader here; this takes a writer: see [tls] readers, "
        "writers and admins of the node"
    )
    assert "which has no role here; this takes an admin" in refusal(access, call(ADMIN, ["x"]))


def test_a_snapshot_takes_an_admin() -> None:
    """It fills the disk of the node, and has every record."""
    assert needed_role(services.NODE_SNAPSHOT.path) is Role.ADMIN


def test_what_an_import_asks_for_beyond_its_call_takes_an_admin(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a"), **ROLES))
    access.require(call(services.NODE_IMPORT.path, ["ops"]), Role.ADMIN)
    with pytest.raises(RpcError):
        access.require(call(services.NODE_IMPORT.path, ["app-7"]), Role.ADMIN)
    access_of(settings()).require(call(services.NODE_IMPORT.path), Role.ADMIN)


def test_without_tls_names_do_not_count() -> None:
    access = access_of(settings())
    assert not refusal(access, call(services.REPAIR.path))
    assert not refusal(access, call(JOIN, node="new"))
    assert not access.names_member(["b"])
    assert access.warnings()


def test_with_tls_there_is_nothing_to_warn_of(certificates: Issuer) -> None:
    assert not access_of(settings(**certificates.issue("a"))).warnings()


def test_each_refused_call_is_counted_and_each_caller_and_method_told_of_once(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a"), **ROLES))
    with structlog.testing.capture_logs() as logs:
        for path, name in ((WRITE, "dash-1"), (WRITE, "dash-1"), (ADMIN, "dash-1"), (WRITE, "x")):
            assert refusal(access, call(path, [name]))
        assert not refusal(access, call(READ, ["dash-1"]))
    assert access.audit.refused == 4
    told = [(line["caller"], line["method"], line["peer"], line["event"]) for line in logs]
    assert told == [
        ("dash-1", WRITE, "somewhere", "call refused"),
        ("dash-1", ADMIN, "somewhere", "call refused"),
        ("x", WRITE, "somewhere", "call refused"),
    ]


def test_the_status_port_is_for_readers_and_tells_of_each_refused_visitor_once(
    certificates: Issuer,
) -> None:
    access = access_of(settings(**certificates.issue("a"), **ROLES))
    with structlog.testing.capture_logs() as logs:
        for name in ("dash-1", "app-7", "ops", "b"):
            assert access.status_refusal("10.0.0.1:5", [name]) == ""
        for _ in range(2):
            problem = access.status_refusal("10.0.0.1:5", ["x"])
        assert access.status_refusal("10.0.0.1:5", [])
    assert problem.startswith(
        "the certificate names x, which has no role here; this takes a reader: see [tls]"
    )
    told = [(line["caller"], line["method"], line["peer"]) for line in logs]
    assert told == [
        ("x", "status port", "10.0.0.1"),
        ("nobody (without a certificate)", "status port", "10.0.0.1"),
    ]
    assert {why: count for why, count in access.audit.refused_for.items() if count} == {"role": 3}
    assert access_of(settings()).status_refusal("127.0.0.1:5", []) == ""


def test_what_is_remembered_of_refused_callers_is_bounded(certificates: Issuer) -> None:
    access = access_of(settings(**certificates.issue("a"), **ROLES))
    with structlog.testing.capture_logs() as logs:
        for number in range(REFUSED_CALLERS_MAX + 1):
            assert refusal(access, call(WRITE, [f"x-{number}"]))
        assert refusal(access, call(WRITE, ["x-1"]))
        assert len(logs) == REFUSED_CALLERS_MAX + 1
        assert refusal(access, call(WRITE, ["x-0"]))
    assert len(logs) == REFUSED_CALLERS_MAX + 2


def test_every_call_says_who_we_are() -> None:
    sent = call_metadata.own_metadata("red", "a")
    assert sent == {call_metadata.CLUSTER: "red", call_metadata.NODE: "a"}
