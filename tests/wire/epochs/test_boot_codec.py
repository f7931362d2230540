"""What hellos say of stores."""

from __future__ import annotations

import pytest

from gossipnode.core.cluster.boots import BootMark, BootVerdict
from gossipnode.wire.epochs.boot_codec import decode_mark, decode_verdict, encode_mark, encode_verdict
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb


@pytest.mark.parametrize("mark", [None, BootMark(1, 0, 0), BootMark(2**64 - 1, 2**64 - 1, 2**64 - 1)])
def test_a_mark_comes_back_as_it_was(mark: BootMark | None) -> None:
    assert decode_mark(pb.HelloMessage(boot=encode_mark(mark))) == mark


def test_a_mark_without_a_start_is_none() -> None:
    assert decode_mark(pb.HelloMessage(boot=pb.BootMark(nonce=5, commit=5))) is None


@pytest.mark.parametrize("verdict", BootVerdict)
def test_a_verdict_comes_back_as_far_as_the_other_end_need_know(verdict: BootVerdict) -> None:
    inner = verdict in (BootVerdict.NEWER, BootVerdict.UNKNOWN)
    hello = pb.HelloMessage(verdict=encode_verdict(verdict))
    assert decode_verdict(hello) is (BootVerdict.UNKNOWN if inner else verdict)


def test_a_verdict_of_a_later_version_says_nothing() -> None:
    hello = pb.HelloMessage.FromString(bytes([11 << 3, 99]))
    assert decode_verdict(hello) is BootVerdict.UNKNOWN
