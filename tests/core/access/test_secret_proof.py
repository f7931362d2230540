"""What both ends prove to each other, and of what use a proof is elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.core.access.secret_proof import NONCE_BYTES, Meeting

MEETING = Meeting("main", "a", "b", b"1" * NONCE_BYTES, b"2" * NONCE_BYTES)
OTHERS = [
    replace(MEETING, cluster="other"),
    replace(MEETING, caller="c"),
    replace(MEETING, server="c"),
    replace(MEETING, caller_nonce=b"3" * NONCE_BYTES),
    replace(MEETING, server_nonce=b"3" * NONCE_BYTES),
    # Not even where the texts of all parts together are the same.
    replace(MEETING, cluster="mai", caller="na"),
    replace(MEETING, caller="ab", server=""),
]


def test_both_ends_know_the_secret_of_the_other() -> None:
    proofs = MEETING.server_proofs(["new", "old"])
    assert MEETING.common_secret(["old"], proofs) == "old"
    assert MEETING.common_secret(["new", "old"], proofs) == "new"
    assert MEETING.is_proven(["new", "old"], MEETING.caller_proof("old"))


def test_another_secret_proves_nothing() -> None:
    assert MEETING.common_secret(["x"], MEETING.server_proofs(["new", "old"])) is None
    assert MEETING.common_secret(["new"], []) is None
    assert not MEETING.is_proven(["new", "old"], MEETING.caller_proof("x"))
    assert not MEETING.is_proven(["new"], b"")
    assert not MEETING.is_proven([], MEETING.caller_proof("new"))


@pytest.mark.parametrize("other", OTHERS)
def test_a_proof_is_of_no_use_in_another_meeting(other: Meeting) -> None:
    assert not other.is_proven(["s"], MEETING.caller_proof("s"))
    assert other.common_secret(["s"], MEETING.server_proofs(["s"])) is None


def test_the_proof_of_one_end_is_of_no_use_to_the_other() -> None:
    (proof,) = MEETING.server_proofs(["s"])
    assert not MEETING.is_proven(["s"], proof)
    assert MEETING.common_secret(["s"], [MEETING.caller_proof("s")]) is None
