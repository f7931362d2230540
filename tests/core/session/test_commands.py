from __future__ import annotations

from gossipnode.core.session.commands import SessionCounts


def test_skips_are_counted_by_reason() -> None:
    counts = SessionCounts()
    for reason in ("a", "b", "a"):
        counts.skip(reason)
    assert counts == SessionCounts(skipped=3, reasons={"a": 2, "b": 1})
