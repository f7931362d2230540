"""Nodes with certificates for members, readers, writers and admins: who is refused, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import property_of
from tests.system.test_mutual_tls import Files, authority, cli, local

pytestmark = pytest.mark.slow

UNARY_OF_MEMBERS = (
    "/banyandb.property.v1.GossipService/Propagation",
    "/gossipnode.v1.RoundService/Report",
    "/gossipnode.v1.RoundService/Alive",
    "/gossipnode.v1.ReplicaService/Hello",
    "/gossipnode.v1.ReplicaService/Epoch",
    "/gossipnode.v1.ReplicaService/Lineages",
    "/gossipnode.v1.ReplicaService/Join",
)
STREAMS_OF_MEMBERS = (
    "/banyandb.property.v1.RepairService/Repair",
    "/gossipnode.v1.ReplicaService/Exchange",
    "/gossipnode.v1.ReplicaService/Scan",
)
ROLES = {"readers": ["dash-*"], "writers": ["app-*"], "admins": ["ops"], "members": ["*.nodes.example"]}
REFUSED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = authority(tmp_path_factory.mktemp("access") / "ours")
    for client in ("dash-1", "app-7", "ops", "nobody"):
        made.issue(client, client)
    return made


@pytest.fixture(scope="module")
def ring(module_nodes: Nodes, files: Files) -> list[Node]:
    def tls(name: str) -> dict[str, object]:
        settings = {**files.settings(name), **ROLES}
        files.issue(name, f"{name}.nodes.example", "localhost")
        return settings

    return module_nodes.start("a", "b", "c", "d", tls=tls)


def connected(node: Node, files: Files, name: str, said: str = "") -> Stock:
    metadata = (("gossipnode-node", said),) if said else ()
    return Stock(local(node), credentials=files.credentials(name), metadata=metadata)


@pytest.fixture
def app(ring: list[Node], files: Files) -> Iterator[Stock]:
    with connected(ring[0], files, "app-7", said="app-7") as stock:
        yield stock


def test_members_are_known_by_the_first_label_of_their_names(ring: list[Node], files: Files) -> None:
    with connected(ring[0], files, "ops") as stock:
        eventually(lambda: {member.state for member in stock.status().members} == {"up"}, "all members up")
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        assert stock.repair("sw").outcome == "converged"


def test_a_clients_certificate_makes_no_call_of_members(ring: list[Node], app: Stock, files: Files) -> None:
    for path in UNARY_OF_MEMBERS:
        with refused(REFUSED):
            app.raw_unary(path, b"")
    for path in STREAMS_OF_MEMBERS:
        with refused(REFUSED):
            app.raw_stream(path, [b""])
    with refused(REFUSED, "app-7 is not one of those that may join: add it to [tls] members"):
        app.raw_unary("/gossipnode.v1.ReplicaService/Join", b"")
    # Nor does it by the name of a member.
    with connected(ring[0], files, "app-7", said="b") as liar:
        for path in UNARY_OF_MEMBERS:
            with refused(REFUSED):
                liar.raw_unary(path, b"")


def test_each_role_may_do_what_is_its_own(ring: list[Node], files: Files) -> None:
    written = property_of("sw", "n", "2", {"k": 1})
    with connected(ring[0], files, "app-7") as writer:
        writer.apply(written)
    with connected(ring[0], files, "dash-1") as reader:
        assert "2" in [record.id for record in reader.query("sw")]
        with refused(REFUSED, "dash-1", "takes a writer"):
            reader.apply(written)
    forget = ("member", "forget", "x", "--yes", "--at", local(ring[0]))
    ended = cli(files, *forget, cert="app-7")
    assert (ended.code, ended.out) == (5, "")
    assert "app-7, which is a writer here; this takes an admin" in ended.problem
    assert cli(files, *forget, cert="ops").code == 3
    exported = '{"group":"sw","name":"n","id":"3","tags":{"k":1},"mod_revision":5,"create_revision":5}\n'
    kept = files.directory / "kept.jsonl"
    kept.write_text(exported)
    ended = cli(files, "import", "sw", str(kept), "--keep-versions", "--at", local(ring[0]), cert="app-7")
    assert ended.code == 5, ended
    assert "this takes an admin" in ended.problem


def test_without_a_role_even_health_and_reflection_are_refused(ring: list[Node], files: Files) -> None:
    with connected(ring[0], files, "nobody") as stock:
        for path in ("/grpc.health.v1.Health/Check", "/gossipnode.v1.NodeService/Status"):
            with refused(REFUSED, "nobody", "no role"):
                stock.raw_unary(path, b"")
        with refused(REFUSED):
            stock.raw_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", [b""])


def test_what_was_refused_is_told_once_and_counted(ring: list[Node], app: Stock, files: Files) -> None:
    with connected(ring[0], files, "ops") as stock:
        before = stock.status().refused_calls
        for _ in range(3):
            with refused(REFUSED):
                app.raw_unary(UNARY_OF_MEMBERS[1], b"")
        assert stock.status().refused_calls == before + 3

    def told() -> list[dict[str, object]]:
        lines = [line for line in ring[0].events("call refused") if line["method"] == UNARY_OF_MEMBERS[1]]
        return [line for line in lines if line["caller"] == "app-7"]

    eventually(told, "a line of the log")
    (line,) = told()
    assert line["peer"] == "127.0.0.1"
    assert "only members" in str(line["reason"])


def test_changes_are_told_with_who_made_them_and_a_forgotten_member_is_refused_at_once(
    ring: list[Node], files: Files
) -> None:
    a, d = ring[0], ring[3]
    assert (
        cli(
            files, "group", "create", "new", "--shards", "1", "--replicas", "3", "--at", local(a), cert="ops"
        ).code
        == 0
    )
    eventually(lambda: a.events("group created"), "a line of the log")
    (created,) = [line for line in a.events("group created") if line["group"] == "new"]
    assert (created["caller"], created["peer"]) == ("ops", "127.0.0.1")
    d.kill()
    assert cli(files, "member", "forget", "d", "--yes", "--at", local(a), cert="ops").code == 0
    eventually(lambda: a.events("member forgotten"), "a line of the log")
    (gone,) = a.events("member forgotten")
    assert (gone["caller"], gone["member"]) == ("ops", "d")
    with connected(a, files, "d", said="d") as stock:
        for path in STREAMS_OF_MEMBERS:
            with refused(REFUSED):
                stock.raw_stream(path, [b""])


def test_without_required_certificates_clients_are_let_in_and_members_alone_make_their_calls(
    nodes: Nodes, tmp_path: Path
) -> None:
    files = authority(tmp_path / "open")

    def tls(name: str) -> dict[str, object]:
        return {**files.settings(name), "require_client": False}

    a, b = nodes.start("a", "b", tls=tls)
    credentials = grpc.ssl_channel_credentials(files.ca.read_bytes())
    with Stock(local(a), credentials=credentials) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        assert stock.repair("sw").outcome == "converged"
        for path in UNARY_OF_MEMBERS:
            with refused(REFUSED):
                stock.raw_unary(path, b"")
    stop_all(a, b)
