"""What watches, waits and explanations hand out: plain, typed values."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.property_codec import decode_property
from gossipnode.client.values.tags import Tag, read_tags
from gossipnode.core.model.arrival import Through
from gossipnode.core.model.tag_value import Timestamp
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as replica_pb
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watch tells."""

    event: str
    """put, delete, purge, conflict, ready or gap.

    `ready`: the records as they are have been told. `gap`: forget what was told before, because the records
    as they are come again. `delete` also tells that a record does not match `where` any longer.
    """
    group: str
    name: str
    """Empty in ready and gap, and so is `id`."""
    id: str
    tags: dict[str, Tag] | None
    """None in ready, gap and purge."""
    old: dict[str, Tag] | None
    """The tags before, where they are known."""
    mod_revision: int
    delete_time: int
    through: str
    """client, import, round, hint, read repair or hand-off; empty where it is not known."""
    source: str
    """The member that sent it."""
    reason: str
    """Why there is a gap."""
    token: str
    """From here another watch can go on. It may tell some of the last events again.

    Empty as long as the first records are not all told.
    """

    @property
    def key(self) -> str:
        """GROUP/NAME/ID."""
        return f"{self.group}/{self.name}/{self.id}"


@dataclass(frozen=True, slots=True)
class Waited:
    """Which replicas have what was waited for, and which lag."""

    revision: int
    """What was waited for."""
    applied: tuple[str, ...]
    lagging: tuple[tuple[str, str], ...]
    """Each with why it lags."""


@dataclass(frozen=True, slots=True)
class ExplainedReplica:
    """What one replica holds of a record, and how that came."""

    node: str
    mod_revision: int | None
    """None if it holds nothing, or if that is not known."""
    delete_time: int
    digest: str
    received: Timestamp | None
    """When it came, by the clock of the replica; None where that is not known."""
    through: str
    """client, import, round, hint, read repair or hand-off; empty where it is not known."""
    source: str
    """The member that sent it."""
    replaced: int | None
    """The revision that it took the place of, or when that was deleted."""
    overlap: bool
    """Whether its writer had not seen what it took the place of."""
    problem: str
    """Why nothing is known of this replica; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the replicas hold of a record, and which version wins."""

    replicas: tuple[ExplainedReplica, ...]
    winners: tuple[str, ...]
    """The replicas that hold the version that wins."""
    why: str


def read_event(message: messages.WatchEvent, group: str, token: str) -> WatchEvent:
    """An event of an answer.

    Raises:
        FailedError: what the node sent is no event.
    """
    record = decode_property(message.record) if message.record.property else None
    old = None
    if message.old:
        old = read_tags(decode_property(messages.Record(property=message.old)).tags)
    entity = ("", "", "") if record is None else record.entity
    has_tags = record is not None and message.event != "purge"
    return WatchEvent(
        event=message.event,
        group=group,
        name=entity[1],
        id=entity[2],
        tags=read_tags(record.tags) if record is not None and has_tags else None,
        old=old,
        mod_revision=0 if record is None else record.mod_revision,
        delete_time=message.record.delete_time,
        through=message.through,
        source=message.from_,
        reason=message.reason,
        token=token,
    )


def read_waited(reply: pb.WaitResponse) -> Waited:
    """The answer to a wait."""
    lagging = tuple((each.node, each.why) for each in reply.lagging)
    return Waited(reply.revision, tuple(reply.applied), lagging)


def read_explanation(reply: pb.ExplainResponse) -> Explanation:
    """The answer to a question why a record is what it is."""
    return Explanation(tuple(map(_explained, reply.replicas)), tuple(reply.winners), reply.why)


def _explained(told: pb.ExplainResponse.ReplicaVersion) -> ExplainedReplica:
    has = told.HasField("version")
    arrived = told.HasField("arrival")
    return ExplainedReplica(
        node=told.node,
        mod_revision=told.version.mod_revision if has else None,
        delete_time=told.version.delete_time,
        digest=told.version.digest.hex(),
        received=_received(told.arrival) if arrived else None,
        through=_through(told.arrival.through) if arrived else "",
        source=told.arrival.source,
        replaced=max(told.replaced.mod_revision, told.replaced.delete_time)
        if told.HasField("replaced")
        else None,
        overlap=told.overlap,
        problem=told.problem,
    )


def _received(arrival: replica_pb.Arrival) -> Timestamp:
    seconds, milliseconds = divmod(arrival.at_milliseconds, 1000)
    return Timestamp(seconds, milliseconds * 1_000_000)


def _through(number: int) -> str:
    ways = list(Through)
    return ways[number].value if number < len(ways) else ""


def shown_token(token: bytes) -> str:
    """A token as text."""
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def given_token(token: str) -> bytes:
    """A token from its text.

    Raises:
        InvalidInputError: the text is not a token.
    """
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError(f"since: {token[:40]!r} is no token of a watch") from None
