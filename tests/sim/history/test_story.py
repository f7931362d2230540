"""A history as text: everything is in it, in the order of time, and unequal histories have unequal texts."""

from __future__ import annotations

from dataclasses import replace

from gossipnode.sim.history.history import Event, History
from gossipnode.sim.history.operations import Rows, Stored
from gossipnode.sim.history.story import history_text, story_lines
from tests.sim.history.made_history import VIOLATIONS, made_history


def test_every_thing_has_its_line() -> None:
    text = history_text(made_history(), VIOLATIONS)
    for words in (
        "nodes a b c",
        "group sw: 3 replicas",
        "client  >>> #0 apply sw/n/1 x=1 at a, quorum",
        "client  >>> #0 created 17, x=1 [12.000 ms]",
        "far         #1 replace sw/n/1 y=2",
        "far      ?  #1 UnreachableError (may have happened)",
        "#2 no such record",
        "#4 1 record: sw/n/1 17, x=1",
        "#5 import sw/n/1 sw/n/2 with z=3",
        "client   x  #6 RefusedError: no",
        "#7 deleted [",
        "network  !  cut c-*",
        "a           begins a round of sw/0",
        "hop b -> c: tree skipped, it is down; sent 0",
        "round of sw/0 incomplete: 3 replicas, different before, different after",
        "b        x  sw/n/1 goes back from (17, 0) to (16, 0)",
        "cluster >>> finally_equal at 10.000000 s",
        "c network from 2.000000 s to 7.000000 s",
        "d down from 4.500000 s to never",
        "d ended at 9.000000 s, which was not expected",
        "a logged a defect",
        "sw/n/2 20 deleted at 21",
        "a idle: 12 tasks",
        "cut: 1",
    ):
        assert words in text
    assert text.index("violated") < text.index("what happened")


def test_lines_are_in_the_order_of_time_and_printable() -> None:
    times = [line.time for line in story_lines(made_history(), VIOLATIONS)]
    assert times == sorted(times)
    assert all(line.isprintable() for line in history_text(made_history(), VIOLATIONS).split("\n"))


def test_equal_histories_alone_have_equal_texts() -> None:
    """Also where the difference is too small for a line, or in what no line shows."""
    text = history_text(made_history())
    assert text == history_text(made_history())
    later, other, rows = made_history(), made_history(), made_history()
    later.events[2] = replace(later.events[2], time=4.5 + 1e-9)
    other.operations[0].heard = Stored(18, {"x": 1}, created=True)
    rows.operations[4].heard = Rows(())
    assert len({text, history_text(later), history_text(other), history_text(rows)}) == 4


def test_what_happens_at_one_time_keeps_its_order() -> None:
    history = History()
    for text in ("first", "second", "third"):
        history.tell(1.0, "a", text)
    assert [line.text for line in story_lines(history)] == ["first", "second", "third"]


def test_a_run_in_which_nothing_happened() -> None:
    assert history_text(History(nodes=("a",), events=[Event(0.0, "a", "starts")])).startswith("nodes a\n")
