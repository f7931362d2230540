"""A reconcile session between two sides, over short lists in place of streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    FetchNumbered,
    FetchPage,
    Finish,
    HalfClose,
    ReadIndex,
    ReconcileCommand,
    SessionEnd,
    Step,
)
from gossipnode.core.session.reconcile.item_index import ItemHash, ItemIndex
from gossipnode.core.session.reconcile.reconcile_messages import ReconcileMessage, SentRecords
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileClient, ReconcileServer
from tests.records import bare_record

SHARD = ShardId("g", 0)
KEY = ItemHash(bytes(16))
OTHER_KEY = ItemHash(bytes([1] * 16))


def record(identity: object, revision: int = 1, *, deleted: int = 0, payload: bytes = b"payload") -> Record:
    return bare_record(Entity("g", "n", str(identity)), payload, revision=revision, delete_time=deleted)


class Replica:
    """What a replica holds, with its index."""

    def __init__(self, records: Iterable[Record] = (), key: ItemHash = KEY) -> None:
        self.index = ItemIndex(key)
        self.numbers: dict[Entity, int] = {}
        self.records: list[Record] = []
        for each in records:
            self.write(each)

    def write(self, new: Record) -> WriteOutcome:
        number = self.numbers.setdefault(new.entity, len(self.records))
        if number == len(self.records):
            self.records.append(new)
        elif self.records[number].version >= new.version:
            equal = self.records[number].version == new.version
            return WriteOutcome.EQUAL if equal else WriteOutcome.OLDER
        else:
            self.records[number] = new
        self.index.hold(new.entity, new.version, number)
        return WriteOutcome.STORED

    def in_order(self, after: Entity | None, limit: int) -> list[int]:
        """The numbers of up to `limit` records that come after an entity."""
        ordered = sorted(self.numbers.items())
        return [number for entity, number in ordered if after is None or entity > after][:limit]

    @property
    def held(self) -> set[Record]:
        return set(self.records)


@dataclass
class Side:
    """One side: does what `core.session.commands` demands of a caller, a step at a time."""

    session: ReconcileClient | ReconcileServer
    replica: Replica
    holds_shard: bool = True
    unreadable: set[int] = field(default_factory=set[int])
    inbox: deque[ReconcileMessage] = field(default_factory=deque[ReconcileMessage])
    sent: list[ReconcileMessage] = field(default_factory=list[ReconcileMessage])
    half_closed: bool = False
    tree_root: str | None = None
    end: SessionEnd | None = None

    def step(self, other: Side) -> bool:
        """Do one thing; gives whether there was anything to do."""
        session = self.session
        if (write := session.next_write()) is not None:
            session.written([self.replica.write(each) for each in write.records])
            return True
        if self.end is None and (command := session.next_command()) is not None:
            for done in self.follow(command):
                self.act(done, other)
            return True
        if self.inbox:
            session.receive(self.inbox.popleft())
            return True
        return False

    def follow(self, command: ReconcileCommand) -> tuple[Step, ...]:
        match command:
            case FetchNumbered(numbers):
                records = self.replica.records
                read = [None if number in self.unreadable else records[number] for number in numbers]
                said = self.session.numbered_read(read)
                return () if said is None else (said,)
            case FetchPage(after, limit):
                numbers = self.replica.in_order(after, limit + 1)
                last = self.replica.records[numbers[limit - 1]].entity if len(numbers) > limit else None
                records = self.replica.records
                read = [None if number in self.unreadable else records[number] for number in numbers[:limit]]
                said = self.session.page_read(last, read)
                return () if said is None else (said,)
            case ReadIndex():
                index = self.replica.index if self.holds_shard else None
                return self.session.index_read(index, self.tree_root)
            case _:
                return (command,)

    def act(self, step: Step, other: Side) -> None:
        match step:
            case Finish(end):
                self.end = end
            case HalfClose():
                self.half_closed = True
            case _:
                assert not self.half_closed
                self.sent.extend(step.messages)  # type: ignore[arg-type]
                other.inbox.extend(step.messages)  # type: ignore[arg-type]

    def count(self, kind: type[ReconcileMessage]) -> int:
        return sum(isinstance(message, kind) for message in self.sent)

    @property
    def records_sent(self) -> list[Record]:
        batches = [message.records for message in self.sent if isinstance(message, SentRecords)]
        return [each for batch in batches for each in batch if isinstance(each, Record)]


class Session:
    """Both sides."""

    def __init__(
        self,
        client: Replica,
        server: Replica,
        *,
        holds_shard: bool = True,
        kind: type[ReconcileClient] = ReconcileClient,
    ) -> None:
        self.client = Side(kind(SHARD, 1, client.index), client)
        self.server = Side(ReconcileServer({"g": 1}), server, holds_shard)

    def run(self, between: Callable[[int], None] = lambda _: None) -> SessionEnd:
        """Run to the end; `between` is called before each step."""
        steps = 0
        while self.client.end is None or self.server.end is None:
            between(steps)
            steps += 1
            moved = self.client.step(self.server)
            moved |= self.server.step(self.client)
            assert moved, "both sides wait for each other"
        assert self.client.end is self.server.end or self.client.end is SessionEnd.STILL_DIFFERS
        return self.client.end

    def skipped(self) -> dict[str, int]:
        return {**self.client.session.counts.reasons, **self.server.session.counts.reasons}


def reconcile(client: Replica, server: Replica) -> Session:
    """Run a session; both must hold the same afterwards, and nothing must be lost."""
    newest: dict[Entity, Version] = {}
    for each in (*client.held, *server.held):
        newest[each.entity] = max(each.version, newest.get(each.entity, each.version))
    session = Session(client, server)
    end = session.run()
    assert client.held == server.held
    assert {each.entity: each.version for each in client.held} == newest
    assert client.index.root == server.index.root
    assert not session.skipped()
    assert (end is SessionEnd.EQUAL) == (not session.client.records_sent and not session.server.records_sent)
    return session
