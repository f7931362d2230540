from __future__ import annotations

from gossipnode.core.session.commands import SessionCounts


def test_skips_are_counted_by_reason() -> None:
    counts = SessionCounts()
    for reason in ("a", "b", "a"):
        counts.skip(reason)
    assert counts == SessionCounts(skipped=3, reasons={"a": 2, "b": 1})


def test_the_reasons_in_a_few_words() -> None:
    counts = SessionCounts()
    assert counts.reasons_text() == ""
    counts.skip("b")
    counts.skip("a", 20, such_as="g/n/" + "x" * 4096)
    counts.skip("a", such_as="g/n/y")
    assert counts.reasons_text() == f"21 a, such as g/n/{'x' * 124}, 1 b"
