"""A compatible peer that is not ours, as a member of a ring, made of stock gRPC.

It has the habits of the recorded peer: it sends leaves in pages of ten, its answers to property_missing may
come late, it has none of the services of gossipnode, and it ends a session with an error if it has no tree.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.ports import LOOPBACK
from tests.system.digests import leaves_by_slot, slot_shas
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.foreign.foreign_session import MISSING, PAGE, SYNC, ForeignSession
from tests.system.held_records import Held, held_of, sync_of
from tests.system.processes import WAIT_SECONDS
from tests.system.stock_client import PROPAGATION, REPAIR, Stock
from tests.system.stock_messages import gossip, repairs


class HeardRequests:
    """The requests of a session, handed out one by one. None stands for the end of the client's half."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.heard: list[Any] = []
        threading.Thread(target=self._pump, args=(source,), daemon=True).start()

    def _pump(self, source: Iterator[bytes]) -> None:
        try:
            for data in source:
                self._queue.put(repairs.RepairRequest.FromString(data))
        except grpc.RpcError as error:
            self._queue.put(error)
        except Exception as error:  # grpc raises a bare Exception when the client has cancelled the call
            self._queue.put(error)
        self._queue.put(None)

    def next(self, seconds: float = WAIT_SECONDS) -> Any | None:
        """The next request. Raises queue.Empty when none comes in time."""
        message = self._queue.get(timeout=seconds)
        if isinstance(message, Exception):
            raise message
        if message is not None:
            self.heard.append(message)
        return message


Repair = Callable[[HeardRequests, Any], Iterator[Any]]
"""(requests, context) -> answers, as messages or as raw bytes."""


