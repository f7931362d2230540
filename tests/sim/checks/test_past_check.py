"""The check that each version has a past: what it must not take for impossible."""

from tests.sim.checks.stories import Story


def test_a_tombstone_may_have_the_stamp_of_the_version_that_it_deletes() -> None:
    """The order of versions puts it above that one all the same, so the next write is just one above both."""
    story = Story()
    story.merge((0, 1), "y", 10)
    story.merge((2, 3), "z", 11, over={"y": 1})
    story.delete((2.5, 4))
    story.delete((5, 6), deleted=False)
    story.merge((7, 8), "x", 12, replace=True)
    assert not story.broken()


def test_a_write_is_above_every_live_version_before_it() -> None:
    story = Story()
    story.merge((0, 1), "y", 10)
    story.delete((2, 3))
    story.merge((4, 5), "x", 10)
    assert "always_records_have_a_past" in story.broken()
