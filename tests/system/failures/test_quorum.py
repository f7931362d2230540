"""Three real nodes and a stock client: an acknowledged write stays, whichever node is killed or stopped."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from tests.system.nodes import Nodes
from tests.system.processes import Node, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow

ACK = "gossipnode-ack"
REQUEST_ID = "gossipnode-request-id"


@pytest.fixture(scope="module")
def three(module_nodes: Nodes) -> list[Node]:
    """Three nodes for the tests that leave all of them running. Each writes records of its own."""
    return module_nodes.start("a", "b", "c")


@contextmanager
def at(node: Node, **metadata: str) -> Iterator[Stock]:
    """A client of one node, which sends `ack` and `request_id` with every call."""
    keys = {"ack": ACK, "request_id": REQUEST_ID}
    with Stock(node.address, metadata=[(keys[name], value) for name, value in metadata.items()]) as stock:
        yield stock


def put(stock: Stock, id_: str = "1", **tags: int) -> Any:
    return stock.apply(property_of("sw", "n", id_, tags))


def tags_at(node: Node, id_: str = "1") -> dict[str, object] | None:
    with at(node, ack="quorum") as stock:
        found = stock.query("sw", name="n", ids=[id_])
    return tags_of(found[0]) if found else None


def works(stock: Stock) -> bool:
    """Whether enough replicas take a write at this moment."""
    try:
        put(stock, "probe", x=1)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


def test_every_operation_goes_on_with_one_of_three_down_and_not_with_two(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    with at(a) as stock:
        assert put(stock, x=1).created
    c.kill()
    with at(a) as at_a, at(b) as at_b:
        assert not put(at_b, y=2).created
        assert tags_at(a) == {"x": 1, "y": 2}
        assert put(at_a, "2", x=1).created
        assert at_b.delete("sw", "n", "2").deleted
        assert not at_a.delete("sw", "n", "2").deleted
        assert tags_at(b, "2") is None
        with at(a, ack="all") as all_of_them:
            with refused(grpc.StatusCode.UNAVAILABLE, "2 of 3 replicas answered, all needs 3; not: c ("):
                put(all_of_them, x=9)
        b.kill()
        with refused(
            grpc.StatusCode.UNAVAILABLE, "1 of 3 replicas answered, quorum needs 2; not: b (", "c ("
        ):
            put(at_a, x=3)
        with at(a, ack="one") as alone:
            assert not put(alone, z=3).created
    c.start()
    with at(c) as stock:
        eventually(lambda: works(stock), "quorum of a and c")
    # Node a alone had taken z. A later write has read it, or it has spread by now.
    eventually(lambda: tags_at(c) == {"x": 1, "y": 2, "z": 3}, "write at one")
    b.start()
    with at(b) as stock:
        # A replica that was away is also made equal as soon as it is back: the round may find nothing to do.
        assert stock.repair("sw").outcome in ("repaired", "converged")
        assert len({Stock(node.address).root("sw") for node in (a, b, c)}) == 1
    for node in (a, b, c):
        node.assert_no_defect()


def test_a_stopped_replica_delays_no_quorum_and_costs_one_timeout_where_it_is_needed(
    three: list[Node],
) -> None:
    a, b, c = three
    with at(a) as stock:
        put(stock, "stopped", x=0)
        c.send(signal.SIGSTOP)
        began = time.monotonic()
        for value in range(20):
            put(stock, "stopped", x=value)
            assert tags_at(b, "stopped") == {"x": value}
        assert time.monotonic() - began < 10
        with at(a, ack="all") as all_of_them:
            began = time.monotonic()
            with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
                all_of_them.apply(property_of("sw", "n", "late"), timeout=0.5)
            assert time.monotonic() - began < 1.5
            with refused(grpc.StatusCode.UNAVAILABLE, "2 of 3", "c ("):
                put(all_of_them, "stopped", x=20)
            c.send(signal.SIGCONT)
            eventually(lambda: works(all_of_them), "answer of c")
    assert tags_at(c, "stopped") == {"x": 19}
    for node in (a, b, c):
        node.assert_no_defect()


def test_what_a_killed_coordinator_acknowledged_is_there_and_the_rest_is_whole(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    acknowledged: set[str] = set()
    enough = threading.Event()

    def write(stock: Stock, writer: int) -> None:
        for number in range(2000):
            id_ = f"{writer}-{number}"
            try:
                put(stock, id_, x=number, y=number)
            except grpc.RpcError:
                return
            acknowledged.add(id_)
            if len(acknowledged) > 200:
                enough.set()

    with at(a) as stock:
        writers = [threading.Thread(target=write, args=(stock, number)) for number in range(8)]
        for thread in writers:
            thread.start()
        assert enough.wait(45)
        a.kill()
        for thread in writers:
            thread.join()
    for node in (b, c):
        with at(node, ack="quorum") as stock:
            found = {record.id: tags_of(record) for record in stock.query("sw", name="n", limit=20_000)}
        assert acknowledged <= found.keys()
        for id_, tags in found.items():
            number = int(id_.partition("-")[2])
            assert tags == {"x": number, "y": number}
    for node in (b, c):
        node.assert_no_defect()


def test_a_retry_at_another_node_is_no_second_write(three: list[Node]) -> None:
    a, b, c = three
    with at(a, request_id="first") as at_a, at(b, request_id="first") as at_b, at(c) as other:
        assert put(at_a, "retried", x=1).created
        assert not put(other, "retried", x=2).created
        # The answer is that of the first try, and nothing is written.
        assert put(at_b, "retried", x=1).created
        assert tags_at(c, "retried") == {"x": 2}
    with at(a, request_id="second") as at_a, at(c, request_id="second") as at_c, at(b) as other:
        assert at_a.delete("sw", "n", "retried").deleted
        assert put(other, "retried", x=3).created
        assert at_c.delete("sw", "n", "retried").deleted
        assert tags_at(a, "retried") == {"x": 3}
