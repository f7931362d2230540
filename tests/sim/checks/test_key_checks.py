"""Each check of keys on a planted fault, and on the nearest history in which nothing is wrong."""

from __future__ import annotations

from gossipnode.sim.history.operations import Apply, Delete, Deleted, Stored
from tests.sim.checks.stories import KEY, Story


def test_a_value_that_nobody_wrote() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.get((2, 3), 10, x=7)
    assert "always_values_were_written" in story.broken()


def test_a_value_under_another_tag() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.get((2, 3), 11, ack="one", y=1)
    assert "always_values_were_written" in story.broken()


def test_a_value_of_a_write_that_never_happened() -> None:
    story = Story()
    story.fail((0, 1), "x", maybe=False)
    story.get((2, 3), 10, x=1)
    assert "always_values_were_written" in story.broken()


def test_a_value_before_it_was_written() -> None:
    story = Story()
    story.get((0, 1), 10, x=2)
    story.merge((2, 3), "x", 10)
    assert "always_values_were_written" in story.broken()


def test_a_value_at_the_end_that_nobody_wrote() -> None:
    story = Story()
    story.held({KEY: (10, 0, {"x": 5})})
    assert "always_values_were_written" in story.broken()


def test_values_that_were_written_or_may_have_been() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y")
    story.get((4, 5), 11, x=1, y=2)
    story.held({KEY: (11, 0, {"x": 1, "y": 2})})
    assert not story.broken()


def test_a_read_that_shows_less_than_what_was_acknowledged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "x", 20, over={"x": 1})
    story.get((3, 4), 10, x=1)
    assert "always_reads_show_acknowledged" in story.broken()


def test_a_read_that_does_not_find_what_was_acknowledged() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.get((2, 3))
    assert "always_reads_show_acknowledged" in story.broken()


def test_a_read_of_one_replica_may_show_less() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "x", 20, over={"x": 1})
    story.get((4, 5), 10, ack="one", x=1)
    story.get((6, 7), ack="local")
    assert not story.broken()


def test_a_read_that_overlaps_the_write_may_miss_it() -> None:
    story = Story()
    story.merge((0, 2), "x", 10)
    story.get((1, 3))
    assert not story.broken()


def test_what_was_acknowledged_by_one_replica_may_be_missed() -> None:
    story = Story()
    story.merge((0, 1), "x", 10, ack="one")
    story.get((2, 3))
    assert not story.broken()


def test_a_delete_that_was_given_up_may_have_happened() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.history.operations[-1].heard = None
    story.history.operations[-1].ended = None
    story.get((2.5, 3), 10, x=1)
    story.get((100, 101))
    assert not story.broken()


def test_a_read_that_shows_less_than_the_one_before() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 9), "x", 20, over={"x": 1})
    story.get((3, 4), 20, x=2)
    story.get((5, 6), 10, x=1)
    assert "always_reads_never_go_back" in story.broken()


def test_a_read_that_does_not_find_what_the_one_before_showed() -> None:
    story = Story()
    story.merge((0, 9), "x", 10)
    story.get((1, 2), 10, x=1)
    story.get((3, 4))
    assert "always_reads_never_go_back" in story.broken()


def test_a_failed_write_that_one_read_shows_and_the_next_does_not() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y", over=True)
    story.get((4, 5), 20, x=1, y=2)
    story.get((6, 7), 10, x=1)
    assert "always_reads_never_go_back" in story.broken()


def test_reads_that_overlap_may_show_the_newer_first() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 9), "x", 20, over={"x": 1})
    story.get((3, 5), 20, x=2)
    story.get((4, 6), 10, x=1)
    assert not story.broken()


def test_a_deleted_record_that_is_shown_again() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.get((4, 5), 10, x=1)
    assert "always_deletes_stay" in story.broken()


def test_a_deleted_value_that_a_later_write_brings_back() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.merge((4, 5), "y", 20, over={"x": 1})
    assert "always_deletes_stay" in story.broken()


def test_a_failed_write_that_appears_after_a_delete_of_nothing() -> None:
    story = Story()
    story.fail((0, 1), "x", over=True)
    story.delete((2, 3), deleted=False)
    story.get((4, 5), 10, x=1)
    assert story.broken() == {"always_deletes_stay"}


def test_a_deleted_record_at_the_end() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.held({KEY: (10, 0, {"x": 1})})
    assert "finally_acknowledged_is_there" in story.broken()


def test_a_merge_beside_a_delete_may_keep_the_record() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 5))
    story.merge((3, 6), "y", 30, over={"x": 1})
    story.get((7, 8), 30, x=1, y=3)
    assert not story.broken()


