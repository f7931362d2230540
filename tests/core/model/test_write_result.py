from __future__ import annotations

from gossipnode.core.model.write_result import WriteOutcome


def test_a_version_is_taken_when_the_store_holds_it_afterwards() -> None:
    assert [outcome for outcome in WriteOutcome if outcome.taken] == [WriteOutcome.STORED, WriteOutcome.EQUAL]
