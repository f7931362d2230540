"""The checks of merges: what survives, what may undo what, and what one node does in turn."""

from __future__ import annotations

from tests.sim.checks.stories import KEY, OTHER, Story


def test_a_merge_that_is_lost_to_a_later_one() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "y", 20, over={})
    assert {"always_merges_survive", "always_records_have_a_past"} <= story.broken()


def test_an_import_that_is_lost_to_a_later_merge() -> None:
    story = Story()
    story.import_((0, 1), "x", KEY, OTHER)
    story.merge((2, 3), "y", 20, over={})
    assert "always_merges_survive" in story.broken()


def test_an_older_value_after_one_that_was_acknowledged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "x", 20, over={"x": 1})
    story.merge((4, 5), "y", 30, over={"x": 1})
    assert {"always_merges_survive", "always_records_have_a_past"} <= story.broken()


def test_merges_that_overlap_may_undo_one_another() -> None:
    story = Story()
    story.merge((0, 3), "x", 10)
    story.merge((1, 4), "y", 20)
    story.get((5, 6), 20, y=2)
    assert not story.broken()


def test_merges_that_overlap_at_one_node_are_done_in_turn() -> None:
    story = Story()
    story.at_one_node = True
    story.merge((0, 3), "x", 10)
    story.merge((1, 4), "y", 20)
    story.get((5, 6), 20, y=2)
    assert story.broken() == {"always_merges_survive"}


def test_one_of_them_may_be_elsewhere() -> None:
    story = Story()
    story.merge((0, 3), "x", 10)
    story.at_one_node = True
    story.merge((1, 4), "y", 20)
    story.get((5, 6), 20, y=2)
    assert not story.broken()


def test_a_merge_that_was_given_up_may_undo_what_was_acknowledged_since() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y")
    story.merge((4, 5), "z", 20, over={"x": 1})
    story.get((6, 7), 30, x=1, y=2)
    assert not story.broken()


def test_a_merge_is_covered_by_a_replacement_or_a_delete() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "y", 20, over={"x": 1}, replace=True)
    story.get((4, 5), 20, y=2)
    story.delete((6, 7))
    story.merge((8, 9), "z", 40)
    story.get((9, 10), 40, z=5)
    assert not story.broken()
