"""A session between two sides, over short lists in place of streams.

A `Side` does what `core.session.commands` demands of a caller, one small step at a time. A `Talk` joins two
sides, and fails when both of them wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gossipnode.core.model.entity_hash import shard_of, slot_of
from gossipnode.core.model.property import Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    Command,
    FetchRecords,
    Finish,
    HalfClose,
    ReadLeaves,
    ReadTree,
    Rest,
    Send,
    SessionEnd,
    Write,
)
from gossipnode.core.session.foreign_peer import ForeignPeer
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
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from tests.core.support import Shelf, sha_of

PAGE_LEAVES = 10


def is_at_home(stored: Record, shelf: Shelf) -> bool:
    return stored.entity.group == shelf.shard.group and (
        shard_of(stored.entity, shelf.shards) == shelf.shard.shard
    )


def client_of(
    shelf: Shelf, *, page_leaves: int = PAGE_LEAVES, foreign: ForeignPeer | None = None
) -> TreeClient:
    return TreeClient(shelf.shard, shelf.shards, shelf.tree(), page_leaves=page_leaves, foreign=foreign)


def server_of(
    shelf: Shelf, *, page_leaves: int = PAGE_LEAVES, foreign: ForeignPeer | None = None
) -> TreeServer:
    return TreeServer({shelf.shard.group: shelf.shards}, page_leaves=page_leaves, foreign=foreign)


Session = TreeClient | TreeServer
Message = ClientMessage | ServerMessage


class Side:
    """One side of a session, with its caller. Each `step_` method does one thing, or gives False.

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
        self.rests = 0
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
        elif isinstance(command, Rest):
            self.rests += 1
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
        self.session.written(self._store(write))
        return True

    def _store(self, write: Write) -> list[WriteOutcome]:
        outcomes = []
        for new in write.records:
            refused = not is_at_home(new, self.shelf) or self.refuses(new)
            outcomes += [WriteOutcome.REFUSED] if refused else self.shelf.write([new])
        return outcomes

    def settle(self) -> list[Message]:
        """Do everything that can be done without another message; give what was sent."""
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
        """Receive messages, then settle; give what was sent."""
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

    # The small things that can happen. Each method gives True when its thing did happen.

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
    """A session that has not begun."""
    return Talk(
        Side(client_of(client, page_leaves=page_leaves), client),
        Side(server_of(server, page_leaves=page_leaves), server, tree_found=tree_found),
        capacity,
    )


def repair(client: Shelf, server: Shelf, *, capacity: int = 1_000_000) -> Talk:
    """A session from its beginning to its end."""
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
