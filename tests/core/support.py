"""What the tests of the core share: records, a store that is a dict, and a driver that joins two sessions.

The driver does what `core.session.commands` demands of a caller, one small step at a time, over short
lists in place of streams. It shows by itself when both sides wait for each other.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    Command,
    FetchRecords,
    Finish,
    HalfClose,
    ReadLeaves,
    ReadTree,
    Send,
    SessionEnd,
    Write,
)
from gossipnode.core.session.messages import (
    ClientMessage,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    ServerMessage,
    TreeRoot,
    TreeSlots,
    Unreadable,
    WaitNextDiffer,
)
from gossipnode.core.session.tree import (
    Leaf,
    SlotDigest,
    Tree,
    leaf_digest,
    make_tree,
    shard_of,
    slot_of,
    slot_sha,
)
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from tests.records import bare_record

EXAMPLES_FACTOR = float(os.environ.get("GOSSIPNODE_EXAMPLES", "1"))
"""Multiplies the examples of every property test here: small for mutants, large for a long night."""

SHARD = ShardId("g", 0)
PAGE_LEAVES = 10


def examples(count: int, *, steps: int = 50) -> settings:
    """Settings of a property test. No deadline: a busy machine is no failure."""
    # With fewer examples than usual, that a test fails is all that is asked, not by which smallest example.
    phases = [Phase.explicit, Phase.generate] if EXAMPLES_FACTOR < 1 else list(Phase)
    return settings(
        phases=phases,
        max_examples=max(3, round(count * EXAMPLES_FACTOR)),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def record(
    id_: str, revision: int, content: str = "v", *, deleted: int = 0, name: str = "n", group: str = "g"
) -> Record:
    """A bare record. Its payload holds its key and its revision, as that of a real record does."""
    entity = Entity(group, name, id_)
    payload = f"{entity.text}@{revision}={content}".encode()
    return bare_record(entity, payload, revision=revision, delete_time=deleted)


def id_in_slot(slot: int, nth: int = 0) -> str:
    """The nth id whose entity (g, n, id) falls into a slot."""
    found = -1
    number = 0
    while True:
        if slot_of(Entity("g", "n", f"i{number}")) == slot:
            found += 1
            if found == nth:
                return f"i{number}"
        number += 1


def sha_of(stored: Record) -> str:
    return leaf_digest(stored.payload, stored.version.delete_time).hex()


def leaf_of(stored: Record) -> Leaf:
    return Leaf(slot_of(stored.entity), stored.entity, sha_of(stored), stored.version)


class Shelf:
    """A store of one shard, as a dict: the newest version of each entity wins."""

    def __init__(self, records: Iterable[Record] = (), *, shard: ShardId = SHARD, shards: int = 1) -> None:
        self.shard = shard
        self.shards = shards
        self.records: dict[Entity, Record] = {}
        self.write(list(records))

    def write(self, records: Sequence[Record]) -> list[WriteOutcome]:
        outcomes = []
        for new in records:
            held = self.records.get(new.entity)
            if held is not None and held.version > new.version:
                outcomes.append(WriteOutcome.OLDER)
                continue
            self.records[new.entity] = new
            outcomes.append(WriteOutcome.STORED)
        return outcomes

    def read(self, entities: Iterable[Entity]) -> list[Record | None]:
        return [self.records.get(entity) for entity in entities]

    def leaves(self, slot: int, after: Entity | None, limit: int) -> list[Leaf]:
        entities = sorted(
            entity for entity in self.records if slot_of(entity) == slot and (after is None or entity > after)
        )
        return [leaf_of(self.records[entity]) for entity in entities[:limit]]

    def tree(self) -> Tree:
        slots: dict[int, list[str]] = {}
        for entity in sorted(self.records):
            slots.setdefault(slot_of(entity), []).append(sha_of(self.records[entity]))
        return make_tree(SlotDigest(slot, slot_sha(slots[slot])) for slot in sorted(slots))


def is_at_home(stored: Record, shelf: Shelf) -> bool:
    return stored.entity.group == shelf.shard.group and (
        shard_of(stored.entity, shelf.shards) == shelf.shard.shard
    )


def client_of(shelf: Shelf, *, page_leaves: int = PAGE_LEAVES) -> TreeClient:
    return TreeClient(shelf.shard, shelf.shards, shelf.tree(), page_leaves=page_leaves)


def server_of(shelf: Shelf, *, page_leaves: int = PAGE_LEAVES) -> TreeServer:
    return TreeServer({shelf.shard.group: shelf.shards}, page_leaves=page_leaves)


Session = TreeClient | TreeServer
Message = ClientMessage | ServerMessage


class Side:
    """One side of a session and what its caller owes it. Each `step_` does one thing, or says False.

    `room` says whether the stream takes one more message now; `sent` gets each message that it took. While a
    `Send` waits for room, no further command is asked for, but messages are received and records written.
    """

    def __init__(self, session: Session, shelf: Shelf, *, tree_found: bool = True) -> None:
        self.session = session
        self.shelf = shelf
        self.tree_found = tree_found
        self.sending: deque[Message] = deque()
        self.commands: list[Command] = []
        self.todo: deque[Command] = deque()
        self.in_store: Write | None = None
        self.half_closed = False
        self.end: SessionEnd | None = None
        self.refuses: Callable[[Record], bool] = lambda record: False

    @property
    def finished(self) -> bool:
        return self.end is not None

    def step_send(self, room: Callable[[], bool], sent: Callable[[Message], None]) -> bool:
        if not self.sending or not room():
            return False
        sent(self.sending.popleft())
        return True

    def step_command(self) -> bool:
        if self.sending or self.finished:
            return False
        command = self.todo.popleft() if self.todo else self.session.next_command()
        if command is None:
            return False
        self.commands.append(command)
        self._carry_out(command)
        return True

    def _carry_out(self, command: Command) -> None:
        session, shelf = self.session, self.shelf
        if isinstance(command, Send):
            assert command.messages, "an empty Send"
            self.sending.extend(command.messages)
        elif isinstance(command, HalfClose):
            assert not self.half_closed
            self.half_closed = True
        elif isinstance(command, ReadTree):
            assert isinstance(session, TreeServer)
            assert command.shard == shelf.shard
            self.todo.extend(session.tree_read(shelf.tree() if self.tree_found else None))
        elif isinstance(command, ReadLeaves):
            page = session.leaves_read(command, shelf.leaves(command.slot, command.after, command.limit))
            self._then(page)
        elif isinstance(command, FetchRecords):
            self._then(session.records_read(shelf.read(command.entities)))
        else:
            assert isinstance(command, Finish)
            assert self.in_store is None, "finished with records still in the store"
            assert session.next_write() is None, "finished with records never given to the store"
            self.end = command.end

    def _then(self, command: Command | None) -> None:
        if command is not None:
            self.todo.append(command)

    def step_write_begin(self) -> bool:
        if self.in_store is not None:
            assert self.session.next_write() is None, "two writes at a time"
            return False
        self.in_store = self.session.next_write()
        return self.in_store is not None

    def step_write_end(self) -> bool:
        if self.in_store is None:
            return False
        write, self.in_store = self.in_store, None
        outcomes = []
        for new in write.records:
            refused = not is_at_home(new, self.shelf) or self.refuses(new)
            outcomes += [WriteOutcome.REFUSED] if refused else self.shelf.write([new])
        self.session.written(outcomes)
        return True

    def settle(self) -> list[Message]:
        """Do everything that can be done without another message; gives what was sent."""
        sent: list[Message] = []
        while (
            self.step_send(lambda: True, sent.append)
            or self.step_command()
            or self.step_write_begin()
            or self.step_write_end()
        ):
            pass
        return sent

    def hear(self, *messages: Message) -> list[Message]:
        """Receive messages, then settle; gives what was sent."""
        for message in messages:
            self.session.receive(message)  # type: ignore[arg-type]
        return self.settle()


class StuckError(AssertionError):
    """Neither side can do anything, and the session is not over."""


@dataclass
class Talk:
    """A whole session between two sides over lists that hold `capacity` messages each."""

    client: Side
    server: Side
    capacity: int = 1_000_000
    to_server: deque[Message] = field(default_factory=deque)
    to_client: deque[Message] = field(default_factory=deque)
    lines: list[str] = field(default_factory=list)
    client_sent: list[Message] = field(default_factory=list)
    server_sent: list[Message] = field(default_factory=list)
    told_server_end: bool = False
    told_client_end: bool = False

    def _from_client(self, message: Message) -> None:
        self.to_server.append(message)
        self.client_sent.append(message)
        self.lines.append(f"client: {describe(message)}")

    def _from_server(self, message: Message) -> None:
        self.to_client.append(message)
        self.server_sent.append(message)
        self.lines.append(f"server: {describe(message)}")

    # Every small thing that can happen, each True when it did happen.

    def client_sends(self) -> bool:
        return self.client.step_send(lambda: len(self.to_server) < self.capacity, self._from_client)

    def server_sends(self) -> bool:
        return self.server.step_send(lambda: len(self.to_client) < self.capacity, self._from_server)

    def client_hears(self) -> bool:
        if self.client.finished or self.client.session.unwritten_full:
            return False
        if self.to_client:
            self.client.session.receive(self.to_client.popleft())  # type: ignore[arg-type]
            return True
        if self.server.finished and not self.server.sending and not self.told_client_end:
            self.told_client_end = True
            self.client.session.peer_ended()
            return True
        return False

    def server_hears(self) -> bool:
        if self.server.finished or self.server.session.unwritten_full:
            return False
        if self.to_server:
            self.server.session.receive(self.to_server.popleft())  # type: ignore[arg-type]
            return True
        if self.client.half_closed and not self.client.sending and not self.told_server_end:
            self.told_server_end = True
            self.server.session.peer_ended()
            return True
        return False

    @property
    def actions(self) -> list[Callable[[], bool]]:
        return [
            self.client_sends,
            self.server_sends,
            self.client_hears,
            self.server_hears,
            self.client.step_command,
            self.server.step_command,
            self.client.step_write_begin,
            self.server.step_write_begin,
            self.client.step_write_end,
            self.server.step_write_end,
        ]

    @property
    def over(self) -> bool:
        return self.client.finished and self.server.finished

    def run(self, *, budget: int = 1_000_000) -> Talk:
        """Let everything happen until both sides have finished."""
        actions = self.actions
        for _ in range(budget):
            if self.over:
                return self
            happened = [action() for action in actions]
            if not any(happened):
                raise StuckError(f"both sides wait for each other after {self.lines[-5:]}")
        raise StuckError("the session does not end")

    @property
    def records_sent(self) -> list[Message]:
        """The messages of both sides that carry a record."""
        return [
            message
            for message in (*self.client_sent, *self.server_sent)
            if isinstance(message, PropertySync | PropertyAnswer)
        ]


def talk(
    client: Shelf,
    server: Shelf,
    *,
    capacity: int = 1_000_000,
    page_leaves: int = PAGE_LEAVES,
    tree_found: bool = True,
) -> Talk:
    """A session, not begun yet."""
    return Talk(
        Side(client_of(client, page_leaves=page_leaves), client),
        Side(server_of(server, page_leaves=page_leaves), server, tree_found=tree_found),
        capacity,
    )


def repair(client: Shelf, server: Shelf, *, capacity: int = 1_000_000) -> Talk:
    """A whole session."""
    return talk(client, server, capacity=capacity).run()


def describe(message: Message) -> str:
    """A message in one short line."""
    match message:
        case TreeRoot(group, shard, sha):
            return f"tree_root {group}/{shard} {'empty' if not sha else 'root'}"
        case TreeSlots(slots):
            return f"tree_slots {[slot.slot for slot in slots]}"
        case PropertyMissing(entity):
            return f"property_missing {entity}"
        case PropertySync(content):
            return f"property_sync {_content(content)}"
        case WaitNextDiffer():
            return "wait_next_differ"
        case RootCompare(found, match):
            return "root_compare " + ("not found" if not found else "equal" if match else "differ")
        case DifferSummary(leaves):
            return f"differ_tree_summary {[leaf.entity if leaf.exists else leaf.slot for leaf in leaves]}"
        case PropertyAnswer(answer_to, content):
            return f"property_sync {answer_to.name} {_content(content)}"
    raise AssertionError(message)


def _content(content: Record | Unreadable) -> str:
    if isinstance(content, Unreadable):
        return "unreadable"
    return f"{content.entity.text}@{content.version.mod_revision}{'x' if content.deleted else ''}"


def page(*records: Record) -> DifferSummary:
    """A server's page over these records."""
    return DifferSummary(
        tuple(PageLeaf(slot_of(each.entity), True, each.entity.text, sha_of(each)) for each in records)
    )


LAST_PAGE = DifferSummary(())
NO_MORE_SLOTS = TreeSlots(())
DIFFER = RootCompare(tree_found=True, root_match=False)
EQUAL = RootCompare(tree_found=True, root_match=True)
NOT_FOUND = RootCompare(tree_found=False, root_match=False)
