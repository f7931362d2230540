"""Marks of retention, and what members say of a purge round, as messages and back."""

from __future__ import annotations

from gossipnode.core.retention.marks import Marks
from gossipnode.core.retention.purge_round import SealAnswer
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.stamp_codec import decode_stamp


def encode_marks(marks: Marks) -> pb.RetentionMarks:
    """The message of these marks."""
    return pb.RetentionMarks(sealed=marks.sealed, complete=marks.complete, mark=marks.mark)


def decode_marks(message: pb.RetentionMarks) -> Marks:
    """The marks of a message.

    Raises:
        WireError: no replica can have them.
    """
    return Marks(
        decode_stamp("RetentionMarks.sealed", message.sealed),
        decode_stamp("RetentionMarks.complete", message.complete),
        decode_stamp("RetentionMarks.mark", message.mark),
    )


def encode_seal_answer(answer: SealAnswer) -> pb.RetentionReply:
    """The reply of a member to a step of a purge round."""
    return pb.RetentionReply(
        start=pb.RetentionStart(boot=answer.boot, nonce=answer.nonce, late=answer.late),
        problem=answer.problem,
    )


def decode_seal_answer(reply: pb.RetentionReply) -> SealAnswer:
    """What a member says to a step of a purge round."""
    return SealAnswer(reply.start.boot, reply.start.nonce, reply.start.late, reply.problem)
