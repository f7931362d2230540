"""Nodes that are killed, told to stop, or made to hang in the middle of an import, a write or a session."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.system.foreign.foreign_peer import ForeignPeer
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.foreign.foreign_session import ForeignSession, root_request, slot_requests
from tests.system.held_records import Held
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, eventually, verify
from tests.system.stock_client import Stock
from tests.system.stock_messages import own, property_of, repairs, tags_of

pytestmark = pytest.mark.slow


def values(count: int, size: int = 2000, prefix: str = "r") -> list[tuple[Any, int]]:
    return [
        (property_of("sw", "n", f"{prefix}{number:05}", {"k": "v" * size}, revision=number + 1), 0)
        for number in range(count)
    ]


def outcome(finished: Any) -> tuple[str, list[tuple[str, str, str]]]:
    return finished.outcome, [(getattr(hop, "from"), hop.to, hop.outcome) for hop in finished.hops]


def roots(*nodes: Node) -> set[str]:
    found = set()
    for node in nodes:
        with Stock(node.address) as stock:
            found.add(stock.root("sw"))
    return found


# --- kill -9 ---


def test_what_an_import_acknowledged_survives_a_kill(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    held = [own.Record(property=record) for record, _ in values(6000)]
    requests = [own.ImportRequest(group="sw", records=held[at : at + 100]) for at in range(0, len(held), 100)]
    acknowledged = 0
    with Stock(node.address) as stock, contextlib.suppress(grpc.RpcError):
        for answer in stock.import_stream(requests):
            acknowledged += answer.records
            if acknowledged == 1500:
                node.kill()
    assert 1500 <= acknowledged < 6000
    node.start()
    with Stock(node.address) as stock:
        found = stock.export("sw")
    assert {f"r{number:05}" for number in range(acknowledged)} <= {id_ for _, id_ in found}
    # Each batch is there as a whole or not at all.
    assert len(found) % 100 == 0
    assert node.stop() == 0
    assert verify(node)["records"] == len(found)


def test_acknowledged_applies_survive_kill_after_kill(nodes: Nodes) -> None:
    (node,) = nodes.plan("a")
    acknowledged: dict[str, int] = {}
    for life in range(2):
        node.start()
        with Stock(node.address) as stock:
            enough = threading.Event()
            killer = threading.Thread(target=kill_after, args=(node, enough))
            killer.start()
            writers = [
                threading.Thread(target=apply_until_killed, args=(stock, life, number, acknowledged, enough))
                for number in range(8)
            ]
            for thread in writers:
                thread.start()
            for thread in (*writers, killer):
                thread.join(60)
        node.wait()
    # The command `verify` finds nothing wrong in what the kill has left, before a node has opened it.
    verify(node)
    node.start()
    with Stock(node.address) as stock:
        found = {id_: tags_of(record)["n"] for (_, id_), (record, _) in stock.export("sw").items()}
    assert len(acknowledged) == 16
    for id_, number in acknowledged.items():
        assert found[id_] >= number
    assert node.stop() == 0
    assert verify(node)["records"] == len(found)


def kill_after(node: Node, enough: threading.Event) -> None:
    assert enough.wait(60)
    node.send(signal.SIGKILL)


def apply_until_killed(
    stock: Stock, life: int, writer: int, acknowledged: dict[str, int], enough: threading.Event
) -> None:
    id_ = f"{life}-{writer}"
    for number in range(10_000):
        try:
            stock.apply(property_of("sw", "n", id_, {"n": number}))
        except grpc.RpcError:
            return
        acknowledged[id_] = number
        if number == 40:
            enough.set()


@pytest.mark.parametrize("victim", ["a", "b"])
def test_a_kill_in_mid_session_and_another_round(nodes: Nodes, victim: str) -> None:
    """a holds the message, and b lacks all records. Either b is killed as the server, or a as the client."""
    a, b = nodes.start("a", "b", ack="local")
    other = b if victim == "a" else a
    with Stock(a.address) as to_a:
        to_a.import_versions("sw", values(4000))
        to_a.root("sw")
    with Stock(b.address) as to_b:
        with Stock(other.address) as origin:
            events = origin.start_repair("sw")
            # The first of thousands of records have come.
            eventually(lambda: to_b.query("sw", limit=1), "record at b")
            nodes[victim].kill()
            if victim == "b":
                (finished,) = [event.finished for event in events if event.HasField("finished")]
                ended, hops = outcome(finished)
                assert (ended, hops[0]) == ("incomplete", ("a", "b", "failed"))
                assert finished.hops[0].reason
            events.cancel()
    nodes[victim].start()
    with Stock(b.address) as to_b:
        assert 0 < len(to_b.export("sw")) < 4000
        again = to_b.repair("sw")
    # On a slow machine hellos may have shown the difference, and a session mended it, before the round began.
    assert again.outcome in ("repaired", "converged")
    assert len(roots(a, b)) == 1
    stop_all(a, b)
    for node in (a, b):
        assert verify(node)["records"] == 4000


# --- SIGTERM ---


@pytest.fixture
def foreign() -> Iterator[ForeignPeer]:
    peer = ForeignPeer("b", ForeignReplica())
    peer.takes_turns = False
    yield peer
    peer.close()


def test_sigterm_of_a_holder_in_mid_session(nodes: Nodes, foreign: ForeignPeer) -> None:
    """a is told to stop while its session with b hangs. It ends in time, and the origin c is told why."""
    begun, hang = threading.Event(), foreign.stopping

    def serve(requests: Any, context: Any) -> Iterator[Any]:
        requests.next()
        yield repairs.RepairResponse(root_compare=repairs.RootCompare(tree_found=True))
        begun.set()
        context.add_callback(hang.set)
        hang.wait(60)

    foreign.serve = serve
    a, c = nodes.start("a", "c", ack="local", others={"b": foreign.address})
    with Stock(c.address) as stock:
        events = stock.start_repair("sw")
        assert begun.wait(60)
        began = time.monotonic()
        assert a.stop() == 0
        assert time.monotonic() - began < 11
        (finished,) = [event.finished for event in events if event.HasField("finished")]
    assert finished.outcome == "incomplete"
    assert "holder a is stopping" in [hop.reason for hop in finished.hops]
    a.assert_no_defect()


def open_session(stock: Stock) -> tuple[Any, queue.SimpleQueue[Any]]:
    """Open a session, and leave it waiting for an answer to its first page."""
    outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
    call = stock.repair_stream(iter(outgoing.get, None))
    outgoing.put(root_request("sw", 0, "0" * 128))
    assert next(call).root_compare.tree_found
    for request in slot_requests({}):
        outgoing.put(request)
    assert next(call).differ_tree_summary.nodes
    return call, outgoing


def test_sigterm_of_a_server_in_mid_session(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    with Stock(node.address) as stock:
        stock.import_versions("sw", values(10))
        call, outgoing = open_session(stock)
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 11
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        outgoing.put(None)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert caught.value.details()
    node.assert_no_defect()


def test_a_session_that_ends_in_the_grace_period_is_whole(nodes: Nodes) -> None:
    """A node that is told to stop in the middle of a session ends the session first, if there is time."""
    (node,) = nodes.start("a")
    records = [record for record, _ in values(300, 100, "mine")]

    def told(_page: Any) -> None:
        if not stopping:
            stopping.append(True)
            node.send(signal.SIGTERM)
            node.wait_event("draining")

    stopping: list[bool] = []
    with Stock(node.address) as stock:
        stock.import_versions("sw", values(10))
        ForeignSession(stock, ForeignReplica([Held(record) for record in records]), "sw", on_page=told).run()
        assert stopping
    assert node.wait() == 0
    assert verify(node)["records"] == 310


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(nodes: Nodes, number: int) -> None:
    (node,) = nodes.start("a")
    with Stock(node.address) as stock:
        stock.import_versions("sw", values(10))
        call, outgoing = open_session(stock)
        node.send(signal.SIGTERM)
        node.wait_event("draining")
        began = time.monotonic()
        assert node.stop(number) == 128 + number
        assert time.monotonic() - began < 3
        call.cancel()
        outgoing.put(None)
    assert verify(node)["records"] == 10


def test_no_new_work_while_stopping(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    with Stock(node.address) as stock:
        stock.import_versions("sw", values(10))
        call, outgoing = open_session(stock)
        node.send(signal.SIGTERM)
        node.wait_event("draining")
        with Stock(node.address) as late, pytest.raises(grpc.RpcError) as caught:
            late.query("sw", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        call.cancel()
        outgoing.put(None)
        assert node.wait() == 0


# --- SIGSTOP ---


def test_a_peer_that_hangs_in_mid_session_and_comes_back(nodes: Nodes) -> None:
    # The session's deadline ends it. Keepalive alone would need half a minute.
    a, b = nodes.start(
        "a", "b", ack="local", settings={"repair": {"schedule": "", "session_deadline_seconds": 4}}
    )
    with Stock(a.address) as to_a, Stock(b.address) as to_b:
        to_a.import_versions("sw", values(4000))
        to_a.root("sw")
        events = to_a.start_repair("sw")
        eventually(lambda: to_b.query("sw", limit=1), "record at b")
        began = time.monotonic()
        b.send(signal.SIGSTOP)
        (finished,) = [event.finished for event in events if event.HasField("finished")]
        assert time.monotonic() - began < 12
        ended, hops = outcome(finished)
        assert (ended, hops[0]) == ("incomplete", ("a", "b", "failed"))
        assert finished.hops[0].reason
        b.send(signal.SIGCONT)
        eventually(lambda: to_a.repair("sw").outcome in ("repaired", "converged"), "round that repairs")
    assert len(roots(a, b)) == 1
    stop_all(a, b)
