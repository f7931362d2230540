from __future__ import annotations

from gossipnode.core.session.messages import AnswerTo


def test_what_an_answer_answers_has_the_numbers_of_the_wire() -> None:
    assert [(each.name, each.value) for each in AnswerTo] == [("UNSPECIFIED", 0), ("MISSING", 1), ("SYNC", 2)]
