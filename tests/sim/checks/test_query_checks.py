"""The checks of queries, and of what replicas hold at the end."""

from __future__ import annotations

from gossipnode.sim.history.operations import Get, Row
from tests.sim.checks.stories import KEY, OTHER, Story


def row(revision: int, key: str = KEY, **tags: int) -> Row:
    return Row(key, revision, tags)


def test_a_query_that_misses_a_record() -> None:
    story = Story()
    story.import_((0, 1), "x", KEY, OTHER)
    story.query((2, 3), row(10, x=1))
    assert "always_queries_are_one_view" in story.broken()


def test_a_query_that_shows_a_record_too_early() -> None:
    story = Story()
    story.query((0, 1), row(10, x=2))
    story.merge((2, 3), "x", 10)
    assert "always_queries_are_one_view" in story.broken()


def test_a_query_that_doubles_a_record() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.query((2, 3), row(10, x=1), row(10, x=1))
    assert story.broken() == {"always_queries_are_in_order"}


def test_a_query_out_of_order() -> None:
    story = Story()
    story.import_((0, 1), "x", KEY, OTHER)
    story.query((2, 3), row(10, OTHER, x=1), row(11, x=1))
    assert story.broken() == {"always_queries_are_in_order"}


def test_a_query_that_shows_another_group() -> None:
    story = Story()
    story.add(Get("m/k/1"), Row("m/k/1", 10, {}), (0, 1), ack="one")
    story.query((2, 3), row(10, "m/k/1"))
    assert "always_queries_are_in_order" in story.broken()


def test_a_fair_query() -> None:
    story = Story()
    story.import_((0, 1), "x", KEY, OTHER)
    story.delete((2, 5))
    story.query((3, 4), row(10, x=1), row(11, OTHER, x=1))
    story.query((4, 6), row(11, OTHER, x=1))
    assert not story.broken()


def test_a_replica_that_lacks_what_was_acknowledged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    held = {KEY: (10, 0, {"x": 1})}
    story.held(held, {}, held)
    assert "finally_acknowledged_is_there" in story.broken()


def test_a_key_that_no_replica_holds() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.held({}, {}, {})
    assert story.broken() == {"finally_acknowledged_is_there"}


def test_replicas_that_hold_what_was_acknowledged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    held = {KEY: (10, 0, {"x": 1})}
    story.held(held, held, held)
    assert not story.broken()


def test_what_was_in_a_group_that_is_deleted_is_not_judged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.get((6, 7))
    story.query((6, 8))
    story.held({})
    story.history.deleted_groups["n"] = 5.0
    assert not story.broken()