class ForeignPeer:
    """A foreign member: it serves sessions, and takes its turn when it is handed a round's message."""

    def __init__(self, name: str, replica: ForeignReplica | None) -> None:
        """Without a replica it has no tree."""
        self.name, self.replica = name, replica
        self.members: dict[str, str] = {}
        """The address of each other member, by name."""
        self.serve: Repair = self.serve_session
        self.propagations: list[Any] = []
        self.sessions: list[HeardRequests] = []
        self.client_sessions: list[ForeignSession] = []
        self.unknown: list[str] = []
        """The methods that were called, and that it does not have."""
        self.problems: list[BaseException] = []
        self.takes_turns = True
        """Whether it acts as the holder of a message that it was handed."""
        self.changed = threading.Condition()
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self.address = f"{LOOPBACK}:{self._server.add_insecure_port(f'{LOOPBACK}:0')}"
        self.stopping = threading.Event()
        """Set at the end of the test. Handlers that hang on purpose wait for it."""
        self._server.start()

    def close(self) -> None:
        self.stopping.set()
        self._server.stop(0).wait(WAIT_SECONDS)
        self._pool.shutdown()

    # As a server

    def repair(self, source: Iterator[bytes], context: Any) -> Iterator[bytes]:
        requests = HeardRequests(source)
        with self.changed:
            self.sessions.append(requests)
            self.changed.notify_all()
        for answer in self.serve(requests, context):
            yield answer if isinstance(answer, bytes) else answer.SerializeToString()

    def serve_session(
        self,
        requests: HeardRequests,
        context: Any,
        *,
        before_verdict: Callable[[HeardRequests], None] = lambda _requests: None,
        late_answers: bool = False,
        before_end: Callable[[HeardRequests], None] = lambda _requests: None,
    ) -> Iterator[Any]:
        """The server's side of a session. With `late_answers` it sends all answers after the last wait."""
        first = requests.next()
        assert first is not None
        assert first.WhichOneof("data") == "tree_root", first
        before_verdict(requests)
        if self.replica is None:
            yield repairs.RepairResponse(root_compare=repairs.RootCompare(tree_found=False))
            context.abort(grpc.StatusCode.UNKNOWN, "tree is not built")
        replica = self.replica
        assert replica is not None
        equal = first.tree_root.root_sha == replica.root
        yield repairs.RepairResponse(root_compare=repairs.RootCompare(tree_found=True, root_sha_match=equal))
        if equal:
            return
        theirs: dict[int, str] = {}
        while (message := requests.next()) is not None and message.tree_slots.slot_sha:
            theirs.update({slot.slot: slot.value for slot in message.tree_slots.slot_sha})
        late: list[Any] = []
        for page in pages_of(replica, theirs):
            yield repairs.RepairResponse(differ_tree_summary=repairs.DifferTreeSummary(nodes=page))
            for answer in self._until_wait(requests, replica):
                if late_answers:
                    late.append(answer)
                else:
                    yield answer
        yield from late
        before_end(requests)

    def _until_wait(self, requests: HeardRequests, replica: ForeignReplica) -> Iterator[Any]:
        while (message := requests.next()) is not None:
            kind = message.WhichOneof("data")
            if kind == "wait_next_differ":
                return
            if kind == "property_missing":
                held = replica.records.get(message.property_missing.entity)
                if held is not None:
                    yield _answer(MISSING, held)
                continue
            assert kind == "property_sync", message
            held = held_of(message.property_sync)
            if not replica.take(held):
                yield _answer(SYNC, replica.records[held.text])
        raise AssertionError("the client ended the session before its last wait")

    # As a holder

    def propagation(self, data: bytes, context: Any) -> bytes:
        request = gossip.PropagationRequest.FromString(data)
        with self.changed:
            self.propagations.append(request)
            self.changed.notify_all()
        if self.takes_turns:
            taken = gossip.PropagationRequest.FromString(data)
            threading.Thread(target=self._hold, args=(taken,), daemon=True).start()
        return gossip.PropagationResponse().SerializeToString()

    def _hold(self, request: Any) -> None:
        try:
            self.hold(request)
        except BaseException as error:
            with self.changed:
                self.problems.append(error)
                self.changed.notify_all()

    def hold(self, request: Any) -> None:
        """Repair with the successor, count the hop, and forward the message if its limit allows it."""
        assert self.replica is not None
        names = list(request.context.nodes)
        successor = names[(names.index(self.name) + 1) % len(names)]
        with Stock(self.members[successor]) as stock:
            session = ForeignSession(stock, self.replica, request.group, request.shard_id).run()
            with self.changed:
                self.client_sessions.append(session)
                self.changed.notify_all()
            request.context.current_propagation_count += 1
            if request.context.current_propagation_count < request.context.max_propagation_count:
                stock.propagation(request)

    def wait(self, wanted: Callable[[], bool], what: str) -> None:
        """Wait until something that this peer has seen makes `wanted` true."""
        with self.changed:
            assert self.changed.wait_for(lambda: wanted() or self.problems, WAIT_SECONDS), what
            assert not self.problems, self.problems


def pages_of(replica: ForeignReplica, theirs: dict[int, str]) -> list[list[Any]]:
    """The leaves of slots that differ, then the slots that only the client has, then an empty page."""
    held = leaves_by_slot(replica.records.values())
    ours = slot_shas(replica.records.values())
    pages = [
        [
            repairs.TreeLeafNode(slot_index=slot, exists=True, entity=each.text, sha=sha)
            for each, sha in held[slot][at : at + PAGE]
        ]
        for slot in held
        if theirs.get(slot) != ours[slot]
        for at in range(0, len(held[slot]), PAGE)
    ]
    lacking = [repairs.TreeLeafNode(slot_index=slot) for slot in theirs if slot not in ours]
    return [*pages, *([lacking] if lacking else []), []]


def _answer(source: int, held: Held) -> Any:
    made = repairs.PropertySyncWithFrom(property=sync_of(held))
    setattr(made, "from", source)
    return repairs.RepairResponse(property_sync=made)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, peer: ForeignPeer) -> None:
        self._peer = peer

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        if method == REPAIR:
            return grpc.stream_stream_rpc_method_handler(self._peer.repair)
        if method == PROPAGATION:
            return grpc.unary_unary_rpc_method_handler(self._peer.propagation)
        self._peer.unknown.append(method)
        return None
