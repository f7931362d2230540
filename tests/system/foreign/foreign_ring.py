"""A ring of three members, a, b and c, of which one is foreign and two are real nodes."""

from __future__ import annotations

from typing import Any

from tests.system.foreign.foreign_peer import ForeignPeer
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.held_records import Held, held_by, held_record
from tests.system.nodes import Nodes
from tests.system.processes import Node
from tests.system.stock_client import Stock

FOREIGN_SILENCE_SECONDS = 3
"""The deadline of a session, and of a round for a foreign holder."""
SETTINGS = {"repair": {"schedule": "", "session_deadline_seconds": FOREIGN_SILENCE_SECONDS}}


def of_member(name: str) -> list[Held]:
    """The records of a member. They differ in every way from those of both other members."""
    order = {"a": 0, "b": 1, "c": 2}[name]
    records = [held_record("sw", f"same-{number}", 1) for number in range(30)]
    records += [held_record("sw", f"only-{name}-{number}", 5) for number in range(40)]
    records += [held_record("sw", f"newest-at-{at}", 30 if at == name else 10 + order, name) for at in "abc"]
    records += [
        held_record("sw", f"deleted-at-{at}", 30, delete_time=30 if at == name else 0) for at in "abc"
    ]
    return records


def joined() -> dict[str, Held]:
    """What all three members hold after a round: the newest version of each record."""
    replica = ForeignReplica(total_order=True)
    for name in "abc":
        for held in of_member(name):
            replica.take(held)
    return replica.records


def held_at(node: Node) -> dict[str, Held]:
    with Stock(node.address) as stock:
        return held_by(stock, "sw")


def start_ring(nodes: Nodes, foreign: ForeignPeer) -> list[Node]:
    """Start the two members of a, b and c that the foreign one is not, each with records of its own."""
    names = [name for name in "abc" if name != foreign.name]
    started = nodes.start(*names, ack="local", others={foreign.name: foreign.address}, settings=SETTINGS)
    foreign.members = {node.name: node.address for node in started}
    for node in started:
        with Stock(node.address) as stock:
            stock.import_versions("sw", of_member(node.name))
    return started


def repair_at(node: Node) -> Any:
    """Start a round at a node, and wait for its end."""
    with Stock(node.address) as stock:
        return stock.repair("sw")


def hops(finished: Any) -> list[tuple[str, str, str]]:
    """(from, to, outcome) of each hop of a round."""
    return [(getattr(hop, "from"), hop.to, hop.outcome) for hop in finished.hops]
