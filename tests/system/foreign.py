"""A compatible peer that is not ours, made of stock gRPC: its replica, its sessions, its place in a ring.

It has the habits of the recorded one: slots and leaves in pages of ten, no half-close before the server has
ended the stream, answers to property_missing that may come late, no services of gossipnode, an error status
where there is no tree.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.system.digests import Held, leaf_sha, leaves_by_slot, root_sha, slot_of, slot_shas
from tests.system.support import (
    LOOPBACK,
    PROPAGATION,
    REPAIR,
    WAIT_SECONDS,
    Stock,
    gossip,
    repairs,
)

PAGE = 10
MISSING, SYNC = 1, 2


class Replica:
    """The records of one shard at a foreign peer. It keeps what it has when revisions are equal."""

    def __init__(self, records: Iterable[Held] = (), *, total_order: bool = False) -> None:
        """`total_order`: compare as a gossipnode does, so that ties are decided equally on both sides."""
        self._lock = threading.Lock()
        self._total_order = total_order
        self._records = {held.text: held for held in records}

    @property
    def records(self) -> dict[str, Held]:
        with self._lock:
            return dict(self._records)

    @property
    def root(self) -> str:
        return root_sha(self.records.values())

    def take(self, held: Held) -> bool:
        """Keep a record if it is newer; False when what is here is newer, or as new."""
        with self._lock:
            known = self._records.get(held.text)
            if known is not None and self.version(held) <= self.version(known):
                return False
            self._records[held.text] = held
            return True

    def version(self, held: Held) -> tuple[int, int, bytes]:
        encoded = held.message.SerializeToString(deterministic=True)
        tie = hashlib.blake2b(encoded, digest_size=32).digest() if self._total_order else b""
        return held.revision, held.delete_time, tie


def sync_of(held: Held) -> Any:
    return repairs.PropertySync(
        id=f"{held.text}/{held.revision}".encode(), property=held.message, delete_time=held.delete_time
    )


def held_of(sync: Any) -> Held:
    return Held(sync.property, sync.delete_time)


def request_of(**data: Any) -> Any:
    return repairs.RepairRequest(**data)


WAIT_NEXT = request_of(wait_next_differ=repairs.WaitNextDifferData())


def root_request(group: str, shard: int, sha: str) -> Any:
    return request_of(tree_root=repairs.TreeRoot(group=group, shard_id=shard, root_sha=sha))


def slot_requests(slots: dict[int, str], page: int = PAGE) -> list[Any]:
    """Pages of slots, then an empty one."""
    made = [repairs.TreeSlotSHA(slot=slot, value=sha) for slot, sha in sorted(slots.items())]
    pages = [made[at : at + page] for at in range(0, len(made), page)]
    return [request_of(tree_slots=repairs.TreeSlots(slot_sha=each)) for each in [*pages, []]]


class ClientSession:
    """A session that the foreign peer opens. Everything sent and heard is kept in order."""

    def __init__(
        self,
        stock: Stock,
        replica: Replica,
        group: str,
        shard: int = 0,
        *,
        timeout: float = WAIT_SECONDS,
        on_page: Callable[[Any], None] = lambda _page: None,
    ) -> None:
        """`on_page` is called with each page before it is answered."""
        self.replica = replica
        self.group, self.shard = group, shard
        self.before = list(replica.records.values())
        self.sent: list[Any] = []
        self.heard: list[Any] = []
        self.found = self.equal = False
        self._on_page = on_page
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stock, self._timeout = stock, timeout
        self._own: list[tuple[Held, str]] = []
        self._slot = -1

    def run(self) -> ClientSession:
        """Run it to the end of the stream. Raises grpc.RpcError when that is not OK."""
        call = self._stock.repair_stream(iter(self._outgoing.get, None), timeout=self._timeout)
        try:
            self._talk(call)
            # The server has ended the stream by itself: nothing of ours has told it to.
            assert call.code() is grpc.StatusCode.OK
        finally:
            self._outgoing.put(None)
            call.cancel()
        return self

    def _talk(self, call: Iterator[Any]) -> None:
        self._own_slots = leaves_by_slot(self.replica.records.values())
        self._say(root_request(self.group, self.shard, self.replica.root))
        verdict = self._hear(call)
        assert verdict is not None
        assert verdict.WhichOneof("data") == "root_compare", verdict
        self.found, self.equal = verdict.root_compare.tree_found, verdict.root_compare.root_sha_match
        if not self.found or self.equal:
            assert self._hear(call) is None
            return
        for request in slot_requests(slot_shas(self.replica.records.values())):
            self._say(request)
        while (message := self._hear(call)) is not None:
            if message.WhichOneof("data") == "property_sync":
                self._answered(message.property_sync)
                continue
            page = message.differ_tree_summary
            self._on_page(page)
            for node in page.nodes:
                self._compare(node)
            if not page.nodes:
                self._leave_slot()
            self._say(WAIT_NEXT)

    def _say(self, message: Any) -> None:
        self.sent.append(message)
        self._outgoing.put(message)

    def _hear(self, call: Iterator[Any]) -> Any | None:
        message = next(call, None)
        if message is not None:
            self.heard.append(message)
        return message

    def _answered(self, answer: Any) -> None:
        held = held_of(answer.property)
        own = self.replica.records.get(held.text)
        if not self.replica.take(held) and _source(answer) == SYNC and own is not None:
            # The recorded peer does not yield: it sends its own once more.
            self._sync(own)

    def _compare(self, node: Any) -> None:
        if node.slot_index != self._slot:
            self._leave_slot()
            self._slot = node.slot_index
            self._own = list(self._own_slots.get(node.slot_index, ()))
        if not node.exists:
            return
        group, name, id_ = (part.encode() for part in node.entity.split("/", 2))
        while self._own and self._own[0][0].key < (group, name, id_):
            self._sync(self._own.pop(0)[0])
        if not self._own or self._own[0][0].text != node.entity:
            self._say(request_of(property_missing=repairs.PropertyMissing(entity=node.entity)))
            return
        own, sha = self._own.pop(0)
        if sha != node.sha:
            self._sync(own)

    def _leave_slot(self) -> None:
        for own, _ in self._own:
            self._sync(own)
        self._own = []

    def _sync(self, held: Held) -> None:
        self._say(request_of(property_sync=sync_of(held)))

    # What was said, for assertions

    @property
    def pages(self) -> list[Any]:
        return [m.differ_tree_summary for m in self.heard if m.WhichOneof("data") == "differ_tree_summary"]

    @property
    def answers(self) -> list[tuple[int, Held]]:
        """(from, record) of what the server sent."""
        found = [m.property_sync for m in self.heard if m.WhichOneof("data") == "property_sync"]
        return [(_source(answer), held_of(answer.property)) for answer in found]

    def sent_kinds(self) -> list[str]:
        return [message.WhichOneof("data") for message in self.sent]


def _source(answer: Any) -> int:
    return int(getattr(answer, "from"))  # a keyword of Python


class Requests:
    """The requests of a session as they come, with a bound on the wait; None is the client's half-close."""

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
        except Exception as error:  # grpc raises a bare Exception where the client has cancelled
            self._queue.put(error)
        self._queue.put(None)

    def next(self, seconds: float = WAIT_SECONDS) -> Any | None:
        """Raises queue.Empty when nothing came in time."""
        message = self._queue.get(timeout=seconds)
        if isinstance(message, Exception):
            raise message
        if message is not None:
            self.heard.append(message)
        return message


