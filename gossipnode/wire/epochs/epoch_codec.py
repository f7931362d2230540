"""Requests and replies about epochs, and what a voter keeps of them, as messages and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import DecodeError

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.deciding.epoch_messages import (
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    Prepare,
    Promise,
    Refused,
    Reply,
    Stranger,
)
from gossipnode.wire.epochs.metadata_codec import decode_metadata, encode_metadata
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as pb
from gossipnode.wire.wire_errors import WireError

BALLOT_MAX = 1 << 62
"""The largest number of a ballot. It leaves room for the ones that follow."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tells a member of a value that was decided, and that the one that tells has adopted."""

    value: ClusterMetadata
    teller: int
    """The birth of the one that tells."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks for the newest value, if it is newer than this epoch."""

    cluster_id: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class At:
    """The newest epoch of the one that answers."""

    epoch: int


EpochQuestion: TypeAlias = Prepare | Accept[ClusterMetadata] | Announce | Ask
EpochAnswer: TypeAlias = Reply[ClusterMetadata] | At


def encode_question(question: EpochQuestion) -> pb.EpochRequest:
    """The message of a question."""
    match question:
        case Prepare():
            return pb.EpochRequest(
                cluster_id=question.cluster_id,
                instance=question.instance,
                birth=question.birth,
                prepare=_encode_ballot(question.ballot),
            )
        case Accept():
            return pb.EpochRequest(
                cluster_id=question.cluster_id,
                instance=question.instance,
                birth=question.birth,
                accept=_encode_ballot_value(question.ballot, question.value),
            )
        case Announce():
            return pb.EpochRequest(
                cluster_id=question.value.cluster_id,
                birth=question.teller,
                decided=encode_metadata(question.value),
            )
        case Ask():
            return pb.EpochRequest(cluster_id=question.cluster_id, instance=question.epoch)


def decode_question(message: pb.EpochRequest) -> EpochQuestion:
    """The question of a message.

    Raises:
        WireError: it holds a value that makes no sense.
    """
    match message.WhichOneof("what"):
        case "prepare":
            return Prepare(
                message.cluster_id, message.instance, message.birth, _decode_ballot(message.prepare)
            )
        case "accept":
            ballot, value = _decode_ballot_value(message.accept)
            return Accept(message.cluster_id, message.instance, message.birth, ballot, value)
        case "decided":
            return Announce(decode_metadata(message.decided), message.birth)
        case _:
            return Ask(message.cluster_id, message.instance)


def encode_answer(answer: EpochAnswer) -> pb.EpochReply:
    """The message of an answer."""
    match answer:
        case Promise():
            promise = pb.EpochReply.Promise(ballot=_encode_ballot(answer.ballot))
            if answer.accepted is not None:
                promise.accepted.CopyFrom(_encode_ballot_value(*answer.accepted))
            return pb.EpochReply(promise=promise)
        case Accepted():
            return pb.EpochReply(accepted=_encode_ballot(answer.ballot))
        case Refused():
            return pb.EpochReply(refused=_encode_ballot(answer.promised))
        case DecidedAlready():
            return pb.EpochReply(decided=encode_metadata(answer.value))
        case Behind() | At():
            return pb.EpochReply(epoch=answer.epoch)
        case Stranger():
            return pb.EpochReply(stranger=answer.reason)


def decode_answer(message: pb.EpochReply, question: EpochQuestion) -> EpochAnswer:
    """The answer of a message to a question.

    Raises:
        WireError: it holds a value that makes no sense, or no answer.
    """
    match message.WhichOneof("what"):
        case "promise":
            accepted = None
            if message.promise.HasField("accepted"):
                accepted = _decode_ballot_value(message.promise.accepted)
            return Promise(_decode_ballot(message.promise.ballot), accepted)
        case "accepted":
            return Accepted(_decode_ballot(message.accepted))
        case "refused":
            return Refused(_decode_ballot(message.refused))
        case "decided":
            return DecidedAlready(decode_metadata(message.decided))
        case "epoch":
            return Behind(message.epoch) if isinstance(question, Prepare | Accept) else At(message.epoch)
        case "stranger":
            return Stranger(message.stranger)
        case _:
            raise WireError("EpochReply: no answer is in it")


def encode_state(state: AcceptorState[ClusterMetadata]) -> bytes:
    """What a voter keeps."""
    message = pb.EpochState(promised=_encode_ballot(state.promised))
    if state.decided is not None:
        message.decided.CopyFrom(encode_metadata(state.decided))
    if state.accepted is not None:
        message.accepted.CopyFrom(_encode_ballot_value(*state.accepted))
    return message.SerializeToString(deterministic=True)


def decode_state(birth: int, data: bytes) -> AcceptorState[ClusterMetadata]:
    """What a voter kept.

    Raises:
        WireError: it is damaged, or of another version.
    """
    try:
        message = pb.EpochState.FromString(data)
    except DecodeError:
        raise WireError("it cannot be read") from None
    if not message.HasField("promised"):
        raise WireError("it is not whole")
    state = AcceptorState(
        birth,
        decode_metadata(message.decided) if message.HasField("decided") else None,
        _decode_ballot(message.promised),
        _decode_ballot_value(message.accepted) if message.HasField("accepted") else None,
    )
    if state.accepted is not None and not _may_be_accepted(state, *state.accepted):
        raise WireError("what was accepted is not what the next epoch could be")
    return state


def _may_be_accepted(state: AcceptorState[ClusterMetadata], ballot: Ballot, value: ClusterMetadata) -> bool:
    if ballot > state.promised or value.epoch != state.instance + 1:
        return False
    return state.decided is None or value.cluster_id == state.decided.cluster_id


def _encode_ballot(ballot: Ballot) -> pb.Ballot:
    return pb.Ballot(number=ballot.number, nonce=ballot.nonce)


def _decode_ballot(message: pb.Ballot) -> Ballot:
    if message.number > BALLOT_MAX:
        raise WireError(f"the number of a ballot is over {BALLOT_MAX}")
    return Ballot(message.number, message.nonce)


def _encode_ballot_value(ballot: Ballot, value: ClusterMetadata) -> pb.BallotValue:
    return pb.BallotValue(ballot=_encode_ballot(ballot), value=encode_metadata(value))


def _decode_ballot_value(message: pb.BallotValue) -> tuple[Ballot, ClusterMetadata]:
    return _decode_ballot(message.ballot), decode_metadata(message.value)
