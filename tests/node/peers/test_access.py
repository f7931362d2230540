"""Who may call: clusters by name, members by certificate."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gossipnode.config.settings import Settings
from gossipnode.core.cluster.view import ClusterView
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.access import Access
from gossipnode.rpc import CallContext, ReplyBudget, RpcError, Status
from gossipnode.wire import services
from tests.concurrency.accounts import account
from tests.node.epochs import change, dropped, joins
from tests.node.peers.issuing import Issuer, settings
from tests.node.support import make_local


def access_of(node: Settings, members: Sequence[str] = ("a", "b")) -> Access:
    return Access(node, make_local(members=members).cluster)


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


@pytest.mark.parametrize(
    "method",
    [
        services.REPAIR,
        services.PROPAGATION,
        services.REPORT,
        services.REPLICA_EXCHANGE,
        services.REPLICA_SCAN,
        services.REPLICA_HELLO,
        services.REPLICA_EPOCH,
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


def test_who_is_a_member_is_asked_again_for_each_call(certificates: Issuer) -> None:
    local = make_local(members=("a", "b"))
    access = Access(settings(**certificates.issue("a")), local.cluster)
    assert refusal(access, call(names=["c"]))
    change(local, joins("c"))
    assert not refusal(access, call(names=["c"]))
    assert not refusal(access, call(names=["b"]))


def test_a_member_that_was_dropped_is_refused_at_once(certificates: Issuer) -> None:
    local = make_local(members=("a", "b"))
    access = Access(settings(**certificates.issue("a")), local.cluster)
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
    access = Access(settings(**certificates.issue("c")), local.cluster)
    assert not refusal(access, call(services.REPLICA_HELLO.path, ["a"], node="a"))
    assert refusal(access, call(services.REPLICA_HELLO.path, ["b"], node="a"))
    assert refusal(access, call(services.REPLICA_EXCHANGE.path, ["a"], node="a"))


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
