"""What a hello says of the store of its sender, and of the store of the one who was greeted."""

from __future__ import annotations

from collections.abc import Mapping

from gossipnode.core.cluster.boots import BootMark, BootVerdict
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

_CODES: Mapping[BootVerdict, pb.HelloMessage.Verdict] = {
    BootVerdict.HEARD: pb.HelloMessage.VERDICT_HEARD,
    BootVerdict.REWOUND: pb.HelloMessage.VERDICT_REWOUND,
    BootVerdict.RUNNING: pb.HelloMessage.VERDICT_RUNNING,
}
_VERDICTS = {code: verdict for verdict, code in _CODES.items()}


def encode_verdict(verdict: BootVerdict) -> pb.HelloMessage.Verdict:
    """The code of a verdict; the one of nothing for all that the other end need not know."""
    return _CODES.get(verdict, pb.HelloMessage.VERDICT_UNSPECIFIED)


def decode_verdict(hello: pb.HelloMessage) -> BootVerdict:
    """What the sender of a hello thinks of the store of the one who was greeted."""
    return _VERDICTS.get(hello.verdict, BootVerdict.UNKNOWN)


def encode_mark(mark: BootMark | None) -> pb.BootMark | None:
    """The message of a mark, or None."""
    return None if mark is None else pb.BootMark(boot=mark.boot, nonce=mark.nonce, commit=mark.commit)


def decode_mark(hello: pb.HelloMessage) -> BootMark | None:
    """Which start of its store the sender of a hello is; None if it does not say so."""
    if not hello.boot.boot:
        return None
    return BootMark(hello.boot.boot, hello.boot.nonce, hello.boot.commit)
