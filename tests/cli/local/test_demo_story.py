"""What the demo writes, and how it proves its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.cli.local.demo_story import Stamps, View, difference, make_plan, unicode_table
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.session.tree import SlotDigest, make_tree


@pytest.fixture(scope="module")
def table() -> list[StoredProperty]:
    return unicode_table()


def test_the_plan_uses_each_character_once(table: list[StoredProperty]) -> None:
    plan = make_plan(table)
    assert len(table) > 20_000
    assert len({record.entity for record in table}) == len(table)
    written = [*plan.common, *plan.both, *plan.only_on_a, *plan.only_on_b]
    assert sorted(record.entity for record in written) == sorted(record.entity for record in table)
    changed = [*plan.newer_on_a, *plan.newer_on_b, *plan.deleted_on_a, *plan.deleted_on_b]
    assert {record.entity for record in changed} <= {record.entity for record in plan.common}
    assert len({record.entity for record in changed}) == len(changed) == 500
    assert plan.records == len(table)
    assert plan.live_at_the_end == len(table) - 200


def test_stamps_rise(table: list[StoredProperty]) -> None:
    stamps = Stamps()
    first = stamps.stamped(table[0])
    changed = stamps.changed(first, "a")
    gone = stamps.deleted(changed)
    assert first.create_revision == first.mod_revision < changed.mod_revision < gone.mod_revision
    assert changed.create_revision == gone.create_revision == first.create_revision
    assert changed.tags["checked_by"] == "a"
    assert gone.delete_time == gone.mod_revision
    assert first.delete_time == changed.delete_time == 0


def test_the_end_is_proved_from_the_trees(table: list[StoredProperty]) -> None:
    plan = make_plan(table[:8000])
    slots = (SlotDigest(1, "aa"), SlotDigest(5, "bb"))
    good = View("a", make_tree(slots).root, slots, plan.live_at_the_end, 200)
    others = [replace(good, name="b"), replace(good, name="c")]
    assert difference([good, *others], plan) == ""
    forged = replace(good, name="c", slots=(SlotDigest(1, "ab"),))
    assert "c" in difference([good, others[0], forged], plan)
    honest = replace(forged, root=make_tree(forged.slots).root)
    assert difference([good, others[0], honest], plan) == "the trees of a and c differ"
    assert "live records" in difference([good, replace(others[0], live=5)], plan)
    assert "no" in difference([replace(good, root="", slots=())], plan)
