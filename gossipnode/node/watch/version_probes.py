"""Asks replicas which version of a record they hold: one message for all that ask at the same time.

A request to a replica of a shard is under way at most once. What is asked meanwhile goes with the next one,
and each record in it once, however many ask for it: so an answer is never older than its question.
"""

from __future__ import annotations

from gossipnode.concurrency.change_event import NextChange
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS, SAME, ReadRecords, RecordsRead, Wanted
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS, Answer
from gossipnode.node.peers.members import Peer
from gossipnode.node.refusals.request_errors import UnknownGroupError
from gossipnode.rpc import RpcError, Status


class Probe:
    """What some wait to learn of one record at one replica."""

    __slots__ = ("answered", "known", "problem", "version")

    def __init__(self, known: Version | None) -> None:
        """Made by `VersionProbes.start`."""
        self.known = known
        self.version: Version | None = None
        self.problem: RpcError | None = None
        self.answered = NextChange()

    async def result(self) -> Version | None:
        """The version that the replica holds; None if it holds nothing of the record.

        Raises:
            RpcError: it cannot be asked, refuses, or does not answer in `REPLICA_SECONDS`.
        """
        await self.answered.wait()
        if self.problem is not None:
            # Each that waits gets one of its own: raised by many, it would collect the tracebacks of all.
            raise RpcError(self.problem.status, self.problem.message)
        return self.version


class _Line:
    """The requests to one replica about one shard."""

    __slots__ = ("under_way", "waiting")

    def __init__(self) -> None:
        self.under_way: dict[Entity, Probe] = {}
        self.waiting: dict[Entity, Probe] = {}


class VersionProbes:
    """Asks over the links to other members."""

    def __init__(self, local: LocalState) -> None:
        """Ask with the placements that `local` knows."""
        self._shards = local.shards
        self._lines: dict[tuple[str, ShardId], _Line] = {}

    def start(self, peer: Peer, shard: ShardId, entity: Entity, known: Version | None) -> Probe:
        """Ask which version a replica holds from now on.

        `known` is a version that the replica may hold as well: then it need not send the record.

        Raises:
            UnknownGroupError: the group is gone.
        """
        self._shards.placement(shard)
        line = self._lines.setdefault((peer.name, shard), _Line())
        probe = line.waiting.get(entity)
        if probe is None:
            probe = line.waiting[entity] = Probe(known)
        if not line.under_way:
            self._send(peer, shard, line)
        return probe

    def _send(self, peer: Peer, shard: ShardId, line: _Line) -> None:
        """Send what waits; without that, forget the line."""
        while line.waiting:
            entities = list(line.waiting)[:READ_MAX_RECORDS]
            line.under_way = {entity: line.waiting.pop(entity) for entity in entities}
            wanted = tuple(Wanted(entity, probe.known) for entity, probe in line.under_way.items())

            def told(answer: Answer | RpcError) -> None:
                self._take(line, answer)
                self._send(peer, shard, line)

            try:
                placement = self._shards.placement(shard)
                peer.link.start(ReadRecords(shard, placement.fence, wanted), told, timeout=REPLICA_SECONDS)
            except RpcError as error:
                self._take(line, error)
            except UnknownGroupError as error:
                self._take(line, RpcError(Status.NOT_FOUND, str(error)))
            else:
                return
        self._lines.pop((peer.name, shard), None)

    def _take(self, line: _Line, answer: Answer | RpcError) -> None:
        probes, line.under_way = line.under_way, {}
        held = answer.held if isinstance(answer, RecordsRead) else ()
        for position, probe in enumerate(probes.values()):
            if isinstance(answer, RpcError):
                probe.problem = answer
            elif position >= len(held):
                probe.problem = RpcError(Status.RESOURCE_EXHAUSTED, "its answer had no more room")
            elif isinstance(found := held[position], Record):
                probe.version = found.version
            elif found is SAME:
                probe.version = probe.known
            probe.answered.set()
