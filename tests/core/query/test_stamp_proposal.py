"""A proposed stamp is taken by the replicas that had taken and stored nothing higher."""

from __future__ import annotations

from gossipnode.core.query.replica_messages import RecordsRead, RecordsWritten
from gossipnode.core.query.stamp_proposal import StampProposal


def test_a_replica_takes_what_is_above_its_floor() -> None:
    proposal = StampProposal(stamp=5, highest=4)
    assert proposal.take(RecordsRead((None,), floor=4)) == ""
    assert not proposal.outbid
    assert proposal.take(RecordsRead((None,), floor=5)) == "has taken a later stamp"
    assert proposal.outbid
    assert proposal.take(RecordsRead((None,), floor=9)) == "has taken a later stamp"
    assert proposal.take(RecordsRead((None,), floor=0)) == ""
    assert (proposal.outbid, proposal.highest) == (True, 9)


def test_an_answer_of_another_kind_takes_nothing() -> None:
    proposal = StampProposal(stamp=5)
    assert proposal.take(RecordsWritten(())) == "its answer does not fit"
    assert not proposal.outbid