Repair = Callable[[Requests, Any], Iterator[Any]]
"""(requests, context) -> answers, as messages or as raw bytes."""


class ForeignPeer:
    """A foreign member: it serves sessions, and takes its turn when it is handed a round's message."""

    def __init__(self, name: str, replica: Replica | None, *, group: str = "sw") -> None:
        """`replica` None: it has no tree."""
        self.name, self.replica, self.group = name, replica, group
        self.members: dict[str, str] = {}
        """Addresses by name, as its own configuration says."""
        self.serve: Repair = self.serve_session
        self.propagations: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.sessions: list[Requests] = []
        self.client_sessions: list[ClientSession] = []
        self.unknown: list[str] = []
        self.problems: list[BaseException] = []
        self.takes_turns = True
        self.changed = threading.Condition()
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self.port = self._server.add_insecure_port(f"{LOOPBACK}:0")
        self.address = f"{LOOPBACK}:{self.port}"
        self.stopping = threading.Event()
        """Set at the end: what hangs on purpose waits for it."""
        self._server.start()

    def close(self) -> None:
        self.stopping.set()
        self._server.stop(0).wait(WAIT_SECONDS)
        self._pool.shutdown()

    # As a server

    def repair(self, source: Iterator[bytes], context: Any) -> Iterator[bytes]:
        requests = Requests(source)
        with self.changed:
            self.sessions.append(requests)
            self.metadata.append(dict(context.invocation_metadata()))
            self.changed.notify_all()
        for answer in self.serve(requests, context):
            yield answer if isinstance(answer, bytes) else answer.SerializeToString()

    def serve_session(
        self,
        requests: Requests,
        context: Any,
        *,
        before_verdict: Callable[[Requests], None] = lambda _requests: None,
        late_answers: bool = False,
        before_end: Callable[[Requests], None] = lambda _requests: None,
    ) -> Iterator[Any]:
        """The server's side. With `late_answers` all answers come after the client's last wait."""
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
        late: list[Any] = []
        for page in [*pages, *([lacking] if lacking else []), []]:
            yield repairs.RepairResponse(differ_tree_summary=repairs.DifferTreeSummary(nodes=page))
            for answer in self._until_wait(requests, replica):
                if late_answers:
                    late.append(answer)
                else:
                    yield answer
        yield from late
        before_end(requests)

    def _until_wait(self, requests: Requests, replica: Replica) -> Iterator[Any]:
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
        """Repair with the successor, add one to the count, and forward while it is below the maximum."""
        assert self.replica is not None
        names = list(request.context.nodes)
        successor = names[(names.index(self.name) + 1) % len(names)]
        with Stock(self.members[successor]) as stock:
            session = ClientSession(stock, self.replica, request.group, request.shard_id).run()
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


__all__ = ["ClientSession", "ForeignPeer", "Held", "Replica", "leaf_sha", "slot_of"]