def test_a_delete_that_denies_what_was_there() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3), deleted=False)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_delete_that_denies_what_was_shown() -> None:
    story = Story()
    story.fail((0, 1), "x")
    story.get((2, 3), 10, x=1)
    story.delete((4, 5), deleted=False)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_delete_of_what_was_never_there() -> None:
    story = Story()
    story.delete((0, 1), deleted=True)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_second_delete_of_one_record() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.delete((4, 5), deleted=True)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_delete_of_what_a_read_did_not_find() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3))
    story.history.operations[-1].ended = 6
    story.get((3, 4))
    story.delete((5, 7), deleted=True)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_merge_that_says_it_made_a_record_that_was_there() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "x", 20, over=None)
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_a_merge_that_does_not_say_that_it_made_a_record() -> None:
    story = Story()
    story.merge((0, 1), "x", 10, over={})
    assert story.broken() == {"always_deletes_say_what_they_did"}


def test_deletes_and_merges_that_overlap_may_say_either() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 5))
    story.delete((3, 6), deleted=False)
    story.merge((4, 7), "y", 20, over=None)
    assert not story.broken()


def test_a_failed_write_that_comes_back_over_an_acknowledged_one() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "x", over=True)
    story.merge((4, 5), "x", 20, over={"x": 1})
    story.get((6, 7), 30, x=2)
    assert {"always_failed_writes_never_overtake", "always_records_have_a_past"} <= story.broken()


def test_a_failed_write_that_somebody_may_be_at_work_on_may_come_back() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "x", over=False)
    story.merge((4, 5), "x", 20, over={"x": 1})
    story.get((6, 7), 30, x=2)
    assert not story.broken()


def test_a_failed_write_that_an_acknowledged_one_was_built_upon() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y", over=True)
    story.merge((4, 5), "x", 20, over={"x": 1, "y": 2})
    story.get((6, 7), 20, x=3, y=2)
    assert not story.broken()


def test_a_write_that_is_done_again() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "x", 20, over={"x": 1})
    story.get((4, 5), 30, x=1)
    broken = story.broken()
    assert {"always_retries_are_done_once", "always_records_have_a_past"} <= broken
    assert "always_failed_writes_never_overtake" not in broken


def test_a_write_that_was_given_up_and_is_done_again() -> None:
    story = Story()
    story.fail((0, 1), "x")
    story.get((2, 3), 10, x=1)
    story.merge((4, 5), "x", 20, over={"x": 1})
    story.get((6, 7), 30, x=1)
    assert "always_retries_are_done_once" in story.broken()


def test_a_try_that_finds_its_work_done_is_given_what_came_after_it() -> None:
    story = Story()
    story.add(Apply(KEY, {"x": 1}), Stored(20, {"x": 2}, created=True), (0, 9))
    story.merge((2, 3), "x", 20, over={"x": 1})
    story.add(Apply(KEY, {"y": 3}), Stored(40, {}, created=False), (1, 9))
    story.delete((4, 5))
    story.get((10, 11))
    assert not story.broken()


def test_a_version_of_tags_that_were_never_together() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.merge((2, 3), "y", 20, over={"x": 1})
    story.delete((4, 5))
    story.merge((6, 7), "x", 40)
    story.get((8, 9), 50, ack="one", x=4, y=2)
    assert story.broken() == {"always_records_have_a_past"}


def test_a_version_at_a_revision_that_its_writer_cannot_have_taken() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y")
    story.get((4, 5), 9, ack="one", x=1, y=2)
    assert story.broken() == {"always_records_have_a_past"}


def test_versions_that_nobody_saw_may_have_been_read() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.fail((2, 3), "y")
    story.fail((2, 4), "z", over=True)
    story.get((8, 9), 30, x=1, y=2, z=3)
    assert not story.broken()


def test_a_value_need_not_be_the_number_of_its_write() -> None:
    story = Story()
    for number in (0, 1):
        asked = Apply(KEY, {"x": 7})
        story.add(asked, Stored(10 + number, {"x": 7}, created=not number), (2 * number, 2 * number + 1))
    for operation in story.history.operations:
        operation.number -= 1
    story.get((4, 5), 11, x=7)
    story.delete((6, 7))
    story.get((8, 9))
    assert not story.broken()


def test_a_delete_that_promises_nothing_may_have_happened() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.add(Delete(KEY), Deleted(deleted=True), (2, 3), ack="one")
    story.delete((4, 5), deleted=False)
    story.merge((6, 7), "x", 30)
    assert not story.broken()


def test_places_tell_what_came_first_in_one_instant() -> None:
    story = Story()
    story.merge((0, 0), "x", 10)
    story.get((0, 0))
    assert not story.broken()
    for place, operation in enumerate(story.history.operations):
        operation.began_place, operation.ended_place = 2 * place + 1, 2 * place + 2
    assert "always_reads_show_acknowledged" in story.broken()
