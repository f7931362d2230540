"""Nodes with a secret and without TLS: members prove it to each other, and nobody else makes their calls."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest

from gossipnode.wire.generated.pb.gossipnode.v1 import access_pb2
from tests.system.access.test_roles_and_members import STREAMS_OF_MEMBERS, UNARY_OF_MEMBERS
from tests.system.nodes import Nodes, start_all, stop_all
from tests.system.processes import Node, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import property_of

pytestmark = pytest.mark.slow

PROVE = "/gossipnode.v1.AccessService/Prove"
NOT_PROVEN = grpc.StatusCode.UNAUTHENTICATED


def with_secret(*secrets: str) -> dict[str, dict[str, object]]:
    return {"cluster": {"secret": list(secrets)}}


@pytest.fixture(scope="module")
def ring(module_nodes: Nodes) -> list[Node]:
    return module_nodes.start("a", "b", "c", settings=with_secret("s3cret"))


def test_members_that_know_the_secret_are_a_cluster(ring: list[Node]) -> None:
    with Stock(ring[0].address) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        assert stock.repair("sw").outcome == "converged"
        eventually(lambda: {member.state for member in stock.status().members} == {"up"}, "all members up")
        assert not stock.status().warnings


def test_without_proof_no_call_of_members_is_made(ring: list[Node]) -> None:
    for said in ("", "b", "x"):
        metadata = (("gossipnode-node", said),) if said else ()
        with Stock(ring[0].address, metadata=metadata) as stock:
            for path in UNARY_OF_MEMBERS:
                with refused(NOT_PROVEN, "secret"):
                    stock.raw_unary(path, b"")
            for path in STREAMS_OF_MEMBERS:
                with refused(NOT_PROVEN, "secret"):
                    stock.raw_stream(path, [b""])


def prove(stock: Stock, secret: str, node: str, *, proof: bytes = b"") -> tuple[Any, bytes]:
    """Prove a secret as `node`; gives what the server said, and the proof that was made of it."""
    said: list[Any] = []
    made: list[bytes] = []

    def requests() -> Iterator[access_pb2.ProveRequest]:
        yield access_pb2.ProveRequest(node=node, nonce=b"n" * 32)
        while not said:
            pass
        parts = (b"caller", b"main", node.encode(), said[0].node.encode(), b"n" * 32, said[0].nonce)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        made.append(proof or hmac.new(secret.encode(), text, hashlib.sha256).digest())
        yield access_pb2.ProveRequest(proof=made[0])

    call = stock.channel.stream_stream(
        PROVE,
        request_serializer=access_pb2.ProveRequest.SerializeToString,
        response_deserializer=access_pb2.ProveReply.FromString,
    )
    answers: Iterable[Any] = call(requests(), timeout=10)
    for answer in answers:
        said.append(answer)
    return said[0], made[0]


def test_a_connection_is_proven_as_whom_it_was_proven(ring: list[Node]) -> None:
    exchange = STREAMS_OF_MEMBERS[1]
    with Stock(ring[0].address, metadata=(("gossipnode-node", "b"),)) as stock:
        prove(stock, "s3cret", "b")
        assert stock.raw_stream(exchange, []) == []
    # By the name of another member, or of none, it may not call; nor may another connection.
    for proven, said in (("b", "c"), ("x", "x")):
        with Stock(ring[0].address, metadata=(("gossipnode-node", said),)) as stock:
            prove(stock, "s3cret", proven)
            with refused(grpc.StatusCode.PERMISSION_DENIED, "only members"):
                stock.raw_stream(exchange, [])
    with Stock(ring[0].address, metadata=(("gossipnode-node", "b"),)) as stock, refused(NOT_PROVEN):
        stock.raw_stream(exchange, [])


def test_an_old_proof_is_of_no_use_again_nor_is_another_secret(ring: list[Node]) -> None:
    with Stock(ring[0].address) as stock:
        _, proof = prove(stock, "s3cret", "b")
    with Stock(ring[0].address) as stock, refused(NOT_PROVEN, "another [cluster] secret"):
        prove(stock, "", "b", proof=proof)
    with Stock(ring[0].address) as stock, refused(NOT_PROVEN, "another [cluster] secret"):
        prove(stock, "guessed", "b")


def test_nodes_with_different_secrets_form_no_cluster_and_say_why(nodes: Nodes) -> None:
    a, b = nodes.plan("a", "b")
    for node, line in ((a, 'secret = "one"'), (b, 'secret = "two"')):
        node.config.write_text(node.config.read_text().replace("[cluster]", f"[cluster]\n{line}"))
    start_all(a, b)
    with Stock(a.address) as stock:
        eventually(
            lambda: "b has another [cluster] secret" in str(stock.status().forming.problems), "the reason"
        )
    assert b.stop() == 0
    b.config.write_text(b.config.read_text().replace('secret = "two"\n', ""))
    b.start()
    with Stock(a.address) as stock:
        eventually(lambda: "b has no [cluster] secret" in str(stock.status().forming.problems), "the reason")
    with Stock(b.address) as stock:
        eventually(
            lambda: "this cluster has a [cluster] secret" in str(stock.status().forming.problems),
            "the reason",
        )
        assert "neither [tls] nor [cluster] secret" in stock.status().warnings[0]
    stop_all(a, b)


def test_a_secret_is_changed_node_by_node(nodes: Nodes) -> None:
    """First all take the new one as well, then all prove it, then the old one goes."""
    ring = nodes.start("a", "b", settings=with_secret("old"))
    for secrets in ('["old", "new"]', '["new", "old"]', '["new"]'):
        for node in ring:
            assert node.stop() == 0
            lines = node.config.read_text().splitlines()
            lines = [f"secret = {secrets}" if line.startswith("secret") else line for line in lines]
            node.config.write_text("\n".join(lines) + "\n")
            node.start()
            with Stock(node.address) as stock:
                eventually(
                    lambda stock=stock: {member.state for member in stock.status().members} == {"up"},
                    "both up",
                )
                stock.apply(property_of("sw", "n", "1", {"k": 1}))
    stop_all(*ring)
