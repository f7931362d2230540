"""Records that a stock gRPC client sends in a session and a node may not keep are skipped and counted."""

from __future__ import annotations

import pytest

from tests.system.foreign.foreign_script import ForeignScript
from tests.system.foreign.foreign_session import WAIT_NEXT, request_of
from tests.system.held_records import Held, held_by, held_record, sync_of
from tests.system.stock_client import Stock
from tests.system.stock_messages import properties, property_of, repairs

pytestmark = pytest.mark.slow


def test_records_that_do_not_belong_are_skipped_and_the_session_goes_on(stock: Stock, group: str) -> None:
    good = held_record(group, "good", 1)
    alive = property_of(group, "n", "x", {"k": "v"}, revision=1)
    odd: list[Held] = [
        held_record("nobody", "other-group", 1),
        held_record("two", "other-group-that-is-here", 1),
        Held(property_of(group, "a/b", "slash", revision=1)),
        Held(property_of(group, "", "no-name", revision=1)),
        Held(property_of(group, "n", "", revision=1)),
        Held(property_of(group, "n" * 256, "long-name", revision=1)),
        Held(property_of(group, "n", "i" * 4097, revision=1)),
        Held(property_of(group, "n", "future", revision=2**62 + 1)),
        Held(property_of(group, "n", "negative", revision=-1)),
        Held(alive, 2**62 + 1),
        Held(alive, -1),
        Held(property_of(group, "n", "large", {"k": "v" * (1 << 20)}, revision=1)),
        Held(properties.Property(id="no-metadata")),
    ]
    with ForeignScript(stock, group, [good]) as script:
        script.begin()
        for held in odd:
            script.say(request_of(property_sync=sync_of(held)))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity="no slashes")))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity="nobody/n/x")))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity=f"{group}/n/not-there")))
        while (page := script.next_page()).nodes:
            assert not page.nodes[0].exists
            script.say(request_of(property_sync=sync_of(good)), WAIT_NEXT)
        script.say(WAIT_NEXT)
        assert script.next() is None
        trailing = dict(script.call.trailing_metadata())
    assert held_by(stock, group) == {good.text: good}
    assert int(trailing["gossipnode-skipped"]) == len(odd) + 2


def test_a_record_of_another_shard_is_skipped(stock: Stock) -> None:
    ids = [str(number) for number in range(40)]
    records = [held_record("two", id_, 1) for id_ in ids]
    with ForeignScript(stock, "two", records, shard=1) as script:
        script.begin()
        for held in records:
            script.say(request_of(property_sync=sync_of(held)))
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(WAIT_NEXT)
        assert script.next() is None
        trailing = dict(script.call.trailing_metadata())
    kept = held_by(stock, "two")
    assert 0 < len(kept) < len(ids)
    assert int(trailing["gossipnode-skipped"]) == len(ids) - len(kept)
